"""Reads a message as far as telling reports from other messages needs, and no further.

`email.message_from_bytes` reads all of it. It asks at each line every multipart that is open
whether it ends there, so that 200 kB with parts in parts in parts take ten seconds; parts that
deep raise `RecursionError`; a folded `Content-Type` of a megabyte takes minutes; each part takes a
kilobyte of memory, be it empty; and a boundary may name a charset, whose codec is imported and may
raise. A server that answers anybody cannot afford that. What makes a report is in the message
itself and in its own parts, so none is overlooked.
"""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from email.policy import Policy, compat32
from typing import Final, TypeVar, cast, overload

__all__ = ["read_message"]

_T = TypeVar("_T")

LONGEST_CONTENT_TYPE: Final = 2000
"""Of a message whose boundary is looked for, in characters: twice what one line may hold."""
MOST_PARTS: Final = 10_000
"""Of a message that is taken apart, counting the groups of fields of a delivery report."""


class _TooManyPartsError(Exception):
    pass


class _Message(Message):
    """A message, or what stands in one; of its parts, only the outermost are told apart."""

    _is_part = False

    def attach(self, payload: Message) -> None:  # type: ignore[override]
        """Take in a part, as the parser does before it reads it."""
        cast("_Message", payload)._is_part = True
        super().attach(payload)

    def get_content_maintype(self) -> str:
        """The type, by which the parser sees whether there are parts."""
        found = super().get_content_maintype()
        return "text" if self._is_part and found == "multipart" else found

    @overload
    def get_boundary(self, failobj: None = None) -> str | None: ...
    @overload
    def get_boundary(self, failobj: _T) -> str | _T: ...
    def get_boundary(self, failobj: _T | None = None) -> str | _T | None:
        """The boundary, if the time to find it is bounded, and it names no charset (RFC 2231)."""
        if len(str(self.get("content-type", ""))) > LONGEST_CONTENT_TYPE:
            return failobj
        if not isinstance(self.get_param("boundary", ""), str):
            return failobj  # the codec would be imported, and may raise what it likes
        return super().get_boundary(failobj)


def read_message(content: bytes) -> Message:
    """A message from its octets, for `listener_policy.reports.classify`.

    Its header and parts are what `email.message_from_bytes` makes of them, but a part that has
    parts of its own is left as text, and so is a message of 10,000 parts, or one whose
    `Content-Type` has more than 2,000 characters or whose boundary is encoded (RFC 2231). Nothing
    raises because of what the octets are, and the time grows no faster than their number.
    """
    made = 0

    def make(policy: Policy = compat32) -> Message:
        nonlocal made
        made += 1
        if made > MOST_PARTS:
            raise _TooManyPartsError
        return _Message(policy)

    try:
        return BytesParser(make).parsebytes(content)
    except Exception:  # noqa: BLE001 - too many parts, or whatever else the parser makes of it
        return BytesParser(_Message).parsebytes(content, headersonly=True)
