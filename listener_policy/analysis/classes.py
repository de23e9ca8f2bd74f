"""The classes of questions that policies tell apart.

A policy looks at a question through few and narrow windows. For any number of policies, two
questions that look alike through all windows of all of them get the same answers; so one question
of each kind stands for every question there is. This module finds the kinds, input by input.

**Listeners** (rules 2.5, 2.7 and 4.1). A policy compares the listener with the keys of its own
tables and of the listeners that state `relay_hosts`; an address that is none of them is asked for
its port and family if `0.0.0.0:port` or `[::]:port` states `relay_hosts`, and for nothing
otherwise. So the kinds are: each key by itself; for each such port, the IPv4 and the IPv6 addresses
that are no keys; and all the rest, of which a name is one.

**Domains** (rules 1.4, 2.2 to 2.5). One that is not valid is governed by nothing, whatever it is.
The empty domain, and a literal that is no key, are governed by `*` or by nothing. A name is
compared as a whole with the exact keys, and its parents with the suffixes of wildcards. Call the
former *points* and the latter *suffixes*: a name is either a point or known by the longest suffix
that it is below, since every shorter one is a parent of that. Under `KUMOMTA` a name is compared
with the nodes of a tree, which are the keys and all their parents: make every node both a point and
a suffix, and the closest encloser (2.4) is the longest suffix. So the kinds are: each point; for
each suffix, the names below it that are no points and below no longer suffix; the names below no
suffix; the empty domain; literals that are no keys; and what is not valid. With several tables
(the listener's and that of `*`, of several policies) points and suffixes are those of all of them.

**Peers** (rules 1.3, 4.1 and 4.2). Once listener and domain are settled, a policy asks whether the
address is in one set, the listener's `relay_hosts`, and in another, the entry's `relay_from`.

**Identities** (rules 1.6 and 4.2). A policy asks whether the identity is in one set, the entry's
`relay_from_authz`. Nobody (`None`) is in no set. Although no policy can tell nobody from somebody
who is not listed, they are kept apart here: people who ask about policies can.

The kinds of peers and of identities depend on listener and domain, so that their number does not
multiply: with one policy there are at most four kinds of peers and three of identities for a
listener and a kind of domain, however many blocks and identities a policy lists.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, count, pairwise, product
from typing import Final, NamedTuple, cast

from listener_policy import _intervals
from listener_policy._display import described
from listener_policy._domain_map import DomainMap
from listener_policy._intervals import EMPTY, Bounds
from listener_policy.addresses import IPV4_START, LINE_END, ip_address
from listener_policy.decision import Dialect, Entry, EntryRef, LogReport
from listener_policy.domains import EVERY_DOMAIN, WILDCARD, canonical_domain
from listener_policy.entries import NO_OPTIONS, log_option
from listener_policy.errors import RequestError
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.policy import Policy
from listener_policy.rules import NO_ENTRIES

__all__ = [
    "DomainClass",
    "Keys",
    "Lexicon",
    "ListenerClass",
    "Partition",
    "PeerClasses",
    "Said",
    "Saying",
    "View",
    "identity_classes",
    "listener_classes",
    "unlisted",
]

NOT_VALID: Final = "not a domain"
OTHER_LITERALS: Final = "[*]"
"""How the literals that are no keys are written; as a key of a configuration it is malformed."""

_LABEL_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789_-."
_TEST_NET_3: Final = IPV4_START + 0xCB007100
_DOCUMENTATION: Final = 0x2001_0DB8 << 96


class Keys:
    """What one table, or a predicate, compares domains with: points and suffixes."""

    def __init__(self, patterns: Iterable[str], *, closest_encloser: bool = False) -> None:
        points: dict[str, None] = {}
        suffixes: dict[str, None] = {}
        for pattern in patterns:
            if pattern.startswith(WILDCARD):
                suffixes[pattern[len(WILDCARD) :]] = None
            elif pattern != EVERY_DOMAIN:
                points[pattern] = None
        if closest_encloser:
            names = [name for name in (*points, *suffixes) if name[:1] != "["]
            nodes = dict.fromkeys(node for name in names for node in (name, *parents(name)))
            points.update(nodes)
            suffixes.update(nodes)
        self.points: Final = points
        self.suffixes: Final = suffixes

    @cached_property
    def _sorted(self) -> list[tuple[str, str]]:
        """All names, each behind its labels from the root on, so that a subtree is a slice."""
        names = {*self.points, *self.suffixes}
        return sorted((_from_the_root(name), name) for name in names if name[:1] != "[")

    def below(self, suffix: str) -> Iterator[str]:
        """The points and suffixes that are below a name, or all of them below the root, `""`."""
        start = _from_the_root(suffix)
        for index in range(bisect_left(self._sorted, (start, "")), len(self._sorted)):
            path, name = self._sorted[index]
            if not path.startswith(start):
                return
            if path != start:
                yield name


def parents(name: str) -> Iterator[str]:
    """The names above a name, nearest first, without the root."""
    while name := name.partition(".")[2]:
        yield name


def _from_the_root(name: str) -> str:
    """`com.example.` for `example.com`: a name is below another if it begins with that."""
    return "".join(f"{label}." for label in reversed(name.split("."))) if name else ""


class DomainClass(NamedTuple):
    """Domains that nobody tells apart: a pattern that stands for them, and one of them.

    The pattern of a point is the point. `*.suffix` are the names below a suffix that are no points
    and below no longer suffix, `*` are the names below none. `""` is the empty domain, `[*]` are
    the literals that are no keys, and `None` is whatever is not valid.
    """

    pattern: str | None
    representative: str


class Partition:
    """All domains, divided into classes by several sets of keys at once."""

    def __init__(self, keys: Iterable[Keys]) -> None:
        self._keys = tuple(keys)

    def classes(self) -> Iterator[DomainClass]:
        """Every class that is not empty, once, in the order of the keys."""
        for point in dict.fromkeys(chain.from_iterable(keys.points for keys in self._keys)):
            yield DomainClass(point, point)
        for suffix in dict.fromkeys(chain.from_iterable(keys.suffixes for keys in self._keys)):
            yield from self._below(suffix)
        yield from self._below("")
        yield DomainClass("", "")
        yield DomainClass(OTHER_LITERALS, self._other_literal())
        yield DomainClass(None, NOT_VALID)

    def within(self, pattern: str | None, whole: Partition) -> Iterator[DomainClass]:
        """The classes into which this partition divides one class of `whole`.

        This partition has the keys of `whole` and others. Costs as much as there are keys below
        the class, not as much as there are keys.
        """
        if pattern == OTHER_LITERALS:
            for point in dict.fromkeys(chain.from_iterable(keys.points for keys in self._keys)):
                if point[:1] == "[" and not whole.is_point(point):
                    yield DomainClass(point, point)
            yield DomainClass(OTHER_LITERALS, self._other_literal())
        elif pattern is not None and pattern[:1] == EVERY_DOMAIN:
            suffix = pattern[len(WILDCARD) :]
            yield from self._below(suffix)
            names = dict.fromkeys(chain.from_iterable(keys.below(suffix) for keys in self._keys))
            for name in names:
                if whole.closest_suffix(name) == suffix:
                    if self.is_point(name) and not whole.is_point(name):
                        yield DomainClass(name, name)
                    if self.is_suffix(name) and not whole.is_suffix(name):
                        yield from self._below(name)
        else:
            yield DomainClass(pattern, NOT_VALID if pattern is None else pattern)

    def of(self, pattern: str) -> Iterator[DomainClass]:
        """The classes that a key governs as the nearest: none if every name has something nearer.

        For `*` they are the names below no suffix, the empty domain and the other literals.
        """
        if pattern == EVERY_DOMAIN:
            yield from self._below("")
            yield DomainClass("", "")
            yield DomainClass(OTHER_LITERALS, self._other_literal())
        elif pattern.startswith(WILDCARD):
            yield from self._below(pattern[len(WILDCARD) :])
        else:
            yield DomainClass(pattern, pattern)

    def is_point(self, name: str) -> bool:
        """Whether the name is compared as a whole."""
        return any(name in keys.points for keys in self._keys)

    def is_suffix(self, name: str) -> bool:
        """Whether parents are compared with the name."""
        return any(name in keys.suffixes for keys in self._keys)

    def closest_suffix(self, name: str) -> str:
        """The longest suffix that the name is below, or `""`."""
        return next(filter(self.is_suffix, parents(name)), "")

    def _below(self, suffix: str) -> Iterator[DomainClass]:
        """The class of the names directly below a suffix, unless there are none."""
        for name in _names_below(suffix):
            if not self.is_point(name) and self.closest_suffix(name) == suffix:
                yield DomainClass(f"{WILDCARD}{suffix}" if suffix else EVERY_DOMAIN, name)
                return

    def _other_literal(self) -> str:
        # 2**32 - _TEST_NET_3 of them are more than memory holds keys
        literals = (f"[{ip_address(_TEST_NET_3 + number)}]" for number in count(1))
        return next(literal for literal in literals if not self.is_point(literal))


def _names_below(suffix: str) -> Iterator[str]:
    """Every name below a suffix, or below the root: first one that reads well, then all by length.

    It ends only where names do, at 253 octets, so whoever looks for a name that is no key finds it
    after as many steps as there are keys, or knows that there is none.
    """
    dot_suffix = f".{suffix}" if suffix else ""
    yield from filter(canonical_domain, [f"other{dot_suffix or '.test'}"])
    for length in range(1, 254 - len(dot_suffix)):
        for characters in product(_LABEL_CHARACTERS, repeat=length):
            name = "".join(characters) + dot_suffix
            if canonical_domain(name) == name:
                yield name


class ListenerClass(NamedTuple):
    """Listeners that nobody tells apart: a name that stands for them, and one of them.

    The name of a key is the key. `*` are the listeners that are none; the IPv4 addresses among them
    whose port is one for which that matters are `0.0.0.0:port`, the IPv6 addresses `[::]:port`.
    """

    name: str
    representative: str


def listener_classes(views: Iterable[View], listeners: Iterable[str] = ()) -> list[ListenerClass]:
    """Every class of listeners, first the one of those that are not listed.

    listeners: canonical listeners that are to be classes of their own.
    """
    keys: dict[str, None] = {}
    ports: dict[str, None] = {}
    for view in views:
        keys.update(dict.fromkeys(view.listeners))
        for listener in view.relay_hosts.stated:
            host, _, port = listener.rpartition(":")
            if host in ("0.0.0.0", "[::]"):  # noqa: S104 - not bound to, compared with
                ports[port] = None
    keys.update(dict.fromkeys(listeners))

    def other(candidates: Iterator[str]) -> str:
        return next(candidate for candidate in candidates if candidate not in keys)

    numbers = (str(number or "") for number in count())
    classes = [ListenerClass(EVERY_LISTENER, other(f"other{number}" for number in numbers))]
    for port in ports:
        ipv4 = (f"{ip_address(_TEST_NET_3 + number)}:{port}" for number in count(1))
        ipv6 = (f"[{ip_address(_DOCUMENTATION + number)}]:{port}" for number in count(1))
        classes.append(ListenerClass(f"0.0.0.0:{port}", other(ipv4)))
        classes.append(ListenerClass(f"[::]:{port}", other(ipv6)))
    return [*classes, *(ListenerClass(key, key) for key in keys)]


class Saying(NamedTuple):
    """What an entry says, as the dialect reads it; equal sayings are one object for a `Lexicon`."""

    relay_from: Bounds
    relay_from_authz: frozenset[str]
    relay_to: bool
    log_oob: LogReport
    log_arf: LogReport


class Said(NamedTuple):
    """What a policy says of a domain at a listener, and the entry that says it."""

    entry: EntryRef | None
    saying: Saying


class Lexicon:
    """Makes equal sayings one object, so that they can be compared by identity."""

    def __init__(self) -> None:
        self._sayings: dict[Saying, Saying] = {}

    def __getitem__(self, saying: Saying) -> Saying:
        return self._sayings.setdefault(saying, saying)


class View:
    """A policy as analysis looks at it: its tables, what they say, and what they compare with."""

    def __init__(self, policy: Policy, lexicon: Lexicon) -> None:
        """Look at a policy. Raises `RequestError` for anything but a `Policy`."""
        if not isinstance(cast("object", policy), Policy):
            raise RequestError(f"policy: expected a `Policy`, found {described(policy)}")
        self.dialect: Final = policy.dialect
        self.relay_hosts: Final = policy.relay_hosts_table
        self._entries: Final = policy.config.entries
        self._tables: Final = policy.tables
        self._shared: Final = policy.tables.get(EVERY_LISTENER, NO_ENTRIES)
        self._lexicon: Final = lexicon
        self._keys: dict[str, Keys] = {}
        self._sayings: dict[int, Saying] = {}
        self.nothing: Final = Said(None, lexicon[Saying(EMPTY, frozenset(), *NO_OPTIONS)])
        """What is said where no entry governs."""

    @property
    def listeners(self) -> Iterator[str]:
        """The listeners that are told from others, canonical, some of them twice."""
        yield from (listener for listener in self._tables if listener != EVERY_LISTENER)
        yield from self.relay_hosts.stated

    def has_own(self, listener: str) -> bool:
        """Whether the listener has entries of its own."""
        return listener in self._tables

    def keys(self, listener: str) -> Keys:
        """What the table of a listener compares domains with."""
        keys = self._keys.get(listener)
        if keys is None:
            tree = self.dialect is Dialect.KUMOMTA  # rule 2.4
            patterns = self._entries.get(listener, ())
            keys = self._keys[listener] = Keys(patterns, closest_encloser=tree)
        return keys

    def relay_hosts_at(self, listener: str) -> Bounds:
        """Who may relay anything at a listener (rule 4.1)."""
        return self.relay_hosts.of(self.relay_hosts.source(listener)).bounds

    def says(self, entry: EntryRef) -> Said:
        """What an entry says, whether or not it governs anything."""
        options = self._entries[entry.listener][entry.pattern]
        saying = self._sayings.get(id(options))
        if saying is None:
            saying = self._lexicon[
                Saying(
                    options.relay_from.bounds,
                    options.relay_from_authz,
                    options.relay_to,
                    log_option(options.log_oob, self.dialect),
                    log_option(options.log_arf, self.dialect),
                )
            ]
            self._sayings[id(options)] = saying
        return Said(entry, saying)

    def own(self, listener: str, domain: DomainClass) -> Said | None:
        """What the listener's own table says of a class of domains (rules 2.3 and 2.4)."""
        return self._said(self._tables.get(listener, NO_ENTRIES), domain)

    def shared(self, domain: DomainClass) -> Said:
        """What the table of listener `*` says of a class of domains, or what is said of none."""
        return self._said(self._shared, domain) or self.nothing

    def governing(self, listener: str, domain: DomainClass) -> Said:
        """What governs a class of domains at a listener (rule 2.5)."""
        return self.own(listener, domain) or self.shared(domain)

    def _said(self, table: DomainMap[Entry], domain: DomainClass) -> Said | None:
        entry = None if domain.pattern is None else table.governing(domain.representative)
        if entry is None or entry.ref is None:
            return None
        return self.says(entry.ref)


