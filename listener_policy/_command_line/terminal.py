"""Terminals and other streams: writing, colour, and a sign of life while something takes long."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from threading import Event, Thread
from typing import Final, Self, TextIO, TypeAlias

from listener_policy._display import excerpt

__all__ = ["Palette", "Progress", "Style", "can_colour", "is_terminal", "painted", "write"]


class Style(StrEnum):
    """How something stands out: the parameter of the terminal's SGR sequence."""

    BOLD = "1"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"


Palette: TypeAlias = Mapping[str, Style]
"""What stands out: regular expressions without groups, `^` and `$` being those of a line."""


def write(stream: TextIO | None, text: str) -> None:
    """Write a text at once, what the stream's encoding lacks being escaped.

    A stream that is closed (`None`, in Python) takes nothing. Raises `OSError` if the stream does
    not take it; it is then replaced by one that takes everything, since Python would try again to
    get rid of the text when it exits, and would complain.
    """
    if stream is None:
        return
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        raise


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal, and one that can do more than print."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def can_colour(stream: TextIO | None) -> bool:
    """Whether to colour what a stream gets: a terminal, unless NO_COLOR says no (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def painted(text: str, palette: Palette) -> str:
    """A text in colour. Without the escape sequences it is the same text."""
    styles = tuple(palette.values())
    anything = re.compile("|".join(f"({pattern})" for pattern in palette), re.MULTILINE)

    def paint(found: re.Match[str]) -> str:
        return f"\x1b[{styles[(found.lastindex or 0) - 1]}m{found[0]}\x1b[0m"

    return anything.sub(paint, text) if palette else text


class Progress:
    """Says on a terminal what is being done, once that takes long.

    The line appears after a second, with the seconds that have gone by, and is gone when the `with`
    block ends, however it ends. A stream that is no terminal is left alone.
    """

    _WIDTH: Final = 60
    """So much fits in a line of any terminal, with the seconds: it can be wiped out."""

    def __init__(self, stream: TextIO | None, *, patience: float = 1.0) -> None:
        """`patience`: after how many seconds the line appears, and how often it is renewed."""
        self._stream = stream
        self._patience = patience
        self._doing = ""
        self._line = ""
        self._begun = time.monotonic()
        self._done = Event()
        self._ticking = Thread(target=self._tick, daemon=True)

    def says(self, doing: str) -> None:
        """From now on this is being done."""
        self._doing = excerpt(doing, self._WIDTH)

    def __enter__(self) -> Self:
        if is_terminal(self._stream):
            self._ticking.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        if self._ticking.ident is not None:
            self._ticking.join()

    def _tick(self) -> None:
        with suppress(OSError):  # the terminal may go away
            while not self._done.wait(self._patience):
                self._show(f"{self._doing} ... {time.monotonic() - self._begun:.0f} s")
            self._show("")

    def _show(self, line: str) -> None:
        """Put a line, or nothing, in the place of the one that is shown."""
        if line or self._line:
            write(self._stream, f"\r{' ' * len(self._line)}\r{line}")
            self._line = line
