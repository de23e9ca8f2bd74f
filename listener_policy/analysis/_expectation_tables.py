"""The format of expectations: what a document of them can say.

A document has a table `[defaults]` and an array of tables `[[expect]]`. Each of these has a name,
asks a question, and says something of the answer:

    question   `listener`, `peer`, `auth`, and `sender` with `recipient`, or else `domain`
    answer     `result`, `reason`, ... for a recipient; `may_send`, `may_receive`, ... for a domain

TOML has no null, so `false` says that there is none: nobody authenticated, no entry governs. What
a question leaves out it takes from the defaults; an answer has no defaults, since an expectation is
to say itself what it expects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast

from pydantic import BaseModel, PlainValidator, StrictBool, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails

from listener_policy._display import described, quoted
from listener_policy._problems import Malformed
from listener_policy._tables import did_you_mean, model_error
from listener_policy.addresses import parse_address, parse_socket_address
from listener_policy.decision import (
    Decision,
    Disposition,
    EntryRef,
    LogReport,
    RcptDecision,
    Reason,
    Report,
)
from listener_policy.domains import canonical_domain, canonical_pattern, envelope_domain
from listener_policy.listeners import EVERY_LISTENER, parse_listener

__all__ = [
    "ANSWERS",
    "DEFAULTS",
    "DOMAIN_ANSWERS",
    "EXPECT",
    "RCPT_ANSWERS",
    "Defaults",
    "ExpectationTable",
    "Value",
    "expectations_json_schema",
]

T = TypeVar("T")

Value: TypeAlias = bool | str | EntryRef | None
"""What can be said of an answer. `None` is no entry."""


# --- what an answer is asked for ----------------------------------------------------------------


def _result(accept: bool) -> str:
    return "accepted" if accept else "refused"


def _fate(disposition: Disposition) -> str:
    """What becomes of a message, in words (rule 4.4)."""
    if not disposition.accept:
        return "refused"
    fate = "relayed" if disposition.relay else "dropped"
    return f"logged and {fate}" if disposition.log else fate


_RESULTS: Final = (_result(accept=True), _result(accept=False))
_MESSAGE_FATES: Final = ("relayed", "refused")
_REPORT_FATES: Final = ("logged and dropped", "logged and relayed", *_MESSAGE_FATES)
_REASONS: Final = tuple(reason.value for reason in Reason)
_LOGS: Final = tuple(option.value for option in LogReport)

RCPT_ANSWERS: Final[Mapping[str, Callable[[RcptDecision], Value]]] = {
    "result": lambda decision: _result(decision.accept),
    "relay": lambda decision: decision.relay,
    "reason": lambda decision: decision.reason.value,
    "reply": lambda decision: decision.reply,
    "sender_entry": lambda decision: decision.sender.entry,
    "recipient_entry": lambda decision: decision.recipient.entry,
    "log_oob": lambda decision: decision.log_oob.value,
    "log_arf": lambda decision: decision.log_arf.value,
    "message": lambda decision: _fate(decision.after_data(None)),
    "oob_report": lambda decision: _fate(decision.after_data(Report.OOB)),
    "arf_report": lambda decision: _fate(decision.after_data(Report.ARF)),
}
"""What can be said of the answer about a recipient, and where the answer has it."""

DOMAIN_ANSWERS: Final[Mapping[str, Callable[[Decision], Value]]] = {
    "may_send": lambda decision: decision.may_send,
    "may_receive": lambda decision: decision.may_receive,
    "reason": lambda decision: decision.reason.value,
    "entry": lambda decision: decision.entry,
    "log_oob": lambda decision: decision.log_oob.value,
    "log_arf": lambda decision: decision.log_arf.value,
}
"""What can be said of the answer about a domain, and where the answer has it."""

ANSWERS: Final = (*RCPT_ANSWERS, *(key for key in DOMAIN_ANSWERS if key not in RCPT_ANSWERS))


# --- values as they are written -----------------------------------------------------------------


def _text(value: object, expected: str) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    raise Malformed(expected, described(value))


def _name(value: object) -> str:
    text = _text(value, "a name")
    if not text.strip():
        raise Malformed("a name that says something", quoted(text))
    return text


def _reply(value: object) -> str:
    return _text(value, "an SMTP reply, such as `250 2.1.5 OK`")


def _listener(value: object) -> str:
    text = _text(value, "the address of one listener, or its name")
    parse_listener(text)
    return text


def _peer(value: object) -> str:
    expected = "the address of a client, such as `192.0.2.7` or `2001:db8::7`"
    text = _text(value, expected)
    if parse_address(text) is None and parse_socket_address(text) is None:
        hint = "a question is about one address: write one of the block" if "/" in text else None
        raise Malformed(expected, quoted(text), hint)
    return text


def _identity(value: object) -> str | None:
    if value is False:
        return None
    return _text(value, "an identity, or `false` for nobody")


def _domain(value: object) -> str:
    text = _text(value, "a domain")
    if canonical_domain(text) is None:
        canonical_pattern(text)  # this says what is wrong, unless it is a pattern
        raise Malformed("a domain", quoted(text), "write a name that the pattern governs")
    return text


def _address(value: object) -> str:
    expected = 'an envelope address, or `""` for the null sender'
    text = _text(value, expected)
    if envelope_domain(text) is None:
        _, at, domain = text.rpartition("@")
        domain = domain.removesuffix(">") if text.startswith("<") else domain
        if at and domain:
            _domain(domain)  # this says what is wrong with it
        hint = f"did you mean {quoted(f'ann@{text}')}?" if canonical_domain(text) else None
        raise Malformed(expected, quoted(text), hint)
    return text


def _log_option(value: object) -> str:
    if isinstance(value, bool):
        expected = ", ".join(f"`{option}`" for option in _LOGS)
        means = "write what it means; `true` is not the same in both dialects"
        hint = means if value else f"did you mean `{LogReport.IGNORE}`?"
        raise Malformed(f"one of {expected}", described(value), hint)
    return _one_of(_LOGS, value)


def _entry(value: object) -> EntryRef | None:
    if value is False:
        return None
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        if set(table) == {"listener", "pattern"}:
            listener = _text(table["listener"], "the listener of an entry")
            pattern = _text(table["pattern"], "the pattern of an entry")
            listener = listener if listener == EVERY_LISTENER else parse_listener(listener)
            return EntryRef(listener, canonical_pattern(pattern))
    elif isinstance(value, str):
        return EntryRef(EVERY_LISTENER, canonical_pattern(str.__str__(value)))
    raise Malformed(
        "the pattern of an entry of the top level, `{ listener = ..., pattern = ... }`, "
        "or `false` for no entry",
        described(cast("object", value)),
    )


def _one_of(choices: Collection[str], value: object) -> str:
    if isinstance(value, str) and str.__str__(value) in choices:
        return str.__str__(value)
    expected = ", ".join(f"`{choice}`" for choice in choices)
    raise Malformed(f"one of {expected}", described(value), did_you_mean(value, choices))


def _single(check: Callable[[object], T]) -> PlainValidator:
    """A validator of one value."""

    def checked(value: object) -> T:
        try:
            return check(value)
        except Malformed as malformed:
            raise model_error(malformed) from None

    return PlainValidator(checked)


def _choice(*choices: str) -> PlainValidator:
    """A validator of one of some words."""
    return _single(lambda value: _one_of(choices, value))


def _several(check: Callable[[object], T]) -> PlainValidator:
    """A validator of one value or a list of them; the result is a tuple in either case."""

    def checked(value: object) -> tuple[T, ...]:
        is_list = isinstance(value, list)
        found: list[T] = []
        errors: list[InitErrorDetails] = []
        for index, item in enumerate(cast("list[object]", value) if is_list else [value]):
            try:
                found.append(check(item))
            except Malformed as malformed:
                location = (index,) if is_list else ()
                errors.append(
                    InitErrorDetails(type=model_error(malformed), loc=location, input=item)
                )
        if errors:
            raise ValidationError.from_exception_data("list", errors)
        if not found:
            raise model_error(Malformed("one value or several", "an empty list"))
        return tuple(found)

    return PlainValidator(checked)


def _one_or_list(*items: dict[str, object]) -> WithJsonSchema:
    several = {"type": "array", "minItems": 1, "items": {"anyOf": [*items]}}
    return WithJsonSchema({"anyOf": [*items, several]})


def _enum(*choices: str) -> WithJsonSchema:
    return WithJsonSchema({"enum": [*choices]})


_STRING: Final[dict[str, object]] = {"type": "string"}
_NONE: Final[dict[str, object]] = {"const": False}
_PLACE: Final[dict[str, object]] = {
    "type": "object",
    "properties": {"listener": _STRING, "pattern": _STRING},
    "required": ["listener", "pattern"],
    "additionalProperties": False,
}

_Name = Annotated[str, _single(_name), WithJsonSchema(_STRING)]
_Listeners = Annotated[tuple[str, ...], _several(_listener), _one_or_list(_STRING)]
_Peers = Annotated[tuple[str, ...], _several(_peer), _one_or_list(_STRING)]
_Identities = Annotated[tuple[str | None, ...], _several(_identity), _one_or_list(_STRING, _NONE)]
_Addresses = Annotated[tuple[str, ...], _several(_address), _one_or_list(_STRING)]
_Domains = Annotated[tuple[str, ...], _several(_domain), _one_or_list(_STRING)]
_Result = Annotated[str, _choice(*_RESULTS), _enum(*_RESULTS)]
_Reason = Annotated[str, _choice(*_REASONS), _enum(*_REASONS)]
_Reply = Annotated[str, _single(_reply), WithJsonSchema(_STRING)]
_Log = Annotated[str, _single(_log_option), _enum(*_LOGS)]
_MessageFate = Annotated[str, _choice(*_MESSAGE_FATES), _enum(*_MESSAGE_FATES)]
_ReportFate = Annotated[str, _choice(*_REPORT_FATES), _enum(*_REPORT_FATES)]
_Entry = Annotated[
    EntryRef | None,
    _single(_entry),
    WithJsonSchema({"anyOf": [_STRING, _PLACE, _NONE]}),
]


# --- tables -------------------------------------------------------------------------------------


class Defaults(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What the questions of a document have in common. A list asks about each of its values.

    An empty tuple is a part that is not written, since an empty list is an error.
    """

    listener: _Listeners = ()
    """Which listener took the connection: its local address with the port, or its name."""
    peer: _Peers = ()
    """The client's address."""
    auth: _Identities = ()
    """The identity that the client authenticated as; `false` if it did not."""
    sender: _Addresses = ()
    """The address of MAIL FROM; an empty string is the null sender."""
    recipient: _Addresses = ()
    """The address of RCPT TO."""