class PeerClasses:
    """All addresses, divided by some sets for good and by others for a while.

    The sets that stay (a listener's `relay_hosts`) are walked through once. After that, to divide
    by other sets as well (an entry's `relay_from`) costs as much as those have blocks.
    """

    def __init__(self, sets: Sequence[Bounds]) -> None:
        self._sets = sets
        self.stays: Final[dict[tuple[bool, ...], list[int]]] = {}
        """By membership in each of the sets, the boundaries of the addresses of which it holds."""
        for start, end in _segments(sets):
            self.stays.setdefault(self.membership(start), []).extend((start, end))

    def membership(self, address: int) -> tuple[bool, ...]:
        """In which of the sets that stay an address is."""
        return _membership(self._sets, address)

    def divided(self, sets: Sequence[Bounds]) -> list[int]:
        """One address of each class, also divided by `sets`: the most ordinary one there is."""
        found: dict[tuple[bool, ...], int] = {}
        for address in _ORDINARY:
            found.setdefault(_membership([*self._sets, *sets], address), address)
        for start, end in _segments(sets):
            inside = _membership(sets, start)
            for stays, bounds in self.stays.items():
                if (*stays, *inside) not in found:
                    overlap = _intervals.overlap(bounds, start, end)
                    if overlap is not None:
                        # the first address of a network is its own, not a host's
                        found[*stays, *inside] = min(overlap[0] + 1, overlap[1] - 1)
        return list(found.values())


