"""aiosmtpd: the handler that asks the policy first and a handler of the server's own after it.

    handler = PolicyHandler(policy, Spool())
    Controller(handler, hostname="192.0.2.25", port=25)

What is answered, and when:

- RCPT TO is answered as the policy decides (rule 4.3). What the policy accepts, the `handle_RCPT`
  of the server's own handler may still refuse.
- DATA is answered as the dispositions of the recipients say (rule 4.4). A message is handed over to
  `relay_message` if somebody may have it, and before that to `log_report` if it is a report that
  is to be logged. What is refused goes to neither.
- One reply after DATA is for all recipients, so all recipients of a transaction are such that the
  reply is true for each. The first that is accepted says for which kinds of messages there
  will be a 250; a later one that differs in that is asked to wait for another transaction (452, as
  RFC 5321, 4.5.3.1.10 provides). To answer 250 and drop one recipient's copy would lose mail in
  silence, and to bounce it would send mail to whoever was named as the sender.
- A transaction has the policy that was in force at its MAIL FROM. Who the client is and what it
  authenticated as is looked up at every RCPT TO, and nothing is remembered about it.
- An address with control characters is refused (553): aiosmtpd decodes `=?utf-8?q?=0d=0a?=` in an
  address, and whoever writes CR and LF to the next server lets the client speak to that server.
- What cannot be decided is answered `451 4.3.0`. The exception goes to the `handle_exception` of
  the server's own handler, or else to the exception handler of the event loop, which logs it.

What belongs to a transaction is kept by its `Envelope`, which aiosmtpd drops at RSET, EHLO,
STARTTLS and after DATA.
"""

from __future__ import annotations

import re
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Never, Protocol, TypeAlias, cast, final
from weakref import WeakKeyDictionary

from aiosmtpd.proxy_protocol import V2_CMD, ProxyData
from aiosmtpd.smtp import MISSING, SMTP, Envelope, LoginPassword, Session

from listener_policy._display import described, shown
from listener_policy.addresses import Peer, SocketAddress
from listener_policy.connection import AnyPolicy
from listener_policy.decision import (
    ACCEPTED_DATA,
    ACCEPTED_RCPT,
    REFUSED,
    Disposition,
    RcptDecision,
    Report,
)
from listener_policy.errors import PolicyError, RequestError
from listener_policy.listeners import Listener
from listener_policy.messages import read_message
from listener_policy.reports import classify

__all__ = [
    "Delivery",
    "MessageHandler",
    "PolicyHandler",
    "Recipient",
    "Reply",
    "identity_of",
    "listener_of",
    "peer_of",
    "report_of",
]

NOT_NOW: Final = "451 4.3.0 requested action aborted: local error in processing"
ANOTHER_TRANSACTION: Final = "452 4.5.3 send to this recipient in another transaction"
BAD_SENDER: Final = "553 5.1.7 malformed address"
BAD_RECIPIENT: Final = "553 5.1.3 malformed address"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
"""What no address holds, quoted or not (RFC 5321, 4.1.2), though aiosmtpd lets it through."""

Reply: TypeAlias = str | bytes
"""What aiosmtpd sends to the client."""
_Hook: TypeAlias = Callable[..., Awaitable[object]]


def peer_of(session: Session) -> Peer:
    """The client's address, as the socket or the PROXY header has it.

    Raises `RequestError` where there is none: on a UNIX socket, and behind a PROXY header that
    names no client (LOCAL, UNKNOWN, a UNIX socket). The proxy's own address never takes its place,
    since the proxy may well be in `relay_hosts`.
    """
    proxy = session.proxy_data
    if proxy is None:
        return _socket_address("peer", session.peer)
    return _proxied(proxy, "peer", proxy.src_addr)


def listener_of(server: SMTP, session: Session) -> Listener:
    """The local address of the connection, as the socket or the PROXY header has it.

    Raises `RequestError` where there is none, as `peer_of` does.
    """
    proxy = session.proxy_data
    if proxy is not None:
        address = _proxied(proxy, "listener", proxy.dst_addr)
        return _socket_address("listener", (str(address), proxy.dst_port))
    if server.transport is None:
        raise RequestError("listener: expected a connection, found one that is closed")
    return _socket_address("listener", server.transport.get_extra_info("sockname"))


