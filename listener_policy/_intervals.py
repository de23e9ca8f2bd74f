"""Sets of integers as sorted boundaries, and their Boolean algebra.

A set is a strictly increasing tuple of an even number of integers, `(a, b, c, d, ...)`, which
stands for `a <= n < b` or `c <= n < d` and so on. Every set has exactly one such tuple, so that
equality of tuples is equality of sets, and membership is one binary search: a number is inside
if the count of boundaries at or below it is odd.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

__all__ = [
    "EMPTY",
    "Bounds",
    "aligned_blocks",
    "contains",
    "difference",
    "from_ranges",
    "intersection",
    "interval",
    "overlap",
    "symmetric_difference",
    "union",
]

Bounds: TypeAlias = tuple[int, ...]

EMPTY: Bounds = ()


def contains(bounds: Bounds, number: int) -> bool:
    """Whether `number` is in the set, in O(log n)."""
    return bisect_right(bounds, number) & 1 == 1


def interval(bounds: Bounds, number: int) -> tuple[int, int] | None:
    """The longest range `(start, end)` of the set around `number`, or `None`, in O(log n)."""
    end = bisect_right(bounds, number)
    return (bounds[end - 1], bounds[end]) if end & 1 else None


def from_ranges(ranges: Iterable[tuple[int, int]]) -> Bounds:
    """The union of half-open ranges `(start, end)`, none of which is empty; O(n log n)."""
    bounds: list[int] = []
    for start, end in sorted(ranges):
        if not bounds or start > bounds[-1]:
            bounds += (start, end)
        elif end > bounds[-1]:
            bounds[-1] = end
    return tuple(bounds)


def union(a: Bounds, b: Bounds) -> Bounds:
    """The numbers in either set."""
    return _combined(a, b, lambda in_a, in_b: in_a or in_b)


def intersection(a: Bounds, b: Bounds) -> Bounds:
    """The numbers in both sets."""
    return _combined(a, b, lambda in_a, in_b: in_a and in_b)


def difference(a: Bounds, b: Bounds) -> Bounds:
    """The numbers in the first set that are not in the second."""
    return _combined(a, b, lambda in_a, in_b: in_a and not in_b)


def symmetric_difference(a: Bounds, b: Bounds) -> Bounds:
    """The numbers in exactly one of the sets."""
    return _combined(a, b, lambda in_a, in_b: in_a is not in_b)


def _combined(a: Bounds, b: Bounds, keep: Callable[[bool, bool], bool]) -> Bounds:
    """The numbers for which `keep(in_a, in_b)` holds; `keep(False, False)` must not.

    Membership in either set changes at the boundaries of one of them and nowhere else, so it is
    enough to look there; O(n log n).
    """
    bounds: list[int] = []
    inside = False
    for number in sorted({*a, *b}):
        if keep(contains(a, number), contains(b, number)) is not inside:
            bounds.append(number)
            inside = not inside
    return tuple(bounds)


def overlap(bounds: Sequence[int], start: int, end: int) -> tuple[int, int] | None:
    """The first range of the set that has numbers in `start <= n < end`, cut to those; O(log n)."""
    index = bisect_right(bounds, start)
    if index & 1:
        return start, min(end, bounds[index])
    if index < len(bounds) and bounds[index] < end:
        return bounds[index], min(end, bounds[index + 1])
    return None


def aligned_blocks(bounds: Bounds) -> Iterator[tuple[int, int]]:
    """The fewest blocks `(start, size)` that make up the set, in order.

    `size` is a power of two and `start` a multiple of it: what CIDR calls a block.
    """
    for start, end in zip(bounds[::2], bounds[1::2], strict=True):
        while start < end:
            alignment = start & -start or end  # zero is a multiple of everything
            size = min(alignment, 1 << (end - start).bit_length() - 1)
            yield start, size
            start += size  # noqa: PLW2901 - the rest of the range
