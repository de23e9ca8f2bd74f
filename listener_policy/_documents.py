"""From text to a mapping, TOML or JSON, and back to TOML (rule 3.4).

Whatever the text is, the outcome is a mapping or problems; no exception of a parser gets out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import tomli

from listener_policy._display import described, option_key, printable, quoted
from listener_policy.errors import ProblemList

__all__ = ["Text", "parse_json", "parse_toml", "toml_string", "toml_value"]

Text: TypeAlias = str | bytes

_BYTE_ORDER_MARK = "\ufeff"


def parse_toml(text: Text, document: int, problems: ProblemList) -> Mapping[str, object] | None:
    """The table that a TOML document is, or `None` after adding what is wrong with it."""
    return _parse("TOML", tomli.loads, text, document, problems)


def parse_json(text: Text, document: int, problems: ProblemList) -> Mapping[str, object] | None:
    """The object that a JSON document is, or `None` after adding what is wrong with it."""
    repeated: list[tuple[object, str]] = []

    def no_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    repeated.append((found, key))
                seen.add(key)
        return found

    def loads(decoded: str) -> object:
        return json.loads(decoded, object_pairs_hook=no_repetition, parse_constant=_no_constant)

    table = _parse("JSON", loads, text, document, problems)
    if table is None or not repeated:
        return table
    for found, key in repeated:
        path = _path_of(found, table)
        if path is not None:  # otherwise it is in something that was itself replaced
            problems.add(
                document,
                f"{path}.{option_key(key)}".lstrip("."),
                f"expected one {quoted(key)} in an object, found two",
            )
    return None


def _parse(
    language: str,
    loads: Callable[[str], object],
    text: Text,
    document: int,
    problems: ProblemList,
) -> Mapping[str, object] | None:
    if not isinstance(cast("object", text), str | bytes):
        hint = "did you mean `from_mapping`?" if isinstance(text, Mapping) else None
        found = described(text)
        problems.add(
            document, "", f"expected {language} as `str` or UTF-8 `bytes`, found {found}", hint
        )
        return None
    try:
        decoded = text if isinstance(text, str) else text.decode()
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


def _sentence(error: ValueError) -> str:
    """What a parser says, with its line and column, as part of one line."""
    said = str(error).partition("; use sys.")[0]
    return said[:1].lower() + said[1:]


def _path_of(wanted: object, table: Mapping[str, object]) -> str | None:
    """The path of a table or list below `table`, by identity."""
    todo: list[tuple[str, object]] = [("", table)]
    while todo:
        path, value = todo.pop()
        if value is wanted:
            return path
        if isinstance(value, dict):
            items = cast("dict[str, object]", value).items()
            todo += ((f"{path}.{option_key(key)}", item) for key, item in items)
        elif isinstance(value, list):
            todo += (
                (f"{path}[{index}]", item) for index, item in enumerate(cast("list[object]", value))
            )
    return None


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
