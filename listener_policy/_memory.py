"""What is remembered between decisions: the one place in the package that changes.

A mail server asks about few names often. What was found out about a name is remembered, so that the
second question about it costs one dictionary lookup. The rules for it:

- Keys are names: domains and listeners, as they were spelled. Nothing is remembered by peer, by
  identity or by message, so that nothing about one client can be told from the answers to another.
- What is remembered is what would be found again: nobody can see from outside whether it was
  (rule 5.2). It is no part of what a policy means, and is not pickled.
- It is bounded: keys are ASCII and have at most `LONGEST_KEY` characters, and all is forgotten when
  as many are known as there is room for. That is cruder than to forget the oldest, and there is
  nothing to keep up while all goes well. With a server's traffic (Zipf's, over more names than
  there is room for) it finds all but a twentieth of what the better way finds.
- A domain is remembered when it is asked about for the second time within a while. A client that
  never asks about the same name twice takes no room from the others, and its names cost a tenth of
  a microsecond each to be looked for and put aside. To store them all took four times as long.

Threads need no lock: each operation on a dictionary is one step, and whatever order they take,
what is found is right. With `n` threads there may be `n - 1` keys too many for a moment.
"""

from __future__ import annotations

from typing import Final, TypeVar, final

__all__ = ["LONGEST_KEY", "ROOM_FOR_DOMAINS", "ROOM_FOR_LISTENERS", "Memory"]

K = TypeVar("K")
V = TypeVar("V")

LONGEST_KEY: Final = 63
"""In characters: longer names are rare, and are never remembered."""

ROOM_FOR_DOMAINS: Final = 2**17
"""How many domains a policy remembers, its listeners taken together.

A key takes at most 112 bytes and its place in the dictionary 40: 20 MB, if all are that long.
"""

SEEN_LATELY: Final = 2**12
"""Places for the hashes of names that were asked about once: 32 kB for each listener with entries.

Numbers in an array, since a name that is put aside must be fetched from memory to be dropped.
"""

ROOM_FOR_LISTENERS: Final = 2**10
"""How many listeners a policy remembers as texts, and as many as address tuples: 0.5 MB."""


@final
class Memory(dict[K, V]):
    """A dictionary that forgets everything when it is full."""

    __slots__ = ("_room",)

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def remember(self, key: K, value: V) -> None:
        """Keep a value that would be found again for the same key."""
        if len(self) >= self._room:
            self.clear()
        self[key] = value
