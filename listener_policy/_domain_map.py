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
from typing import Generic, TypeVar

from listener_policy.domains import EVERY_DOMAIN, WILDCARD

T = TypeVar("T")


class DomainMap(Generic[T]):
    """An immutable index from canonical patterns to values, none of which is `None`.

    patterns: canonical pattern -> value.
    closest_encloser: whether rule 2.4 holds (`KUMOMTA`) instead of 2.3.
    falls_to_default: whether the default governs also where 2.4 says that nothing does, as rule
        2.5 has it for the listener `*` under `KUMOMTA`.
    """

    __slots__ = ("_default", "_longest", "_names", "_suffixes")

    def __init__(
        self,
        patterns: Mapping[str, T],
        *,
        closest_encloser: bool = False,
        falls_to_default: bool = False,
    ) -> None:
        default = patterns.get(EVERY_DOMAIN)
        unmatched = default if falls_to_default else None
        names: dict[str, T | None] = {}
        suffixes: dict[str, T | None] = {}
        for pattern, value in patterns.items():
            if pattern.startswith(WILDCARD):
                suffixes[pattern[len(WILDCARD) :]] = value
            elif pattern != EVERY_DOMAIN:
                names[pattern] = value
        if closest_encloser:
            for node in set(_nodes(names)) | set(_nodes(suffixes)):
                names.setdefault(node, unmatched)
                suffixes.setdefault(node, unmatched)
        self._default = default
        self._names = names
        self._suffixes = suffixes
        # in labels
        self._longest = max((suffix.count(".") + 1 for suffix in suffixes), default=0)

    def governing(self, name: str) -> T | None:
        """What governs a canonical domain, or `None`.

        Costs one dictionary lookup for each label of the name, but not for more labels than the
        longest suffix has, however many patterns there are.
        """
        if name in self._names:
            return self._names[name]
        if name.count(".") > self._longest:
            # start at a parent that can be found: a name may have 127 labels, patterns have few
            name = ".".join(["", *name.rsplit(".", self._longest)[1:]])
        while name:
            name = name.partition(".")[2]
            if name in self._suffixes:
                return self._suffixes[name]
        return self._default

    def closest_encloser(self, name: str) -> str:
        """The longest of a name and its ancestors that is a node; the root is `""` (rule 2.4).

        The name is canonical and no literal, and rule 2.4 must hold.
        """
        while name and name not in self._names:
            name = name.partition(".")[2]
        return name


def _nodes(names: Mapping[str, object]) -> Iterator[str]:
    """Every name that is no literal, and its ancestors below the root."""
    for name in names:
        node = "" if name[0] == "[" else name
        while node:
            yield node
            node = node.partition(".")[2]
