"""What several test files share."""

import gc
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from operator import attrgetter
from types import FrameType
from typing import Any, cast
from unittest.mock import patch

import model
import pytest
from hypothesis import strategies as st

from listener_policy import (
    ConfigError,
    Decision,
    Dialect,
    EsmtpListener,
    ListenerDomain,
    LogReport,
    Policy,
    PolicyConfig,
    Problem,
    RcptDecision,
    Report,
    strategies,
)

LISTENER = "10.1.2.3:25"
OUTSIDER = "203.0.113.9"
"""A peer that no test puts on any list."""
DIALECTS = tuple(Dialect)


def words(text: str) -> list[str]:
    """The words of `text`: a list of short texts without the quotes."""
    return text.split()


SIZES = ("small", "many names", "large")
"""Of policies, as `as_if` knows them."""


@contextmanager
def as_if(size: str) -> Generator[None]:
    """Policies that are made here are compiled as those of a size are: one of `SIZES`.

    If names are many, they are not known from the beginning; if wildcards are many as well, they
    are not tried one by one. Whatever holds for small policies must hold for those.
    """
    with ExitStack() as patches:
        if size != "small":
            patches.enter_context(patch("listener_policy.rules.ROOM_FOR_DOMAINS", 0))
        if size == "large":
            patches.enter_context(patch("listener_policy._domain_map.FEW_SUFFIXES", -1))
        yield


NO_LISTENERS = [
    *("", "*", "10.0.0.1", "::1", "2001:db8::1", "2001:db8::1:25", "[::1]", "[2001:db8::1]"),
    *("10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:+25", "10.0.0.1:025"),
    *("10.0.0.1: 25", "10.0.0.1:25 ", "10.0.0.1:2_5", "10.0.0.1:\uff12\uff15", "10.0.0.1:smtp"),
    *("10.0.0.1:" + "9" * 5000, "10.0.0.1:25\n", "10.0.0.1:0x19", "10.0.0.1:00"),
    *("10.0.0.256:25", "010.0.0.1:25", "10.0.0:25", "1:25", "10.0.0.1.:25", "...:25"),
    *("[::1]:", "[::1]25", "[::1", "[::1:25", "[]:25", "[name]:25", "[::1]:65536", "[::1]:025"),
    *("[::1]:+25", "[2001:db8::g]:25", "[", "[]", "[::1]:25:25", "[::1%]:25", "[10.0.0.1]:25"),
]
"""Texts that are neither the address of a listener nor its name."""
INVALID_DOMAINS = [
    *words(". * *.example.com .. a..b .a a.b.. example.com.. a.\u3002 -a.com a-.com - a.-b a/b"),
    *words('a,b a@b <a> a%b a:25 a;b a"b a\\b xn--\u00fc.com \u05d0a.com a_\u00fc.com \u2603.net'),
    *words("\U0001f44d.test a\u200db.com \u2100.com \u0301a.com \uff0a.com \u00ad a.\u00ad.b"),
    *("exam ple.com", " example.com", "example.com ", "a\tb", "a\n", "example.com\n", "a\xa0b"),
    *("a\x00b", "\x7f", "\ud800", "a\udfff.com", "x" * 64, "x" * 64 + ".com", "\u00fc" * 60),
    *(".".join(["x" * 63] * 3 + ["x" * 62]), "a.com" + "\u00ad" * 250),
    *("x." * 200_000, "\u0660" * 16_000, "\ufdfa" * 100_000),
    *words("[] [10.0.0.1 10.0.0.1] [10.0.0.256] [010.0.0.1] [10.0.0] [[10.0.0.1]] [10.0.0.1]:25"),
    *words("[2001:db8::1] [::ffff:10.0.0.1] [IPv6:10.0.0.1] [IPv6:] [IPv6:fe80::1%eth0] [a.com]"),
    *words("[IPv6:2001:db8::1 [10.0.0.0/24] [x400:a] [IPv6::::1] [10.0.0.1%eth0]"),
    *("[ 10.0.0.1]", "[IPv6: 2001:db8::1]", "[10.0.0.1]\n"),
]
"""Texts that are not domains."""
BAD_TUPLES: list[object] = [
    *((), ("10.0.0.1",), ("::1", 25, 0), ("::1", 25, 0, 0, 0), (25, "10.0.0.1")),
    *(("10.0.0.1", "25"), ("10.0.0.1", 25.0), ("10.0.0.1", None), ("10.0.0.1", b"25")),
    *(("10.0.0.1", -1), ("10.0.0.1", 65536), ("10.0.0.1:25", 25), ("[::1]", 25, 0, 0)),
    *(("", 25), ("mx", 25), ("10.0.0.0/8", 25), (b"10.0.0.1", 25), (None, 25), (["::1"], 25)),
]
NO_TEXTS: list[object] = [None, 25, b"10.0.0.1:25", ["10.0.0.1", 25], 25.5, {}]
BAD_LISTENERS = [*NO_LISTENERS, *BAD_TUPLES, *NO_TEXTS, IPv4Address("10.0.0.1")]
BAD_PEERS: list[object] = [
    *("", "*", "any", "localhost", "10.0.0.7/32", " 10.0.0.7", "10.0.0.7 ", "10.0.0", "010.0.0.7"),
    *("10.0.0.256", "10.0.0.7:", "10.0.0.7:65536", "10.0.0.7:+1", "[::1", "[::1]:", "[::1]:65536"),
    *BAD_TUPLES,
    *("2001:db8::g", "fe80::1%", "10.0.0.7%eth0", "167772167", "10.0.0.7\n", "\uff11.0.0.7"),
    *(None, 167772167, b"\x0a\x00\x00\x07", ["10.0.0.7", 1], ip_network("10.0.0.7/32"), True),
]
BAD_DOMAINS: list[object] = [None, b"example.com", 5, True, ["a"], ("a", 1), bytearray(b"a")]
BAD_AUTHS: list[object] = [b"alice", b"", 5, True, False, ["alice"], ("alice",), {}]

