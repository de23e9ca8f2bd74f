"""From documents of expectations to questions and what their answers are to be (rule 3.4).

Whatever could make an expectation hold for a wrong reason is a problem of its document: a name that
is no domain (no entry governs it, so every policy refuses it), an expectation that says nothing of
the answer, a second one of the same name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product, starmap
from typing import Final, TypeAlias, TypeGuard, cast

from listener_policy._display import described, option_key, quoted
from listener_policy._documents import Text, parse_toml
from listener_policy._problems import ProblemList
from listener_policy._tables import TableReader, did_you_mean
from listener_policy.analysis._expectation_tables import (
    ANSWERS,
    DEFAULTS,
    DOMAIN_ANSWERS,
    EXPECT,
    RCPT_ANSWERS,
    Defaults,
    ExpectationTable,
    Value,
)
from listener_policy.questions import RcptRequest, Request

__all__ = ["Expectation", "ExpectationReader", "Question"]

Question: TypeAlias = Request | RcptRequest

_DOMAIN: Final = "domain"
_CONNECTION: Final = ("listener", "peer")
_ENVELOPE: Final = ("sender", "recipient")
_MOST_QUESTIONS: Final = 10_000
"""How many questions one expectation may ask: more are a slip, and would take minutes."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation, read: its questions, and what each of the answers is to be."""

    name: str
    document: int
    path: str
    requests: tuple[Question, ...]
    expected: Mapping[str, Value]


class ExpectationReader:
    """Reads documents of expectations, collecting every problem on the way (rule 3.4)."""

    def __init__(self, problems: ProblemList) -> None:
        self._problems = problems
        self._defaults = TableReader(Defaults, problems)
        self._tables = TableReader(ExpectationTable, problems)
        self._document = 0
        self._named: dict[str, tuple[int, str]] = {}

    def read(self, texts: Iterable[Text]) -> list[Expectation]:
        """The expectations of TOML documents; none is left out unless a problem was added."""
        found: list[Expectation] = []
        for self._document, text in enumerate(texts):
            top_level = parse_toml(text, self._document, self._problems)
            if top_level is not None:
                found += self._expectations(top_level)
        return found

    def _expectations(self, top_level: Mapping[str, object]) -> Iterator[Expectation]:
        known = (DEFAULTS, EXPECT)
        for key in top_level:
            if key not in known:
                message = f"expected `[defaults]` and `[[expect]]`, found {quoted(key)}"
                self._add(option_key(key), message, did_you_mean(key, known))
        shared = top_level.get(DEFAULTS, {})
        defaults = self._defaults.read(shared, DEFAULTS.__str__, self._document) or Defaults()
        in_defaults = [*shared] if _is_table(shared) else []
        tables = top_level.get(EXPECT, [])
        if not isinstance(tables, list):
            hint = "write it in two brackets" if _is_table(tables) else None
            found = described(cast("object", tables))
            message = f"expected an array of tables, `[[expect]]`, found {found}"
            self._add(EXPECT, message, hint)
            return
        if not tables:
            self._add(EXPECT, "expected at least one table `[[expect]]`, found none")
        for index, table in enumerate(cast("list[object]", tables)):
            read = self._expectation(table, defaults, in_defaults, f"{EXPECT}[{index}]")
            if read is not None:
                yield read

    def _expectation(
        self, table: object, defaults: Defaults, in_defaults: Collection[str], path: str
    ) -> Expectation | None:
        """The expectation that a table is, or `None` after adding what is wrong with it.

        What a table lacks is told by its keys, so that a value that is wrong hides nothing.
        """
        if _is_table(table):
            self._check_name(table.get("name"), path)
            self._check_question(table, in_defaults, path)
            self._check_answer(table, path)
        read = self._tables.read(table, path.__str__, self._document)
        if read is None:
            return None
        return Expectation(
            read.name,
            self._document,
            path,
            self._questions(read, defaults, path),
            {key: getattr(read, key) for key in ANSWERS if key in read.model_fields_set},
        )

    def _check_name(self, name: object, path: str) -> None:
        """Add a name that another expectation has."""
        if isinstance(name, str):
            here = (self._document, path)
            document, there = self._named.setdefault(name, here)
            if (document, there) != here:
                place = f"`{there}`"
                place += f" of document {document}" if document != self._document else ""
                self._add(f"{path}.name", f"expected a name of its own, found that of {place}")

    def _check_question(
        self, written: Collection[str], in_defaults: Collection[str], path: str
    ) -> None:
        """Add what a question lacks, and what does not go together."""
        for key in _CONNECTION:
            if key not in written and key not in in_defaults:
                hint = "it may also stand in `[defaults]`"
                self._add(f"{path}.{key}", f"expected `{key}`, found nothing", hint)
        given = [key for key in _ENVELOPE if key in written]
        if _DOMAIN in written:
            for key in given:
                message = f"expected `{key}` or `{_DOMAIN}`, found both"
                self._add(f"{path}.{key}", message, "ask about one recipient, or about one domain")
            return
        lacking = [key for key in _ENVELOPE if key not in written and key not in in_defaults]
        if len(lacking) == len(_ENVELOPE):
            message = "expected `sender` and `recipient`, or `domain`, found none of them"
            self._add(path, message)
        else:
            for key in lacking:
                self._add(f"{path}.{key}", f"expected `{key}`, found nothing")

    def _check_answer(self, written: Collection[str], path: str) -> None:
        """Add what cannot be said of the answer, and that nothing is said of it."""
        said = [key for key in ANSWERS if key in written]
        kind = _DOMAIN if _DOMAIN in written else "recipient"
        fitting = [*DOMAIN_ANSWERS] if kind == _DOMAIN else [*RCPT_ANSWERS]
        expected = f"something about a {kind} ({', '.join(f'`{key}`' for key in fitting)})"
        if not said:
            self._add(path, f"expected {expected}, found nothing", "it would always hold")
        for key in said:
            if key not in fitting:
                self._add(f"{path}.{key}", f"expected {expected}, found `{key}`")

    def _questions(
        self, table: ExpectationTable, defaults: Defaults, path: str
    ) -> tuple[Question, ...]:
        """Every combination of the values that are listed, or too many of them and a problem."""
        listeners = table.listener or defaults.listener
        peers = table.peer or defaults.peer
        identities = table.auth or defaults.auth or (None,)
        senders = table.sender or defaults.sender
        recipients = table.recipient or defaults.recipient
        questions: Iterator[Question]
        if table.domain:
            questions = starmap(Request, product(listeners, peers, table.domain, identities))
        else:
            questions = starmap(
                RcptRequest, product(listeners, peers, senders, recipients, identities)
            )
        asked = tuple(islice(questions, _MOST_QUESTIONS + 1))
        if len(asked) > _MOST_QUESTIONS:
            self._add(path, f"expected at most {_MOST_QUESTIONS} questions, found more")
        return asked

    def _add(self, path: str, message: str, hint: str | None = None) -> None:
        self._problems.add(self._document, path, message, hint)


def _is_table(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a value of a TOML document is a table."""
    return isinstance(value, dict)
