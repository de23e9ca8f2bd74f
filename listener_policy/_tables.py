"""From a table of options to a pydantic model, with every problem told in our words (rule 3.3).

pydantic judges the values. What it says is for programmers, so its errors are read and said again
for operators: where, what was expected, what was found, and the nearest right thing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar, cast

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from listener_policy._display import described, excerpt, option_key, quoted
from listener_policy._problems import Malformed, ProblemList

__all__ = ["TableReader", "did_you_mean", "model_error", "problem_error"]

M = TypeVar("M", bound=BaseModel)

_EXPECTED: Final = {"bool_type": "`true` or `false`", "string_type": "a string"}
"""What is expected, by pydantic's type of error; our own validators bring their words along."""


_MOST_LABELS: Final = 127
_NAMES: Final = frozenset({str})


def model_error(malformed: Malformed) -> PydanticCustomError:
    """What a validator of a model raises for a malformed value."""
    return problem_error(malformed.message, malformed.hint)


def problem_error(message: str, hint: str | None) -> PydanticCustomError:
    """What a validator of a model raises: one text for users of the model, its parts for us."""
    text = message if hint is None else f"{message}; {hint}"
    # pydantic fills in one after the other, and would fill in what an earlier one has brought
    return PydanticCustomError("policy", "{text}", {"message": message, "hint": hint, "text": text})


def did_you_mean(found: object, candidates: Iterable[str]) -> str | None:
    """A question for the candidate that is nearest to what was found, if one is near."""
    if not isinstance(found, str) or len(found) > 40:
        return None
    folded = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(str.__str__(found).lower().replace("-", "_"), folded, n=1)
    return f"did you mean `{folded[near[0]]}`?" if near else None


class TableReader(Generic[M]):
    """Makes one model of each table, adding what is wrong with a table to `problems`."""

    def __init__(self, model: type[M], problems: ProblemList, *, domains: bool = False) -> None:
        """Read tables for `model`; `domains` says that the table stands under the name of one."""
        self._model = model
        self._problems = problems
        self._domains = domains
        self._hints: dict[str, str | None] = {}  # the search for one costs more than all the rest
        self.options: Final = _spellings(model)
        """How each option may be written -> the name of its field."""

    def read(self, value: object, place: Callable[[], str], document: int | None) -> M | None:
        """The model of a table, or `None` after adding what is wrong with it.

        place: tells where the table stands in its document; asked only if something is wrong.
        """
        if type(value) is dict:  # to ask an abstract class takes as long as to copy
            table = cast("dict[object, object]", value)
        elif isinstance(value, Mapping):
            table = dict(cast("Mapping[object, object]", value))
        else:
            message = f"expected a table of options, found {described(value)}"
            self._problems.add(document, place(), message)
            return None
        try:
            return self._model.model_validate(table)
        except ValidationError as error:
            self._problems.caused_by(error)
            refused = error
        path = place()
        told = len(self._problems)
        known: dict[str, object] = {}
        for key, item in table.items():
            name = str.__str__(key) if isinstance(key, str) else None
            if name in self.options:
                known[name] = item
            else:
                self._unknown(key, item, path, document)
        for name in self._twice(known):
            message = f"`{name}` is another name of `{self.options[name]}`, which is written too"
            self._problems.add(document, f"{path}.{name}", message, "write one of them")
            self._values({name: known.pop(name)}, path, document)
        if len(known) == len(table) and _NAMES.issuperset(map(type, table)):
            self._refused(refused, known, path, document)
            return None
        model = self._values(known, path, document)
        return model if len(self._problems) == told else None

    def _values(self, known: Mapping[str, object], path: str, document: int | None) -> M | None:
        """The model of options that exist, or `None` after adding what is wrong with them."""
        try:
            return self._model.model_validate(known)
        except ValidationError as error:
            self._refused(error, known, path, document)
        return None

    def _refused(
        self, error: ValidationError, known: Mapping[str, object], path: str, document: int | None
    ) -> None:
        """Add what is wrong with options that exist."""
        for details in error.errors(include_url=False):
            self._invalid(details, known, path, document)

    def _twice(self, known: Mapping[str, object]) -> list[str]:
        """The other names of options that are also written under their own."""
        return [
            name for name in known if self.options[name] != name and self.options[name] in known
        ]

    def _unknown(self, key: object, value: object, path: str, document: int | None) -> None:
        """Add an option that does not exist."""
        if self._domains and isinstance(value, Mapping) and isinstance(key, str):
            # nobody writes a table as an option; `[example.com]` without quotes reads as one
            message = f"expected a table of options, found a table {quoted(key)} within it"
            nested = _nested_keys(cast("Mapping[object, object]", value))
            self._problems.add(document, path, message, _quoted_name(path, [key, *nested]))
            return
        expected = ", ".join(f"`{name}`" for name in self.options)
        found = quoted(key) if isinstance(key, str) else described(key)
        hint: str | None = None
        if isinstance(key, str):
            name = str.__str__(key)
            if name not in self._hints:
                self._hints[name] = did_you_mean(name, self.options)
            hint = self._hints[name]
        message = f"expected an option ({expected}), found {found}"
        self._problems.add(document, f"{path}.{option_key(key)}", message, hint)

    def _invalid(
        self, details: ErrorDetails, known: Mapping[str, object], path: str, document: int | None
    ) -> None:
        """Add an option whose value pydantic has refused."""
        field, *indexes = details["loc"]
        option = next((name for name in known if self.options[name] == field), field)
        where = f"{path}.{option}" + "".join(f"[{index}]" for index in indexes)
        context = details.get("ctx", {})
        if details["type"] == "missing":
            self._problems.add(document, where, f"expected `{option}`, found nothing")
        elif "message" in context:
            self._problems.add(document, where, context["message"], context["hint"])
        else:
            expected = _EXPECTED[details["type"]]
            found = described(details["input"])
            self._problems.add(document, where, f"expected {expected}, found {found}")


def _spellings(model: type[BaseModel]) -> dict[str, str]:
    spellings: dict[str, str] = {}
    for field, info in model.model_fields.items():
        alias = info.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [field]
        spellings.update((name, field) for name in names if isinstance(name, str))
    return spellings


def _nested_keys(table: Mapping[object, object]) -> list[str]:
    """The keys that lead through tables, as far as there is one within the other."""
    keys: list[str] = []
    tables = [table]
    while tables and len(keys) < _MOST_LABELS:  # a mapping may contain itself
        for key, value in tables.pop().items():
            if isinstance(key, str) and isinstance(value, Mapping):
                keys.append(str.__str__(key))
                tables.append(cast("Mapping[object, object]", value))
                break
    return keys


def _quoted_name(path: str, keys: list[str]) -> str:
    """What to write instead of a name without quotes, which TOML has cut into keys at its dots."""
    name = excerpt(".".join(keys))
    if not path.endswith('"'):
        return "quote a name that has dots"
    return f'quote a name that has dots: `[{path[:-1]}.{name}"]`'
