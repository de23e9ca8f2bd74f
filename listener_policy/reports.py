"""Tells reports from other messages, by their structure (rule 4.4).

A domain with `log_arf` or `log_oob` takes reports from everybody, so whatever passes for a report
passes for everybody. What is in doubt is no report. The criteria, by the numbers that comments
here cite, and what senders make of them, are in `docs/reports.md`.

Header fields are read as they were written, by the expressions below, and not by the `email`
package: under some policies that takes time that grows with the square of a field's length, and
raises for some fields; and a charset that a message names may be imported.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from email.errors import MissingHeaderBodySeparatorDefect
from email.message import Message
from typing import Final, cast

from listener_policy._display import shown
from listener_policy.decision import Report
from listener_policy.errors import RequestError

__all__ = ["classify"]

LIMIT: Final = 65_536
"""How many characters of a machine-readable part are looked at."""

_REPORT_TYPES: Final = {"delivery-status": Report.OOB, "feedback-report": Report.ARF}
"""By the parameter `report-type` in lower case, what a message says that it is."""

MACHINE_READABLE: Final[dict[str, Report | None]] = {
    "message/delivery-status": Report.OOB,
    "message/global-delivery-status": Report.OOB,  # RFC 6533
    "message/feedback-report": Report.ARF,
    "message/disposition-notification": None,
    "message/global-disposition-notification": None,
    "message/tracking-status": None,
    "application/tlsrpt+gzip": None,
    "application/tlsrpt+json": None,
}
"""The types of machine-readable parts, and what a message with such a part can be."""

_IDENTITY: Final = frozenset({"7bit", "8bit", "binary"})

_ATOM: Final = r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]++"
_TYPE: Final = re.compile(rf"\s*+({_ATOM}/{_ATOM})\s*+(?=;|\Z)", re.ASCII)
_PARAMETER: Final = re.compile(
    rf'(?:\s*+;)++\s*+({_ATOM})\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^;"]*+))\s*+(?=;|\Z)',
    re.ASCII | re.DOTALL,
)
_END_OF_PARAMETERS: Final = re.compile(r"[\s;]*+\Z", re.ASCII)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED: Final = re.compile(r"(?:us-ascii|utf-8|iso-8859-1)?'[^']*+'", re.ASCII | re.IGNORECASE)
_PERCENT: Final = re.compile(r"%([0-9A-Fa-f]{2})")

_FOLD: Final = re.compile(r"\n[ \t]++")
_FIELD: Final = re.compile(r"([!-9;-~]++)[ \t]*+:(.*)", re.DOTALL)

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*+={0,2}")
_FEEDBACK_TYPE: Final = re.compile(rf"{_ATOM}\s*+(?:\(.*)?", re.ASCII | re.DOTALL)
_VERSION: Final = re.compile(r"\d++(?:\.\d++)*+\s*+(?:\(.*)?", re.ASCII | re.DOTALL)
_ACTION: Final = re.compile(
    r"(?:failed|delayed|delivered|relayed|expanded)\s*+(?:\(.*)?",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
_STATUS: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?:[\s(;].*)?", re.ASCII | re.DOTALL)

_Group = dict[str, list[str]]
"""Fields that stand together without a blank line: by name in lower case, what is written."""


def classify(message: Message) -> Report | None:
    """What kind of report a message is, `None` for anything else (rule 4.4).

    message: as `email.message_from_bytes` gives it, under any policy. It is not changed, and what
    a report returns of the original message is not looked at. Nothing in a message raises or takes
    time that grows faster than its size. Raises `RequestError` if it is no `Message`.

    That a message is a report does not say who wrote it: anybody can write one.
    """
    if not isinstance(cast("object", message), Message):
        raise RequestError(
            f"message: expected an `email.message.Message`, found `{shown(message)}`"
        )
    report = _announced(message)
    part = None if report is None else _machine_readable_part(message, report)
    if part is None:
        return None
    groups = _groups_of(part)
    is_right = _is_feedback if report is Report.ARF else _is_delivery_status
    return report if groups and is_right(groups) else None


def _announced(message: Message) -> Report | None:
    """What a message says that it is (criteria 1 to 3)."""
    content_type = _field(message, "content-type", "")
    if content_type is None or _encoding(message) not in _IDENTITY:
        return None
    found = _TYPE.match(content_type)
    if found is None or found[1].lower() != "multipart/report":
        return None
    written = _parameters(content_type, found.end())
    report_type = _parameter(written, "report-type").strip()
    # some characters that are not ASCII have an ASCII letter in lower case
    return _REPORT_TYPES.get(report_type.lower()) if report_type.isascii() else None


def _machine_readable_part(message: Message, report: Report) -> Message | None:
    """The one machine-readable part of a message, if it is of the right type (criterion 4)."""
    if not message.is_multipart():
        return None
    machine_readable: Message | None = None
    for part in cast("list[Message]", message.get_payload()):
        if not isinstance(cast("object", part), Message):
            return None
        content_type = _field(part, "content-type", "")
        if content_type is None:
            return None
        found = _TYPE.match(content_type)
        media_type = "" if found is None else found[1].lower()
        if media_type in MACHINE_READABLE:
            if machine_readable is not None or MACHINE_READABLE[media_type] is not report:
                return None
            machine_readable = part
    return machine_readable


def _is_feedback(groups: list[_Group]) -> bool:
    """Whether these are the fields of an abuse report (criterion 6)."""
    fields = groups[0]
    return bool(
        _FEEDBACK_TYPE.fullmatch(_once(fields, "feedback-type"))
        and _once(fields, "user-agent")
        and _VERSION.fullmatch(_once(fields, "version"))
    )


def _is_delivery_status(groups: list[_Group]) -> bool:
    """Whether these are the fields of a delivery report (criteria 7 and 8)."""
    return _is_name(_once(groups[0], "reporting-mta")) and any(map(_is_recipient, groups))


def _is_recipient(fields: _Group) -> bool:
    return bool(
        _is_name(_once(fields, "final-recipient"))
        and _ACTION.fullmatch(_once(fields, "action"))
        and _STATUS.fullmatch(_once(fields, "status"))
    )


def _is_name(value: str) -> bool:
    """Whether something stands behind the type (`dns;`, `rfc822;`), where there is a type."""
    before, semicolon, behind = value.partition(";")
    return bool(behind.strip() if semicolon else before)


def _once(fields: _Group, name: str) -> str:
    """The value of a field that is there once, otherwise `""`."""
    values = fields.get(name, [])
    return values[0].strip() if len(values) == 1 else ""


# Header fields of messages and parts


def _field(message: Message, name: str, default: str) -> str | None:
    """A header field as it was written; `None` if it is there twice, or is no text."""
    # `message[name]` would have the policy parse it
    values = [cast("object", value) for key, value in message.raw_items() if key.lower() == name]
    value = values[0] if values else default
    return value if isinstance(value, str) and len(values) <= 1 else None


def _encoding(message: Message) -> str | None:
    """The transfer encoding of a message or a part, in lower case."""
    written = _field(message, "content-transfer-encoding", "7bit")
    return None if written is None else written.strip().lower()


def _parameters(content_type: str, position: int) -> dict[str, str]:
    """The parameters of a content type; none if one is there twice, or they cannot be read."""
    written: dict[str, str] = {}
    while found := _PARAMETER.match(content_type, position):
        name, quoted, plain = found[1].lower(), found[2], found[3]
        if name in written:
            return {}
        written[name] = plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        position = found.end()
    return written if _END_OF_PARAMETERS.match(content_type, position) else {}


def _parameter(written: dict[str, str], name: str) -> str:
    """One parameter, put together if RFC 2231 took it apart; `""` if there is none, or in doubt."""
    forms = {key: value for key, value in written.items() if key.partition("*")[0] == name}
    if len(forms) == 1 and name in forms:
        return forms[name]
    if len(forms) == 1 and f"{name}*" in forms:
        forms = {f"{name}*0*": forms[f"{name}*"]}
    text = ""
    for number in range(len(forms)):
        plain, extended = f"{name}*{number}", f"{name}*{number}*"
        if plain in forms:
            text += forms[plain]
        elif extended in forms:
            start = 0
            if number == 0:
                prefix = _EXTENDED.match(forms[extended])
                if prefix is None:
                    return ""
                start = prefix.end()
            text += _PERCENT.sub(lambda octet: chr(int(octet[1], 16)), forms[extended][start:])
        else:
            return ""
    return text


# Fields of machine-readable parts


def _groups_of(part: Message) -> list[_Group]:
    """The groups of fields of a part, as far as they are looked at (criterion 5).

    Python's parser takes such a part for messages: one for each group of `message/delivery-status`,
    one for all of any other. Where a line is no field, or the part is encoded, they are not what
    the sender meant, so the text is put together again and read anew.
    """
    text = _text_of(part)
    is_cut = len(text) > LIMIT
    decoded = _decoded(text[:LIMIT], _encoding(part), is_cut)
    if decoded is None:
        return []
    groups: list[_Group] = []
    fields: _Group = {}
    unfolded = _FOLD.sub(" ", decoded.replace("\r\n", "\n").replace("\r", "\n"))
    lines = [*unfolded.split("\n"), ""]
    for line in lines[:-2] if is_cut else lines:  # what is cut may hold more than is seen
        found = _FIELD.fullmatch(line)
        if found is not None:
            fields.setdefault(found[1].lower(), []).append(found[2])
        elif fields and not line:
            groups.append(fields)
            fields = {}
    return groups


def _text_of(part: Message) -> str:
    """The beginning of a part's text: what is looked at, and one character if there is more."""
    pieces: list[str] = []
    room = LIMIT + 1
    for piece in _pieces_of(part):
        pieces.append(piece[:room])
        room -= len(pieces[-1])
        if not room:
            break
    return "".join(pieces)


