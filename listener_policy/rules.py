"""What holds at each listener, compiled: who governs a domain, who may relay anything.

A listener has its own table, and behind it is that of listener `*` (rule 2.5). Nothing of the
second is copied into the first: a policy may have many listeners, and a million shared entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, final

from listener_policy._domain_map import DomainMap
from listener_policy._frozen import FrozenMapping
from listener_policy._memory import LONGEST_KEY, ROOM_FOR_DOMAINS, Memory
from listener_policy.addresses import ipv4_bounds
from listener_policy.config import PolicyConfig
from listener_policy.connection import Connection
from listener_policy.decision import Dialect, Entry, EntryRef
from listener_policy.domains import (
    EVERY_DOMAIN,
    canonical_domain,
    canonical_of_unusual,
    envelope_domain,
    is_ordinary,
)
from listener_policy.entries import NO_ENTRY, grants_by_model
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.relay_hosts import RelayHosts

__all__ = ["NO_ENTRIES", "Rulebook", "Rules"]

_ref: Final[Callable[[type[EntryRef], tuple[str, str]], EntryRef]] = tuple[str, str].__new__
"""`EntryRef(listener, pattern)` is a function in Python, and takes twice as long."""
NO_ENTRIES: Final = DomainMap[Entry]({})
"""The index of a listener without entries."""


@final
class Rulebook:
    """The rules of all listeners."""

    __slots__ = ("_relay_hosts", "_unlisted", "listed", "tables")

    def __init__(self, config: PolicyConfig, relay_hosts: RelayHosts, dialect: Dialect) -> None:
        """Compile a configuration that has been checked."""
        tables = _tables(config, dialect)
        self.tables: Mapping[str, DomainMap[Entry]] = FrozenMapping(tables)
        """The index of each listener that has entries, listener `*` included."""
        shared = tables.pop(EVERY_LISTENER, NO_ENTRIES)
        nothing = NO_ENTRY[dialect]
        memory: Memory[str, Entry] = Memory(ROOM_FOR_DOMAINS)
        most_known = ROOM_FOR_DOMAINS // (2 * len(tables) + 2)
        others = Governing(NO_ENTRIES, shared, nothing, memory, most_known)
        governing = {
            listener: Governing(own, shared, nothing, memory, most_known)
            for listener, own in tables.items()
        }
        self._relay_hosts = relay_hosts
        hosts = {source: relay_hosts.of(source).octets for source in (None, *relay_hosts.stated)}
        self._unlisted = {
            source: Rules(dialect, octets, ipv4_bounds(octets), others)
            for source, octets in hosts.items()
        }
        self.listed: Mapping[str, Rules] = {
            listener: self._unlisted[relay_hosts.source(listener)].of(
                governing.get(listener, others)
            )
            for listener in {*tables, *relay_hosts.stated}
        }
        """What holds at each listener that has entries or states `relay_hosts`."""

    def of(self, listener: str) -> Rules:
        """What holds at a listener, given in canonical form."""
        rules = self.listed.get(listener)
        return self._unlisted[self._relay_hosts.source(listener)] if rules is None else rules


def _tables(config: PolicyConfig, dialect: Dialect) -> dict[str, DomainMap[Entry]]:
    """The index of each listener that has entries."""
    tree = dialect is Dialect.KUMOMTA  # S1
    grants = grants_by_model(config.entries, dialect)
    tables: dict[str, DomainMap[Entry]] = {}
    for listener, patterns in config.entries.items():
        if patterns:
            entries = {
                pattern: Entry(_ref(EntryRef, (listener, pattern)), grants[id(options)])
                for pattern, options in patterns.items()
            }
            last = entries.get(EVERY_DOMAIN, NO_ENTRY[dialect])  # rule 2.5
            tables[listener] = DomainMap(
                entries,
                closest_encloser=tree,
                unmatched=last if listener == EVERY_LISTENER else None,
            )
    return tables


@final
class Governing:
    """Which entry governs a domain: by a listener's own index, then by that of listener `*`.

    memory: that of all listeners.
    most_known: up to how many exact names are known from the beginning.

    What is known need not be looked for: exact names, if there are not too many of them, and what
    was found out about other names (`listener_policy._memory`).
    """

    __slots__ = (
        "_all_known",
        "_few",
        "_memory",
        "_more_names",
        "_names",
        "_nothing",
        "_otherwise",
        "_own",
        "_passing_over",
        "_shared",
        "known",
    )

    def __init__(
        self,
        own: DomainMap[Entry],
        shared: DomainMap[Entry],
        nothing: Entry,
        memory: Memory[str, Entry],
        most_known: int,
    ) -> None:
        self._own = own
        self._shared = shared
        self._nothing = nothing
        tables = (own, shared) if own is not NO_ENTRIES else (shared, own)
        self._names, self._more_names = (table.names for table in tables)
        self._all_known = len(own.names) + len(shared.names) <= most_known
        self._few, self._otherwise = self._few_wildcards()
        self._memory = memory
        self.known = memory.known(dict(self._known_names()))
        self._passing_over = 0

    def _few_wildcards(self) -> tuple[tuple[tuple[str, Entry], ...] | None, Entry]:
        """The endings of both indexes in the order in which they are tried, if they are few.

        And what governs if a name ends in none of them.
        """
        own, shared = self._own, self._shared
        otherwise = own.default or shared.default or self._nothing
        if own.is_tree and own.names:  # 2.4: there are names about which it has nothing to say
            return None, otherwise
        few: list[tuple[str, Entry]] = []
        for table in (own, shared) if own.default is None else (own,):
            if table.few is None:
                return None, otherwise
            few += [(ending, entry) for ending, entry in table.few if entry is not None]
        return tuple(few), otherwise

    def _known_names(self) -> Iterator[tuple[str, Entry]]:
        """What is known before anybody asks."""
        yield "", self._canonical("")
        if self._all_known and self._own is NO_ENTRIES:
            yield from [(name, entry) for name, entry in self._names.items() if entry is not None]
        elif self._all_known:
            for name in {**self._more_names, **self._names}:
                yield name, self._canonical(name)

    def entry(self, domain: str, _connection: Connection | None = None, /) -> Entry:
        """The entry that governs a domain in any spelling, or the one that grants nothing."""
        if type(domain) is str and len(domain) <= LONGEST_KEY:
            return self.known.by_name.get(domain) or self.search(domain)
        return self._canonical(canonical_domain(domain))

    def of_address(self, address: str) -> Entry:
        """The entry that governs the domain of an envelope address (rule 1.7)."""
        domain = "" if type(address) is str and not address else envelope_domain(address)
        return self._nothing if domain is None else self.entry(domain)

    def search(self, domain: str, _connection: Connection | None = None, /) -> Entry:
        """The same as `entry` for a plain `str` that was looked for among the `known` in vain.

        Most are ordinary, which costs a regular expression, or exact names, which are canonical;
        few need `canonical_of_unusual`. Nothing is looked up, here or before, whose length is not
        known: to hash a text takes as long as it is.
        """
        if len(domain) > LONGEST_KEY:
            return self._canonical(canonical_of_unusual(domain))
        entry: Entry | None = None
        if not self._all_known:
            entry = self._names.get(domain)
            if entry is not None:
                return entry
            entry = self._more_names.get(domain)
        if entry is None and not is_ordinary(domain):
            name = canonical_of_unusual(domain)
            if name is None:
                return self._nothing
            entry = self.known.by_name.get(name)
            if entry is None:
                entry = self._beyond(name, None) if self._all_known else self._canonical(name)
            if entry is self._nothing or not domain.isascii():
                return entry
        else:
            entry = self._beyond(domain, entry)
        # threads may lose count, and then a name is remembered earlier or later
        self._passing_over = left = self._passing_over - 1
        if left < 0:
            self._passing_over = self._memory.remember(self.known, domain, entry)
        return entry

    def _beyond(self, name: str, entry: Entry | None) -> Entry:
        """What governs a canonical name that is none of the listener's own.

        entry: that of the name itself in the other index, or `None`.
        """
        if self._few is not None and entry is None:
            for ending, governs in self._few:
                if name.removesuffix(ending) != name:  # `endswith` takes three times as long
                    return governs
            return self._otherwise
        own = self._own
        if own is not NO_ENTRIES and not (own.is_tree and name in own.names):
            entry = own.beyond(name) or entry
        return entry or self._shared.beyond(name) or self._nothing

    def _canonical(self, name: str | None) -> Entry:
        """What governs a name in canonical form; nothing does if there is none (rule 1.2)."""
        if name is None:
            return self._nothing
        entry = None if self._own is NO_ENTRIES else self._own.governing(name)
        return entry or self._shared.governing(name) or self._nothing


@final
class Rules:
    """What holds at one listener: its `relay_hosts`, and who governs there."""

    __slots__ = ("dialect", "domains", "relay_hosts", "relay_hosts_ipv4")

    def __init__(
        self,
        dialect: Dialect,
        relay_hosts: tuple[bytes, ...],
        relay_hosts_ipv4: tuple[bytes, ...],
        domains: Governing,
    ) -> None:
        self.dialect = dialect
        self.relay_hosts = relay_hosts
        self.relay_hosts_ipv4 = relay_hosts_ipv4
        """The part of them that is IPv4, as `ipv4_bounds`."""
        self.domains = domains

    def of(self, domains: Governing) -> Rules:
        """The same `relay_hosts` at a listener where others govern."""
        return Rules(self.dialect, self.relay_hosts, self.relay_hosts_ipv4, domains)
