"""Trees of text that fit a terminal of 80 columns, whatever stands in them.

    the answer
    |- a reason
    |  `- what it rests on
    `- another

They are drawn in ASCII, so that a terminal of any encoding shows their shape, and names in them
are escaped and shortened: nothing that came from the network moves the cursor, reverses the line
or pushes the rest of it off the screen.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple
from unicodedata import east_asian_width

from listener_policy._display import printable

__all__ = ["WIDTH", "Tree", "drawn", "name"]

WIDTH: Final = 80
"""How many columns a line has at most."""

_NAME_LIMIT: Final = 46
"""How many columns a name takes at most, without its quotes."""

_GAP: Final = "[...]"
"""What stands for the middle of a name that is too long."""


class Tree(NamedTuple):
    """A line and what hangs below it."""

    text: str
    branches: tuple[Tree, ...] = ()
    indent: int = 2
    """By how many columns the text is indented where it goes on in another line."""


def drawn(tree: Tree) -> str:
    """The tree as lines of at most 80 columns, without a newline at the end."""
    return "\n".join(_lines(tree, "", ""))


def name(text: str) -> str:
    """A name in quotes: escaped, and without its middle if it is long.

    A name means something at both of its ends, a domain above all at the last. Costs no more for a
    name of a million characters.
    """
    kept = text if len(text) <= 2 * _NAME_LIMIT else text[:_NAME_LIMIT] + text[-_NAME_LIMIT:]
    pieces = [printable(character) for character in kept]
    if len(kept) < len(text) or sum(map(_columns, pieces)) > _NAME_LIMIT:
        half = (_NAME_LIMIT - len(_GAP)) // 2
        head = _fitting(pieces, half)
        tail = reversed(_fitting(pieces[::-1], half))
        pieces = [*head, _GAP, *tail]
    return f'"{"".join(pieces)}"'


def _lines(tree: Tree, first: str, rest: str) -> Iterator[str]:
    """The lines of a tree. `first` stands before the first of them, `rest` before the others."""
    text, branches, indent = tree
    going_on = (rest + ("|" if branches else "")).ljust(len(rest) + indent)
    start, *others = _wrapped(text, WIDTH - len(first), WIDTH - len(going_on))
    yield first + start
    yield from (going_on + line for line in others)
    for branch in branches[:-1]:
        yield from _lines(branch, rest + "|- ", rest + "|  ")
    for branch in branches[-1:]:
        yield from _lines(branch, rest + "`- ", rest + "   ")


def _wrapped(text: str, width: int, width_of_others: int) -> Iterator[str]:
    """The words of a text as lines, the first of at most `width` columns."""
    line: list[str] = []
    free = width
    for word in text.split(" "):
        if line and _columns(word) >= free:
            yield " ".join(line).rstrip()
            line, free = [], width_of_others
        free -= _columns(word) + bool(line)
        line.append(word)
    yield " ".join(line)


def _fitting(pieces: list[str], width: int) -> list[str]:
    """The first pieces that fit into `width` columns."""
    ends = accumulate(map(_columns, pieces))
    return pieces[: sum(end <= width for end in ends)]


def _columns(text: str) -> int:
    """How many columns a text takes at most; ambiguous characters are wide on some terminals."""
    return len(text) + sum(east_asian_width(character) in "AFW" for character in text)