def _pieces_of(part: Message) -> Iterator[str]:
    """The text of a part that was parsed, piece by piece; none if it was not."""
    for block in cast("list[Message]", part.get_payload()) if part.is_multipart() else []:
        if not isinstance(cast("object", block), Message):
            return
        for name, value in block.raw_items():
            yield from (name, ": ", _as_text(value), "\n")
        body = _body_of(block)
        if body:
            defects = map(type, block.defects)
            yield from ("" if MissingHeaderBodySeparatorDefect in defects else "\n", body, "\n")
        yield "\n"


def _as_text(value: object) -> str:
    """A text as it is, and nothing for anything else that Python lets a message hold."""
    return value if isinstance(value, str) else ""


def _body_of(block: Message) -> str:
    """What is no header in a part of a part."""
    names = {name.lower() for name, _ in block.raw_items()}
    if names & {"content-type", "content-transfer-encoding"}:
        return ""  # to get the payload, they would be parsed, and the charset looked for
    try:
        return _as_text(block.get_payload())
    except UnicodeError:  # a text that was never bytes may have surrogates that stand for none
        return ""


def _decoded(text: str, encoding: str | None, is_cut: bool) -> str | None:
    """The text of a part without its transfer encoding, `None` if there is no telling."""
    if encoding in _IDENTITY:
        return text
    if encoding == "quoted-printable":
        return binascii.a2b_qp(text.encode("utf-8", "surrogatepass")).decode("latin-1")
    if encoding != "base64":
        return None
    digits = "".join(text.split())
    if is_cut:
        digits = digits[: len(digits) // 4 * 4]
    if not _BASE64.fullmatch(digits):
        return None
    try:
        return binascii.a2b_base64(digits).decode("latin-1")
    except binascii.Error:
        return None
