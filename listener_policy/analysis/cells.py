"""Representatives of all questions, and what can be found by looking at each of them.

Why a finite number of questions stands for all of them, input by input, is said in
`listener_policy.analysis.classes`. Here the inputs are put together, and kept from multiplying:

- Listeners without entries of their own that have the same `relay_hosts` answer alike, whatever
  the question: one of them stands for all. It also stands for a listener with entries of its own
  and the same `relay_hosts`, as far as these entries do not govern. It cannot be one that is to be
  told from the others.
- Peers and identities are divided for one listener and one class of domains at a time: by the
  listener's `relay_hosts` and by what the one entry that governs says. So there are at most twelve
  questions for a listener and a class of domains: four kinds of peers times three of identities.

What is looked at besides the answer (is the peer in that network? is the domain one of ours?)
divides questions further, and must be given as refinement: nobody knows otherwise that it matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias, TypeVar, cast

from listener_policy._display import described
from listener_policy._intervals import Bounds
from listener_policy._problems import Malformed
from listener_policy.addresses import ip_address
from listener_policy.analysis.classes import (
    DomainClass,
    Keys,
    Lexicon,
    ListenerClass,
    Partition,
    PeerClasses,
    Said,
    View,
    identity_classes,
    listener_classes,
)
from listener_policy.connection import checked_identity
from listener_policy.decision import Decision
from listener_policy.domains import EVERY_DOMAIN, WILDCARD, canonical_pattern
from listener_policy.errors import RequestError
from listener_policy.listeners import EVERY_LISTENER, Listener, canonical_listener
from listener_policy.networks import Block, CidrSet, read_cidr_set
from listener_policy.policy import Policy
from listener_policy.questions import Request

__all__ = ["Predicate", "Refinement", "Region", "cells", "find", "regions"]

Predicate: TypeAlias = Callable[[Request, Decision], bool]

T = TypeVar("T")
R = TypeVar("R")


def cells(
    *policies: Policy,
    blocks: Iterable[Block | CidrSet] = (),
    domains: Iterable[str] = (),
    identities: Iterable[str | None] = (),
    listeners: Iterable[Listener] = (),
) -> Iterator[Request]:
    """Questions that stand for all the questions there are.

    For any question at all there is one among these that each of the policies answers alike (but
    for the entry that is named), and that is inside and outside the same of the given `blocks`
    (CIDR blocks or `CidrSet`s), `domains` (patterns), `identities` and `listeners`. Nobody (`auth`
    is `None`) and somebody are always kept apart.

    Raises `RequestError` for a refinement that cannot be understood, and for anything but a
    `Policy`: the entries of a `HookPolicy` cannot be enumerated.

    >>> policy = Policy.from_mapping({"example.com": {"relay_to": True}}, relay_hosts=[])
    >>> sorted({request.domain for request in cells(policy)})
    ['', '[203.0.113.1]', 'example.com', 'not a domain', 'other.test']
    """
    lexicon = Lexicon()
    views = [View(policy, lexicon) for policy in policies]
    refinement = Refinement(blocks, domains, identities, listeners)
    return (
        Request(region.listener.representative, peer, domain.representative, identity)
        for region in regions(views, refinement)
        for domain, said in region.domains()
        for peer in region.peers(said)
        for identity in region.identities(said)
    )


def find(
    policy: Policy,
    predicate: Predicate,
    *,
    blocks: Iterable[Block | CidrSet] = (),
    domains: Iterable[str] = (),
    identities: Iterable[str | None] = (),
    listeners: Iterable[Listener] = (),
) -> Request | None:
    """A question for which `predicate(request, decision)` holds, or the certainty of none.

    The certainty holds if `predicate` depends on the decision, without the entry that it names, on
    whether anybody authenticated, and on whether the request is inside the given `blocks`,
    `domains`, `identities` and `listeners`, and on nothing else of the request.

    Raises `RequestError` as `cells` does, and what `predicate` raises.

    >>> policy = Policy.from_mapping({"*": {"relay_from": ["10.0.0.0/8"]}}, relay_hosts=[])
    >>> find(policy, lambda request, decision: decision.may_receive)
    >>> find(policy, lambda request, decision: decision.may_send).peer
    '10.0.0.1'
    """
    found = cells(
        policy, blocks=blocks, domains=domains, identities=identities, listeners=listeners
    )
    return next((request for request in found if predicate(request, policy.decide(*request))), None)


class Refinement:
    """What a predicate looks at besides the answer, read and canonical."""

    def __init__(
        self,
        blocks: Iterable[Block | CidrSet] = (),
        domains: Iterable[str] = (),
        identities: Iterable[str | None] = (),
        listeners: Iterable[Listener] = (),
    ) -> None:
        self.blocks: Final = [block.bounds for block in _read("blocks", blocks, _block)]
        self.patterns: Final = _read("domains", domains, _pattern)
        self.keys: Final = Keys(filter(None, self.patterns))  # the empty domain is always apart
        read = _read("identities", identities, checked_identity)
        self.identities: Final = [identity for identity in read if identity is not None]
        self.listeners: Final = _read("listeners", listeners, canonical_listener)

    def inside(self, domain: DomainClass) -> tuple[bool, ...]:
        """Which of the patterns a class of domains is inside of."""
        name = domain.representative
        return tuple(
            domain.pattern is not None
            if pattern == EVERY_DOMAIN
            else name.endswith(pattern[1:])
            if pattern.startswith(WILDCARD)
            else name == pattern
            for pattern in self.patterns
        )


def _read(name: str, values: Iterable[T], read: Callable[[T], R]) -> list[R]:
    """Each of the values, read. Raises `RequestError` with the place of what is wrong."""
    if isinstance(values, str | bytes) or not isinstance(cast("object", values), Iterable):
        raise RequestError(f"{name}: expected a list, found {described(values)}")
    made: list[R] = []
    for index, value in enumerate(values):
        try:
            made.append(read(value))
        except Malformed as malformed:
            hint = f"; {malformed.hint}" if malformed.hint else ""
            raise RequestError(f"{name}[{index}]: {malformed.message}{hint}") from None
        except RequestError as error:
            raise RequestError(f"{name}[{index}]: {str(error).partition(': ')[2]}") from None
    return made


def _block(block: Block | CidrSet) -> CidrSet:
    def report(_index: int | None, malformed: Malformed) -> None:
        raise malformed

    return read_cidr_set(block if isinstance(block, CidrSet) else [block], report)


def _pattern(pattern: str) -> str:
    if not isinstance(cast("object", pattern), str):
        raise Malformed("a pattern", described(pattern))
    return canonical_pattern(pattern) if pattern else ""


class Region:
    """A class of listeners, with the classes of all other inputs that are to be asked there."""

    def __init__(
        self,
        views: Sequence[View],
        refinement: Refinement,
        listener: ListenerClass,
        peers: PeerClasses,
        *,
        whole: bool,
    ) -> None:
        self.listener: Final = listener
        self.peer_classes: Final = peers
        self._views = views
        self._refinement = refinement
        self._whole = whole
        self._known: dict[tuple[int, ...], tuple[list[str], list[str | None]]] = {}

    def domains(self) -> Iterator[tuple[DomainClass, tuple[Said, ...]]]:
        """The classes of domains, each with what governs it under each policy."""
        key = self.listener.representative
        own_keys = [view.keys(key) for view in self._views if view.has_own(key)]
        shared_keys = [view.keys(EVERY_LISTENER) for view in self._views]
        own = Partition(own_keys)
        fine = Partition([*own_keys, self._refinement.keys])
        finest = Partition([*own_keys, self._refinement.keys, *shared_keys])
        for domain in own.classes():
            governed = [view.own(key, domain) for view in self._views]
            if not self._whole and not any(governed):
                continue  # another listener stands for this one
            for part in (fine if all(governed) else finest).within(domain.pattern, own):
                yield part, tuple(view.governing(key, part) for view in self._views)

    def peers(self, said: Sequence[Said]) -> list[str]:
        """One peer of each class, where this is what governs."""
        return self._divided(said)[0]

    def identities(self, said: Sequence[Said]) -> list[str | None]:
        """One identity of each class, where this is what governs."""
        return self._divided(said)[1]

    def _divided(self, said: Sequence[Said]) -> tuple[list[str], list[str | None]]:
        sayings = [one.saying for one in said]
        key = tuple(map(id, sayings))
        if key not in self._known:
            addresses = self.peer_classes.divided([saying.relay_from for saying in sayings])
            self._known[key] = (
                [str(ip_address(address)) for address in addresses],
                identity_classes(
                    [saying.relay_from_authz for saying in sayings], self._refinement.identities
                ),
            )
        return self._known[key]


def regions(
    views: Sequence[View], refinement: Refinement, *, pairs: bool = False
) -> Iterator[Region]:
    """The classes of listeners that are to be asked, which stand for all of them.

    pairs: whether questions are about pairs of domains, for one of which another listener cannot
        stand if it does not for the other.
    """
    peers: dict[tuple[Bounds, ...], PeerClasses] = {}
    stood_for: set[tuple[Bounds, ...]] = set()
    classes = listener_classes(views, refinement.listeners)
    # those that can stand for others come first
    for listener in sorted(
        classes, key=lambda one: any(v.has_own(one.representative) for v in views)
    ):
        key = listener.representative
        relay_hosts = tuple(view.relay_hosts_at(key) for view in views)
        has_own = any(view.has_own(key) for view in views)
        told_apart = key in refinement.listeners
        whole = told_apart or relay_hosts not in stood_for or (pairs and has_own)
        if not has_own and not told_apart:
            stood_for.add(relay_hosts)
        if relay_hosts not in peers:
            peers[relay_hosts] = PeerClasses([*relay_hosts, *refinement.blocks])
        if whole or has_own:
            yield Region(views, refinement, listener, peers[relay_hosts], whole=whole)
