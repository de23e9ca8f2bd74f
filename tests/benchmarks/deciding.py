"""Deciding: first-seen names, traffic, spellings, names at the limits, and a hook."""

import random
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from benchmarks import floor
from benchmarks.checks import check_deciding
from benchmarks.context import Context, Settings
from benchmarks.measuring import Arguments, Candidate, Measured, Spread, compared, fresh
from benchmarks.report import Table, Target
from benchmarks.workload import OTHER, OWN, Question
from listener_policy import Connection, RcptDecision, Report

Questions = Callable[[int], Sequence[Question]]

FLOOR: Final = "floor: decide"


def _run(context: Context, candidates: dict[str, Candidate], base: str) -> dict[str, Measured]:
    settings = context.settings
    return compared(candidates, base, count=settings.count, rounds=settings.rounds)


def _put(
    table: Table,
    column: str,
    measured: dict[str, Measured],
    targets: dict[str, Target | None],
) -> None:
    for name, figures in measured.items():
        table.add(name, column, figures.ratio, targets.get(name))


def _in_connection(context: Context, questions: Questions) -> Callable[[int], list[Arguments]]:
    """Questions for `Connection.decide`, the connections being there."""
    connection = context.policy.connection

    def make(count: int) -> list[Arguments]:
        return [
            (connection(listener, peer, auth), domain)
            for listener, peer, domain, auth in questions(count)
        ]

    return make


def _rcpt_in_connection(context: Context, questions: Questions) -> Callable[[int], list[Arguments]]:
    connection = context.policy.connection
    to_recipients = context.workload.to_recipients(questions)

    def make(count: int) -> list[Arguments]:
        return [
            (connection(listener, peer, auth), sender, recipient)
            for listener, peer, sender, recipient, auth in to_recipients(count)
        ]

    return make


def _connecting(questions: Questions) -> Callable[[int], list[Arguments]]:
    def make(count: int) -> list[Arguments]:
        return [(listener, peer, auth) for listener, peer, _, auth in questions(count)]

    return make


def _floor_connections(context: Context, questions: Questions) -> Callable[[int], list[Arguments]]:
    connection = context.floor.connection

    def make(count: int) -> list[Arguments]:
        return [
            (connection(listener, peer, auth), domain)
            for listener, peer, domain, auth in questions(count)
        ]

    return make


def _floor_rcpt_connections(
    context: Context, questions: Questions
) -> Callable[[int], list[Arguments]]:
    connection = context.floor.connection
    to_recipients = context.workload.to_recipients(questions)

    def make(count: int) -> list[Arguments]:
        return [
            (connection(listener, peer, auth), sender, recipient)
            for listener, peer, sender, recipient, auth in to_recipients(count)
        ]

    return make


def _authenticating(context: Context, questions: Questions) -> Callable[[int], list[Arguments]]:
    connection = context.policy.connection

    def make(count: int) -> list[Arguments]:
        return [(connection(listener, peer), auth) for listener, peer, _, auth in questions(count)]

    return make


def _with_reports(
    ask: Callable[..., object], make: Callable[[int], Sequence[Arguments]], reports: Sequence[Any]
) -> Callable[[int], list[Arguments]]:
    """Decisions that have been made, and what the message turned out to be."""

    def questions(count: int) -> list[Arguments]:
        return [
            (ask(*question), reports[number % len(reports)])
            for number, question in enumerate(make(count))
        ]

    return questions