_ORDINARY: Final = (_TEST_NET_3 + 9, _DOCUMENTATION + 9)


def _segments(sets: Sequence[Bounds]) -> Iterator[tuple[int, int]]:
    """The line of addresses, cut where membership in one of the sets changes."""
    edges = sorted({0, LINE_END, *chain.from_iterable(sets)})
    return pairwise(edges)


def _membership(sets: Iterable[Bounds], address: int) -> tuple[bool, ...]:
    return tuple(_intervals.contains(bounds, address) for bounds in sets)


def identity_classes(
    sets: Sequence[frozenset[str]], identities: Iterable[str] = ()
) -> list[str | None]:
    """One identity of each class: nobody, somebody who is in no set, and who is in which.

    identities: those that are to be classes of their own.
    """
    kept = dict.fromkeys(identities)
    found: dict[tuple[bool, ...], str] = {}
    for identity in sorted(frozenset[str]().union(*sets).difference(kept)):
        found.setdefault(tuple(identity in members for members in sets), identity)
    return [None, unlisted(kept, *sets), *found.values(), *kept]


def unlisted(*sets: Collection[str]) -> str:
    """An identity that is in none of the sets."""
    names = chain(("someone",), (f"someone{number}" for number in count(2)))
    return next(name for name in names if not any(name in members for members in sets))