class ExpectationTable(Defaults, frozen=True):
    """What is asked, and what the answer is to be.

    `model_fields_set` tells which answers are written; the values of the others mean nothing.
    """

    name: _Name
    """What the expectation is called when it fails: a sentence that it guards."""
    domain: _Domains = ()
    """A domain to ask about, in place of sender and recipient; empty for the null sender."""

    result: _Result = ""
    """Whether the recipient is accepted: the answer to RCPT TO."""
    relay: StrictBool = False
    """Whether any message to the recipient may be relayed."""
    reason: _Reason = ""
    """The first permission that holds, or `DENIED`."""
    reply: _Reply = ""
    """The whole SMTP reply to RCPT TO."""
    sender_entry: _Entry = None
    """Which entry governs the sender's domain."""
    recipient_entry: _Entry = None
    """Which entry governs the recipient's domain."""
    log_oob: _Log = ""
    """What holds for delivery reports."""
    log_arf: _Log = ""
    """What holds for abuse reports."""
    message: _MessageFate = ""
    """What becomes of a message, after DATA, that is no report."""
    oob_report: _ReportFate = ""
    """What becomes of a delivery report after DATA."""
    arf_report: _ReportFate = ""
    """What becomes of an abuse report after DATA."""
    may_send: StrictBool = False
    """Whether a sender of the domain may relay to anywhere."""
    may_receive: StrictBool = False
    """Whether anybody may relay to a recipient of the domain."""
    entry: _Entry = None
    """Which entry governs the domain."""


DEFAULTS: Final = "defaults"
EXPECT: Final = "expect"

_SCHEMA: Final = {model: model.model_json_schema() for model in (Defaults, ExpectationTable)}
"""Made early: pydantic imports modules when it makes one, but no call must mean to import."""


def expectations_json_schema() -> dict[str, object]:
    """The JSON Schema of a document of expectations, for editors.

    It tells what the shape is. Addresses, listeners and domains are judged by running alone.
    """
    schemas: list[dict[str, Any]] = deepcopy(list(_SCHEMA.values()))
    for schema in schemas:
        for written in schema["properties"].values():
            written.pop("default", None)  # it stands for what is not written, and means nothing
    defaults, expectation = schemas
    expectation["anyOf"] = [{"required": [key]} for key in ANSWERS]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Expectations of a listener policy",
        "type": "object",
        "properties": {
            DEFAULTS: defaults,
            EXPECT: {"type": "array", "minItems": 1, "items": expectation},
        },
        "required": [EXPECT],
        "additionalProperties": False,
    }
