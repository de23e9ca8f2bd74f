"""Expectations: what a policy is to answer, written down once and checked at every change.

    [defaults]
    listener = "192.0.2.25:25"
    peer = "203.0.113.9"

    [[expect]]
    name = "strangers cannot relay"
    sender = "eve@example.org"
    recipient = "victim@example.net"
    result = "refused"

The format is described in `docs/expectations.md`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Never, cast, final

from listener_policy._display import described, printable, quoted_key
from listener_policy._documents import LISTENER, Text
from listener_policy._problems import ProblemList
from listener_policy._tree import WIDTH
from listener_policy.analysis._expectation_reader import Expectation, ExpectationReader, Question
from listener_policy.analysis._expectation_tables import DOMAIN_ANSWERS, RCPT_ANSWERS, Value
from listener_policy.checks import entry_dict
from listener_policy.decision import EntryRef
from listener_policy.explanation import Explanation, RcptExplanation
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.policy import Policy
from listener_policy.questions import Request

__all__ = [
    "ExpectationReport",
    "ExpectationResult",
    "FailedQuestion",
    "Mismatch",
    "run_expectations",
]

_MOST_FAILURES: Final = 10
"""How many questions of one expectation are shown that fail; `.failures` has them all."""

_MOST_ENTRIES: Final = 20
"""How many of the entries that no expectation touches are shown; `.untouched` has them all."""


class Mismatch(NamedTuple):
    """One thing that was expected of an answer and is not so.

    `key` is the expectation's (`result`, `reason`, ...). The values are as the document writes
    them, but for entries: these are `EntryRef`s, and `None` where no entry governs.
    """

    key: str
    expected: Value
    found: Value


class FailedQuestion(NamedTuple):
    """A question whose answer is not what it was expected to be."""

    request: Question
    mismatches: tuple[Mismatch, ...]
    explanation: Explanation | RcptExplanation


class _NoTruthValue:
    """A result says several things, and none of them is what `if result:` would mean."""

    __slots__ = ()

    def __bool__(self) -> Never:
        raise TypeError(
            f"an {type(self).__name__} is neither true nor false: say what is meant (.passed)"
        )


@final
@dataclass(frozen=True, slots=True, repr=False)
class ExpectationResult(_NoTruthValue):
    """What has become of one expectation. It has no truth value: ask whether it has `.passed`."""

    name: str
    """What it is called."""
    document: int
    """The index of its text among those that were given."""
    path: str
    """Where it stands there: `expect[3]`."""
    requests: tuple[Question, ...]
    """The questions that it asks: one for each combination of the values that it lists."""
    failures: tuple[FailedQuestion, ...]
    """Those among them whose answers are not what was expected."""

    @property
    def passed(self) -> bool:
        """Whether all of its questions are answered as expected."""
        return not self.failures

    def to_dict(self) -> dict[str, object]:
        """The result, JSON-ready."""
        return {
            "name": self.name,
            "document": self.document,
            "path": self.path,
            "passed": self.passed,
            "requests": [_json_question(request) for request in self.requests],
            "failures": [_json_failure(failure) for failure in self.failures],
        }

    def __repr__(self) -> str:
        return f"<ExpectationResult {self.name!r}: {'passed' if self.passed else 'failed'}>"

    def __str__(self) -> str:
        """The result for a terminal, every failure with its explanation."""
        return "\n".join(_result_lines(self))


@final
@dataclass(frozen=True, slots=True, repr=False)
class ExpectationReport(_NoTruthValue):
    """What has become of all expectations, and which entries they touch.

    An entry is touched if it governs the domain, the sender's or the recipient's, in a question of
    some expectation. It has no truth value: ask whether all have `.passed`, or for `.untouched`.
    """

    results: tuple[ExpectationResult, ...]
    """One for each expectation, in the order in which they were written."""
    entries: tuple[EntryRef, ...]
    """All entries of the policy, in the order of its configuration."""
    touched: frozenset[EntryRef]
    """Those that some question touches."""

    @property
    def passed(self) -> bool:
        """Whether every expectation holds."""
        return all(result.passed for result in self.results)

    @property
    def failed(self) -> tuple[ExpectationResult, ...]:
        """The results of the expectations that do not hold."""
        return tuple(result for result in self.results if not result.passed)

    @property
    def untouched(self) -> tuple[EntryRef, ...]:
        """The entries that no question touches: whatever they say, nobody would notice."""
        return tuple(entry for entry in self.entries if entry not in self.touched)

    @property
    def coverage(self) -> float:
        """The share of the entries that are touched, from 0 to 1; 1 if there are no entries."""
        return len(self.touched) / len(self.entries) if self.entries else 1.0

    def to_dict(self) -> dict[str, object]:
        """The report, JSON-ready."""
        return {
            "passed": self.passed,
            "results": [result.to_dict() for result in self.results],
            "coverage": {
                "entries": len(self.entries),
                "touched": len(self.touched),
                "fraction": self.coverage,
                "untouched": [entry_dict(entry) for entry in self.untouched],
            },
        }

    def __repr__(self) -> str:
        failed = len(self.failed)
        return f"<ExpectationReport of {_count(len(self.results), 'expectation')}, {failed} failed>"

    def __str__(self) -> str:
        """The report for a terminal: every failure with its explanation, then the coverage."""
        lines: list[str] = []
        for result in self.failed:
            lines += (*_result_lines(result), "")
        return "\n".join([*lines, _summary(self), *_coverage_lines(self)])


def run_expectations(policy: Policy, text: Text, *texts: Text) -> ExpectationReport:
    """Check what a policy answers against what documents of expectations say, in TOML.

    text, texts: `str`, or `bytes` in UTF-8. Names are unique in all of them together. Raises
    `ConfigError` with all problems of all documents; nothing is checked until all of it is right.

    >>> policy = Policy.from_mapping({"example.com": {"relay_to": True}, "a.com": {}})
    >>> report = run_expectations(policy, '''
    ... [[expect]]
    ... name = "anybody may write to us"
    ... listener = "192.0.2.25:25"
    ... peer = "203.0.113.9"
    ... sender = ""
    ... recipient = "ann@example.com"
    ... result = "accepted"
    ... ''')
    >>> report.passed, report.coverage, report.untouched
    (True, 0.5, (EntryRef(listener='*', pattern='a.com'),))
    >>> print(report)
    1 expectation holds, in 1 question.
    Coverage: 1 of 2 entries, 50 %. No expectation touches
      "a.com"
    """
    problems = ProblemList()
    if not isinstance(cast("object", policy), Policy):
        problems.add(None, "policy", f"expected a `Policy`, found {described(policy)}")
    expectations = ExpectationReader(problems).read((text, *texts))
    problems.raise_if_any()
    touched: set[EntryRef] = set()
    results = tuple(_result(policy, expectation, touched) for expectation in expectations)
    entries = policy.config.entries
    return ExpectationReport(
        results,
        tuple(EntryRef(listener, pattern) for listener in entries for pattern in entries[listener]),
        frozenset(touched),
    )


def _result(policy: Policy, expectation: Expectation, touched: set[EntryRef]) -> ExpectationResult:
    """What becomes of one expectation; the entries that it touches are added to `touched`."""
    failures: list[FailedQuestion] = []
    for request in expectation.requests:
        answer = _answer(policy, request)
        touched.update(answer.entries)
        mismatches = tuple(
            Mismatch(key, expected, answer.says[key])
            for key, expected in expectation.expected.items()
            if answer.says[key] != expected
        )
        if mismatches:
            failures.append(FailedQuestion(request, mismatches, _explanation(policy, request)))
    return ExpectationResult(
        expectation.name,
        expectation.document,
        expectation.path,
        expectation.requests,
        tuple(failures),
    )


class _Answer(NamedTuple):
    says: Mapping[str, Value]
    entries: frozenset[EntryRef]


def _answer(policy: Policy, request: Question) -> _Answer:
    """All that can be expected of an answer, and the entries that have determined it."""
    if isinstance(request, Request):
        decision = policy.decide(*request)
        entries = [decision.entry]
        says = {key: read(decision) for key, read in DOMAIN_ANSWERS.items()}
    else:
        about_rcpt = policy.decide_rcpt(*request)
        entries = [about_rcpt.sender.entry, about_rcpt.recipient.entry]
        says = {key: read(about_rcpt) for key, read in RCPT_ANSWERS.items()}
    return _Answer(says, frozenset(entry for entry in entries if entry is not None))


def _explanation(policy: Policy, request: Question) -> Explanation | RcptExplanation:
    if isinstance(request, Request):
        return policy.explain(*request)
    return policy.explain_rcpt(*request)


# --- JSON ---------------------------------------------------------------------------------------


def _json_failure(failure: FailedQuestion) -> dict[str, object]:
    return {
        "request": _json_question(failure.request),
        "mismatches": [
            {"key": key, "expected": _json_value(expected), "found": _json_value(found)}
            for key, expected, found in failure.mismatches
        ],
        "explanation": failure.explanation.to_dict(),
    }


def _json_question(request: Question) -> dict[str, object]:
    return dict(request._asdict())


def _json_value(value: Value) -> object:
    return entry_dict(value) if isinstance(value, EntryRef) else value


# --- text ---------------------------------------------------------------------------------------


def _result_lines(result: ExpectationResult) -> Iterator[str]:
    name = f"{printable(result.name)} ({result.path})"
    questions = len(result.requests)
    if result.passed:
        yield from _wrapped(f"passed: {name}")
        return
    failures = len(result.failures)
    several = f", {failures} of {questions} questions" if questions > 1 else ""
    yield from _wrapped(f"FAILED: {name}{several}")
    for index, failure in enumerate(result.failures[:_MOST_FAILURES]):
        if index:
            yield ""
        for key, expected, found in failure.mismatches:
            yield from _wrapped(f"  {key}: expected {_shown(expected)}, found {_shown(found)}")
        yield from str(failure.explanation).split("\n")
    if failures > _MOST_FAILURES:
        yield from ("", f"  and {failures - _MOST_FAILURES} more of its questions")


def _summary(report: ExpectationReport) -> str:
    expectations = _count(len(report.results), "expectation")
    if report.failed:
        return f"{len(report.failed)} of {expectations} failed."
    hold = "holds" if len(report.results) == 1 else "hold"
    questions = _count(sum(len(result.requests) for result in report.results), "question")
    return f"{expectations} {hold}, in {questions}."


def _coverage_lines(report: ExpectationReport) -> Iterator[str]:
    entries = len(report.entries)
    if not entries:
        yield "Coverage: the policy has no entries."
        return
    untouched = report.untouched
    touched = entries - len(untouched)
    share = f"{touched} of {_count(entries, 'entry', 'entries')}, {100 * touched // entries} %"
    if not untouched:
        yield f"Coverage: {share}."
        return
    yield f"Coverage: {share}. No expectation touches"
    for entry in untouched[:_MOST_ENTRIES]:
        yield from _wrapped(f"  {_place(entry)}")
    if len(untouched) > _MOST_ENTRIES:
        yield f"  and {len(untouched) - _MOST_ENTRIES} more"


def _count(count: int, noun: str, nouns: str | None = None) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or f'{noun}s'}"


def _shown(value: Value) -> str:
    """A value as a document of expectations writes it."""
    match value:
        case None:
            return "no entry"
        case bool():
            return str(value).lower()
        case EntryRef():
            return _place(value)
        case _:
            return f'"{printable(value)}"'


def _place(entry: EntryRef) -> str:
    """An entry as the path of its table in a document (rule 2.1)."""
    pattern = quoted_key(entry.pattern)
    if entry.listener == EVERY_LISTENER:
        return pattern
    return f"{LISTENER}.{quoted_key(entry.listener)}.{pattern}"


def _wrapped(line: str) -> Iterable[str]:
    """A line in as many lines as it needs on a terminal, those after the first indented."""
    indent = line[: len(line) - len(line.lstrip())] + "  "
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