def first_seen(context: Context, table: Table) -> None:
    """Names that nobody has asked about before, and every step of a session."""
    policy, base, careful = context.policy, context.floor, context.careful
    questions = context.workload.first_seen
    recipients = context.workload.to_recipients(questions)
    candidates = {
        FLOOR: Candidate(base.decide, questions),
        "Policy.decide": Candidate(policy.decide, questions),
        "Policy.decide_rcpt": Candidate(policy.decide_rcpt, recipients),
        "Policy.connection": Candidate(policy.connection, _connecting(questions)),
        "Connection.decide": Candidate(Connection.decide, _in_connection(context, questions)),
        "Connection.decide_rcpt": Candidate(
            Connection.decide_rcpt, _rcpt_in_connection(context, questions)
        ),
        "Connection.authenticated": Candidate(
            Connection.authenticated, _authenticating(context, questions)
        ),
        "RcptDecision.after_data": Candidate(
            RcptDecision.after_data, _with_reports(policy.decide_rcpt, recipients, _REPORTS)
        ),
        "HookPolicy.decide": Candidate(context.hook_policy.decide, questions),
        "floor: decide_rcpt": Candidate(base.decide_rcpt, recipients),
        "floor: connection": Candidate(base.connection, _connecting(questions)),
        "floor: Connection.decide": Candidate(
            floor.decide_in, _floor_connections(context, questions)
        ),
        "floor: Connection.decide_rcpt": Candidate(
            floor.decide_rcpt_in, _floor_rcpt_connections(context, questions)
        ),
        "floor: after_data": Candidate(
            floor.after_data, _with_reports(base.decide_rcpt, recipients, (None, "arf", "oob"))
        ),
        "careful: decide": Candidate(careful.decide, questions),
        "careful: decide_rcpt": Candidate(careful.decide_rcpt, recipients),
    }
    measured = _run(context, candidates, FLOOR)
    table.add(_NANOSECONDS, context.column, measured[FLOOR].nanoseconds)
    _put(
        table,
        context.column,
        measured,
        {
            "Policy.decide": Target(1.6, 1.3),
            "Policy.decide_rcpt": Target(3.3, 2.5),
            "Policy.connection": Target(1.0),
            "Connection.decide_rcpt": Target(2.4, 1.8),
        },
    )


_REPORTS: Final = (None, Report.ARF, Report.OOB)
_NANOSECONDS: Final = "floor: decide, in nanoseconds"


def traffic(context: Context, table: Table) -> None:
    """Zipf over 100,000 names, so that most questions repeat a name."""
    policy, base, careful = context.policy, context.floor, context.careful
    questions = context.workload.zipf()
    recipients = context.workload.to_recipients(questions)
    _ask_before(context, questions)
    candidates = {
        FLOOR: Candidate(base.decide, questions),
        "Policy.decide": Candidate(policy.decide, questions),
        "Policy.decide_rcpt": Candidate(policy.decide_rcpt, recipients),
        "Connection.decide": Candidate(Connection.decide, _in_connection(context, questions)),
        "Connection.decide_rcpt": Candidate(
            Connection.decide_rcpt, _rcpt_in_connection(context, questions)
        ),
        **_without_memory(context, questions),
        "floor: decide_rcpt": Candidate(base.decide_rcpt, recipients),
        "floor: Connection.decide_rcpt": Candidate(
            floor.decide_rcpt_in, _floor_rcpt_connections(context, questions)
        ),
        "careful: decide": Candidate(careful.decide, questions),
        "careful: decide_rcpt": Candidate(careful.decide_rcpt, recipients),
    }
    _put(
        table,
        context.column,
        _run(context, candidates, FLOOR),
        {
            "Policy.decide": Target(1.2),
            "Policy.decide_rcpt": Target(2.0),
            "Connection.decide_rcpt": Target(1.1),
        },
    )


def _ask_before(context: Context, questions: Questions) -> None:
    """A server has been asked before it is measured, for a minute or so."""
    recipients = context.workload.to_recipients(questions)
    for _ in range(20):
        for question in questions(10 * context.settings.count):
            context.policy.decide(*question)
        for envelope in recipients(10 * context.settings.count):
            context.policy.decide_rcpt(*envelope)


def many_listeners(settings: Settings) -> Table:
    """The same traffic to ever more listeners, all but one of which have entries of their own."""
    table = Table(
        "listeners",
        f"Traffic (Zipf) to a policy of {AT_LISTENERS:,} entries, relative to the floor",
        "listeners",
    )
    for count in settings.listener_counts:
        context = Context(AT_LISTENERS, settings, count - 1)
        check_deciding(context)
        questions = context.workload.zipf()
        recipients = context.workload.to_recipients(questions)
        _ask_before(context, questions)
        candidates = {
            **_decisions(context, questions),
            "floor: decide_rcpt": Candidate(context.floor.decide_rcpt, recipients),
        }
        measured = _run(context, candidates, FLOOR)
        column = f"{count:,}"
        table.add(_NANOSECONDS, column, measured[FLOOR].nanoseconds)
        _put(table, column, measured, {})
    return table


AT_LISTENERS: Final = 10_000
"""Entries of a policy with many listeners: one or more for each of them."""


