"""What a decision costs, counted and not timed: a change that adds a call fails here (rule 1.2)."""

import tracemalloc
from bisect import bisect_right
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final

import pytest
from support import calls, calls_made

from listener_policy import CidrSet, Dialect, HookPolicy, ListenerDomain, Policy, evaluate

LISTENER: Final = "10.1.2.3:25"
PEER: Final = "10.0.0.7"
TOML: Final = """
["*"]
["b.example"]
relay_to = true
["*.example.com"]
relay_from = ["10.0.0.0/8"]
relay_from_authz = ["ann"]
[listener.mx."a.example"]
"""


def policy_of(entries: int, blocks: int, dialect: Dialect = Dialect.DOCUMENTED) -> Policy:
    """A policy that says the same about a few names, however much else it says."""
    others = "".join(f'["n{n}.test"]\n["*.w{n}.test"]\nlog_oob = true\n' for n in range(entries))
    hosts = [f"192.0.{n >> 7}.{(n & 127) * 2}" for n in range(blocks)]
    return Policy.from_toml(TOML + others, relay_hosts=hosts, dialect=dialect)


def words(text: str) -> list[str]:
    return text.split()


ADDRESS: Final = words("inet_pton")
"""Of a peer that is a text without a port."""
KNOWN: Final = words("len get")
ENVELOPE: Final = words("len rpartition get")
SEARCH: Final = words("Governing.search len")
"""To look for a name that is not known."""
LARGE: Final = words("get get")
"""To look for it among the exact names as well, if they are too many to be known."""
TRIED: Final = "Governing._beyond removesuffix"
"""One of few wildcards."""
MANY: Final = "Governing._beyond DomainMap.beyond DomainMap.beyond len len"
"""To begin to look among many, after the listener's own, of which there are none."""
STEP: Final = "partition"
KEPT: Final = words("Memory.remember next min")
TAKEN: Final = words("bisect_right")
"""To find out whether a peer is in `relay_hosts`: both decisions are there."""
SENDER: Final = words("Grants.index len bisect_right")
"""What an entry with `relay_from` costs besides."""
MADE: Final = words("Entry.decision __new__")
CONNECTION: Final = words("get Connection.made __new__ peer_octets inet_pton bisect_right")
DECIDE: Final = ["Policy.decide", "get", *ADDRESS]

SMALL: Final = (0, 1)
MIDDLE: Final = (1_000, 10_000)
HUGE: Final = (5_000, 20_000)
dialects = pytest.mark.parametrize("dialect", Dialect)
sizes = pytest.mark.parametrize(("entries", "blocks"), [SMALL, MIDDLE, HUGE])


@sizes
@dialects
def test_a_name_that_was_asked_about_costs_these_calls(
    entries: int, blocks: int, dialect: Dialect
) -> None:
    policy = policy_of(entries, blocks, dialect)
    for name, found in (
        ("X.Example.COM.", [*TAKEN, *SENDER, *MADE]),
        ("unheard.of", TAKEN),
    ):
        policy.decide(LISTENER, "::1", name)
        seen = calls(partial(policy.decide, LISTENER, PEER, name, "ann"))
        assert seen == [*DECIDE, *KNOWN, *found]


@pytest.mark.parametrize(
    ("size", "search"), [(SMALL, []), (MIDDLE, []), (HUGE, [*SEARCH, "get"])], ids=str
)
@dialects
def test_an_exact_name_costs_these_calls(
    size: tuple[int, int], search: list[str], dialect: Dialect
) -> None:
    """It is known from the beginning, or looked for; nothing is checked, since a key is valid."""
    policy = policy_of(*size, dialect)
    policy.decide(LISTENER, "::1", "")
    for _ in range(2):
        seen = calls(lambda: policy.decide(LISTENER, PEER, "b.example", "ann"))
        assert seen == [*DECIDE, *KNOWN, *search, *TAKEN]


