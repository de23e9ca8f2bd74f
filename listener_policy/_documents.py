"""From text to a mapping, TOML or JSON, and back to TOML (rule 3.4).

Whatever the text is, the outcome is a mapping or problems; no exception of a parser gets out.
"""

from __future__ import annotations

import json
import re
from codecs import unicode_escape_decode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias, cast

import tomli

from listener_policy._display import (
    KEY_LIMIT,
    described,
    option_key,
    printable,
    quoted,
    quoted_key,
    shorten,
)
from listener_policy._problems import ProblemList

__all__ = ["LISTENER", "Text", "parse_json", "parse_toml", "toml_string", "toml_value"]

Text: TypeAlias = str | bytes

LISTENER: Final = "listener"
"""The key of the top level that is no domain: the table of listeners (rule 2.1)."""

_BYTE_ORDER_MARK = "\ufeff"


def parse_toml(text: Text, document: int, problems: ProblemList) -> Mapping[str, object] | None:
    """The table that a TOML document is, or `None` after adding what is wrong with it."""
    return _parse("TOML", tomli.loads, text, document, problems)


def parse_json(text: Text, document: int, problems: ProblemList) -> Mapping[str, object] | None:
    """The object that a JSON document is, or `None` after adding what is wrong with it."""
    repeated: list[tuple[dict[str, object], str, int]] = []

    def no_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            times = Counter(key for key, _ in pairs)
            repeated.extend((found, key, count) for key, count in times.items() if count > 1)
        return found

    def loads(decoded: str) -> object:
        return json.loads(decoded, object_pairs_hook=no_repetition, parse_constant=_no_constant)

    table = _parse("JSON", loads, text, document, problems)
    if table is not None and repeated:
        places = _places(table)
        for found, key, count in repeated:
            if id(found) in places:  # otherwise it is in something that was itself replaced
                message = f"expected {quoted(key)} once in its object, found it {count} times"
                problems.add(document, _path([*_keys_to(id(found), places), key]), message)
    return table


def _parse(
    language: str,
    loads: Callable[[str], object],
    text: Text,
    document: int,
    problems: ProblemList,
) -> Mapping[str, object] | None:
    if not isinstance(cast("object", text), str | bytes):
        hint = "`Policy.from_mapping` takes a mapping" if isinstance(text, Mapping) else None
        found = described(text)
        problems.add(
            document, "", f"expected {language} as `str` or UTF-8 `bytes`, found {found}", hint
        )
        return None
    try:
        decoded = str.__str__(text) if isinstance(text, str) else bytes.decode(text)
        parsed = loads(decoded.removeprefix(_BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"expected UTF-8, found the byte 0x{error.object[error.start]:02x} (line {line})"
        problems.add(document, "", message)
        problems.caused_by(error)
        return None
    except RecursionError as error:
        problems.add(document, "", f"not {language} that can be read: values are nested too deeply")
        problems.caused_by(error)
        return None
    except ValueError as error:  # a syntax error, or a number of 5,000 digits
        problems.add(document, "", f"not {language}: {_sentence(error)}")
        problems.caused_by(error)
        return None
    if not isinstance(parsed, dict):
        problems.add(document, "", f"expected a table of entries, found {described(parsed)}")
        return None
    return cast("dict[str, object]", parsed)


def _no_constant(name: str) -> object:
    raise ValueError(f"`{name}` is no JSON number")


_STRING_IN_PYTHON: Final = r"""(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+")"""
_KEY_IN_PYTHON: Final = re.compile(
    rf"(?:declare|namespace) (?P<key>\((?:{_STRING_IN_PYTHON}(?:, |,?(?=\))))++\))"
)
"""How tomli names a table that is written twice: as a Python tuple."""


def _sentence(error: ValueError) -> str:
    """What a parser says, with its line and column, as part of one line."""
    said = str(error).partition("; use sys.")[0]
    said = said[:1].lower() + said[1:]
    twice = _KEY_IN_PYTHON.search(said)
    if twice:
        path = shorten(_path(_strings(twice["key"])), KEY_LIMIT)
        return f"{said[: twice.start('key')]}`{path}`{said[twice.end('key') :]}"
    if len(said) > KEY_LIMIT:  # the beginning says what, the end says where
        said = f"{said[: KEY_LIMIT // 2]}...{said[-KEY_LIMIT // 4 :]}"
    return printable(said).replace('\\"', '"')


def _strings(written: str) -> list[str | int]:
    """The strings that are written in Python."""
    return [
        unicode_escape_decode(string[1:-1].encode("latin-1", "backslashreplace"))[0]
        for string in re.findall(_STRING_IN_PYTHON, written)
    ]


_Places: TypeAlias = dict[int, tuple[int, str | int]]
"""Where each table and list is, by identity: in what, by its identity, and under which key."""


def _places(table: Mapping[str, object]) -> _Places:
    places: _Places = {id(table): (0, "")}
    todo: list[object] = [table]
    while todo:
        outer = todo.pop()
        items: Iterable[tuple[str | int, object]] = (
            cast("dict[str, object]", outer).items()
            if isinstance(outer, dict)
            else enumerate(cast("list[object]", outer))
        )
        for key, inner in items:
            if isinstance(inner, dict | list):
                places[id(cast("object", inner))] = id(cast("object", outer)), key
                todo.append(cast("object", inner))
    return places


def _keys_to(identity: int, places: _Places) -> list[str | int]:
    """The keys that lead to a table or list."""
    keys: list[str | int] = []
    outer, key = places[identity]
    while outer:  # nothing has the identity 0, so that it stands for what is around the document
        keys.append(key)
        outer, key = places[outer]
    return keys[::-1]


def _path(keys: list[str | int]) -> str:
    """Keys as a path in a document of entries: listeners and patterns quoted, options bare."""
    written = ""
    names = 3 if keys[0] == LISTENER else 1
    for depth, key in enumerate(keys):
        if isinstance(key, int):
            written += f"[{key}]"
        elif depth == 0 and key == LISTENER:
            written = LISTENER
        else:
            written += "." + (quoted_key(key) if depth < names else option_key(key))
    return written.removeprefix(".")


def toml_string(text: str) -> str:
    """A text as a TOML basic string.

    A lone surrogate, which TOML cannot escape, stays what it is: a `str` holds it, UTF-8 cannot.
    """
    return '"' + "".join(c if "\ud800" <= c <= "\udfff" else printable(c) for c in text) + '"'


def toml_value(value: object) -> str:
    """A boolean, number, string or list of strings as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_string, cast('list[str]', value)))}]"
    return repr(value)
