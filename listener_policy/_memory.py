"""What is remembered between decisions: the one place in the package that changes.

A mail server asks about few names often. What was found out about a name is remembered, so that the
second question about it costs one dictionary lookup. The rules for it:

- Keys are names: domains and listeners, as they were spelled. Nothing is remembered by peer, by
  identity or by message, so that nothing about one client can be told from the answers to another.
- What is remembered is what would be found again: nobody can see from outside whether it was
  (rule 5.2). It is no part of what a policy means, and is not pickled.
- It is bounded: keys are ASCII and have at most `LONGEST_KEY` characters, and all is forgotten when
  as many are remembered as there is room for. That is cruder than to forget the oldest, and there
  is nothing to keep up while all goes well. With a server's traffic (Zipf's, over more names than
  there is room for) one name in fifty is looked for that the better way would have found.
- Listeners share the room, since some are asked more than others, and a policy may have thousands.
- What is written in the policy, if there is not too much of it, is known from the beginning and
  never forgotten, so that one lookup finds whatever is known. Exact names, if they are too many,
  have a table of their own, which is looked in when a name is not known; they are not remembered.
- Other names, which had to be looked for, are remembered one and all while few are, and the more
  rarely the more are remembered, down to one of `RAREST` + 1: what is asked about often soon is
  known, and names that never repeat are rarely stored, which is what costs. To remember a name at
  the second question, its hash being put aside at the first, cost a tenth to a sixth of the floor's
  decision more.

Threads need no lock: each operation on a dictionary or a counter is one step, and whatever order
they take, what is found is right. What is remembered while another thread forgets may be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Final, Generic, TypeVar, final

__all__ = [
    "FEW",
    "LONGEST_KEY",
    "RAREST",
    "ROOM_FOR_DOMAINS",
    "ROOM_FOR_LISTENERS",
    "Known",
    "Memory",
]

K = TypeVar("K")
V = TypeVar("V")

LONGEST_KEY: Final = 63
"""In characters: longer names are rare, and are never remembered."""

ROOM_FOR_DOMAINS: Final = 2**13
"""How many domains a policy remembers, at all of its listeners.

A key takes at most 112 bytes, and each name that is known at most 40 in its table: 1.4 MB, if all
are that long. With sixteen times the room, decisions took up to a sixth longer, the frequent names'
too: what is looked for is then seldom in the processor's cache.
"""

FEW: Final = 2**9
"""For so many names that are remembered, two more are passed over before the next is. Two, since
senders and recipients take turns, and each must come to be the one."""

RAREST: Final = 16
"""How many names are passed over at most."""

ROOM_FOR_LISTENERS: Final = 2**10
"""How many listeners a policy remembers as texts, and as many as address tuples: 0.5 MB. Those that
it names are known besides."""


@final
class Known(Generic[K, V]):
    """What is known about names at one place.

    always: what is known from the beginning, and is never forgotten; it is not copied.
    """

    __slots__ = ("always", "by_name")

    def __init__(self, always: Mapping[K, V]) -> None:
        self.always = always
        self.by_name = dict(always)
        """A plain dictionary, to look names up: in a subclass that takes a third longer. It is
        another one after something was forgotten: those that have been emptied stay large."""


@final
class Memory(Generic[K, V]):
    """Room for so many names, which several places share.

    room: how many are remembered. Where there is room for none, the last one is.
    """

    __slots__ = ("_everywhere", "_places", "_room")

    def __init__(self, room: int) -> None:
        self._room = room
        self._places = count(1)
        self._everywhere: list[Known[K, V]] = []

    def known(self, always: Mapping[K, V]) -> Known[K, V]:
        """What is known at one more place; to begin with, what is always known there."""
        known = Known(always)
        self._everywhere.append(known)
        return known

    def remember(self, known: Known[K, V], name: K, value: V) -> int:
        """Keep a value that would be found again, for a name that is not known at its place.

        Returns how many names to pass over before the next is worth remembering.
        """
        remembered = next(self._places)
        if remembered > self._room:
            remembered = 1
            self._places = count(2)
            for each in self._everywhere:
                if len(each.by_name) > len(each.always):
                    each.by_name = dict(each.always)
        known.by_name[name] = value
        return min(2 * (remembered // FEW), RAREST)
