"""Postfix's policy delegation protocol, without I/O: octets in, attributes out, action octets out.

Postfix asks at every RCPT TO what `check_policy_service` in its `smtpd_relay_restrictions` is to
answer; `SMTPD_POLICY_README` of Postfix describes how. A server that talks to it needs little more
than this:

    parser = RequestParser()                    # one for each connection
    while octets := connection.recv(65536):
        for attributes in parser.feed(octets):
            connection.sendall(action(policy, attributes).response)

On any error it disconnects without an answer: Postfix then puts the client off (451). There is no
other way to say that something is wrong, and it permits nothing.

What is answered, and why that is right where it is asked:

- `OK`: any message may be relayed (`.relay`, rule 4.3). Postfix asks nothing else about relaying.
- `DUNNO`: nothing is permitted here; the restrictions behind this one decide. This is the answer
  for a recipient that is accepted only to see whether a report follows (rule 4.4), since Postfix
  does not come back after DATA to ask: with `OK`, every stranger could relay through a `*` that
  has `log_oob`. It is also the answer to questions about anything but RCPT TO.
- `550 5.7.1 relaying not permitted`: refused (rule 4.3).

Postfix goes by more of a recipient than its domain: it reads `bob%example.org@example.com`,
`example.org!bob@example.com` and `bob@example.org@example.com`, however they were quoted, as
routes that go on from `example.com`. It does not let such a recipient through by its destination
(`permit_auth_destination`), and neither does this: a `relay_to` alone gives it `DUNNO`. A client
that may relay to anywhere may relay to there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum, unique
from typing import Final, TypeAlias, cast, final

from listener_policy._display import shown
from listener_policy._frozen import FrozenMapping
from listener_policy.addresses import parse_address, parse_socket_address
from listener_policy.connection import AnyPolicy
from listener_policy.decision import REFUSED
from listener_policy.errors import PolicyError, RequestError
from listener_policy.listeners import Listener
from listener_policy.questions import RcptRequest

__all__ = [
    "LONGEST_REQUEST",
    "Action",
    "Attributes",
    "ProtocolError",
    "RequestParser",
    "action",
    "rcpt_request",
]

LONGEST_REQUEST: Final = 65_536
"""Octets of a request that are read before it is given up. Postfix, whose SMTP lines have at most
2,048 and whose SASL responses 12,288, never gets near."""

Attributes: TypeAlias = Mapping[str, str]
"""What Postfix says of the client and the envelope, by the names in `SMTPD_POLICY_README`."""

_REQUEST: Final = "smtpd_access_policy"
_ROUTING: Final = re.compile("[@!%]")
"""What Postfix takes for routing in a local part, whatever its own settings are."""


class ProtocolError(PolicyError):
    """What was sent cannot be understood as a request: disconnect without an answer."""


@unique
class Action(Enum):
    """What Postfix is to do; `.value` is what it is told, as in its access(5) tables."""

    OK = "OK"
    """Permit: any message may be relayed."""
    DUNNO = "DUNNO"
    """Say nothing: the restrictions behind this one decide."""
    REFUSE = REFUSED
    """Refuse the recipient."""

    @property
    def response(self) -> bytes:
        """The whole response, as it is sent."""
        return f"action={self.value}\n\n".encode("ascii")


@final
class RequestParser:
    """Takes what one connection sends, octets in any portions, and gives the requests in it.

    A request is lines of `name=value`, each ended by a line feed, and an empty line. No name comes
    twice, no octet is NUL, `request` is `smtpd_access_policy`, and the whole has at most
    `LONGEST_REQUEST` octets; anything else is a `ProtocolError`. After one, the parser is of no
    further use: everything that it is asked raises the same again. However the octets are cut into
    portions, the requests and the error are the same.

    Text is UTF-8. Octets that are not become lone surrogates, which no valid domain contains.
    """

    __slots__ = ("_attributes", "_failure", "_line", "_size")

    def __init__(self) -> None:
        self._attributes: dict[str, str] = {}
        self._failure: str | None = None
        self._line = bytearray()
        self._size = 0

    def feed(self, octets: bytes | bytearray) -> Iterator[Attributes]:
        """The requests that are complete with these octets, in order.

        All octets are read at once. If there is an error behind some requests, iterating gives
        these and then raises `ProtocolError`. What is no `bytes` is a `RequestError`.
        """
        if not isinstance(cast("object", octets), bytes | bytearray):
            raise RequestError(f"octets: expected `bytes`, found `{shown(octets)}`")
        requests: list[Attributes] = []
        if self._failure is None:
            try:
                self._read(octets, requests)
            except ProtocolError as error:
                self._failure = str(error)
                self._attributes = {}
                self._line = bytearray()
        return _requests(requests, self._failure)

    def close(self) -> None:
        """The stream has ended. Raises `ProtocolError` if a request has not."""
        if self._failure is None and self._size:
            self._failure = "expected the end of the request, found the end of the stream"
        if self._failure is not None:
            raise ProtocolError(self._failure)

    def _read(self, octets: bytes | bytearray, requests: list[Attributes]) -> None:
        *ends, rest = octets.split(b"\n")
        for end in ends:
            self._add(end, ended=True)
            line = bytes(self._line)
            self._line.clear()
            if line:
                self._add_attribute(line)
            else:
                requests.append(self._request())
        self._add(rest, ended=False)

    def _add(self, octets: bytes | bytearray, *, ended: bool) -> None:
        """Keep a piece of a line, if the request does not become too long by it."""
        self._size += len(octets) + ended
        if self._size > LONGEST_REQUEST:
            raise ProtocolError(f"expected at most {LONGEST_REQUEST} octets in a request")
        self._line += octets

    def _add_attribute(self, line: bytes) -> None:
        text = line.decode(errors="surrogateescape")
        name, equals, value = text.partition("=")
        if not name or not equals or "\0" in text:
            raise ProtocolError(f"expected `name=value` without NUL, found `{shown(line)}`")
        if name in self._attributes:
            raise ProtocolError(f"expected each attribute once, found a second `{shown(name)}`")
        self._attributes[name] = value

    def _request(self) -> Attributes:
        """The request that an empty line has completed."""
        attributes = FrozenMapping.owning(self._attributes)
        self._attributes = {}
        self._size = 0
        if attributes.get("request") != _REQUEST:
            raise _not(f"`{_REQUEST}`", attributes, "request")
        return attributes


def _requests(requests: list[Attributes], failure: str | None) -> Iterator[Attributes]:
    yield from requests
    if failure is not None:
        raise ProtocolError(failure)


def rcpt_request(attributes: Attributes, *, listener: Listener | None = None) -> RcptRequest | None:
    """The question about a recipient, or `None` if Postfix asks about anything but RCPT TO.

    The listener is `server_address` and `server_port`, unless another one is given. The peer is
    `client_address`, and `auth` is `sasl_username`, which is empty if nobody authenticated.

    Raises `ProtocolError` if one of these is missing or cannot be understood. So it is with
    Postfix before 3.2, which does not send the listener, and with clients that have no IP address.

    >>> rcpt_request({
    ...     "protocol_state": "RCPT", "client_address": "203.0.113.9", "sasl_username": "",
    ...     "server_address": "2001:db8::25", "server_port": "25",
    ...     "sender": "ann@example.net", "recipient": "bob@example.com",
    ... })  # doctest: +NORMALIZE_WHITESPACE
    RcptRequest(listener='[2001:db8::25]:25', peer='203.0.113.9',
                sender='ann@example.net', recipient='bob@example.com', auth=None)
    """
    if _text(attributes, "protocol_state") != "RCPT":
        return None
    client = _text(attributes, "client_address")
    if parse_address(client) is None:
        raise _not("an IP address", attributes, "client_address")
    recipient = _text(attributes, "recipient")
    if not recipient:
        raise _not("an address", attributes, "recipient")
    return RcptRequest(
        _server(attributes) if listener is None else listener,
        client,
        _text(attributes, "sender"),
        recipient,
        _text(attributes, "sasl_username", absent="") or None,
    )


def action(
    policy: AnyPolicy, attributes: Attributes, *, listener: Listener | None = None
) -> Action:
    """What Postfix is to do with a recipient (rule 4.3); see above for what each action means.

    `OK` if the message may be relayed whatever it is, unless that is by `relay_to` alone and there
    is routing in the local part; `REFUSE` if the recipient is not accepted; otherwise `DUNNO`.

    Raises `ProtocolError` where `rcpt_request` does, `RequestError` for a `policy` or `listener`
    that cannot be understood, and what the hook of a `HookPolicy` raises.

    >>> from listener_policy import Policy
    >>> policy = Policy.from_toml('''
    ... ["example.com"]
    ... relay_to = true
    ... ["*"]
    ... log_oob = true
    ... ''')
    >>> asked = {"protocol_state": "RCPT", "client_address": "203.0.113.9", "sender": ""}
    >>> for recipient in ("bob@example.com", "bob%example.org@example.com", "bob@example.org"):
    ...     action(policy, {**asked, "recipient": recipient}, listener="mx")
    <Action.OK: 'OK'>
    <Action.DUNNO: 'DUNNO'>
    <Action.DUNNO: 'DUNNO'>
    """
    if not isinstance(cast("object", policy), AnyPolicy):
        raise RequestError(f"policy: expected a policy, found `{shown(policy)}`")
    request = rcpt_request(attributes, listener=listener)
    if request is None:
        return Action.DUNNO
    decision = policy.decide_rcpt(*request)
    if not decision.accept:
        return Action.REFUSE
    to_anywhere = decision.sender.may_send
    if to_anywhere or (decision.relay and not _is_routed(request.recipient)):
        return Action.OK
    return Action.DUNNO


def _is_routed(recipient: str) -> bool:
    """Whether Postfix reads a route beyond its domain in a recipient, whose quotes are gone."""
    local_part, _, _ = recipient.rpartition("@")
    return _ROUTING.search(local_part) is not None


def _server(attributes: Attributes) -> str:
    """The listener, by the address and port to which the client connected."""
    address, port = _text(attributes, "server_address"), _text(attributes, "server_port")
    listener = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if parse_socket_address(listener) is None:
        name = "server_port" if parse_address(address) is not None else "server_address"
        expected = "an IP address" if name == "server_address" else "a port"
        raise _not(expected, attributes, name)
    return listener


def _text(attributes: Attributes, name: str, *, absent: str | None = None) -> str:
    """The value of an attribute. Raises `ProtocolError` if there is none."""
    value: object = attributes.get(name, absent)
    if not isinstance(value, str):
        raise _not("a string", attributes, name)
    return value


def _not(expected: str, attributes: Attributes, name: str) -> ProtocolError:
    found = f"`{shown(attributes[name])}`" if name in attributes else "no such attribute"
    return ProtocolError(f"{name}: expected {expected}, found {found}")
