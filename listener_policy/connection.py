"""One SMTP connection's part of every question, answered once (rule 1.1).

A server that asks about many recipients of one connection asks its `Connection`. It is also where
the three parties of a decision meet: the listener, whose rules say who governs a domain and who
may relay anything; the peer, with what it authenticated as; and the domains of the envelope.
"""

from __future__ import annotations

from copy import copy
from typing import Protocol, cast, final

from listener_policy import _intervals
from listener_policy._intervals import Bounds
from listener_policy.addresses import IPAddress, Peer, ip_address, peer_address
from listener_policy.decision import Decision, Dialect, RcptDecision
from listener_policy.domains import canonical_domain, envelope_domain
from listener_policy.entries import NO_ENTRY, Entry, decide, decide_rcpt
from listener_policy.errors import RequestError
from listener_policy.listeners import Listener

__all__ = ["Connection", "ListenerRules"]


class ListenerRules(Protocol):
    """What holds at one listener."""

    @property
    def relay_hosts(self) -> Bounds:
        """Who may relay anything."""
        ...

    @property
    def dialect(self) -> Dialect:
        """The reading that holds."""
        ...

    def governing(self, domain: str, connection: Connection, /) -> Entry:
        """The entry that governs a canonical domain."""
        ...


@final
class Connection:
    """The questions of one connection; `Policy.connection` makes it.

    Immutable: when the client authenticates, or XCLIENT says who it really is, the connection is
    another one. `.listener`, `.peer` and `.auth` are what was given.
    """

    __slots__ = ("_address", "_auth", "_listener", "_peer", "_relay_hosts", "_rules")

    def __init__(
        self, rules: ListenerRules, listener: Listener, peer: Peer, auth: str | None
    ) -> None:
        self._rules = rules
        self._listener = listener
        self._peer = peer
        self._auth = checked_identity(auth)
        self._address = peer_address(peer)
        self._relay_hosts = _intervals.contains(rules.relay_hosts, self._address)

    @property
    def listener(self) -> Listener:
        """The listener, as it was given."""
        return self._listener

    @property
    def peer(self) -> Peer:
        """The client's address, as it was given."""
        return self._peer

    @property
    def peer_address(self) -> IPAddress:
        """The client's address as an `ipaddress` object, IPv4 if it was mapped (rule 1.3)."""
        return ip_address(self._address)

    @property
    def in_relay_hosts(self) -> bool:
        """Whether the peer is in the listener's `relay_hosts` (rule 4.1)."""
        return self._relay_hosts

    @property
    def auth(self) -> str | None:
        """The authorization identity, or `None` if nobody authenticated."""
        return self._auth

    def authenticated(self, auth: str | None) -> Connection:
        """The same connection with another identity. Raises `RequestError` if it is no string."""
        connection = copy(self)
        connection._auth = checked_identity(auth)
        return connection

    def decide(self, domain: str) -> Decision:
        """Decide about one domain (rule 4.2); see `Policy.decide`."""
        entry = self._governing(canonical_domain(domain))
        return decide(entry, self._relay_hosts, self._address, self._auth)

    def decide_rcpt(self, sender: str, recipient: str) -> RcptDecision:
        """Decide about one recipient (rule 4.3); see `Policy.decide_rcpt`."""
        return decide_rcpt(
            self._governing(envelope_domain(sender)),
            self._governing(envelope_domain(recipient)),
            self._relay_hosts,
            self._address,
            self._auth,
        )

    def _governing(self, domain: str | None) -> Entry:
        """The entry that governs a canonical domain; none governs one that is not valid (1.2)."""
        rules = self._rules
        return NO_ENTRY[rules.dialect] if domain is None else rules.governing(domain, self)

    def __repr__(self) -> str:
        return f"Connection(listener={self._listener!r}, peer={self._peer!r}, auth={self._auth!r})"


def checked_identity(auth: str | None) -> str | None:
    """An identity as a plain `str`, or `None` (rules 1.1 and 1.6).

    Raises `RequestError`, which does not show the value: it may be a password.
    """
    if auth is None or type(auth) is str:
        return auth
    if isinstance(cast("object", auth), str):
        return str.__str__(auth)
    raise RequestError(f"auth: expected a string or `None`, found a `{type(auth).__name__}`")
