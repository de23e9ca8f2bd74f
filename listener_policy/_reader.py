"""From documents to entries: the shape around the options (rules 1.5, 2.1, 2.8 and 3.4).

Listeners, patterns, two spellings of one key and a domain without quotes are read here, because
such problems can only be told apart by somebody who sees the whole document. What is read is all
of it or, if there is any problem, nothing.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias, cast

from listener_policy._display import described, quoted, quoted_key
from listener_policy._documents import LISTENER, Text, parse_json, parse_toml
from listener_policy._frozen import FrozenMapping
from listener_policy._problems import Malformed, ProblemList
from listener_policy._tables import TableReader
from listener_policy.domains import canonical_pattern
from listener_policy.listeners import EVERY_LISTENER, parse_listener
from listener_policy.options import ListenerDomain

__all__ = ["DocumentReader", "Entries", "merged"]

_SCALARS: Final = frozenset({bool, float, int, str})

Entries: TypeAlias = Mapping[str, Mapping[str, ListenerDomain]]
"""Listener -> pattern -> entry, the keys in canonical form."""


class DocumentReader:
    """Reads documents, collecting every problem on the way (rule 3.4).

    Entries that are written alike share one model: policies repeat a few sets of options over and
    over, and validating each set once is most of the speed of loading.
    """

    def __init__(self) -> None:
        self.problems = ProblemList()
        self._tables = TableReader(ListenerDomain, self.problems, domains=True)
        self._document: int | None = None
        self._models: dict[bytes, ListenerDomain] = {}

    def toml(self, texts: Iterable[Text]) -> Entries:
        """The entries of TOML documents, merged."""
        return self._texts(parse_toml, texts)

    def json(self, texts: Iterable[Text]) -> Entries:
        """The entries of JSON documents, merged."""
        return self._texts(parse_json, texts)

    def mappings(self, mappings: Iterable[object]) -> Entries:
        """The entries of parsed documents, merged."""
        documents: list[Entries] = []
        for index, mapping in enumerate(mappings):
            if isinstance(mapping, Mapping):
                documents.append(self._entries(cast("Mapping[str, object]", mapping), index))
            else:
                message = f"expected a table of entries, found {described(mapping)}"
                self.problems.add(index, "", message)
        return merged(documents)

    def entries(self, value: object) -> Entries:
        """Listener -> pattern -> entry as a Python program gives it, the keys in any spelling."""
        self._document = None
        return merged([self._listeners(value, "")])

    def _texts(
        self,
        parse: Callable[[Text, int, ProblemList], Mapping[str, object] | None],
        texts: Iterable[Text],
    ) -> Entries:
        tables = [parse(text, index, self.problems) for index, text in enumerate(texts)]
        return merged(
            self._entries(table, index) for index, table in enumerate(tables) if table is not None
        )

    def _entries(self, document: Mapping[str, object], index: int) -> Entries:
        """What one document says. The top level is listener `*` (rule 2.1)."""
        self._document = index
        found: dict[str, Mapping[str, ListenerDomain]] = {}
        if LISTENER in document:
            found.update(self._listeners(document[LISTENER], f"{LISTENER}."))
        top_level = self._patterns(
            ((key, value) for key, value in document.items() if key != LISTENER), ""
        )
        if top_level:
            found[EVERY_LISTENER] = {**found.get(EVERY_LISTENER, {}), **top_level}
        return found

    def _listeners(self, listeners: object, prefix: str) -> dict[str, Mapping[str, ListenerDomain]]:
        found: dict[str, Mapping[str, ListenerDomain]] = {}
        spelled: dict[str, str] = {}
        if not isinstance(listeners, Mapping):
            message = f"expected a table of listeners, found {described(listeners)}"
            self._add(prefix.removesuffix("."), message)
            return found
        for key, patterns in cast("Mapping[object, object]", listeners).items():
            path = prefix + quoted_key(key)
            listener = self._key(key, prefix, _listener_key, spelled)
            if not isinstance(patterns, Mapping):
                self._add(path, f"expected a table of entries, found {described(patterns)}")
                continue
            items = cast("Mapping[object, object]", patterns).items()
            entries = self._patterns(items, f"{path}.")
            if listener is not None:
                found[listener] = entries
        return found

    def _patterns(
        self, items: Iterable[tuple[object, object]], prefix: str
    ) -> dict[str, ListenerDomain]:
        found: dict[str, ListenerDomain] = {}
        spelled: dict[str, str] = {}
        for key, value in items:
            pattern = self._key(key, prefix, canonical_pattern, spelled)
            options = self._options(value, key, prefix)
            if pattern is not None and options is not None:
                found[pattern] = options
        return found

    def _key(
        self,
        key: object,
        prefix: str,
        canonical: Callable[[str], str],
        spelled: dict[str, str],
    ) -> str | None:
        """The canonical form of a key, or `None` after adding what is wrong with it (rule 1.5).

        `spelled` holds the keys of the same table by canonical form.
        """
        try:
            if not isinstance(key, str):
                raise Malformed("a key that is a string", described(key))
            key = str.__str__(key)
            form = canonical(key)
        except Malformed as malformed:
            self.problems.add_malformed(self._document, prefix + quoted_key(key), malformed)
            return None
        earlier = spelled.setdefault(form, key)
        if earlier is not key:
            self._add(
                prefix + quoted_key(key),
                f"{quoted(key)} and {quoted(earlier)} are two spellings of one key, {quoted(form)}",
            )
        return form

    def _options(self, value: object, key: object, prefix: str) -> ListenerDomain | None:
        """The entry that a table of options is."""
        if isinstance(value, ListenerDomain):
            # what was copied or constructed without validation may hold anything
            value = {name: getattr(value, name) for name in value.model_fields_set}
        if not isinstance(value, Mapping):
            outside = isinstance(key, str) and str.__str__(key) in self._tables.options
            hint = 'options belong to an entry, such as `["*"]`' if outside else None
            message = f"expected a table of options, found {described(value)}"
            self._add(prefix + quoted_key(key), message, hint)
            return None
        table = dict(cast("Mapping[object, object]", value))
        written = _spelling(table)
        model = None if written is None else self._models.get(written)
        if model is None:
            model = self._tables.read(table, prefix + quoted_key(key), self._document)
            if model is not None and written is not None:
                self._models[written] = model
        return model

    def _add(self, path: str, message: str, hint: str | None = None) -> None:
        self.problems.add(self._document, path, message, hint)


def _listener_key(key: str) -> str:
    return key if key == EVERY_LISTENER else parse_listener(key)


def _spelling(table: dict[object, object]) -> bytes | None:
    """Bytes that are equal for tables that are written alike; `None` for one that cannot be sure.

    `==` would not do: `relay_to = 1` equals `relay_to = true`, and only one of them is right. Sure
    are tables of plain scalars and lists of texts, of exactly these types. Deeper values could be
    large beyond measure, others are not told apart by `marshal`.
    """
    for value in table.values():
        if type(value) is list:
            if any(type(item) is not str for item in cast("list[object]", value)):
                return None
        elif type(value) not in _SCALARS:
            return None
    try:
        return marshal.dumps(table, 2)  # version 2: nothing depends on identity
    except ValueError:  # a key that is no plain string
        return None


def merged(documents: Iterable[Entries]) -> Entries:
    """The entries of several documents, later ones overriding, for good (rule 2.8)."""
    tables: dict[str, dict[str, ListenerDomain]] = {}
    for entries in documents:
        for listener, patterns in entries.items():
            table = tables.setdefault(listener, {})
            for pattern, options in patterns.items():
                earlier = table.get(pattern)
                table[pattern] = options if earlier is None else earlier.overridden_by(options)
    return FrozenMapping((name, FrozenMapping(table)) for name, table in tables.items())
