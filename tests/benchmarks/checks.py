"""The same answers: who does not give them is not timed."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Final

from benchmarks import floor
from benchmarks.context import Context
from benchmarks.workload import Question, RcptQuestion
from listener_policy import Connection, Report

said: Final = attrgetter(
    "relay_hosts", "relay_from", "relay_from_authz", "relay_to", "log_oob", "log_arf", "entry"
)
"""All that is decided about one domain."""
_verdict: Final = attrgetter("accept", "relay", "log_oob", "log_arf", "reason", "reply")
_disposition: Final = attrgetter("accept", "log", "relay")


class DifferentAnswersError(AssertionError):
    """A candidate that must not be timed."""


def check_same(
    expected: Callable[..., object],
    candidates: Mapping[str, Callable[..., object]],
    questions: Iterable[tuple[Any, ...]],
) -> int:
    """How many different answers were given; all candidates give them as `expected` does.

    Raises `DifferentAnswersError` at the first one that differs, and if there were not at least
    two: questions that all have one answer tell candidates apart from nothing.
    """
    seen: set[object] = set()
    for question in questions:
        answer = expected(*question)
        seen.add(answer)
        for name, ask in candidates.items():
            other = ask(*question)
            if other != answer:
                raise DifferentAnswersError(
                    f"{name}: expected {answer!r}, found {other!r} for {question!r}"
                )
    if len(seen) < 2:
        raise DifferentAnswersError(f"all questions have one answer, {seen!r}")
    return len(seen)


def check_deciding(context: Context) -> None:
    """Floor, careful version, policy, connection and hook answer alike."""
    policy, base, careful = context.policy, context.floor, context.careful

    def by_connection(listener: str, peer: str, domain: str, auth: str | None) -> object:
        return said(policy.connection(listener, peer).authenticated(auth).decide(domain))

    def by_floor_connection(listener: str, peer: str, domain: str, auth: str | None) -> object:
        return said(floor.decide_in(base.connection(listener, peer, auth), domain))

    count = context.settings.checked
    questions = [
        *context.workload.first_seen(count),
        *context.workload.misses(count // 10),
        *context.workload.zipf(100)(count // 10),
    ]
    check_same(
        lambda *question: said(policy.decide(*question)),
        {
            "floor, decide": lambda *question: said(base.decide(*question)),
            "floor, Connection.decide": by_floor_connection,
            "careful, decide": lambda *question: said(careful.decide(*question)),
            "Connection.decide": by_connection,
            "without memory, decide": lambda *question: said(context.forgetful.decide(*question)),
        },
        questions,
    )
    check_rcpt(context)
    check_hook(context, questions)


def check_rcpt(context: Context) -> None:
    """The same about recipients, and once the message is there."""
    policy, base, careful = context.policy, context.floor, context.careful

    def after_data(decision: Any) -> tuple[object, ...]:
        return tuple(_disposition(decision.after_data(report)) for report in (None, *Report))

    def expected(*question: Any) -> object:
        decision = policy.decide_rcpt(*question)
        halves = said(decision.sender), said(decision.recipient)
        return _verdict(decision), halves, after_data(decision)

    def by_connection(
        listener: str, peer: str, sender: str, recipient: str, auth: str | None
    ) -> object:
        connection = policy.connection(listener, peer, auth)
        decision = Connection.decide_rcpt(connection, sender, recipient)
        halves = said(decision.sender), said(decision.recipient)
        return _verdict(decision), halves, after_data(decision)

    def by_floor(*question: Any) -> object:
        answer = base.decide_rcpt(*question)
        sender, recipient, verdict = answer
        reports = tuple(floor.after_data(answer, report) for report in (None, *map(str, Report)))
        return _verdict(verdict), (said(sender), said(recipient)), reports

    def without_reports(ask: Callable[..., Any]) -> Callable[..., object]:
        def told(*question: Any) -> object:
            decision = ask(*question)
            return _verdict(decision), said(decision.sender), said(decision.recipient)

        return told

    questions: list[RcptQuestion] = context.workload.to_recipients(context.workload.first_seen)(
        context.settings.checked
    )
    check_same(expected, {"floor": by_floor, "Connection": by_connection}, questions)
    check_same(
        without_reports(policy.decide_rcpt),
        {
            "careful": without_reports(careful.decide_rcpt),
            "without memory": without_reports(context.forgetful.decide_rcpt),
        },
        questions,
    )


def check_hook(context: Context, questions: Iterable[Question]) -> None:
    """The hook's policy grants what the policy grants where the entry is an exact name's.

    A peer in `relay_hosts` is not asked about, and what the entry would have said is not known.
    """
    policy = context.policy

    def is_comparable(question: Question) -> bool:
        entry = policy.decide(*question).entry
        return entry is not None and entry.pattern == question.domain

    def granted(decision: Any) -> tuple[object, ...]:
        return (True,) if decision.relay_hosts else said(decision)[:-1]

    check_same(
        lambda *question: granted(policy.decide(*question)),
        {"hook": lambda *question: granted(context.hook_policy.decide(*question))},
        (question for question in questions if is_comparable(question)),
    )
