"""Questions as values: what is asked of a policy, so that it can be kept, shown and asked again."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from listener_policy._display import printable
from listener_policy.addresses import Peer
from listener_policy.listeners import Listener

__all__ = ["RcptRequest", "Request", "explain_arguments"]


class Request(NamedTuple):
    """A question about one domain: `policy.decide(*request)` answers it (section 1)."""

    listener: Listener
    peer: Peer
    domain: str
    auth: str | None = None


class RcptRequest(NamedTuple):
    """A question about one recipient: `policy.decide_rcpt(*request)` answers it (section 1)."""

    listener: Listener
    peer: Peer
    sender: str
    recipient: str
    auth: str | None = None


def explain_arguments(question: Request | RcptRequest) -> str:
    """A question as the command `explain` takes it.

    What does not print is escaped, since it is to be seen; pasted, it asks something else.
    """
    return " ".join(
        f"--{name}={shlex.quote(text if text.isprintable() else printable(text))}"
        for name, value in question._asdict().items()
        if value is not None
        for text in [str(value)]
    )
