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
  there is room for) one name in fifty is looked for that the better way would have found.
- Exact names, if they fit in, are there from the beginning and are never forgotten, so that one
  lookup finds whatever is known. If they are too many they have a table of their own, which is
  looked in when a name is not known, and they are not remembered.
- Other names, which had to be looked for, are remembered one and all while few are known, and the
  more rarely the more are known, down to one of `RAREST` + 1: what is asked about often soon is
  known, and names that never repeat are rarely stored, which is what costs. To remember a name at
  the second question, its hash being put aside at the first, cost a tenth to a sixth of the floor's
  decision more.

Threads need no lock: each operation on a dictionary is one step, and whatever order they take,
what is found is right. With `n` threads there may be `n - 1` keys too many for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, TypeVar, final

__all__ = [
    "FEW",
    "LONGEST_KEY",
    "RAREST",
    "ROOM_FOR_DOMAINS",
    "ROOM_FOR_LISTENERS",
    "Memory",
]

K = TypeVar("K")
V = TypeVar("V")

LONGEST_KEY: Final = 63
"""In characters: longer names are rare, and are never remembered."""

ROOM_FOR_DOMAINS: Final = 2**13
"""How many domains a policy remembers, its listeners taken together.

A key takes at most 112 bytes and its place in the dictionary 40: 1.25 MB, if all are that long.
With sixteen times the room, decisions took up to a sixth longer, the frequent names' too: what is
looked for is then seldom in the processor's cache.
"""

FEW: Final = 2**9
"""For so many names that are known, two more are passed over before the next is remembered. Two,
since senders and recipients take turns, and each must come to be the one."""

RAREST: Final = 16
"""How many names are passed over at most."""

ROOM_FOR_LISTENERS: Final = 2**10
"""How many listeners a policy remembers as texts, and as many as address tuples: 0.5 MB."""


@final
class Memory(Generic[K, V]):
    """What is known about names, and forgotten when it is too much.

    room: how many keys there may be. Without room for any, only the last is remembered.
    always: what is known from the beginning, and is never forgotten.
    """

    __slots__ = ("_always", "_room", "known")

    def __init__(self, room: int, always: Mapping[K, V] | None = None) -> None:
        self._room = room
        self.known: dict[K, V] = dict(always or ())
        """A plain dictionary, to look keys up: a subclass takes a third longer."""
        self._always = frozenset(self.known)

    def remember(self, key: K, value: V) -> int:
        """Keep a value that would be found again for the same key.

        Returns how many keys to pass over before the next is worth remembering.
        """
        known = self.known
        if len(known) >= self._room:
            self._forget()
        known[key] = value
        return min(2 * ((len(known) - len(self._always)) // FEW), RAREST)

    def _forget(self) -> None:
        """Forget all but what is always known, which is there at every moment."""
        for key in list(self.known):
            if key not in self._always:
                self.known.pop(key, None)  # another thread may be doing the same
