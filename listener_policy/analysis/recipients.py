"""Questions about sender and recipient together, found without asking about every pair.

For one listener, peer and identity, sender and recipient are governed independently: whatever may
be answered about some domain may be answered about the sender's, and about the recipient's as well.
So it is not classes of domains that are paired, but what can be answered about them, *kinds*: what
the entry says without its lists (`relay_to`, `log_oob`, `log_arf`), whether the peer is in its
`relay_from`, and whether the identity is in its `relay_from_authz`. There are 72 of them, however
many entries there are. What is left is to know which kinds there are at the same time.

- For an identity, one walk along the line of addresses, from one end of a block to the next, tells
  for every peer how many entries of each sort have it in their `relay_from`, and so which kinds
  there are. Nobody, and somebody who is listed nowhere, need one such walk together.
- To be listed somewhere makes a difference only for pairs in which an entry that lists the identity
  takes part. It is enough to walk from end to end of the blocks of *these* entries. Between two
  ends they are all of fixed kinds; and whether there is a peer for whom another entry is of a given
  kind is a question for the greatest count in that stretch, which is kept in a tree. All identities
  together cost about as much as is written about them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise, product
from typing import Final, NamedTuple, TypeAlias

from listener_policy import _intervals
from listener_policy._intervals import Bounds
from listener_policy.addresses import LINE_END, ip_address
from listener_policy.analysis.cells import Refinement, Region, regions
from listener_policy.analysis.classes import Lexicon, Saying, View, unlisted
from listener_policy.decision import LogReport, RcptDecision
from listener_policy.listeners import Listener
from listener_policy.networks import Block, CidrSet
from listener_policy.policy import Policy
from listener_policy.questions import RcptRequest

__all__ = ["RcptPredicate", "find_rcpt"]

RcptPredicate: TypeAlias = Callable[[RcptRequest, RcptDecision], bool]


def find_rcpt(
    policy: Policy,
    predicate: RcptPredicate,
    *,
    blocks: Iterable[Block | CidrSet] = (),
    domains: Iterable[str] = (),
    identities: Iterable[str | None] = (),
    listeners: Iterable[Listener] = (),
) -> RcptRequest | None:
    """A question for which `predicate(request, decision)` holds, or the certainty of none.

    What `find` is for questions about one domain, this is for those about sender and recipient;
    `domains` are told apart for both.

    Raises `RequestError` as `cells` does, and what `predicate` raises.

    >>> policy = Policy.from_mapping({"example.com": {"log_oob": True}}, relay_hosts=[])
    >>> find_rcpt(policy, lambda request, decision: decision.relay)
    >>> find_rcpt(policy, lambda request, decision: decision.accept).recipient
    'someone@example.com'
    """
    refinement = Refinement(blocks, domains, identities, listeners)
    views = [View(policy, Lexicon())]
    for region in regions(views, refinement, pairs=True):
        for request in _Pairs(region, refinement).requests():
            if predicate(request, policy.decide_rcpt(*request)):
                return request
    return None


class _Sort(NamedTuple):
    """What an entry says without its lists, and which refinements its domains are inside of."""

    options: tuple[bool, LogReport, LogReport]
    inside: tuple[bool, ...]


class _Kind(NamedTuple):
    """What can be answered about a domain, given peer and identity."""

    sort: _Sort
    relay_from: bool
    relay_from_authz: bool


class _Item:
    """Domains of which the same is said, and one of them."""

    def __init__(self, sort: _Sort, saying: Saying, domain: str) -> None:
        self.sort: Final = sort
        self.relay_from: Final = saying.relay_from
        self.relay_from_authz: Final = saying.relay_from_authz
        self.domain: Final = domain


_Membership: TypeAlias = tuple[bool, ...]
"""In which of the sets that stay a peer is: `relay_hosts` and the blocks to be told apart."""

_Who: TypeAlias = tuple[str | None, ...]
"""Identities that are told apart: nobody, or somebody in particular; `()` is whoever is listed."""

_Kinds: TypeAlias = Mapping[_Kind, _Item]
"""The kinds that there are for a peer, each with something that is of it."""


class _Pairs:
    """The pairs of kinds at one listener."""

    def __init__(self, region: Region, refinement: Refinement) -> None:
        self._listener = region.listener.representative
        self._peers = region.peer_classes
        self._identities = refinement.identities
        items: dict[tuple[_Sort, int], _Item] = {}
        for domain, (said,) in region.domains():
            sort = _Sort(said.saying[2:], refinement.inside(domain))
            if (sort, id(said.saying)) not in items:
                items[sort, id(said.saying)] = _Item(sort, said.saying, domain.representative)
        self._items = tuple(items.values())
        self._sorts = tuple(dict.fromkeys(item.sort for item in self._items))
        self._crowds: dict[tuple[_Membership, _Sort, bool], _Crowd] = {}
        self._asked: set[tuple[_Who, _Membership, _Kind, _Kind]] = set()

    def requests(self) -> Iterator[RcptRequest]:
        """A question for each pair of kinds that there are at the same time."""
        listed: dict[str, list[_Item]] = {}
        for item in self._items:
            for identity in sorted(item.relay_from_authz):
                listed.setdefault(identity, []).append(item)
        yield from self._walk((), (None, unlisted({*listed, *self._identities})))
        for identity in self._identities:
            yield from self._walk(listed.pop(identity, ()), (identity,))
        alike = {tuple(map(id, items)): identity for identity, items in listed.items()}
        for identity in alike.values():
            yield from self._beside(listed[identity], identity)

    def _walk(
        self, listing: Collection[_Item], identities: Sequence[str | None]
    ) -> Iterator[RcptRequest]:
        """All pairs for identities that are in the lists of `listing`."""
        listing = frozenset(listing)
        ends = chain.from_iterable(self._peers.stays.values())
        seen: set[tuple[_Membership, frozenset[_Kind]]] = set()
        for peer, _, kinds in _stretches(self._items, listing, ends):
            stays = self._peers.membership(peer)
            if (stays, frozenset(kinds)) not in seen:
                seen.add((stays, frozenset(kinds)))
                one_each = {kind: next(iter(items)) for kind, items in kinds.items()}
                for identity in identities:
                    yield from self._paired((identity,), identity, stays, peer, one_each, one_each)

    def _beside(self, listing: Collection[_Item], identity: str) -> Iterator[RcptRequest]:
        """The pairs for an identity of which one at least is in the lists of `listing`."""
        listed = frozenset(listing)
        for start, end, kinds in _stretches(listing, listed):
            theirs = {kind: next(iter(items)) for kind, items in kinds.items()}
            for stays, bounds in self._peers.stays.items():
                here = _intervals.overlap(bounds, start, end)
                if here is not None:
                    yield from self._paired((), identity, stays, here[0], theirs, theirs)
                    for sort, inside in product(self._sorts, (False, True)):
                        kind = _Kind(sort, inside, relay_from_authz=False)
                        if self._all_asked(stays, theirs, kind):
                            continue
                        taken = len(kinds.get(kind._replace(relay_from_authz=True), ()))
                        peer = self._crowd(stays, sort, inside=inside).more_than(taken, start, end)
                        if peer is not None:
                            others = {kind: self._other(kind, peer, listed)}
                            yield from self._paired((), identity, stays, peer, theirs, others)
                            yield from self._paired((), identity, stays, peer, others, theirs)

    def _all_asked(self, stays: _Membership, theirs: Iterable[_Kind], kind: _Kind) -> bool:
        """Whether nothing is left to ask about any of `theirs` beside another kind."""
        return all(
            ((), stays, one, kind) in self._asked and ((), stays, kind, one) in self._asked
            for one in theirs
        )

    def _other(self, kind: _Kind, peer: int, listing: Collection[_Item]) -> _Item:
        """Something of a kind for a peer that is not in `listing`."""
        return next(
            item
            for item in self._items
            if _kind(item, peer, listed=False) == kind and item not in listing
        )

    def _crowd(self, stays: _Membership, sort: _Sort, *, inside: bool) -> _Crowd:
        """How many entries of a sort have a peer in `relay_from`, or have not."""
        key = (stays, sort, inside)
        if key not in self._crowds:
            sets = [item.relay_from for item in self._items if item.sort == sort]
            self._crowds[key] = _Crowd(sets, self._peers.stays[stays], inside=inside)
        return self._crowds[key]

    def _paired(
        self,
        who: _Who,
        identity: str | None,
        stays: _Membership,
        peer: int,
        senders: _Kinds,
        recipients: _Kinds,
    ) -> Iterator[RcptRequest]:
        """A question for each pair that has not been asked about."""
        for sender, recipient in product(senders, recipients):
            question = (who, stays, sender, recipient)
            if question not in self._asked:
                self._asked.add(question)
                yield RcptRequest(
                    self._listener,
                    str(ip_address(peer)),
                    _address(senders[sender].domain, "<>"),
                    _address(recipients[recipient].domain, "postmaster"),
                    identity,
                )


def _stretches(
    items: Collection[_Item], listing: Collection[_Item], ends: Iterable[int] = ()
) -> Iterator[tuple[int, int, dict[_Kind, dict[_Item, None]]]]:
    """The line of addresses, cut at the ends of blocks, with the items of each kind in between.

    listing: the items that list the identity. ends: where to cut besides.
    """
    of_kind: dict[_Kind, dict[_Item, None]] = {}
    edges: dict[int, list[_Item]] = {end: [] for end in (0, LINE_END, *ends)}
    for item in items:
        kind = _Kind(item.sort, relay_from=False, relay_from_authz=item in listing)
        of_kind.setdefault(kind, {})[item] = None
        for edge in item.relay_from:
            edges.setdefault(edge, []).append(item)
    for start, end in pairwise(sorted(edges)):
        for item in edges[start]:
            # a set begins or ends at its edges: the item has been of the other kind
            kind = _kind(item, start, listed=item in listing)
            del of_kind[kind._replace(relay_from=not kind.relay_from)][item]
            of_kind.setdefault(kind, {})[item] = None
        yield start, end, {kind: those for kind, those in of_kind.items() if those}


def _kind(item: _Item, peer: int, *, listed: bool) -> _Kind:
    return _Kind(item.sort, _intervals.contains(item.relay_from, peer), listed)


def _address(domain: str, without_domain: str) -> str:
    return f"someone@{domain}" if domain else without_domain


class _Crowd:
    """For every peer of some addresses, in how many of some sets it is, or is not."""

    def __init__(self, sets: Sequence[Bounds], among: Sequence[int], *, inside: bool) -> None:
        changes = Counter[int]()
        for bounds in sets:
            changes.update(bounds[::2])
            changes.subtract(bounds[1::2])
        self._starts: list[int] = []
        self._ends: list[int] = []
        counts: list[int] = []
        count = 0 if inside else len(sets)
        for start, end in pairwise(sorted({0, LINE_END, *changes, *among})):
            count += changes[start] if inside else -changes[start]
            if bisect_right(among, start) & 1:
                self._starts.append(start)
                self._ends.append(end)
                counts.append(count)
        # a tree in a list: the greater of the children of n, 2n and 2n + 1, is at n
        self._greatest = [0] * len(counts) + counts
        for node in reversed(range(1, len(counts))):
            self._greatest[node] = max(self._greatest[2 * node : 2 * node + 2])

    def more_than(self, number: int, start: int, end: int) -> int | None:
        """A peer in a range that is in more sets than that; O(log n)."""
        size = len(self._starts)
        low = size + bisect_right(self._ends, start)
        high = size + bisect_left(self._starts, end)
        while low < high:
            for node in {low, high - 1} if low & 1 or high & 1 else ():
                if self._greatest[node] > number:
                    return max(start, self._starts[self._leaf(node, number) - size])
            low, high = (low + 1) // 2, high // 2
        return None

    def _leaf(self, node: int, number: int) -> int:
        """A leaf below a node that is greater than that."""
        while node < len(self._starts):
            node *= 2
            node += self._greatest[node] <= number
        return node
