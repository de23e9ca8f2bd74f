"""What changes from one policy to another: exactly, and no more often than it is written.

Two policies answer alike if at every listener they hold the same addresses for `relay_hosts`, and
if for every class of domains they say the same. That makes two comparisons, not their product:

- `relay_hosts` are compared for each class of listeners, whatever the domain.
- What is said of domains is compared once for the table of listener `*`. A listener's own table is
  compared where it governs in either policy; where it governs in one alone, with what the table of
  `*` says in the other, which is how a listener's table that hides an entry, or no longer does,
  comes to light. Where it governs in neither, the first comparison has said it all.

Equal sayings are one object (`Lexicon`), so that comparing a domain is a few lookups in
dictionaries, and the cost grows with the number of entries. Nothing is compared by what is written:
an entry that is gone shows where its domains are governed by another one now, and not at all if
that says the same.

Between two dialects there is one difference more: the same entry may do something else with a
report (S3, S4). What it does depends on whether the peer is in `relay_hosts`, so that is asked of
either kind of peers that a listener has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias, TypeVar

from listener_policy import _intervals
from listener_policy._intervals import Bounds, contains
from listener_policy.addresses import LINE_END, ip_address
from listener_policy.analysis.changes import AUDIENCES, Change, Effect, PolicyDiff, effect_of
from listener_policy.analysis.classes import (
    DomainClass,
    Keys,
    Lexicon,
    ListenerClass,
    Partition,
    PeerClasses,
    Said,
    Saying,
    View,
    identity_classes,
    listener_classes,
)
from listener_policy.decision import (
    VERDICTS,
    Dialect,
    Disposition,
    LogReport,
    sender_index,
)
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.networks import CidrSet
from listener_policy.policy import Policy
from listener_policy.questions import Request

__all__ = ["diff", "equivalent"]


def equivalent(a: Policy, b: Policy) -> bool:
    """Whether two policies give the same answers to all questions there are.

    The answer is all of a `Decision` but the entry that it names, and the dispositions that follow
    from it, so that policies of two dialects differ where they treat a report differently.
    Raises `RequestError` for anything but a `Policy`.

    >>> a = Policy.from_mapping({"example.com": {"relay_from": ["10.0.0.0/9", "10.128.0.0/9"]}})
    >>> b = Policy.from_mapping({"example.com": {"relay_from": ["10.0.0.0/8"]}, "*": {}})
    >>> equivalent(a, b)
    True
    """
    comparison = _Comparison(a, b)
    return not any(comparison.hosts()) and not any(comparison.domains())


def diff(before: Policy, after: Policy) -> PolicyDiff:
    """Every change of what is answered, by listener and class of domains.

    There is none if and only if the policies are `equivalent`. Raises `RequestError` for anything
    but a `Policy`.

    >>> before = Policy.from_mapping({"*.example.com": {"relay_to": True}})
    >>> after = Policy.from_mapping({
    ...     "*.example.com": {"relay_to": True},
    ...     "send.example.com": {"relay_from": ["192.0.2.7"]},
    ... })
    >>> print(diff(before, after))
    1 change: more may be done, and other things no longer
    "send.example.com" at listener *
    |- was governed by "*.example.com" of listener *
    |- is governed by "send.example.com" of listener *
    |- relay_from        gains 192.0.2.7
    |- relay_to          true -> false
    |- strangers         may do less
    |- listed peers      may do more, and other things no longer
    `- explain           --listener=other --peer=203.0.113.9
                         --domain=send.example.com
    """
    comparison = _Comparison(before, after)
    hosts = [comparison.hosts_change(*difference) for difference in comparison.hosts()]
    grouped: dict[object, tuple[_Difference, list[DomainClass]]] = {}
    for difference, domain in comparison.domains():
        grouped.setdefault(difference.key, (difference, []))[1].append(domain)
    return PolicyDiff((*hosts, *(comparison.entry_change(*group) for group in grouped.values())))


def _dispositions(dialect: Dialect, saying: Saying, hosts: bool) -> tuple[Disposition, ...]:
    """What becomes of an ordinary message and of reports, if the sender has no permission.

    If the sender has, it is the same in both dialects, but for a peer in `relay_hosts`.
    """
    verdict = VERDICTS[dialect, saying[2:]][
        sender_index(hosts, relay_from=False, relay_from_authz=False)
    ]
    return verdict.message, verdict.arf_report, verdict.oob_report


class _Answer(NamedTuple):
    """What a policy answers, without the entry."""

    relay_hosts: bool
    relay_from: bool
    relay_from_authz: bool
    options: tuple[bool, LogReport, LogReport]
    dispositions: tuple[Disposition, ...]

    @classmethod
    def of(
        cls, dialect: Dialect, saying: Saying, hosts: bool, peer: int, identity: str | None
    ) -> _Answer:
        return cls(
            hosts,
            contains(saying.relay_from, peer),
            identity in saying.relay_from_authz,
            saying[2:],
            _dispositions(dialect, saying, hosts),
        )

    @property
    def rights(self) -> frozenset[str]:
        """What may be done: as a sender of the domain, and by anybody with mail for it."""
        may_send = self.relay_hosts or self.relay_from or self.relay_from_authz
        rights = {"send"} if may_send else set[str]()
        for message, disposition in zip(("message", "arf", "oob"), self.dispositions, strict=True):
            if disposition.accept:
                rights |= {"RCPT TO", f"deliver {message}"}
            if disposition.relay:
                rights.add(f"relay {message}")
        return frozenset(rights)


_Hosts: TypeAlias = tuple[Bounds, Bounds]
"""The `relay_hosts` of a listener, before and after."""


class _Seen(NamedTuple):
    """For whom an answer is another, and what that does to whom."""

    hosts: _Hosts
    peer: str
    identity: str | None
    effects: tuple[Effect, ...]


class _Difference(NamedTuple):
    """What is said of some domains before and after, somewhere."""

    scope: _Scope
    before: Said
    after: Said

    @property
    def key(self) -> object:
        """What tells it from others; sayings are compared by identity."""
        before, after = self.before, self.after
        return self.scope, before.entry, id(before.saying), after.entry, id(after.saying)


class _Scope:
    """Listeners at which the same table governs, before and after."""

    def __init__(self, name: str, classes: Iterable[ListenerClass], views: _Views) -> None:
        self.name: Final = name
        self.hosts: Final[dict[_Hosts, str]] = {}
        """The kinds of `relay_hosts` that there are, each with a listener that has them."""
        for one in classes:
            listener = one.representative
            hosts = views.before.relay_hosts_at(listener), views.after.relay_hosts_at(listener)
            self.hosts.setdefault(hosts, listener)

    @cached_property
    def kinds(self) -> frozenset[bool]:
        """Whether there are peers in `relay_hosts`, and peers that are not, before and after."""
        return frozenset(
            inside
            for before, after in self.hosts
            for inside, peers in (
                (True, _intervals.intersection(before, after)),
                (False, _intervals.difference((0, LINE_END), _intervals.union(before, after))),
            )
            if peers
        )


class _Views(NamedTuple):
    before: View
    after: View


class _Comparison:
    """Two policies side by side."""

    def __init__(self, before: Policy, after: Policy) -> None:
        lexicon = Lexicon()
        self._views = views = _Views(View(before, lexicon), View(after, lexicon))
        self._classes = listener_classes(views)
        own: list[ListenerClass] = []
        rest: list[ListenerClass] = []
        for one in self._classes:
            (own if any(v.has_own(one.representative) for v in views) else rest).append(one)
        self._shared = _Scope(EVERY_LISTENER, rest, views)
        self._own = [_Scope(one.name, [one], views) for one in own]
        self._peers: dict[_Hosts, PeerClasses] = {}
        self._seen: dict[object, _Seen] = {}

    def hosts(self) -> Iterator[tuple[tuple[Bounds, Bounds], list[ListenerClass]]]:
        """The `relay_hosts` that differ, with the classes of listeners where they do."""
        found: dict[tuple[Bounds, Bounds], list[ListenerClass]] = {}
        for one in self._classes:
            before, after = (view.relay_hosts_at(one.representative) for view in self._views)
            if before != after:
                found.setdefault((before, after), []).append(one)
        yield from found.items()

    def domains(self) -> Iterator[tuple[_Difference, DomainClass]]:
        """The classes of domains of which something else is said, and where."""
        before, after = self._views
        shared = [view.keys(EVERY_LISTENER) for view in self._views]
        for domain in Partition(shared).classes():
            said = _Difference(self._shared, before.shared(domain), after.shared(domain))
            if self._differs(said, self._kinds(self._shared)):
                yield said, domain
        for scope in self._own:
            yield from self._domains_at(scope, shared)

    def _domains_at(
        self, scope: _Scope, shared: Sequence[Keys]
    ) -> Iterator[tuple[_Difference, DomainClass]]:
        """The same at a listener with entries of its own, without what the shared table says."""
        name = scope.name
        own = [view.keys(name) for view in self._views]
        whole, fine = Partition(own), Partition([*own, *shared])
        kinds = self._kinds(scope)
        unseen = kinds - self._kinds(self._shared)
        for domain in whole.classes():
            governed = [view.own(name, domain) is not None for view in self._views]
            if all(governed):
                parts: Iterable[DomainClass] = [domain]
            elif any(governed) or unseen:
                parts = fine.within(domain.pattern, whole)
            else:
                parts = ()
            for part in parts:
                said = _Difference(scope, *(view.governing(name, part) for view in self._views))
                if any(governed):
                    if self._differs(said, kinds):
                        yield said, part
                elif said.before.saying is said.after.saying and self._differs(said, unseen):
                    yield said, part  # the shared table governs, but there are other peers here

    def _kinds(self, scope: _Scope) -> frozenset[bool]:
        """The kinds of peers for which two dialects may do something else with a report."""
        before, after = self._views
        return frozenset() if before.dialect is after.dialect else scope.kinds

    def _differs(self, said: _Difference, kinds: Iterable[bool]) -> bool:
        was, is_ = said.before.saying, said.after.saying
        before, after = self._views
        return was is not is_ or any(
            _dispositions(before.dialect, was, hosts) != _dispositions(after.dialect, is_, hosts)
            for hosts in kinds
        )

    def hosts_change(self, hosts: tuple[Bounds, Bounds], listeners: list[ListenerClass]) -> Change:
        """The change of `relay_hosts` that differ."""
        before, after = map(CidrSet.from_bounds, hosts)
        gained, lost = after - before, before - after
        peer = _a_peer_of(gained or lost)
        names = sorted({one.name for one in listeners}, key=lambda name: (name != "*", name))
        return Change(
            listeners=tuple(names),
            domains=(),
            before=None,
            after=None,
            gained=gained,
            lost=lost,
            gained_identities=(),
            lost_identities=(),
            relay_to=None,
            log_oob=None,
            log_arf=None,
            dialects=None,
            strangers=Effect.UNCHANGED,
            listed_peers=effect_of(widens=bool(gained), narrows=bool(lost)),
            authenticated=Effect.UNCHANGED,
            witness=Request(listeners[0].representative, peer, "example.com", None),
        )

    def entry_change(self, said: _Difference, domains: Sequence[DomainClass]) -> Change:
        """The change of what is said of some domains."""
        scope, (old, was), (new, is_) = said
        places = self._places(scope, domains)
        hosts, peer, identity, effects = self._effects_of(said, places)
        listener, domain = places[hosts]
        old_blocks, new_blocks = map(CidrSet.from_bounds, (was.relay_from, is_.relay_from))
        dialects = self._views.before.dialect, self._views.after.dialect
        return Change(
            listeners=(scope.name,),
            domains=tuple(domain.pattern or "" for domain in domains),
            before=old,
            after=new,
            gained=new_blocks - old_blocks,
            lost=old_blocks - new_blocks,
            gained_identities=tuple(sorted(is_.relay_from_authz - was.relay_from_authz)),
            lost_identities=tuple(sorted(was.relay_from_authz - is_.relay_from_authz)),
            relay_to=_pair(was.relay_to, is_.relay_to),
            log_oob=_pair(was.log_oob, is_.log_oob),
            log_arf=_pair(was.log_arf, is_.log_arf),
            dialects=None if dialects[0] is dialects[1] else dialects,
            strangers=effects[0],
            listed_peers=effects[1],
            authenticated=effects[2],
            witness=Request(listener, peer, domain, identity),
        )

    def _places(
        self, scope: _Scope, domains: Sequence[DomainClass]
    ) -> dict[_Hosts, tuple[str, str]]:
        """A listener, and one of the domains there, for each kind of `relay_hosts` that there is.

        What the table of `*` says holds at a listener with entries of its own too, where these do
        not govern. It need not be there what it is elsewhere: peers may be in `relay_hosts` here
        and not there.
        """
        places = {
            hosts: (listener, domains[0].representative) for hosts, listener in scope.hosts.items()
        }
        for own in self._own if scope is self._shared else ():
            for hosts, listener in own.hosts.items():
                left = None if hosts in places else self._left_at(listener, domains)
                if left is not None:
                    places[hosts] = (listener, left)
        return places

    def _left_at(self, listener: str, domains: Sequence[DomainClass]) -> str | None:
        """One of some domains that no entry of the listener's own governs, if there is one."""
        shared = [view.keys(EVERY_LISTENER) for view in self._views]
        whole = Partition(shared)
        fine = Partition([*shared, *(view.keys(listener) for view in self._views)])
        parts = (part for domain in domains for part in fine.within(domain.pattern, whole))
        return next(
            (
                part.representative
                for part in chain(domains, parts)
                if not any(view.own(listener, part) for view in self._views)
            ),
            None,
        )

    def _effects_of(self, said: _Difference, places: Iterable[_Hosts]) -> _Seen:
        """What a difference does to whom, and for whom the answer is another."""
        places = tuple(places)
        key = (places, id(said.before.saying), id(said.after.saying))
        if key not in self._seen:
            self._seen[key] = self._looked_at(said, places)
        return self._seen[key]

    def _looked_at(self, said: _Difference, places: Iterable[_Hosts]) -> _Seen:
        was, is_ = said.before.saying, said.after.saying
        identities = identity_classes([was.relay_from_authz, is_.relay_from_authz])
        gains: set[str] = set()
        losses: set[str] = set()
        witnesses: list[tuple[tuple[bool, bool, bool], _Hosts, int, str | None]] = []
        for hosts in places:
            if hosts not in self._peers:
                self._peers[hosts] = PeerClasses(hosts)
            for peer in self._peers[hosts].divided([was.relay_from, is_.relay_from]):
                for identity in identities:
                    old, new = (
                        _Answer.of(view.dialect, saying, contains(bounds, peer), peer, identity)
                        for view, saying, bounds in zip(self._views, (was, is_), hosts, strict=True)
                    )
                    if old == new:
                        continue
                    listed = old.relay_hosts or old.relay_from or new.relay_hosts or new.relay_from
                    known = old.relay_from_authz or new.relay_from_authz
                    who = AUDIENCES[2 if known else 1 if listed else 0]
                    moved = old.relay_hosts is not new.relay_hosts  # which is a change of its own
                    if new.rights - old.rights and not moved:
                        gains.add(who)
                    if old.rights - new.rights and not moved:
                        losses.add(who)
                    # best is one whose rights change, and nobody rather than somebody
                    rank = (moved, old.rights == new.rights, identity is not None)
                    witnesses.append((rank, hosts, peer, identity))
        _, hosts, peer, identity = min(witnesses, key=itemgetter(0))
        return _Seen(
            hosts,
            str(ip_address(peer)),
            identity,
            tuple(effect_of(widens=who in gains, narrows=who in losses) for who in AUDIENCES),
        )


T = TypeVar("T")


def _a_peer_of(peers: CidrSet) -> str:
    return next(
        str(ip_address(address))
        for address in PeerClasses([peers.bounds]).divided([])
        if contains(peers.bounds, address)
    )


def _pair(before: T, after: T) -> tuple[T, T] | None:
    return None if before == after else (before, after)
