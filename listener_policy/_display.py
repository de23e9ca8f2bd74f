"""How values from outside are shown in messages.

They may be hostile: endless, nested without end, full of control characters, or objects whose
methods raise. Whatever they are, what is shown is short and plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time

LIMIT = 100
"""How many characters of a value are shown at most (rule 1.1)."""

KEY_LIMIT = 300
"""How many characters of a key are shown in a path: more than any domain has."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def shorten(text: str, limit: int = LIMIT) -> str:
    """Return `text`, or its beginning with an ellipsis if it is longer than the limit."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def shown(value: object) -> str:
    """Return `ascii(value)`, at most 100 characters, whatever the value is (rule 1.1)."""
    try:
        if isinstance(value, str):
            # ascii() of ten megabytes would cost ten megabytes
            return shorten(ascii(str.__str__(value)[:LIMIT]))
        if isinstance(value, bytes):
            return shorten(ascii(bytes.__getitem__(value, slice(LIMIT))))
        return shorten(ascii(value))
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type(value).__name__}>"


def printable(text: str) -> str:
    """Return `text` with everything that does not print (controls, bidi, surrogates) escaped.

    The escapes are those of a TOML basic string.
    """
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text  # a document of a million entries may have as many problems
    return "".join(map(_printable_character, text))


def excerpt(text: str, limit: int = LIMIT) -> str:
    """Return the beginning of `text`, printable: at most `limit` characters, escapes included."""
    return shorten(printable(shorten(text, limit)), limit)


def _printable_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted_key(key: object) -> str:
    """Return a key of a document as it stands in a path: quoted, printable."""
    if isinstance(key, str):
        return f'"{excerpt(str.__str__(key), KEY_LIMIT)}"'
    return shown(key)


def option_key(key: object) -> str:
    """Return the name of an option as it stands in a path: bare, if TOML allows that."""
    if isinstance(key, str) and len(key) <= KEY_LIMIT and _BARE_KEY.fullmatch(key):
        return str.__str__(key)
    return quoted_key(key)


def quoted(text: str) -> str:
    """Return a text in backticks, printable and short."""
    if not text:
        return "an empty string"
    return f"`{excerpt(text)}`"


def described(value: object) -> str:
    """Return what a value of a document is, in the words of TOML and JSON (rule 3.4)."""
    match value:
        case None:
            return "null"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'the string `"{excerpt(str.__str__(value))}"`'
        case int():
            # the text of an integer of 5,000 digits cannot be had
            is_small = int.bit_length(value) <= 64
            return f"the integer `{int.__repr__(value)}`" if is_small else "a huge integer"
        case float():
            return f"the number `{float.__repr__(value)}`"
        case Mapping():
            return "a table"
        case list() | tuple() | set() | frozenset():
            return "a list"
        case date() | time():
            return "a date or time"
        case bytes():
            return "bytes"
        case _:
            return f"a value of type `{type(value).__name__}`"