def hostile(context: Context, table: Table) -> None:
    """A client that never names a domain twice: whatever is remembered is of no use then."""
    questions = context.workload.misses
    candidates = {**_decisions(context, questions), **_without_memory(context, questions)}
    _put(table, context.column, _run(context, candidates, FLOOR), {})


def _decisions(context: Context, questions: Questions) -> dict[str, Candidate]:
    """The decisions of the package, beside the floor's."""
    policy = context.policy
    return {
        FLOOR: Candidate(context.floor.decide, questions),
        "Policy.decide": Candidate(policy.decide, questions),
        "Policy.decide_rcpt": Candidate(
            policy.decide_rcpt, context.workload.to_recipients(questions)
        ),
        "Connection.decide_rcpt": Candidate(
            Connection.decide_rcpt, _rcpt_in_connection(context, questions)
        ),
    }


def _without_memory(context: Context, questions: Questions) -> dict[str, Candidate]:
    """What is asked of a policy that remembers no domain: it shows what the memory is for."""
    decide, decide_rcpt = context.forgetful.decide, context.forgetful.decide_rcpt
    return {
        "without memory: decide": Candidate(decide, questions),
        "without memory: decide_rcpt": Candidate(
            decide_rcpt, context.workload.to_recipients(questions)
        ),
    }


PLAIN: Final = "plain"


def spellings(context: Context, table: Table) -> None:
    """The same questions in the shapes in which servers hold them, and clients send them."""
    decide, questions = context.policy.decide, context.workload.first_seen
    forms: dict[str, tuple[Callable[[Question], Arguments], float | None]] = {
        PLAIN: (tuple, None),
        "socket address tuples": (_as_tuples, 1.5),
        "peer as `ip:port`": (_with_port, 1.5),
        "mapped peer": (_mapped, 1.5),
        "upper-case name": (partial(_renamed, str.upper), 1.5),
        "mapped peer in a tuple": (_mapped_in_a_tuple, None),
        "trailing dot": (partial(_renamed, "{}.".format), None),
        "U-label": (partial(_renamed, "b\u00fccher.{}".format), None),
        "address literal": (_literal, None),
        "listener by name": (_named_listener, None),
    }

    def shaped(shape: Callable[[Question], Arguments]) -> Callable[[int], list[Arguments]]:
        return lambda count: [shape(question) for question in questions(count)]

    def of_ipv4(count: int) -> list[Question]:
        found: list[Question] = []
        while len(found) < count:
            found += (question for question in questions(count) if "." in question.peer)
        return found[:count]

    measured = _run(
        context,
        {name: Candidate(decide, shaped(shape)) for name, (shape, _) in forms.items()},
        PLAIN,
    )
    mapped = "mapped peer"
    measured[mapped] = _run(
        context,
        {
            PLAIN: Candidate(decide, of_ipv4),
            mapped: Candidate(decide, lambda count: list(map(_mapped, of_ipv4(count)))),
        },
        PLAIN,
    )[mapped]
    targets = {name: None if limit is None else Target(limit) for name, (_, limit) in forms.items()}
    _put(table, context.column, measured, targets)