@pytest.mark.parametrize(
    ("name", "small", "many"),
    [
        ("new.example", TRIED, f"{MANY} {STEP} len"),
        # one step of the walk
        ("x.example.com", TRIED, f"{MANY} {STEP}"),
        ("y.x.example.com", TRIED, f"{MANY} {STEP} len {STEP}"),
    ],
    ids=["none", "wildcard", "deeper"],
)
@pytest.mark.parametrize("size", [SMALL, MIDDLE, HUGE], ids=str)
def test_a_name_that_is_new_costs_these_calls(
    size: tuple[int, int], name: str, small: str, many: str
) -> None:
    policy = policy_of(*size)
    policy.decide("mx", "::1", "")
    names = LARGE if size == HUGE else []
    wildcards = words(small if size == SMALL else many)
    taken = TAKEN if name == "new.example" else [*TAKEN, *SENDER, *MADE]
    seen = calls(lambda: policy.decide("mx", PEER, name, "ann"))
    assert seen == [*DECIDE, *KNOWN, *SEARCH, *names, "fullmatch", *wildcards, *KEPT, *taken]
    seen = calls(lambda: policy.decide("mx", PEER, name, "ann"))
    assert seen == [*DECIDE, *KNOWN, *taken]


def test_an_exact_name_that_listener_star_has_is_not_checked_either() -> None:
    policy = policy_of(*HUGE)
    policy.decide("mx", "::1", "")
    seen = calls(lambda: policy.decide("mx", PEER, "b.example", "ann"))
    walk = words("Governing._beyond DomainMap.beyond")
    assert seen == [*DECIDE, *KNOWN, *SEARCH, *LARGE, *walk, *KEPT, *TAKEN]


@sizes
def test_a_connection_and_its_recipients_cost_these_calls(entries: int, blocks: int) -> None:
    policy = policy_of(entries, blocks)
    sender, recipient = "ann@x.example.com", "bob@a.x.example.com"
    for _ in range(2):
        policy.decide_rcpt(LISTENER, PEER, sender, recipient)
    assert calls(lambda: policy.connection(LISTENER, PEER)) == ["Policy.connection", *CONNECTION]
    connection = policy.connection(LISTENER, PEER)
    assert calls(lambda: connection.decide("x.example.com")) == [
        *words("Connection.decide Governing.entry"),
        *(*KNOWN, *SENDER, *MADE),
    ]
    envelope = [*ENVELOPE, *ENVELOPE]
    assert calls(lambda: connection.decide_rcpt(sender, recipient)) == [
        "Connection.decide_rcpt",
        *(*envelope, "__new__", *SENDER, *SENDER),
    ]
    assert calls(lambda: policy.decide_rcpt(LISTENER, PEER, sender, recipient)) == [
        *words("Policy.decide_rcpt get"),
        *(*ADDRESS, *envelope, *TAKEN, "__new__", *SENDER, *SENDER),
    ]
    # the null sender is as ordinary as any
    assert calls(lambda: connection.decide_rcpt("", recipient)) == [
        *words("Connection.decide_rcpt len rpartition"),
        *words("Connection._governing Governing.entry"),
        *(*KNOWN, *ENVELOPE, "__new__", *SENDER),
    ]


def test_what_sockets_say_costs_these_calls() -> None:
    policy = policy_of(0, 1)
    listener, peer = ("10.1.2.3", 25), ("::ffff:10.0.0.7", 4711, 0, 0)
    for _ in range(2):
        policy.decide(listener, peer, "b.example")
    tuples = words("ByListener.at len get octets_of_unusual len inet_pton")
    assert calls(lambda: policy.decide(listener, peer, "b.example")) == [
        *("Policy.decide", *tuples),
        *KNOWN,
        *TAKEN,
    ]
    policy.decide(LISTENER, PEER, "b.example")
    with_port = words(
        "get octets_of_unusual rpartition _is_port len isdecimal isascii len inet_pton"
    )
    for text in ("10.0.0.7:4711", "[::ffff:10.0.0.7]:4711"):
        seen = calls(partial(policy.decide, LISTENER, text, "b.example"))
        assert seen == ["Policy.decide", *with_port, *KNOWN, *TAKEN]


def test_one_call_more_is_seen() -> None:
    policy = policy_of(0, 1)
    for _ in range(2):
        policy.decide(LISTENER, PEER, "b.example")
    plain = calls(lambda: policy.decide(LISTENER, PEER, "b.example"))
    assert calls(lambda: [policy.decide(LISTENER, PEER, "b.example"), hash("")]) == [*plain, "hash"]


# Comparisons


class Counted(bytes):
    """Octets that count what they are compared with."""

    __slots__ = ()
    compared: Final[list[None]] = []

    def __lt__(self, other: bytes) -> bool:
        self.compared.append(None)
        return bytes.__lt__(self, other)


