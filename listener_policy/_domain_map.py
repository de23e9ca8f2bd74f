"""The index from patterns to whatever governs a name (rules 2.3 and 2.4).

One walk serves both dialects. A name is looked up among the exact names; then the suffixes behind
its dots, longest first, are looked up among the suffixes of wildcards; then there is the default.

    b.a.example.com  ->  names["b.a.example.com"]
                         suffixes["a.example.com"], suffixes["example.com"], suffixes["com"]
                         default

Under `DOCUMENTED` that is rule 2.3. Under `KUMOMTA` (2.4) names form a tree, and what stops the
walk is compiled into the same two dictionaries: every node of the tree has a place in both. A node
without an entry has `unmatched` as its exact name, and a node without a wildcard directly under it
has `unmatched` as its suffix, so that the walk ends at the closest encloser whether or not it has
anything to give.

The empty domain has no dot, and what stands behind a dot of a literal ends in `]`, as no suffix
does: for them exact name and default are all there is, in both dialects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

from listener_policy.domains import EVERY_DOMAIN, WILDCARD

T = TypeVar("T")


_LONGER_THAN_ANY: Final = 255
_FEW_LABELS: Final = 32
"""Octets: so short a name has few labels, and to count them would take longer than to look."""
_MANY_LABELS: Final = 100
"""Octets: in so long a name, to cut labels off takes less time than to count them."""
FEW_SUFFIXES: Final = 4
"""To try each of so many suffixes takes no longer than to cut a label or two off and look."""
_MORE_LABELS: Final = 3
"""Labels: to look for so many in vain takes as long as to cut them off."""


class DomainMap(Generic[T]):
    """An immutable index from canonical patterns to values, none of which is `None`.

    patterns: canonical pattern -> value.
    closest_encloser: whether rule 2.4 holds (`KUMOMTA`) instead of 2.3.
    unmatched: what governs where 2.4 says that nothing does: for listener `*`, its default or what
        stands for no entry (rule 2.5); for others `None`, so that listener `*` is asked.
    """

    __slots__ = ("default", "few", "is_tree", "most_labels", "names", "shortest", "suffixes")

    def __init__(
        self,
        patterns: Mapping[str, T],
        *,
        closest_encloser: bool = False,
        unmatched: T | None = None,
    ) -> None:
        names: dict[str, T | None] = {}
        suffixes: dict[str, T | None] = {}
        for pattern, value in patterns.items():
            if pattern[0] != EVERY_DOMAIN:
                names[pattern] = value
            elif pattern != EVERY_DOMAIN:
                suffixes[pattern[len(WILDCARD) :]] = value
        if closest_encloser:
            for node in set(_nodes(names)) | set(_nodes(suffixes)):
                names.setdefault(node, unmatched)
                suffixes.setdefault(node, unmatched)
        self.is_tree = closest_encloser
        self.default = patterns.get(EVERY_DOMAIN)
        self.names: Mapping[str, T | None] = names
        self.suffixes: Mapping[str, T | None] = suffixes
        # of the suffixes: all others need not be looked for
        self.most_labels = max((suffix.count(".") + 1 for suffix in suffixes), default=0)
        self.shortest = min(map(len, suffixes), default=_LONGER_THAN_ANY)
        self.few: tuple[tuple[str, T | None], ...] | None = None
        """What names below the suffixes end in, the longest first; `None` if they are many."""
        if len(suffixes) <= FEW_SUFFIXES:
            longest_first = sorted(suffixes, key=len, reverse=True)
            self.few = tuple([("." + suffix, suffixes[suffix]) for suffix in longest_first])

    def governing(self, name: str) -> T | None:
        """What governs a canonical domain, or `None`.

        Costs one dictionary lookup for each label of the name, but not for more labels than the
        longest suffix has, nor for suffixes that are shorter than all there are, however many
        patterns there are.
        """
        return self.names[name] if name in self.names else self.beyond(name)

    def beyond(self, name: str) -> T | None:
        """The same for a name that is none of the `names`."""
        if self.few is not None:
            for ending, value in self.few:
                if name.removesuffix(ending) != name:  # `endswith` takes three times as long
                    return value
            return self.default
        suffixes, shortest = self.suffixes, self.shortest
        parent = name if len(name) <= _FEW_LABELS else _reachable(name, self.most_labels)
        while len(parent) > shortest:
            parent = parent.partition(".")[2]
            if parent in suffixes:
                return suffixes[parent]
        return self.default

    def closest_encloser(self, name: str) -> str:
        """The longest of a name and its ancestors that is a node; the root is `""` (rule 2.4).

        The name is canonical and no literal, and rule 2.4 must hold.
        """
        while name and name not in self.names:
            name = name.partition(".")[2]
        return name


def _reachable(name: str, most_labels: int) -> str:
    """A name without labels in front of which no suffix begins, if they are many.

    A name may have 127 labels, patterns have few.
    """
    if len(name) <= _MANY_LABELS and name.count(".") <= most_labels + _MORE_LABELS:
        return name
    labels = name.rsplit(".", most_labels)
    if len(labels) <= most_labels:
        return name
    labels[0] = ""
    return ".".join(labels)


def _nodes(names: Mapping[str, object]) -> Iterator[str]:
    """Every name that is no literal, and its ancestors below the root."""
    for name in names:
        node = "" if name[0] == "[" else name
        while node:
            yield node
            node = node.partition(".")[2]
