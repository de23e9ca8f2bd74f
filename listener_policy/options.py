"""What an entry and a listener can say: their options, as pydantic models (section 3, rule 4.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails

from listener_policy._collector import COLLECTOR_PAUSED
from listener_policy._display import described, option_key, quoted
from listener_policy._documents import Text, parse_toml
from listener_policy._problems import Malformed, ProblemList
from listener_policy._tables import TableReader, did_you_mean, model_error
from listener_policy.decision import LogReport
from listener_policy.listeners import parse_listener
from listener_policy.networks import CidrSet, read_cidr_set

__all__ = ["EsmtpListener", "ListenerDomain", "LogOption"]

LogOption: TypeAlias = bool | LogReport
"""`log_oob` and `log_arf` as they are written; what `True` means is the dialect's (S2)."""


def _cidr_set(value: object) -> CidrSet:
    errors: list[InitErrorDetails] = []

    def report(index: int | None, malformed: Malformed) -> None:
        location = () if index is None else (index,)
        errors.append(InitErrorDetails(type=model_error(malformed), loc=location, input=value))

    # an iterator could be read only once, and errors are told later; lists are asked first, since
    # to ask an abstract class takes as long as to read a block
    if type(value) is not list and isinstance(value, Iterator):
        report(None, Malformed("a list of CIDR blocks", described(cast("object", value))))
    blocks = read_cidr_set(() if errors else cast("object", value), report)
    if errors:
        raise ValidationError.from_exception_data("CidrSet", errors)
    return blocks


def _string_list(value: object) -> object:
    if isinstance(value, list | tuple | set | frozenset):
        return cast("object", value)
    raise model_error(Malformed("a list of strings", described(value)))


def _log_option(value: object) -> LogOption:
    if isinstance(value, bool | LogReport):
        return value
    written = [report.value for report in LogReport]
    if isinstance(value, str) and str.__str__(value) in written:
        return LogReport(str.__str__(value))
    expected = ", ".join(f"`{text}`" for text in ("true", "false", *written))
    hint = did_you_mean(value, written)
    raise model_error(Malformed(f"one of {expected}", described(value), hint))


def _listener(value: object) -> str:
    try:
        if isinstance(value, str):
            return parse_listener(str.__str__(value))
        raise Malformed("the address of a listener, or its name", described(value))
    except Malformed as malformed:
        raise model_error(malformed) from None


def _plain_scalar(value: object) -> object:
    """A value without meaning, if it is one that can be hashed, written and compared; else None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else None
    if isinstance(value, int) and int.bit_length(value) <= 64:
        return int.__int__(value)
    return None


def _plain_log(option: LogOption) -> bool | str:
    return option.value if isinstance(option, LogReport) else option


_Log = Annotated[
    LogOption,
    PlainValidator(_log_option),
    PlainSerializer(_plain_log),
    WithJsonSchema({"enum": [True, False, *(report.value for report in LogReport)]}),
]
_Blocks = Annotated[
    CidrSet,
    PlainValidator(_cidr_set),
    PlainSerializer(CidrSet.to_list),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string"},
            "examples": [["10.0.0.0/24", "192.0.2.1", "2001:db8::/32"], ["any"]],
        }
    ),
]
_Identities = Annotated[
    frozenset[StrictStr],
    BeforeValidator(_string_list),
    PlainSerializer(sorted),
    WithJsonSchema({"type": "array", "items": {"type": "string"}}),
]
_NO_BLOCKS = CidrSet()


class ListenerDomain(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """One entry: what a listener does with regard to a domain (rules 3.1 to 3.3).

    Frozen and hashable. Constructed in Python it raises `pydantic.ValidationError`. Options that
    are not given have their defaults, and are not in `model_fields_set`: merging (rule 2.8) leaves
    them alone.
    """

    relay_to: StrictBool = False
    """Whether anybody may relay mail to this domain."""
    relay_from: _Blocks = Field(default_factory=lambda: _NO_BLOCKS)
    """The peers that may relay mail from this domain to anywhere: CIDR blocks, or `any`."""
    relay_from_authz: _Identities = frozenset()
    """The authenticated identities that may relay mail from this domain to anywhere."""
    log_oob: _Log = False
    """What becomes of delivery reports (RFC 3464) to this domain."""
    log_arf: _Log = Field(default=False, validation_alias=AliasChoices("log_arf", "log_fbl"))
    """What becomes of abuse reports (RFC 5965) to this domain."""
    ttl: Annotated[Any, BeforeValidator(_plain_scalar)] = None
    """Accepted, without effect or meaning. Text and numbers are kept as they were written."""

    def written(self) -> dict[str, object]:
        """The options that were written, as a document writes them."""
        return self.model_dump(include=self.model_fields_set, exclude_none=True)

    def overridden_by(self, later: ListenerDomain) -> ListenerDomain:
        """The entry that results if a later document writes options of it (rule 2.8)."""
        return self.model_copy(
            update={name: getattr(later, name) for name in later.model_fields_set}
        )


class EsmtpListener(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """One listener and its `relay_hosts` (rule 4.1): KumoMTA's `start_esmtp_listener`.

    Frozen and hashable. Constructed in Python it raises `pydantic.ValidationError`.
    """

    listen: Annotated[str, PlainValidator(_listener)]
    """The local address with its port, or the name of the listener, in canonical form."""
    relay_hosts: _Blocks | None = None
    """The peers that may relay from anywhere to anywhere; `None` states nothing."""

    @classmethod
    def from_toml(cls, text: Text) -> tuple[EsmtpListener, ...]:
        """The listeners of a document with `[[esmtp_listener]]` tables.

        Raises `ConfigError` with all problems, a listener that is listed twice among them. The
        garbage collector rests meanwhile, as in `Policy.from_toml`.
        """
        problems = ProblemList()
        with COLLECTOR_PAUSED:
            document = parse_toml(text, 0, problems)
            listeners = () if document is None else _read_listeners(document, problems)
        problems.raise_if_any()
        return listeners


def _read_listeners(
    document: Mapping[str, object], problems: ProblemList
) -> tuple[EsmtpListener, ...]:
    reader = TableReader(EsmtpListener, problems)
    listeners: dict[str, EsmtpListener] = {}
    for key, tables in document.items():
        if key != "esmtp_listener" or not isinstance(tables, list):
            found = quoted(key) if key != "esmtp_listener" else described(tables)
            expected = "expected an array of tables, `[[esmtp_listener]]`"
            problems.add(0, option_key(key), f"{expected}, found {found}")
            continue
        for index, table in enumerate(cast("list[object]", tables)):
            path = f"{key}[{index}]"
            listener = reader.read(table, path.__str__, 0)
            if listener is not None and listener.listen in listeners:
                problems.add(0, f"{path}.listen", f"{quoted(listener.listen)} is listed twice")
            elif listener is not None:
                listeners[listener.listen] = listener
    return tuple(listeners.values())