Fields = dict[str, Any]
"""A document, a table or an entry, as a parser would give it."""


def short(value: object) -> str:
    """A name for a case in a test report."""
    return ascii(value)[:40]


def untyped(value: object) -> Any:
    """`value`, with its type hidden from the type checker, to pass it where it does not belong."""
    return value


def table(keys: Iterable[str]) -> Fields:
    """The table of a listener with an entry for each of `keys` in which nothing is written."""
    return {key: dict[str, object]() for key in keys}


def both_places(*keys: str) -> list[Fields]:
    """Two documents with `table(keys)`: at the top level, and for `LISTENER`."""
    return [table(keys), {"listener": {LISTENER: table(keys)}}]


def options(**written: object) -> ListenerDomain:
    """An entry from its written options."""
    return ListenerDomain.model_validate(written)


def esmtp(listen: str, relay_hosts: Iterable[str] | None = None) -> EsmtpListener:
    """A listener from its written options; without `relay_hosts`, that option is not written."""
    written: Fields = {"listen": listen}
    if relay_hosts is not None:
        written["relay_hosts"] = list(relay_hosts)
    return EsmtpListener.model_validate(written)


def problems_of(load: Callable[[], object]) -> list[Problem]:
    """The problems of the `ConfigError` that `load` must raise."""
    with pytest.raises(ConfigError) as caught:
        load()
    return list(caught.value.problems)


def toml_problems(*texts: str | bytes) -> list[Problem]:
    """The problems of some TOML documents, which must have some."""
    return problems_of(lambda: PolicyConfig.from_toml(*texts))


def mapping_problems(*documents: Mapping[str, Any]) -> list[Problem]:
    """The problems of some parsed documents, which must have some."""
    return problems_of(lambda: PolicyConfig.from_mapping(*documents))


def told(problems: Iterable[Problem]) -> str:
    """All that is said about some problems: path, message and hint of each."""
    return "\n".join(f"{one.path} {one.message} {one.hint or ''}" for one in problems)


def calls(ask: Callable[[], object]) -> list[str]:
    """The functions, Python's and C's, that are called while something is asked, in order."""
    return [name for name in _called(ask) if not name.endswith("<lambda>")]


def calls_made(ask: Callable[[], object]) -> int:
    """How many there are: what it costs, without a clock."""
    return len(_called(ask))


