"""What a replay has come to: a table for people, and a mapping for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from replay_log import Format, Part
from replay_tally import WHO, Group, Outcome, Pair, Place, Tally

from listener_policy.questions import explain_arguments

LONGEST: Final = 300
"""Characters of a value from the log that are shown in one place."""
INDENT: Final = " " * 14


class ReplayReport:
    """The tally of all parts of some logs.

    `top` is how many names of each kind are shown, the most frequent ones.
    """

    def __init__(self, tally: Tally, parts: Sequence[Part], *, compares: bool, top: int) -> None:
        self._tally = tally
        self._parts = parts
        self._compares = compares
        self._top = top
        self._starts: dict[int, int] = {}
        lines, log = 0, ""
        for part in parts:  # lines are counted in each part, and shown as those of the log
            lines = lines if part.name == log else 0
            self._starts[part.number], log = lines, part.name
            lines += tally.lines.get(part.number, 0)

    @property
    def changed(self) -> int:
        """For how many recipients something else would be done."""
        return sum(group.rows for _, group in self._groups(changed=True))

    def _groups(self, *, changed: bool) -> list[tuple[Pair, Group]]:
        """The groups whose effect changes, or does not; large ones first."""
        chosen = (
            (pair, group)
            for pair, group in self._tally.groups.items()
            if (pair[0].effect != pair[1].effect) is changed
        )
        return sorted(chosen, key=lambda item: (-item[1].rows, *map(str, item[0])))

    # --- for programs

    def to_dict(self) -> dict[str, object]:
        """The report, JSON-ready; names and rows are those that the text shows."""
        tally = self._tally
        outcomes = self._groups(changed=True) + self._groups(changed=False)
        return {
            "logs": list(dict.fromkeys(part.name for part in self._parts)),
            "rows": tally.rows,
            "authenticated": tally.authenticated,
            "unusable": tally.unusable,
            "changed": self.changed if self._compares else None,
            "outcomes": [self._outcome_dict(pair, group) for pair, group in outcomes],
            "unusable_rows": [
                {"row": self._where(place), "reason": reason}
                for place, reason in tally.reasons.items()
            ],
        }

    def _outcome_dict(self, pair: Pair, group: Group) -> dict[str, object]:
        before, after = pair
        return {
            "rows": group.rows,
            "changed": before.effect != after.effect if self._compares else None,
            "before": before._asdict(),
            "after": after._asdict() if self._compares else None,
            **{
                f"{name}s": {
                    "different": len(group.who[name]),
                    "most": dict(_most(group.who[name], self._top)),
                }
                for name in WHO
            },
            "examples": [
                {"row": self._where(place), **question._asdict()}
                for place, question in group.examples.items()
            ],
        }

    def _where(self, place: Place) -> str:
        part = self._parts[place.part]
        row = place.line + self._starts[place.part]
        return f"{part.name}: {'row' if part.format is Format.PARQUET else 'line'} {row}"

    # --- for people

    def __str__(self) -> str:
        return "\n".join(self._text())

    def _text(self) -> Iterator[str]:
        tally = self._tally
        yield f"{_counted(tally.rows, 'recipient')}, {tally.authenticated:,} authenticated"
        if self._compares:
            yield f"{self.changed:,} changed ({self.changed / max(tally.rows, 1):.3%})"
            for (before, after), group in self._groups(changed=True):
                yield from self._entry(f"{before} -> {after}", group)
        yield f"{tally.rows - self.changed:,} as before" if self._compares else "decided"
        for (before, after), group in self._groups(changed=False):
            yield from self._entry(_outcomes(before, after), group)
        if tally.unusable:
            yield f"{tally.unusable:,} more could not be asked about"
            for place, reason in tally.reasons.items():
                yield f"{INDENT}{self._where(place)}: {_shown(reason)}"

    def _entry(self, title: str, group: Group) -> Iterator[str]:
        yield f"{group.rows:12,}  {title}"
        for name in WHO:
            counts = group.who[name]
            most = _most(counts, self._top)
            if most:
                said = [f"{_shown(text)} {count:,}" for text, count in most]
                if more := len(counts) - len(most):
                    said.append(_counted(more, "other"))
                yield f"{INDENT}{name:9}  {', '.join(said)}"
        for place, question in group.examples.items():
            yield f"{INDENT}{'explain':9}  {_cut(explain_arguments(question))}"
            yield f"{INDENT}{'':9}  # {self._where(place)}"


def _outcomes(before: Outcome, after: Outcome) -> str:
    return str(before) if before == after else f"{before} -> {after.reason}"


def _most(counts: Counter[str], top: int) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _shown(text: str) -> str:
    """A text from the log as a terminal can take it."""
    return _cut(text if text.isprintable() else ascii(text)[1:-1])


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
