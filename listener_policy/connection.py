"""What is asked of a policy, at once or connection by connection (section 1, rules 4.2 and 4.3).

A server that asks about many recipients of one connection asks its `Connection`. It is also where
the three parties of a decision meet: the listener, whose rules say who governs a domain and who
may relay anything; the peer, with what it authenticated as; and the domains of the envelope.
"""

# pyright: reportPrivateUsage=false
# decisions are filled in here: a call to do it would cost as much as to make one

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import Final, Protocol, cast, final

from listener_policy._memory import Known
from listener_policy.addresses import IPAddress, Peer, ip_address, peer_octets
from listener_policy.decision import (
    Decision,
    Dialect,
    Entry,
    RcptDecision,
)
from listener_policy.domains import envelope_domain
from listener_policy.entries import NO_ENTRY
from listener_policy.errors import RequestError
from listener_policy.listeners import Listener, canonical_listener
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener
from listener_policy.relay_hosts import RelayHosts

__all__ = ["LONGEST_ADDRESS", "AnyPolicy", "Connection", "ListenerRules", "checked_identity"]


LONGEST_ADDRESS: Final = 320
"""Of addresses that are taken apart at once: what is longer might be endless (rule 1.2)."""


class Domains(Protocol):
    """Who governs a domain at one listener."""

    @property
    def known(self) -> Known[str, Entry]:
        """The entries of domains that need not be looked for."""
        ...

    def entry(self, domain: str, connection: Connection, /) -> Entry:
        """The entry that governs a domain in any spelling, or the one that grants nothing."""
        ...

    def search(self, domain: str, connection: Connection, /) -> Entry:
        """The same for a plain `str` that was looked for among the `known` in vain."""
        ...


class ListenerRules(Protocol):
    """What holds at one listener."""

    @property
    def relay_hosts(self) -> tuple[bytes, ...]:
        """Who may relay anything, as `octet_bounds`."""
        ...

    @property
    def dialect(self) -> Dialect:
        """The reading that holds."""
        ...

    @property
    def domains(self) -> Domains:
        """Who governs a domain."""
        ...


_new: Final = object.__new__


@final
class Connection:
    """The questions of one connection; `Policy.connection` makes it.

    Immutable: when the client authenticates, or XCLIENT says who it really is, the connection is
    another one. `.listener`, `.peer` and `.auth` are what was given.
    """

    __slots__ = ("_auth", "_listener", "_octets", "_peer", "_relay_hosts", "_rules")

    _auth: str | None
    _listener: Listener
    _octets: bytes
    _peer: Peer
    _relay_hosts: int
    _rules: ListenerRules

    @staticmethod
    def made(rules: ListenerRules, listener: Listener, peer: Peer, auth: str | None) -> Connection:
        """The connection, as a policy makes it when it has found the rules."""
        made = _new(Connection)
        if auth is not None and type(auth) is not str:
            auth = checked_identity(auth)
        made._rules = rules
        made._listener = listener
        made._peer = peer
        made._auth = auth
        made._octets = octets = peer_octets(peer)
        made._relay_hosts = bisect_right(rules.relay_hosts, octets) & 1
        return made

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
        return ip_address(int.from_bytes(self._octets, "big"))

    @property
    def in_relay_hosts(self) -> bool:
        """Whether the peer is in the listener's `relay_hosts` (rule 4.1)."""
        return self._relay_hosts == 1

    @property
    def auth(self) -> str | None:
        """The authorization identity, or `None` if nobody authenticated."""
        return self._auth

    def authenticated(self, auth: str | None) -> Connection:
        """The same connection with another identity. Raises `RequestError` if it is no string."""
        made = _new(Connection)
        made._rules = self._rules
        made._listener = self._listener
        made._peer = self._peer
        made._auth = checked_identity(auth)
        made._octets = self._octets
        made._relay_hosts = self._relay_hosts
        return made

    def decide(self, domain: str) -> Decision:
        """Decide about one domain (rule 4.2); see `Policy.decide`."""
        entry = self._rules.domains.entry(domain, self)
        made = entry.inside if self._relay_hosts else entry.outside
        if made is None:
            made = entry.decision(entry.grants.index(self._relay_hosts, self._octets, self._auth))
        return made

    def decide_rcpt(  # noqa: C901 - as is said inside
        self, sender: str, recipient: str
    ) -> RcptDecision:
        """Decide about one recipient (rule 4.3); see `Policy.decide_rcpt`."""
        # One body, since a call costs as much as a lookup: with a function for each step this took
        # a sixth longer. What is out of the ordinary goes to `_governing`.
        domains = self._rules.domains
        known = domains.known.by_name
        sending = receiving = None
        if type(sender) is str and len(sender) <= LONGEST_ADDRESS:
            _, at, domain = sender.rpartition("@")
            if at and domain:
                sending = known.get(domain)
                if sending is None and domain[-1] != ">":
                    sending = domains.search(domain, self)
        if sending is None:
            sending = self._governing(sender)
        if type(recipient) is str and len(recipient) <= LONGEST_ADDRESS:
            _, at, domain = recipient.rpartition("@")
            if at and domain:
                receiving = known.get(domain)
                if receiving is None and domain[-1] != ">":
                    receiving = domains.search(domain, self)
        if receiving is None:
            receiving = self._governing(recipient)

        hosts = self._relay_hosts
        sender_index = recipient_index = 4 * hosts
        made = _new(RcptDecision)
        grants = sending.grants
        if grants.for_senders:
            sender_index = grants.index(hosts, self._octets, self._auth)
        made._sender = sending
        made._sender_index = sender_index
        grants = receiving.grants
        made._verdict = grants.verdicts[sender_index]
        if grants.for_senders:
            recipient_index = grants.index(hosts, self._octets, self._auth)
        made._recipient = receiving
        made._recipient_index = recipient_index
        return made

    def _governing(self, address: str) -> Entry:
        """The entry that governs the domain of an envelope address (rule 1.7)."""
        domain = "" if type(address) is str and not address else envelope_domain(address)
        if domain is None:
            return NO_ENTRY[self._rules.dialect]
        return self._rules.domains.entry(domain, self)

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
