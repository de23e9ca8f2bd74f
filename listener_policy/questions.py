"""Questions as values: what is asked of a policy, so that it can be kept, shown and asked again."""

from __future__ import annotations

from typing import NamedTuple

from listener_policy.addresses import Peer
from listener_policy.listeners import Listener

__all__ = ["RcptRequest", "Request"]


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
