"""What is told: tables of figures, the targets beside them, as Markdown or as JSON."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.measuring import Spread


@dataclass(frozen=True)
class Target:
    """The most that a figure may be, and the most that it should be."""

    limit: float
    aim: float | None = None

    def __str__(self) -> str:
        text = f"at most {_number(self.limit)}"
        return text if self.aim is None else f"{text}, aim {_number(self.aim)}"

    def met_by(self, value: float) -> str:
        """`aim`, `pass` or `miss`."""
        if self.aim is not None and value <= self.aim:
            return "aim"
        return "pass" if value <= self.limit else "miss"


@dataclass
class Table:
    """Figures by case and column; what they are relative to is what `title` says."""

    group: str
    title: str
    corner: str
    """What the rows are."""
    cases: dict[str, Target | None] = field(default_factory=dict[str, Target | None])
    figures: dict[tuple[str, str], Spread] = field(default_factory=dict[tuple[str, str], Spread])
    notes: list[str] = field(default_factory=list[str])

    def add(self, case: str, column: str, value: Spread, target: Target | None = None) -> None:
        """Put a figure into the table."""
        self.cases.setdefault(case, target)
        self.figures[case, column] = value

    def columns(self) -> list[str]:
        """The columns, in the order in which they came."""
        return list(dict.fromkeys(column for _, column in self.figures))

    def markdown(self) -> str:
        """The table."""
        columns = self.columns()
        has_targets = any(self.cases.values())
        head = [self.corner, *(["target"] if has_targets else []), *columns]
        lines = [f"### {self.title}", "", _line(head), _line("---" for _ in head)]
        for case, target in self.cases.items():
            cells = [self._cell(case, column, target) for column in columns]
            told = [str(target) if target else ""] if has_targets else []
            lines.append(_line([case, *told, *cells]))
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)

    def _cell(self, case: str, column: str, target: Target | None) -> str:
        value = self.figures.get((case, column))
        if value is None:
            return ""
        text = _number(value.median)
        if value.low != value.high:
            text += f" ({_number(value.low)} to {_number(value.high)})"
        return text if target is None else f"{text} {target.met_by(value.median)}"

    def to_dict(self) -> dict[str, Any]:
        """The table, ready for JSON."""
        return {
            "group": self.group,
            "title": self.title,
            "notes": self.notes,
            "figures": [
                {
                    "case": case,
                    "column": column,
                    "median": value.median,
                    "quartiles": [value.low, value.high],
                    **_judged(self.cases[case], value.median),
                }
                for (case, column), value in self.figures.items()
            ],
        }


def _judged(target: Target | None, value: float) -> dict[str, Any]:
    if target is None:
        return {}
    return {"limit": target.limit, "aim": target.aim, "verdict": target.met_by(value)}


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(tables: Sequence[Table], skipped: Iterable[str], machine: dict[str, str]) -> str:
    """The whole report: a section for each table, and one about the machine."""
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    parts = [*(table.markdown() for table in tables), f"{_MACHINE}\n\n{told}."]
    left_out = [f"- {reason}" for reason in skipped]
    if left_out:
        parts.append("\n".join(["Left out:", "", *left_out]))
    return "\n\n".join(parts)


_MACHINE: Final = "### Measured on"


def with_figures(page: str, report: str) -> str:
    """A page with the sections of a report in the place of its figures.

    What the report does not tell about stays. Raises `ValueError` if the page has no such place.
    """
    before, begin, rest = page.partition(BEGIN)
    figures, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected {BEGIN.strip()} and {END.strip()} on the page")
    sections = {**_sections(figures), **_sections(report)}
    sections[_MACHINE] = sections.pop(_MACHINE)  # to the end
    told = "\n\n".join(sections.values())
    return f"{before}{begin}\n{told}\n\n{end}{after}"


BEGIN: Final = "<!-- figures: begin -->\n"
END: Final = "<!-- figures: end -->\n"


def _sections(text: str) -> dict[str, str]:
    """The sections of a report, by their headings."""
    parts = re.split(r"^(?=### )", text, flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.strip() for part in parts if part.startswith("###")}
