"""What is asked of a policy, at once or connection by connection (section 1, rules 4.2 and 4.3).

A server that asks about many recipients of one connection asks its `Connection`. It is also where
the three parties of a decision meet: the listener, whose rules say who governs a domain and who
may relay anything; the peer, with what it authenticated as; and the domains of the envelope.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import Protocol, cast, final

from listener_policy import _intervals
from listener_policy._intervals import Bounds
from listener_policy.addresses import IPAddress, Peer, ip_address, peer_address
from listener_policy.decision import Decision, Dialect, RcptDecision
from listener_policy.domains import canonical_domain, envelope_domain
from listener_policy.entries import NO_ENTRY, Entry, decide, decide_rcpt
from listener_policy.errors import RequestError
from listener_policy.listeners import Listener, canonical_listener
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener
from listener_policy.relay_hosts import RelayHosts

__all__ = ["AnyPolicy", "Connection", "ListenerRules", "checked_identity"]


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


class AnyPolicy(ABC):
    """What can be asked of every policy, wherever its entries are kept.

    `Policy` keeps them in a table, `HookPolicy` asks a function. Servers and adapters that work
    with either take an `AnyPolicy`.
    """

    __slots__ = ("_dialect", "_relay_hosts")

    _dialect: Dialect
    _relay_hosts: RelayHosts

    @abstractmethod
    def connection(self, listener: Listener, peer: Peer, auth: str | None = None) -> Connection:
        """The questions of one connection, its own part answered once; arguments as in `decide`."""

    @property
    def listeners(self) -> tuple[EsmtpListener, ...]:
        """The listeners that it was made of, in the order in which they were given."""
        return self._relay_hosts.listeners

    @property
    def relay_hosts(self) -> CidrSet:
        """The `relay_hosts` of listeners that state none (rule 4.1)."""
        return self._relay_hosts.default

    @property
    def dialect(self) -> Dialect:
        """The reading that holds, where guide and engine differ."""
        return self._dialect

    def decide(
        self, listener: Listener, peer: Peer, domain: str, auth: str | None = None
    ) -> Decision:
        """What a listener grants a peer with regard to one domain (rule 4.2).

        listener: the local address of the connection (`"10.1.2.3:25"`, `"[2001:db8::25]:25"`, a
            socket address tuple), or the listener's name.
        peer: the client's address: text with or without a port, an `ipaddress` object or a socket
            address tuple.
        domain: a mail domain from the envelope, in any spelling; `""` for the null sender. Any
            string is decided about (rule 1.2).
        auth: the authorization identity that SMTP AUTH settled on; `None` if nobody authenticated.

        Raises `RequestError` for a listener or peer that cannot be understood, and for arguments
        of other types (rule 1.1).
        """
        return self.connection(listener, peer, auth).decide(domain)

    def decide_rcpt(
        self, listener: Listener, peer: Peer, sender: str, recipient: str, auth: str | None = None
    ) -> RcptDecision:
        """Whether a listener accepts one recipient (rule 4.3).

        sender, recipient: envelope addresses, with or without angle brackets; `""` or `"<>"` is
            the null sender (rule 1.7). Any string is decided about.

        The other arguments and what is raised are those of `decide`.
        """
        return self.connection(listener, peer, auth).decide_rcpt(sender, recipient)

    def relay_hosts_at(self, listener: Listener) -> CidrSet:
        """The `relay_hosts` that hold at a listener (rule 4.1): who may relay anything there.

        What is raised for a listener that cannot be understood is what `decide` raises.
        """
        return self._relay_hosts.of(self._relay_hosts.source(canonical_listener(listener)))


def checked_identity(auth: str | None) -> str | None:
    """An identity as a plain `str`, or `None` (rules 1.1 and 1.6).

    Raises `RequestError`, which does not show the value: it may be a password.
    """
    if auth is None or type(auth) is str:
        return auth
    if isinstance(cast("object", auth), str):
        return str.__str__(auth)
    raise RequestError(f"auth: expected a string or `None`, found a `{type(auth).__name__}`")