def identity_of(session: Session) -> str | None:
    """The identity that the client authenticated as, or `None` (rule 1.6).

    Whoever is not `session.authenticated` is nobody, whatever else the session holds: aiosmtpd
    leaves that at `None` for an `auth_*` method that returns anything but an `AuthResult`. Octets
    that are not UTF-8 become lone surrogates (PEP 383), one identity for each string of octets.

    Raises `RequestError` if the `auth_data` of the `AuthResult` is neither a `LoginPassword` nor
    text; who else authenticates says so by giving `PolicyHandler` another `identity`.
    """
    if session.authenticated is not True:
        return None
    found = cast("object", session.auth_data)
    if isinstance(found, LoginPassword):
        found = cast("object", found.login)
    if isinstance(found, bytes):
        return found.decode("utf-8", "surrogateescape")
    if isinstance(found, str):
        return found
    raise RequestError(
        "auth: expected a `LoginPassword`, a string or bytes as `auth_data`, "
        f"found a `{type(found).__name__}`; give `PolicyHandler` an `identity` that understands it"
    )


def _socket_address(what: str, value: object) -> SocketAddress:
    if isinstance(value, tuple):
        return cast("SocketAddress", value)  # the policy looks at what is in it
    raise RequestError(
        f"{what}: expected an address and a port, found `{shown(value)}`; "
        f"give `PolicyHandler` a `{what}` that knows it"
    )


def _proxied(proxy: ProxyData, what: str, address: object) -> IPv4Address | IPv6Address:
    says_who = proxy.valid and proxy.command != V2_CMD.LOCAL
    if says_who and isinstance(address, IPv4Address | IPv6Address):
        return address
    raise RequestError(f"{what}: expected an address in the PROXY header, found none")


async def report_of(content: bytes) -> Report | None:
    """What kind of report a message is, by `listener_policy.reports.classify`."""
    return classify(read_message(content))