def _called(ask: Callable[[], object]) -> list[str]:
    seen: list[str] = []

    def watch(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            seen.append(frame.f_code.co_qualname)
        elif event == "c_call":
            seen.append(function.__name__)

    before = sys.getprofile()
    gc.disable()  # a collection calls whoever wants to hear of it
    sys.setprofile(watch)
    try:
        ask()
    finally:
        sys.setprofile(before)
        gc.enable()
    assert seen.pop() == "setprofile"
    return seen


# Policies as they are written, for the package and for the model


@dataclass(frozen=True)
class Written:
    """What a policy is made of, before anybody has read it."""

    documents: list[Fields]
    relay_hosts: list[str]
    listeners: list[tuple[str, list[str] | None]]
    dialect: Dialect

    def policy(self) -> Policy:
        """The policy that the package makes of it."""
        return Policy.from_mapping(
            *self.documents,
            relay_hosts=self.relay_hosts,
            listeners=[esmtp(*listed) for listed in self.listeners],
            dialect=self.dialect,
        )

    def model(self) -> model.Model:
        """The policy that the model makes of it."""
        dialect: model.Dialect = "kumomta" if self.dialect is Dialect.KUMOMTA else "documented"
        return model.Model(self.documents, self.relay_hosts, self.listeners, dialect)


_answers = attrgetter(
    *("relay_hosts", "relay_from", "relay_from_authz", "relay_to", "log_oob", "log_arf", "entry")
)
_rcpt_answers = attrgetter("accept", "relay", "log_oob", "log_arf", "reason", "reply")
_dispositions = attrgetter("accept", "log", "relay", "reply")


def said(decision: Decision | model.Answer) -> object:
    """All that is decided about one domain, by the package or by the model."""
    return _answers(decision)


def said_of_rcpt(decision: RcptDecision | model.RcptAnswer) -> object:
    """All that is decided about one recipient, by the package or by the model."""
    after_data = cast("Callable[[Report | None], object]", decision.after_data)
    dispositions = [_dispositions(after_data(report)) for report in (None, *Report)]
    return _rcpt_answers(decision), dispositions


LISTENERS = [
    *words("mx MX mx:25 submission 10.1.2.3:25 [::ffff:10.1.2.3]:25 [::FFFF:a01:203]:25"),
    *words("10.1.2.3:587 10.1.2.4:25 [2001:db8::25]:25 [2001:DB8:0::25]:25 [2001:db8::25%eth0]:25"),
    *words("0.0.0.0:25 [::ffff:0.0.0.0]:25 [::]:25 [0::0]:25 0.0.0.0:587 [::]:587"),
]
"""Listeners in several spellings, the wildcard addresses among them."""


def relatives(pattern: str) -> list[str]:
    """Patterns above, below and beside one: those with which it has to be told apart."""
    name = model.canonical_pattern(pattern).removeprefix("*.")
    if name == "*" or name.startswith("["):
        return [name]
    parent = name.partition(".")[2]
    names = [name, f"b.{name}", f"c.b.{name}", *([parent] if parent else [])]
    longest = [key for key in names if len(key) <= 251]  # with room for a label before it
    return ["*", *(key for key in names if len(key) <= 253), *(f"*.{key}" for key in longest)]


def spelled(key: str, number: int) -> str:
    """A pattern that is canonical in some other way, with luck."""
    is_name = not key.endswith(("*", "]"))
    return [key, key.upper(), key.title(), f"{key}." if is_name else key][number % 4]


@dataclass
class _Row:
    """Where an entry goes, by numbers: which document, listener and pattern, and which entry."""

    document: int
    listener: int
    pattern: int
    entry: int


_PLACES = ["", "", "*", *LISTENERS]
"""Where an entry may be written; `""` is the top level."""
_LOGS = st.sampled_from([False, True, *(report.value for report in LogReport)])
_OPTIONS: Fields = {
    "relay_to": st.booleans(),
    "relay_from": st.lists(strategies.cidr_blocks(), max_size=3),
    "relay_from_authz": st.lists(strategies.identities().filter(lambda name: name is not None)),
    "log_oob": _LOGS,
    "ttl": st.sampled_from([60, "5 minutes", 1.5, True, [1], {"a": 1}]),
}
_blocks = st.lists(strategies.cidr_blocks(), max_size=3)
_listeners: st.SearchStrategy[list[tuple[str, list[str] | None]]] = st.lists(
    st.tuples(st.sampled_from(LISTENERS), st.none() | _blocks),
    max_size=4,
    unique_by=lambda listed: model.canonical_listener(listed[0]),
)
_number = st.integers(0, 999)


def _written(
    patterns: list[str],
    entries: list[Fields],
    rows: list[_Row],
    relay_hosts: list[str],
    listeners: list[tuple[str, list[str] | None]],
    dialect: Dialect,
) -> Written:
    """A policy without a second spelling of any key of a table, which would be an error (1.5)."""
    related = sorted({key for pattern in patterns for key in relatives(pattern)})
    as_they_are = [*patterns, "Listener", "listener."]
    family = [*as_they_are, *related]
    documents: list[Fields] = [{} for _ in range(1 + max(row.document for row in rows))]
    seen: dict[object, str] = {}
    for row in rows:
        document = table = documents[row.document]
        place = _PLACES[row.listener % len(_PLACES)]
        if place:
            listener = place if place == "*" else model.canonical_listener(place)
            known = seen.setdefault((row.document, listener), place)
            table = document.setdefault("listener", {}).setdefault(known, {})
        again, chosen = divmod(row.pattern, len(family))
        key = family[chosen] if chosen < len(as_they_are) else spelled(family[chosen], again)
        if key == seen.setdefault((id(table), model.canonical_pattern(key)), key):
            table[key] = entries[row.entry % len(entries)]
    return Written(documents, relay_hosts, listeners, dialect)


written_policies = st.builds(
    _written,
    st.lists(strategies.patterns(), min_size=1, max_size=4),
    st.lists(
        st.fixed_dictionaries({}, optional={**_OPTIONS, "log_arf": _LOGS})
        | st.fixed_dictionaries({}, optional={**_OPTIONS, "log_fbl": _LOGS}),
        min_size=2,
        max_size=4,
    ),
    st.lists(
        st.builds(_Row, st.integers(0, 2), _number, _number, _number), min_size=5, max_size=20
    ),
    _blocks,
    _listeners,
    st.sampled_from(Dialect),
)
"""One to three documents whose patterns are often each other's relatives, and what goes along."""
