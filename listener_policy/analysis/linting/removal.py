"""What would govern instead, if one entry were not there.

Removing an entry changes what is said of the domains that it governs, and, under `DOCUMENTED`, of
no others: the next longest suffix governs them, or `*`, or, at a listener with entries of its own,
whatever the table of listener `*` has for them.

Under `KUMOMTA` (rule 2.4) a key also makes its name and the parents of its name nodes of the tree,
and a name that is a node has no wildcard. If the key goes, the nodes go of which it was the only
one. Then all names at and below the topmost of them have another closest encloser, the nearest node
that is left, and the wildcard there governs them, if there is one. Before, nothing in the table
governed them, but for the domains of the key itself.

Either way it is enough to look at a few classes of domains near the key. Nothing is compared with
the rest of the table, so that all entries together cost about as much as there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from listener_policy.analysis.classes import DomainClass, Partition, Said, View, parents
from listener_policy.decision import Dialect, EntryRef
from listener_policy.domains import EVERY_DOMAIN, WILDCARD
from listener_policy.listeners import EVERY_LISTENER

__all__ = ["Instead", "Removals", "next_pattern"]


class Instead(NamedTuple):
    """A class of domains, what governs it, and what would."""

    domain: DomainClass
    before: Said
    after: Said


class Removals:
    """What the removal of each entry of one table would change."""

    def __init__(self, view: View, listener: str, patterns: Mapping[str, object]) -> None:
        """Look at the table of a listener, `patterns`, which are the keys of its entries."""
        self._view = view
        self._listener = listener
        self._patterns = patterns
        self.own: Final = Partition([view.keys(listener)])
        self.fine: Final = Partition([view.keys(listener), view.keys(EVERY_LISTENER)])
        self._tree = view.dialect is Dialect.KUMOMTA
        self._keys_at: Counter[str] = Counter()
        """By node, how many keys make it one."""
        if self._tree:
            for name in map(_name, patterns):
                if name and name[0] != "[":
                    self._keys_at.update((name, *parents(name)))

    def of(self, pattern: str) -> Iterator[Instead]:
        """The classes that may be governed by another entry, or by none, without this one.

        First those that it governs. None if it governs nothing and hides nothing.
        """
        entry = self._view.says(EntryRef(self._listener, pattern))
        vanishing = self._vanishing(pattern)
        instead = self._instead(pattern, vanishing)
        for domain in self.own.of(pattern):
            yield from self._parts(domain, entry, instead, pattern)
        if instead is not None and vanishing:
            around = [key for node in vanishing for key in (node, WILDCARD + node)]
            for key in around:
                if key != pattern:
                    for domain in self.own.of(key):
                        yield from self._parts(domain, None, instead, pattern)

    def _parts(
        self, domain: DomainClass, before: Said | None, after: Said | None, without: str | None
    ) -> Iterator[Instead]:
        """A class, divided where the table of listener `*` counts."""
        if self._listener == EVERY_LISTENER:
            last = self._last_resort()
            yield Instead(
                domain,
                before or last,
                after or (self._view.nothing if without == EVERY_DOMAIN else last),
            )
        elif before is not None and after is not None:
            yield Instead(domain, before, after)
        else:
            for part in self.fine.within(domain.pattern, self.own):
                shared = self._view.shared(part)
                yield Instead(part, before or shared, after or shared)

    def _last_resort(self) -> Said:
        """What the table of listener `*` says where the tree has nothing (rule 2.5)."""
        if self._tree and EVERY_DOMAIN in self._patterns:
            return self._view.says(EntryRef(EVERY_LISTENER, EVERY_DOMAIN))
        return self._view.nothing

    def _vanishing(self, pattern: str) -> list[str]:
        """The nodes that no other key would make nodes, the topmost last (rule 2.4)."""
        name = _name(pattern)
        vanishing: list[str] = []
        if self._tree and name:
            for node in (name, *parents(name)):
                if self._keys_at[node] != 1:
                    break
                vanishing.append(node)
        return vanishing

    def _instead(self, pattern: str, vanishing: list[str]) -> Said | None:
        """What this table would say of the domains of an entry, if it says anything then."""
        if not self._tree or pattern.startswith("["):
            key = next_pattern(pattern, self._patterns)
        elif not vanishing:
            key = None  # the name stays a node: it keeps the wildcards above away
        else:
            encloser = vanishing[-1].partition(".")[2]
            wildcard = WILDCARD + encloser if encloser else EVERY_DOMAIN
            key = wildcard if wildcard in self._patterns else None
        return None if key is None else self._view.says(EntryRef(self._listener, key))


def next_pattern(pattern: str, patterns: Mapping[str, object]) -> str | None:
    """The key that comes after a pattern in the order of rule 2.3, or `None`."""
    if pattern[:1] != "[":
        for parent in parents(_name(pattern)):
            if WILDCARD + parent in patterns:
                return WILDCARD + parent
    return EVERY_DOMAIN if pattern != EVERY_DOMAIN and EVERY_DOMAIN in patterns else None


def _name(pattern: str) -> str:
    """The name of a pattern without its `*`; `*` has none."""
    return "" if pattern == EVERY_DOMAIN else pattern.removeprefix(WILDCARD)