@final
@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient that RCPT TO was accepted for, and what became of the message (rule 4.4)."""

    address: str
    """As it stands in the envelope."""
    decision: RcptDecision
    """With the options and the reason."""
    disposition: Disposition
    """What becomes of the message for this recipient."""


@final
@dataclass(frozen=True, slots=True)
class Delivery:
    """What becomes of one message, recipient by recipient (rule 4.4). It has no truth value."""

    report: Report | None
    """What the message is, if the options of a recipient ask for it; otherwise `None`."""
    recipients: tuple[Recipient, ...]
    """All that RCPT TO was accepted for, in the order of the envelope."""

    @property
    def relay(self) -> tuple[str, ...]:
        """The addresses to relay the message to."""
        return tuple(one.address for one in self.recipients if one.disposition.relay)

    @property
    def log(self) -> tuple[str, ...]:
        """The addresses for which it is a report that is to be logged, relayed or not."""
        return tuple(one.address for one in self.recipients if one.disposition.log)

    @property
    def drop(self) -> tuple[str, ...]:
        """The addresses for which it is accepted and not relayed."""
        return tuple(
            one.address
            for one in self.recipients
            if one.disposition.accept and not one.disposition.relay
        )

    @property
    def refused(self) -> tuple[str, ...]:
        """The addresses for which it is refused: none, or all of them."""
        return tuple(one.address for one in self.recipients if not one.disposition.accept)

    @property
    def reply(self) -> str:
        """The SMTP reply after DATA, true for every recipient."""
        return REFUSED if self.refused else ACCEPTED_DATA

    def __bool__(self) -> Never:
        raise TypeError(
            "a Delivery is neither true nor false: say what is meant "
            "(.relay, .log, .drop, .refused)"
        )


class MessageHandler(Protocol):
    """What a server's own handler does with messages.

    Besides these two methods it has the hooks that aiosmtpd knows (`handle_*`, `auth_*`), as it
    likes, and may have `message_refused`, of the same signature, to hear of messages that were
    refused after DATA. While a method runs, `envelope.rcpt_tos` are the `delivery.relay`.

    They return `None` for the policy's reply, or a reply of their own: any that is not 2xx says
    that the message was not taken, and the client will come again or give up.
    """

    async def relay_message(
        self, server: SMTP, session: Session, envelope: Envelope, delivery: Delivery, /
    ) -> Reply | None:
        """Take responsibility for the message, for `delivery.relay` and nobody else.

        It is called only if there is such a recipient.
        """
        ...

    async def log_report(
        self, server: SMTP, session: Session, envelope: Envelope, delivery: Delivery, /
    ) -> Reply | None:
        """Log the report, for `delivery.log`.

        It is called only if there is such a recipient, before `relay_message`, and again if the
        client comes again since that one has failed.
        """
        ...


@final
@dataclass(slots=True)
class _Transaction:
    """What belongs to one envelope."""

    policy: AnyPolicy
    accepted: list[tuple[str, RcptDecision]] = field(default_factory=list[tuple[str, RcptDecision]])


@final
class PolicyHandler:
    """A handler for aiosmtpd: the policy's answers, then those of the server's own handler.

    policy: a `Policy` or `HookPolicy`. It may be replaced at any time, from any thread; connections
        that are open go on, and their next transaction has the new one.
    handler: the server's own. All its hooks keep working (`handle_EHLO`, `auth_*` and so on), but
        for `handle_DATA`, in whose place are `relay_message` and `log_report`. Its `handle_RCPT` is
        asked about recipients that the policy accepts; it need not append to `envelope.rcpt_tos`,
        and what it answers but 2xx stands. As in aiosmtpd, without a `handle_PROXY` of its own
        connections with a PROXY header are not taken.
    peer, listener, identity: what finds these out, where they are not what aiosmtpd makes of
        sockets, PROXY headers and AUTH.
    report: what finds out whether a message is a report, from its octets.

    Raises `PolicyError` for a policy or handler that is none.
    """

    def __init__(
        self,
        policy: AnyPolicy,
        handler: MessageHandler,
        *,
        peer: Callable[[Session], Peer] = peer_of,
        listener: Callable[[SMTP, Session], Listener] = listener_of,
        identity: Callable[[Session], str | None] = identity_of,
        report: Callable[[bytes], Awaitable[Report | None]] = report_of,
    ) -> None:
        for name in ("relay_message", "log_report"):
            if not callable(getattr(handler, name, None)):
                raise PolicyError(
                    "handler: expected an object with the methods `relay_message` and "
                    f"`log_report`, found {described(handler)} without `{name}`"
                )
        self.policy = policy
        self._handler = handler
        self._peer = peer
        self._listener = listener
        self._identity = identity
        self._report = report
        self._transactions = WeakKeyDictionary[Envelope, _Transaction]()
        self._proxied = WeakKeyDictionary[SMTP, ProxyData]()
        for name in dir(handler):  # where aiosmtpd looks for hooks, it now looks here
            if name.startswith(("handle_", "auth_")) and not hasattr(self, name):
                setattr(self, name, getattr(handler, name))

    @property
    def policy(self) -> AnyPolicy:
        """The policy of transactions that begin from now on."""
        return self._policy

    @policy.setter
    def policy(self, policy: AnyPolicy) -> None:
        if not isinstance(cast("object", policy), AnyPolicy):
            found = described(policy)
            raise PolicyError(f"policy: expected a `Policy` or a `HookPolicy`, found {found}")
        self._policy = policy

    async def handle_MAIL(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        mail_options: list[str],
    ) -> object:
        """Begin a transaction, and let the server's own handler or aiosmtpd answer."""
        if _CONTROL.search(address):
            return BAD_SENDER
        self._transactions[envelope] = _Transaction(self._policy)
        hook = self._hook("handle_MAIL")
        if hook is None:
            return MISSING
        try:
            return await hook(server, session, envelope, address, mail_options)
        except ConnectionResetError as error:  # aiosmtpd would take it for the client's end
            return await self.handle_exception(error)

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> Reply:
        """Answer RCPT TO (rule 4.3)."""
        if _CONTROL.search(address):
            return BAD_RECIPIENT
        try:
            return await self._rcpt_reply(server, session, envelope, address, rcpt_options)
        except ConnectionResetError as error:  # aiosmtpd would take it for the client's end
            return await self.handle_exception(error)

    async def _rcpt_reply(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> Reply:
        """What is said about a recipient, by the policy and the server's own handler."""
        transaction = self._transactions.get(envelope)
        if transaction is None:  # somebody called `handle_MAIL` of nobody
            transaction = self._transactions[envelope] = _Transaction(self._policy)
        connection = transaction.policy.connection(
            self._listener(server, session), self._peer(session), self._identity(session)
        )
        decision = connection.decide_rcpt(cast("str", envelope.mail_from), address)
        if not decision.accept:
            return decision.reply
        if any(_accepts(first) != _accepts(decision) for _, first in transaction.accepted[:1]):
            return ANOTHER_TRANSACTION
        reply = await self._own_reply(server, session, envelope, address, rcpt_options)
        if _is_positive(reply):
            transaction.accepted.append((address, decision))
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(rcpt_options)
        return reply

    async def _own_reply(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> Reply:
        """What the server's own handler says about a recipient; the envelope stays as it is."""
        hook = self._hook("handle_RCPT")
        if hook is None:
            return ACCEPTED_RCPT
        addresses, options = list(envelope.rcpt_tos), list(envelope.rcpt_options)
        try:
            reply = await hook(server, session, envelope, address, rcpt_options)
            left = envelope.rcpt_tos
        finally:
            envelope.rcpt_tos, envelope.rcpt_options = addresses, options
        if left not in (addresses, [*addresses, address]):
            raise PolicyError(
                "handle_RCPT: expected the recipient in `envelope.rcpt_tos` as the policy has "
                "accepted it; rewrite addresses in `relay_message`"
            )
        return ACCEPTED_RCPT if reply is MISSING else _checked_reply("handle_RCPT", reply)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> Reply:
        """Answer DATA, and hand the message over for whom it is accepted (rule 4.4)."""
        try:
            return await self._delivered(server, session, envelope)
        except Exception as error:  # noqa: BLE001 - raised, it would leave the envelope in use
            return await self.handle_exception(error)

    async def _delivered(self, server: SMTP, session: Session, envelope: Envelope) -> Reply:
        delivery = await self._delivery(envelope)
        envelope.rcpt_tos = list(delivery.relay)
        if delivery.refused:
            refused = self._hook("message_refused")
            if refused is not None:
                await refused(server, session, envelope, delivery)
            return delivery.reply
        reply: Reply = delivery.reply
        for name, addresses in (("log_report", delivery.log), ("relay_message", delivery.relay)):
            hook = self._hook(name) if addresses else None
            if hook is not None and _is_positive(reply):
                answer = await hook(server, session, envelope, delivery)
                reply = delivery.reply if answer is None else _checked_reply(name, answer)
        return reply

    async def _delivery(self, envelope: Envelope) -> Delivery:
        """What becomes of the message in an envelope."""
        transaction = self._transactions.get(envelope)
        accepted = [] if transaction is None else transaction.accepted
        if [address for address, _ in accepted] != envelope.rcpt_tos:
            raise PolicyError(
                "handle_DATA: expected in `envelope.rcpt_tos` the recipients that the policy has "
                "accepted, found others; rewrite addresses in `relay_message`"
            )
        report = None
        if any(decision.log_arf or decision.log_oob for _, decision in accepted):
            report = await self._report(envelope.original_content or b"")
        return Delivery(
            report,
            tuple(
                Recipient(address, decision, decision.after_data(report))
                for address, decision in accepted
            ),
        )

    async def handle_exception(self, error: Exception) -> Reply:
        """Answer that something went wrong, here or in aiosmtpd, and say so to the operator.

        The words of an exception are not the client's.
        """
        hook = self._hook("handle_exception")
        if hook is not None:
            try:
                return _checked_reply("handle_exception", await hook(error))
            except Exception as another:  # noqa: BLE001 - aiosmtpd would send its text
                error = another  # whose context is the first
        context = {"message": "SMTP session exception", "exception": error}
        get_running_loop().call_exception_handler(context)
        return NOT_NOW

    def _hook(self, name: str) -> _Hook | None:
        """A method of the server's own handler, if it has it."""
        return cast("_Hook | None", getattr(self._handler, name, None))

    def handle_STARTTLS(self, server: SMTP, session: Session, envelope: Envelope) -> object:
        """Keep what the PROXY header said.

        aiosmtpd begins another session after STARTTLS, with the address of the socket: the proxy's.
        """
        session.proxy_data = self._proxied.get(server, session.proxy_data)
        hook = cast("Callable[..., object] | None", getattr(self._handler, "handle_STARTTLS", None))
        return True if hook is None else hook(server, session, envelope)

    async def handle_PROXY(
        self, server: SMTP, session: Session, envelope: Envelope, proxy_data: ProxyData
    ) -> object:
        """Let the server's own handler say whether a PROXY header is to be believed."""
        hook = self._hook("handle_PROXY")
        if hook is None:
            return MISSING
        self._proxied[server] = proxy_data
        return await hook(server, session, envelope, proxy_data)


def _accepts(decision: RcptDecision) -> tuple[bool, ...]:
    """For which kinds of messages DATA will be answered with 250."""
    return tuple(decision.after_data(report).accept for report in (None, *Report))


def _is_positive(reply: Reply) -> bool:
    return reply.startswith("2") if isinstance(reply, str) else reply.startswith(b"2")


def _checked_reply(name: str, reply: object) -> Reply:
    if isinstance(reply, str | bytes):
        return reply
    raise PolicyError(f"{name}: expected an SMTP reply, found {described(reply)}")
