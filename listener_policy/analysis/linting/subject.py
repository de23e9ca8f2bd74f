"""The policy that is linted, with what the checks ask about it, and the questions that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, reduce
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

from listener_policy import _intervals
from listener_policy._display import quoted
from listener_policy._intervals import EMPTY, Bounds, contains
from listener_policy.addresses import LINE_END, ip_address, peer_address
from listener_policy.analysis.classes import (
    DomainClass,
    Lexicon,
    Saying,
    View,
    listener_classes,
)
from listener_policy.analysis.linting.findings import entry_path
from listener_policy.analysis.linting.internet import PUBLIC
from listener_policy.analysis.linting.removal import Removals
from listener_policy.decision import Dialect, EntryRef
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.options import ListenerDomain
from listener_policy.policy import Policy
from listener_policy.questions import Request

__all__ = [
    "OPTIONS",
    "OUTSIDE",
    "Governed",
    "Subject",
    "Table",
    "anybody",
    "asked_for",
    "envelope",
    "granted",
    "listing",
    "named",
    "options_listed",
    "pattern_of",
    "peer_of",
    "telling_apart",
]

OPTIONS: Final = ("relay_to", "relay_from", "relay_from_authz", "log_oob", "log_arf")
"""The options that grant something, in the order of a document."""

OUTSIDE: Final = "someone@anywhere.example"
"""An address to which, or from which, only those relay who may relay anything."""

_STRANGERS: Final = ("203.0.113.9", "2001:db8::9")
T = TypeVar("T")

_SHOWN: Final = 3


class Subject:
    """A policy, and what is to be known about all of it."""

    def __init__(self, policy: Policy) -> None:
        """Look at a policy. Raises `RequestError` for anything but a `Policy`."""
        self._lexicon = Lexicon()
        self.view: Final = View(policy, self._lexicon)
        self.policy: Final = policy
        self.entries: Final[Mapping[str, Mapping[str, ListenerDomain]]] = policy.config.entries
        self.dialect: Final = policy.dialect
        self._classes = listener_classes([self.view])
        self.unlisted: Final = self._classes[0].representative
        """A listener that is not listed: only the entries of listener `*` hold there."""
        self._strangers: dict[str, tuple[str, str] | None] = {}

    @cached_property
    def views(self) -> dict[Dialect, View]:
        """The policy as each dialect reads it."""
        (other,) = set(Dialect) - {self.dialect}
        policy = Policy(
            self.policy.config,
            relay_hosts=self.policy.relay_hosts,
            listeners=self.policy.listeners,
            dialect=other,
        )
        return {self.dialect: self.view, other: View(policy, self._lexicon)}

    def asked_at(self, listener: str) -> str:
        """A listener at which the entries of one count."""
        return self.unlisted if listener == EVERY_LISTENER else listener

    @cached_property
    def representatives(self) -> dict[str, str]:
        """A listener for each class of listeners, by its name; addresses before keys."""
        found: dict[str, str] = {}
        for one in self._classes:
            found.setdefault(one.name, one.representative)
        return found

    def _listeners_of(self, listener: str) -> Iterator[str]:
        """Listeners that stand for all at which the entries of one count and none hides them."""
        if listener != EVERY_LISTENER:
            yield listener
            return
        for one in self._classes:
            if not self.view.has_own(one.representative):
                yield one.representative

    @cached_property
    def relay_hosts_everywhere(self) -> Bounds:
        """The peers that may relay anything at every listener there is."""
        hosts = {self.view.relay_hosts_at(one.representative) for one in self._classes}
        return reduce(_intervals.intersection, hosts)

    def stranger_at(self, listener: str) -> tuple[str, str] | None:
        """A listener where the entries of one count, and who may not relay there as `<>`."""
        if listener not in self._strangers:
            self._strangers[listener] = next(self._strangers_at(listener), None)
        return self._strangers[listener]

    def _strangers_at(self, listener: str) -> Iterator[tuple[str, str]]:
        for one in self._listeners_of(listener):
            null_sender = self.view.governing(one, DomainClass("", ""))
            peer = _stranger(
                _intervals.union(self.view.relay_hosts_at(one), null_sender.saying.relay_from)
            )
            if peer is not None:
                yield one, peer


class Table:
    """The entries of one listener, and what is said and asked there."""

    def __init__(self, subject: Subject, listener: str) -> None:
        self.subject: Final = subject
        self.listener: Final = listener
        self.entries: Final = subject.entries[listener]
        self.asked_at: Final = subject.asked_at(listener)
        self.hosts: Final = subject.view.relay_hosts_at(self.asked_at)
        self.removals: Final = Removals(subject.view, listener, self.entries)

    def governed(self, pattern: str) -> Governed | None:
        """An entry of the table, if it governs anything."""
        domain = next(self.removals.own.of(pattern), None)
        if domain is None:
            return None
        ref = EntryRef(self.listener, pattern)
        saying = self.subject.view.says(ref).saying
        return Governed(
            self, ref, self.entries[pattern], saying, domain.representative, entry_path(ref)
        )


class Governed(NamedTuple):
    """An entry that governs something."""

    table: Table
    ref: EntryRef
    options: ListenerDomain
    saying: Saying
    domain: str
    """One of the domains that it governs."""
    path: str

    def ask(self, auth: str | None = None) -> Request:
        """A question that it governs."""
        return Request(self.table.asked_at, anybody(self.table.hosts), self.domain, auth)


def granted(saying: Saying, option: str) -> bool:
    """Whether anything is granted by an option: to anybody, for any report."""
    return bool(getattr(saying, option))


def anybody(hosts: Bounds) -> str:
    """A peer that is not in a set; if all are, one that is."""
    return _stranger(hosts) or _STRANGERS[0]


def _stranger(listed: Bounds) -> str | None:
    """A peer that is not in a set, the most ordinary one there is."""
    for peer in _STRANGERS:
        if not contains(listed, peer_address(peer)):
            return peer
    others = _intervals.difference((0, LINE_END), listed)
    return peer_of(others) if others else None


def peer_of(bounds: Bounds, but: Bounds = EMPTY) -> str:
    """A peer of a set, which is not empty: if there are, a public one, and one that is not listed.

    The first address of a network is its own, not a host's.
    """
    public = _intervals.intersection(bounds, PUBLIC.bounds)
    wanted = (
        _intervals.difference(public, but),
        public,
        _intervals.difference(bounds, but),
        bounds,
    )
    start, end = next(filter(None, wanted))[:2]
    return str(ip_address(min(start + 1, end - 1)))


def asked_for(option: str, saying: Saying, listener: str, domain: str, hosts: Bounds) -> Request:
    """A question about what an option grants, which it does, to somebody not in `hosts`."""
    peer = anybody(hosts)
    auth: str | None = None
    if option == "relay_from":
        peer = peer_of(saying.relay_from, hosts)
    elif option == "relay_from_authz":
        auth = min(saying.relay_from_authz)
    return Request(listener, peer, domain, auth)


def telling_apart(a: Saying, b: Saying, listener: str, domain: str, hosts: Bounds) -> Request:
    """A question about a domain to which two sayings, which differ, give different answers."""
    blocks = _intervals.symmetric_difference(a.relay_from, b.relay_from)
    identities = a.relay_from_authz ^ b.relay_from_authz
    peer = anybody(hosts)
    auth: str | None = None
    if a[2:] == b[2:]:
        if blocks:
            peer = peer_of(blocks, hosts)
        else:
            auth = min(identities)
    return Request(listener, peer, domain, auth)


def envelope(domain: str) -> str:
    """An address of a domain, or the null sender."""
    return f"someone@{domain}" if domain else "<>"


def named(entry: EntryRef | None) -> str:
    """An entry in a message."""
    if entry is None:
        return "nothing"
    return f"{quoted(entry.pattern)} of listener {quoted(entry.listener)}"


def options_listed(options: Iterable[str]) -> str:
    """Options in a message."""
    return ", ".join(f"`{option}`" for option in options)


pattern_of: Final = attrgetter("pattern")
"""The pattern of an entry, for `listing`."""


def listing(items: Sequence[T], text: Callable[[T], str]) -> str:
    """The first few of some things in a message, quoted, and how many more there are."""
    names = ", ".join(quoted(text(item)) for item in items[:_SHOWN])
    rest = len(items) - _SHOWN
    return f"{names} and {rest:,} more" if rest > 0 else names
