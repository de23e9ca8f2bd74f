"""The configuration: what operators write, validated and put together (section 2.1 and 2.8)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated, Final, cast

from pydantic import (
    BaseModel,
    PlainSerializer,
    PlainValidator,
    ValidationError,
)
from pydantic_core import InitErrorDetails

from listener_policy._collector import COLLECTOR_PAUSED
from listener_policy._display import described
from listener_policy._documents import LISTENER, Text, toml_string, toml_value
from listener_policy._frozen import FrozenMapping
from listener_policy._problems import ProblemList
from listener_policy._reader import DocumentReader, Entries, merged_entries
from listener_policy._tables import problem_error
from listener_policy.errors import ConfigError
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.options import ListenerDomain

__all__ = ["PolicyConfig", "checked", "config_of"]

_ENTRY_SCHEMA: Final = ListenerDomain.model_json_schema()
"""Made early: pydantic imports modules when it makes one, but no call must mean to import."""


def _validated_entries(value: object) -> Entries:
    reader = DocumentReader()
    with COLLECTOR_PAUSED:
        entries = reader.entries(value)
    try:
        reader.problems.raise_if_any()
    except ConfigError as error:
        raise ValidationError.from_exception_data(
            "PolicyConfig",
            [
                InitErrorDetails(
                    type=problem_error(problem.message, problem.hint),
                    loc=(problem.path,) if problem.path else (),
                    input=value,
                )
                for problem in error.problems
            ],
        ) from None
    return entries


def _written(entries: Entries) -> dict[str, dict[str, dict[str, object]]]:
    return {
        listener: {pattern: options.written() for pattern, options in patterns.items()}
        for listener, patterns in entries.items()
    }


class PolicyConfig(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """The configuration: for each listener, a table from pattern to entry (rule 2.1).

    Frozen and hashable. What was written stays written, in canonical form: an explicit `false`
    matters when configurations are merged, and two of them are equal if the same is written.
    """

    entries: Annotated[
        Mapping[str, Mapping[str, ListenerDomain]],
        PlainValidator(_validated_entries),
        PlainSerializer(_written),
    ] = FrozenMapping[str, Mapping[str, ListenerDomain]]()
    """Listener -> pattern -> entry, the keys in canonical form. Listener `*` is the top level."""

    @classmethod
    def from_toml(cls, *texts: Text) -> PolicyConfig:
        """Read TOML documents and merge them in order (rules 2.8 and 3.4).

        texts: `str`, or `bytes` in UTF-8. Raises `ConfigError` with all problems of all of them.

        While this or any other method here makes a configuration, the garbage collector does not
        start by itself, in any thread, unless `gc.set_threshold` is called meanwhile. Then the
        thresholds are what they were before.
        """
        with COLLECTOR_PAUSED:
            reader = DocumentReader()
            return _config(reader.toml(texts), reader.problems)

    @classmethod
    def from_json(cls, *texts: Text) -> PolicyConfig:
        """Read JSON documents and merge them in order (rules 2.8 and 3.4).

        texts: `str`, or `bytes` in UTF-8. Raises `ConfigError` with all problems of all of them.
        """
        with COLLECTOR_PAUSED:
            reader = DocumentReader()
            return _config(reader.json(texts), reader.problems)

    @classmethod
    def from_mapping(cls, *mappings: Mapping[str, object]) -> PolicyConfig:
        """Read documents that have been parsed and merge them in order (rules 2.8 and 3.4).

        An entry may be a `ListenerDomain`. Raises `ConfigError` with all problems of all of them.
        """
        with COLLECTOR_PAUSED:
            reader = DocumentReader()
            return _config(reader.mappings(mappings), reader.problems)

    def merge(*configs: PolicyConfig) -> PolicyConfig:
        """Merge configurations, later ones overriding option by option (rule 2.8).

        Both `PolicyConfig.merge(a, b)` and `a.merge(b)` are right. Raises `ConfigError` for what is
        no configuration.
        """
        problems = ProblemList()
        for index, config in enumerate(configs):
            if not isinstance(cast("object", config), PolicyConfig):
                message = f"expected a `PolicyConfig`, found {described(config)}"
                problems.add(None, f"configs[{index}]", message)
        problems.raise_if_any()
        with COLLECTOR_PAUSED:
            return config_of(merged_entries(checked(config).entries for config in configs))

    def to_mapping(self) -> dict[str, object]:
        """The configuration as one document, of dictionaries, lists, texts and booleans.

        A domain called `listener` has its place under `listener."*"`: at the top level the key
        would mean something else.
        """
        written = _written(self.entries)
        document: dict[str, object] = dict(written.pop(EVERY_LISTENER, {}))
        if LISTENER in document:
            written[EVERY_LISTENER] = {LISTENER: cast("dict[str, object]", document.pop(LISTENER))}
        if EVERY_LISTENER in self.entries and not self.entries[EVERY_LISTENER]:
            written[EVERY_LISTENER] = {}
        if written:
            document[LISTENER] = written
        return document

    def to_toml(self) -> str:
        """The configuration as one TOML document."""
        tables: list[str] = []
        for listener, patterns in _written(self.entries).items():
            prefix = f"{LISTENER}.{toml_string(listener)}"
            if not patterns:
                tables.append(f"[{prefix}]\n")
            for pattern, options in patterns.items():
                top_level = listener == EVERY_LISTENER and pattern != LISTENER
                key = toml_string(pattern) if top_level else f"{prefix}.{toml_string(pattern)}"
                lines = (f"{name} = {toml_value(value)}\n" for name, value in options.items())
                tables.append("".join([f"[{key}]\n", *lines]))
        return "\n".join(tables)

    @classmethod
    def json_schema(cls) -> dict[str, object]:
        """The JSON Schema of a document, for editors.

        It tells what the shape is. Patterns, listeners and blocks are judged by loading alone.
        """
        entry = deepcopy(_ENTRY_SCHEMA)
        entry["description"] = "What a listener does with regard to a domain."
        entry["properties"]["log_fbl"] = {
            **entry["properties"]["log_arf"],
            "title": "Log Fbl",
            "description": "Another name of `log_arf`.",
        }
        entries = {"type": "object", "additionalProperties": {"$ref": "#/$defs/ListenerDomain"}}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "KumoMTA listener domains",
            **entries,
            "properties": {LISTENER: {"type": "object", "additionalProperties": entries}},
            "$defs": {"ListenerDomain": entry},
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PolicyConfig):
            return NotImplemented
        return _written(self.entries) == _written(other.entries)

    def __hash__(self) -> int:
        return hash(self.entries)


def config_of(entries: Entries) -> PolicyConfig:
    """The configuration of entries that have been read, which need no second validation."""
    return PolicyConfig.model_construct(entries=entries)


def checked(config: PolicyConfig) -> PolicyConfig:
    """A configuration whose entries have been read, be it that pydantic was told not to validate.

    Raises `ConfigError` with what is wrong then.
    """
    if isinstance(config.entries, FrozenMapping):
        return config
    reader = DocumentReader()
    entries = reader.entries(config.entries)
    return _config(entries, reader.problems)


def _config(entries: Entries, problems: ProblemList) -> PolicyConfig:
    problems.raise_if_any()
    return config_of(entries)
