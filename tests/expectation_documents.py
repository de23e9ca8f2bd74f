"""Documents of expectations, written from tables."""

from collections.abc import Mapping
from typing import cast

from support import LISTENER, OUTSIDER, Fields

from listener_policy._documents import toml_string

QUESTION: Fields = {
    "name": "guarded",
    "listener": LISTENER,
    "peer": OUTSIDER,
    "sender": "eve@example.org",
    "recipient": "ann@example.com",
}
"""A question about a recipient, without an answer."""
ABOUT_DOMAIN: Fields = {
    "name": "guarded",
    "listener": LISTENER,
    "peer": OUTSIDER,
    "domain": "example.com",
}
"""A question about a domain, without an answer."""


def toml(value: object) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return "{" + ", ".join(f"{toml_string(key)} = {toml(item)}" for key, item in items) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, cast('list[object]', value)))}]"
    return str(value).lower()


def document(*tables: Fields, defaults: Fields | None = None) -> str:
    """A document with some expectations, and a table of defaults if there are any."""
    headers = [("[defaults]", defaults or {})] if defaults is not None else []
    headers += [("[[expect]]", table) for table in tables]
    return "\n".join(
        "\n".join([header, *(f"{key} = {toml(value)}" for key, value in table.items())])
        for header, table in headers
    )
