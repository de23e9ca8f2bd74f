"""From documents to entries: the shape around the options (rules 1.5, 2.1, 2.8 and 3.4).

Listeners, patterns, two spellings of one key and a domain without quotes are read here, because
such problems can only be told apart by somebody who sees the whole document. What is read is all
of it or, if there is any problem, nothing.

Policies of a million domains repeat a few sets of options over and over. So pydantic is asked once
about each way in which options are written, and equal options are one object: that is most of the
speed of loading, and most of what a policy does not need in memory. Where something stands is put
into words only when something is wrong with it.
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
from listener_policy.domains import canonical_pattern, is_ordinary_pattern
from listener_policy.listeners import EVERY_LISTENER, parse_listener
from listener_policy.options import ListenerDomain

__all__ = ["Document", "DocumentReader", "Entries", "OptionSets", "merged", "merged_entries"]

_dumps: Final = cast("Callable[[object, int], bytes]", marshal.dumps)
"""Raises `ValueError` for what it does not know."""
_TEXTS: Final = frozenset({str})
_SCALARS: Final = frozenset({bool, float, int, str})

Entries: TypeAlias = Mapping[str, Mapping[str, ListenerDomain]]
"""Listener -> pattern -> entry, the keys in canonical form."""

_Table: TypeAlias = dict[str, ListenerDomain]
Document: TypeAlias = dict[str, _Table]
"""What one document says, until it is merged with others."""
_Item: TypeAlias = tuple[object, object]


class OptionSets:
    """Gives one object for options that are equal, and equally written (rule 2.8)."""

    def __init__(self) -> None:
        self._by_value: dict[tuple[object, ...], ListenerDomain] = {}
        self._overridden: dict[tuple[int, int], ListenerDomain] = {}

    def shared(self, options: ListenerDomain) -> ListenerDomain:
        """The object for these options."""
        # which options were written is no part of a model's equality, `ttl = 1` equals
        # `ttl = true`, and blocks within others are no part of a set; but they are written
        blocks = options.relay_from
        value = (
            options.relay_to,
            blocks.bounds,
            options.relay_from_authz,
            options.log_oob,
            options.log_arf,
            frozenset(options.model_fields_set),
            repr(options.ttl),
            blocks.nested,
        )
        return self._by_value.setdefault(value, options)

    def overridden(self, earlier: ListenerDomain, later: ListenerDomain) -> ListenerDomain:
        """The object for options that a later document overrides, both being shared ones."""
        pair = id(earlier), id(later)  # they are kept, so that nothing else gets their numbers
        options = self._overridden.get(pair)
        if options is None:
            options = self._overridden[pair] = self.shared(earlier.overridden_by(later))
        return options


class DocumentReader:
    """Reads documents, collecting every problem on the way (rule 3.4)."""

    def __init__(self) -> None:
        self.problems = ProblemList()
        self._tables = TableReader(ListenerDomain, self.problems, domains=True)
        self._document: int | None = None
        self._is_parsed = False
        self._option_sets = OptionSets()
        self._by_spelling: dict[bytes, ListenerDomain] = {}
        # by identity; what was given is kept, so that its number is not given anew
        self._by_model: dict[int, tuple[ListenerDomain, ListenerDomain]] = {}

    def toml(self, texts: Iterable[Text]) -> Entries:
        """The entries of TOML documents, merged."""
        return self._texts(parse_toml, texts)

    def json(self, texts: Iterable[Text]) -> Entries:
        """The entries of JSON documents, merged."""
        return self._texts(parse_json, texts)

    def mappings(self, mappings: Iterable[object]) -> Entries:
        """The entries of parsed documents, merged."""
        documents: list[Document] = []
        for index, mapping in enumerate(mappings):
            if isinstance(mapping, Mapping):
                documents.append(self._entries(cast("Mapping[str, object]", mapping), index))
            else:
                message = f"expected a table of entries, found {described(mapping)}"
                self.problems.add(index, "", message)
        return merged(documents, self._option_sets)

    def entries(self, value: object) -> Entries:
        """Listener -> pattern -> entry as a Python program gives it, the keys in any spelling."""
        self._document = None
        return merged([self._listeners(value, "")], self._option_sets)

    def _texts(
        self,
        parse: Callable[[Text, int, ProblemList], Mapping[str, object] | None],
        texts: Iterable[Text],
    ) -> Entries:
        self._is_parsed = True
        documents: list[Document] = []
        for index, text in enumerate(texts):
            table = parse(text, index, self.problems)
            if table is not None:
                documents.append(self._entries(table, index))
        return merged(documents, self._option_sets)

    def _entries(self, document: Mapping[str, object], index: int) -> Document:
        """What one document says. The top level is listener `*` (rule 2.1)."""
        self._document = index
        found: Document = {}
        items: Iterable[_Item] = document.items()
        if LISTENER in document:
            found.update(self._listeners(document[LISTENER], f"{LISTENER}."))
            items = [item for item in document.items() if item[0] != LISTENER]
        top_level = self._patterns(items, "", once=type(document) is dict)
        if top_level:
            found.setdefault(EVERY_LISTENER, {}).update(top_level)
        return found

    def _listeners(self, listeners: object, prefix: str) -> Document:
        found: Document = {}
        spelled: dict[str, str] = {}
        if not isinstance(listeners, Mapping):
            message = f"expected a table of listeners, found {described(listeners)}"
            self._add(prefix.removesuffix("."), message)
            return found
        for key, patterns in cast("Mapping[object, object]", listeners).items():
            path = prefix + quoted_key(key)
            listener = self._key(key, prefix, _listener_key, spelled, found)
            if not isinstance(patterns, Mapping):
                self._add(path, f"expected a table of entries, found {described(patterns)}")
                continue
            items = cast("Mapping[object, object]", patterns).items()
            entries = self._patterns(items, f"{path}.", once=type(cast("object", patterns)) is dict)
            if listener is not None:
                found[listener] = entries
        return found

    def _patterns(self, items: Iterable[_Item], prefix: str, *, once: bool) -> _Table:
        """The entries of one table. `once` says that no key can be there twice."""
        found: _Table = {}
        spelled: dict[str, str] = {}
        by_spelling = self._by_spelling
        is_parsed = self._is_parsed
        for key, value in items:
            # Nearly all keys are canonical as they are written, and nearly all options written
            # like those of another entry. To see that, no function of ours is called.
            if once and type(key) is str and is_ordinary_pattern(key) and key not in spelled:
                pattern: str | None = key
            else:
                pattern = self._key(key, prefix, canonical_pattern, spelled, found)
            options: ListenerDomain | None = None
            spelling = b""
            kind = type(value)
            if kind is dict:
                try:
                    # a parser has made plain values, each in one place: there is nothing to check
                    spelling = _dumps(value, 2) if is_parsed else _spelling(value)
                    options = by_spelling.get(spelling)
                except ValueError:  # a date, say
                    pass
            if options is None:
                options = self._options(value, spelling, key, prefix)
            if pattern is not None:
                if options is None:
                    spelled.setdefault(pattern, pattern)
                else:
                    found[pattern] = options
        return found

    def _key(
        self,
        key: object,
        prefix: str,
        canonical: Callable[[str], str],
        spelled: dict[str, str],
        found: Mapping[str, object],
    ) -> str | None:
        """The canonical form of a key, or `None` after adding what is wrong with it (rule 1.5).

        `spelled` holds keys of the same table by canonical form; what is in `found` and not there
        was written in canonical form.
        """
        try:
            if not isinstance(key, str):
                raise Malformed("a key that is a string", described(key))
            key = str.__str__(key)
            form = canonical(key)
        except Malformed as malformed:
            self.problems.add_malformed(self._document, prefix + quoted_key(key), malformed)
            return None
        if form in spelled or form in found:
            earlier = spelled.get(form, form)
            self._add(
                prefix + quoted_key(key),
                f"{quoted(key)} and {quoted(earlier)} are two spellings of one key, {quoted(form)}",
            )
        else:
            spelled[form] = key
        return form

    def _options(
        self, value: object, spelling: bytes, key: object, prefix: str
    ) -> ListenerDomain | None:
        """The entry that a table of options is, which may be one that has not been seen before."""
        if isinstance(value, ListenerDomain):
            return self._model(value, key, prefix)
        if type(value) is not dict and not isinstance(value, Mapping):
            outside = isinstance(key, str) and str.__str__(key) in self._tables.options
            hint = 'options belong to an entry, such as `["*"]`' if outside else None
            message = f"expected a table of options, found {described(value)}"
            self._add(prefix + quoted_key(key), message, hint)
            return None
        options = self._validated(cast("Mapping[object, object]", value), key, prefix)
        if options is not None and spelling:
            self._by_spelling[spelling] = options
        return options

    def _model(self, given: ListenerDomain, key: object, prefix: str) -> ListenerDomain | None:
        """The entry that a model is, which may hold anything if it was made without validation."""
        known = self._by_model.get(id(given))
        if known is not None:
            return known[1]
        table: dict[object, object] = {
            name: getattr(given, name) for name in given.model_fields_set
        }
        options = self._validated(table, key, prefix)
        if options is not None:
            self._by_model[id(given)] = given, options
        return options

    def _validated(
        self, table: Mapping[object, object], key: object, prefix: str
    ) -> ListenerDomain | None:
        options = self._tables.read(table, lambda: prefix + quoted_key(key), self._document)
        return None if options is None else self._option_sets.shared(options)

    def _add(self, path: str, message: str, hint: str | None = None) -> None:
        self.problems.add(self._document, path, message, hint)


def _listener_key(key: str) -> str:
    return key if key == EVERY_LISTENER else parse_listener(key)


def _spelling(written: object) -> bytes:
    """Bytes that are equal for tables that are written alike; none for one that cannot be sure.

    `==` would not do: `relay_to = 1` equals `relay_to = true`, and only one of them is right. Sure
    are tables of plain scalars and lists of texts, of exactly these types. Deeper values could be
    large beyond measure, others are not told apart by `marshal`. Raises `ValueError` for a key that
    is no plain string.
    """
    table = cast("dict[object, object]", written)
    for value in table.values():
        if type(value) is list:
            if not _TEXTS.issuperset(map(type, cast("list[object]", value))):
                return b""
        elif type(value) not in _SCALARS:
            return b""
    return _dumps(table, 2)  # version 2: nothing depends on identity


def merged(documents: Iterable[Document], option_sets: OptionSets) -> Entries:
    """The entries of several documents, later ones overriding, for good (rule 2.8).

    The options are shared ones of `option_sets`; the dictionaries are taken over.
    """
    tables: Document = {}
    for document in documents:
        for listener, patterns in document.items():
            table = tables.setdefault(listener, patterns)
            if table is not patterns:
                for pattern, options in patterns.items():
                    earlier = table.get(pattern)
                    table[pattern] = (
                        options if earlier is None else option_sets.overridden(earlier, options)
                    )
    return FrozenMapping.owning(
        {listener: FrozenMapping.owning(table) for listener, table in tables.items()}
    )


def merged_entries(several: Iterable[Entries]) -> Entries:
    """The entries of several configurations, later ones overriding, for good (rule 2.8)."""
    option_sets = OptionSets()
    by_model: dict[int, tuple[ListenerDomain, ListenerDomain]] = {}  # as in `DocumentReader`

    def shared(options: ListenerDomain) -> ListenerDomain:
        known = by_model.get(id(options))
        if known is None:
            known = by_model[id(options)] = options, option_sets.shared(options)
        return known[1]

    return merged(
        (
            {
                listener: {pattern: shared(options) for pattern, options in patterns.items()}
                for listener, patterns in entries.items()
            }
            for entries in several
        ),
        option_sets,
    )
