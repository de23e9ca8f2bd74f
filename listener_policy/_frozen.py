"""A mapping that cannot be changed, and yet can be hashed, pickled and copied.

`types.MappingProxyType` can do none of the three, and shows every change of the dict below it.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import Generic, Self, TypeVar

K = TypeVar("K")
K2 = TypeVar("K2")
V_co = TypeVar("V_co", covariant=True)
V2 = TypeVar("V2")


class FrozenMapping(Mapping[K, V_co], Generic[K, V_co]):
    """An immutable mapping, equal to any mapping of the same items."""

    __slots__ = ("_items",)

    _items: dict[K, V_co]

    def __new__(cls, items: Mapping[K, V_co] | Iterable[tuple[K, V_co]] = ()) -> Self:
        made = super().__new__(cls)
        made._items = dict(items)
        return made

    @staticmethod
    def owning(items: dict[K2, V2]) -> FrozenMapping[K2, V2]:
        """The mapping of a dict that nobody else holds, which is not copied."""
        made: FrozenMapping[K2, V2] = FrozenMapping()
        made._items = items
        return made

    def __reduce__(self) -> tuple[object, ...]:
        return FrozenMapping, (self._items,)

    def __getitem__(self, key: K) -> V_co:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> ItemsView[K, V_co]:
        """The items, by the dictionary's own view: that of `Mapping` looks each key up."""
        return self._items.items()

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)