def _socket_address(text: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    return (text, port, 0, 0) if ":" in text else (text, port)


def _as_tuples(question: Question) -> Arguments:
    listener, peer, domain, auth = question
    local = ("10.1.2.3", 25) if listener == OWN else ("2001:db8::25", 25, 0, 0)
    return (local, _socket_address(peer, 36316), domain, auth)


def _with_port(question: Question) -> Arguments:
    listener, peer, domain, auth = question
    return (listener, f"[{peer}]:36316" if ":" in peer else f"{peer}:36316", domain, auth)


def _mapped(question: Question) -> Arguments:
    listener, peer, domain, auth = question
    return (listener, peer if ":" in peer else f"::ffff:{peer}", domain, auth)


def _mapped_in_a_tuple(question: Question) -> Arguments:
    listener, peer, domain, auth = _mapped(question)
    return (listener, (peer, 36316, 0, 0), domain, auth)


def _renamed(rename: Callable[[str], str], question: Question) -> Arguments:
    listener, peer, domain, auth = question
    return (listener, peer, rename(domain), auth)


def _literal(question: Question) -> Arguments:
    listener, peer, _, auth = question
    return (listener, peer, f"[IPv6:{peer}]" if ":" in peer else f"[{peer}]", auth)


def _named_listener(question: Question) -> Arguments:
    _, peer, domain, auth = question
    return (fresh("submission"), peer, domain, auth)


ORDINARY: Final = "ordinary names"
GARBAGE: Final = 10_000_000
"""Characters that arrive as a domain."""


def limits(context: Context, table: Table) -> None:
    """The worst that a client can send, relative to what clients send."""
    decide, questions = context.policy.decide, context.workload.first_seen
    rng = random.Random("limits")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"

    def longest(count: int) -> list[Arguments]:
        """Names of 127 labels, half of them below a name that is known."""
        return [
            (
                listener,
                peer,
                _of_127_labels(rng.choices(letters, k=127), domain, number % 2 == 0),
                auth,
            )
            for number, (listener, peer, domain, auth) in enumerate(questions(count))
        ]

    def garbage(octets: bytes) -> Callable[[int], list[Arguments]]:
        written = octets * (GARBAGE // len(octets))
        return lambda count: [
            (OWN, "192.0.2.1", written.decode("latin-1"), None) for _ in range(count)
        ]

    worst = "127 labels"
    measured = _run(
        context,
        {
            ORDINARY: Candidate(decide, questions),
            worst: Candidate(decide, longest),
        },
        ORDINARY,
    )
    _put(table, context.column, measured, {worst: Target(3.0)})
    kinds = {"letters": b"x", "dots": b"x.", "no ASCII": b"\xfc"}
    few = 20 / context.settings.count
    measured = compared(
        {
            ORDINARY: Candidate(decide, questions),
            **{
                f"10 MB of garbage: {kind}": Candidate(decide, garbage(octets), few)
                for kind, octets in kinds.items()
            },
        },
        ORDINARY,
        count=context.settings.count,
        rounds=min(20, context.settings.rounds),
    )
    for name, figures in measured.items():
        if name != ORDINARY:
            table.add(name, context.column, figures.ratio, Target(10.0))
    allocated = max(
        _allocated(decide, question) for octets in kinds.values() for question in garbage(octets)(1)
    )
    table.add("bytes allocated for garbage", context.column, Spread.of([allocated]), Target(10_000))


def _of_127_labels(labels: list[str], domain: str, is_below: bool) -> str:
    if is_below:
        below = domain.count(".") + 1
        room = 253 - len(domain)
        return f"{'.'.join(labels[: min(127 - below, room // 2)])}.{domain}"
    return ".".join(labels)


def _allocated(ask: Callable[..., object], question: Arguments) -> float:
    """The most that was allocated at any time while a question was answered, in bytes."""
    ask(*question)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        ask(*question)
        return float(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


Measure = Callable[[Context, Table], None]

GROUPS: Final[dict[str, tuple[Measure, str, str]]] = {
    "deciding": (first_seen, "Names seen for the first time, relative to the floor", "entries"),
    "traffic": (traffic, "Traffic over 100,000 names (Zipf), relative to the floor", "entries"),
    "hostile": (
        hostile,
        "Names that never repeat and are not known, relative to the floor",
        "entries",
    ),
    "spellings": (spellings, "Other spellings, relative to the plain one", "entries"),
    "limits": (limits, "The worst names, relative to ordinary ones", "entries"),
}
"""What is measured for each size: how, and the title and corner of its table."""


def growth(table: Table) -> None:
    """Put into a table how much slower deciding gets from the first size to the last.

    The floor gets slower as well: its tables no longer fit into the processor's caches.
    """
    columns = table.columns()
    if len(columns) < 2:
        return
    first, last = (
        table.figures["Policy.decide", column].median for column in (columns[0], columns[-1])
    )
    nanoseconds = [
        table.figures[_NANOSECONDS, column].median for column in (columns[0], columns[-1])
    ]
    slower = nanoseconds[1] / nanoseconds[0]
    table.notes.append(
        f"From {columns[0]} to {columns[-1]} entries the floor's decide gets {slower:.2f} times "
        f"slower and Policy.decide {slower * last / first:.2f} times "
        f"({Target(1.0).met_by(last / first)}: no more than the floor)."
    )


__all__ = ["GROUPS", "OTHER", "growth"]