@contextmanager
def comparisons() -> Generator[list[None]]:
    Counted.compared.clear()
    yield Counted.compared


@pytest.mark.parametrize("blocks", [1, 10, 1_000, 20_000])
def test_blocks_are_searched_by_halves(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(0, blocks)

    def counting(bounds: tuple[bytes, ...], octets: bytes) -> int:
        assert len(bounds) == 2 * blocks
        return bisect_right(bounds, Counted(octets))

    monkeypatch.setattr("listener_policy.policy.bisect_right", counting)
    for peer in (PEER, "192.0.0.0", "192.0.1.255", "::", "ffff::"):
        with comparisons() as compared:
            policy.decide(LISTENER, peer, "unheard.of")
            assert 0 < len(compared) <= (2 * blocks).bit_length()


# Allocations

ROUNDS: Final = 1_000


@dialects
def test_a_decision_leaves_nothing_behind(dialect: Dialect) -> None:
    policy = policy_of(10, 10, dialect)
    connection = policy.connection(LISTENER, PEER, "ann")

    def ask() -> None:
        for _ in range(ROUNDS):
            policy.decide(LISTENER, PEER, "x.example.com", "ann")
            policy.decide_rcpt((LISTENER[:8], 25), (PEER, 25), "a@b.example", "<B@B.example>")
            connection.decide_rcpt("", "postmaster").after_data(None)
            connection.decide("no name")

    ask()
    tracemalloc.start()
    try:
        ask()
        before = tracemalloc.get_traced_memory()[0]
        ask()
        assert tracemalloc.get_traced_memory()[0] - before < ROUNDS  # not a byte each
    finally:
        tracemalloc.stop()


def test_an_answer_is_there_before_or_one_small_object() -> None:
    policy = policy_of(10, 10)
    connection = policy.connection(LISTENER, PEER)
    answers: list[object] = [None] * ROUNDS

    def ask(decide: Callable[[], object]) -> float:
        for n in range(ROUNDS):
            answers[n] = decide()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        for decide, most in (
            (lambda: connection.decide("b.example"), 0),
            (lambda: connection.decide("x.example.com"), 48),
            (lambda: connection.decide_rcpt("a@x.example.com", "b@b.example"), 80),
        ):
            ask(lambda: None)
            ask(decide)
            without = ask(lambda: None)
            assert ask(decide) - without <= ROUNDS * most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", ["a", ".", "a.", "\u00fc", "[", "\ud800"], ids=ascii)
def test_ten_megabytes_of_garbage_cost_what_a_name_does(piece: str) -> None:
    policy = policy_of(0, 1)
    policy.decide(LISTENER, PEER, "")
    garbage = piece * (10_000_000 // len(piece))
    ordinary = len(calls(lambda: policy.decide(LISTENER, PEER, "new.example.com")))
    assert len(calls(lambda: policy.decide(LISTENER, PEER, garbage))) <= ordinary
    tracemalloc.start()
    try:
        policy.decide(LISTENER, PEER, garbage)
        assert tracemalloc.get_traced_memory()[1] < 2_000
    finally:
        tracemalloc.stop()


@dialects
def test_the_deepest_name_costs_few_steps(dialect: Dialect) -> None:
    toml = '["*"]\n["*.b.c.d.e"]\n[listener."10.1.2.3:25"."*.q.b.c.d.e"]\n'
    policy = Policy.from_toml(toml, dialect=dialect)
    policy.decide(LISTENER, PEER, "")
    deepest = ".".join("a" * 127)
    ordinary = len(calls(lambda: policy.decide(LISTENER, PEER, "new.example.com")))
    assert len(calls(lambda: policy.decide(LISTENER, PEER, deepest))) <= 3 * ordinary


@pytest.mark.parametrize("blocks", [1, 2_000])
def test_a_hook_is_asked_at_the_same_cost_whatever_the_number_of_blocks(blocks: int) -> None:
    networks = CidrSet([f"10.{number // 256}.{number % 256}.0/25" for number in range(blocks)])
    options = ListenerDomain(relay_from=networks)
    policy = HookPolicy(lambda _domain, _listener, _connection: options, relay_hosts=networks)
    asked: list[Callable[[], object]] = [
        lambda: policy.decide("mx", "192.0.2.1", "example.com"),
        lambda: evaluate(options, "192.0.2.1", relay_hosts=networks),
    ]
    for ask in asked:
        ask()
        assert calls_made(ask) < 100
