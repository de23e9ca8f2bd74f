"""Whatever is sent as policy delegation, what is read and answered is what a plain reading gives.

The first byte says into portions of how many bytes the rest is cut, 0 for not at all. The rest is
what one connection sends.
"""

import re
from collections.abc import Mapping

import model

from fuzz.fuzz_decide import LONGEST_MESSAGE, MODELS, POLICIES
from listener_policy import Dialect
from listener_policy.adapters.postfix import (
    LONGEST_REQUEST,
    Action,
    ProtocolError,
    RequestParser,
    action,
)

Read = tuple[list[Mapping[str, str]], str | None]
"""Requests, and the error that ends them, if one does."""

LINE = re.compile(rb"(?P<name>[^=\n\0]+)=(?P<value>[^\n\0]*)")
PORT = re.compile("[0-9]{1,5}")
FROM_THE_SENDER = {"RELAY_HOSTS", "RELAY_FROM", "RELAY_FROM_AUTHZ"}


def check(data: bytes) -> None:
    """Read the stream in both ways; raise whatever should not have happened."""
    size, stream = data[0] if data else 0, data[1:]
    portions = [stream[at : at + size] for at in range(0, len(stream), size)] if size else [stream]
    requests, error = read(portions)
    assert (requests, error) == read([stream])
    assert (requests, error is None) == read_plainly(stream)
    check_message(error)
    for attributes in requests:
        for dialect in Dialect:
            check_action(attributes, dialect)


def read(portions: list[bytes]) -> Read:
    """What the adapter reads."""
    parser, requests = RequestParser(), list[Mapping[str, str]]()
    try:
        for portion in portions:
            for request in parser.feed(portion):
                requests.append(request)
        parser.close()
    except ProtocolError as error:
        return requests, str(error)
    return requests, None


def read_plainly(stream: bytes) -> tuple[list[dict[str, str]], bool]:
    """What is read, and whether all of it is right, with the whole stream at hand."""
    requests: list[dict[str, str]] = []
    while stream:
        lines = stream[:LONGEST_REQUEST].split(b"\n")[:-1]
        if b"" not in lines:
            return requests, False
        request: dict[str, str] = {}
        for line in lines[: lines.index(b"")]:
            found = LINE.fullmatch(line)
            if found is None:
                return requests, False
            name, value = (part.decode(errors="surrogateescape") for part in found.groups())
            if name in request:
                return requests, False
            request[name] = value
        if request.get("request") != "smtpd_access_policy":
            return requests, False
        requests.append(request)
        stream = b"\n".join(stream.split(b"\n")[len(request) + 1 :])
    return requests, True


def check_message(error: str | None) -> None:
    """Hold an error to being short, and to showing nothing as it was sent."""
    if error is not None:
        assert error.isascii(), error
        assert error.isprintable(), error
        assert len(error) <= LONGEST_MESSAGE, error


def check_action(attributes: Mapping[str, str], dialect: Dialect) -> None:
    """Hold the answer to what the model decides, or to an error if there is no question."""
    try:
        answer = action(POLICIES[dialect], attributes)
    except ProtocolError as error:
        check_message(str(error))
        assert attributes.get("protocol_state") is None or plain_answer(attributes, dialect) is None
    else:
        assert answer is plain_answer(attributes, dialect)
        assert answer.response == b"action=" + answer.value.encode() + b"\n\n"


def plain_answer(attributes: Mapping[str, str], dialect: Dialect) -> Action | None:
    """The answer, or `None` if there is no whole question."""
    if attributes["protocol_state"] != "RCPT":
        return Action.DUNNO
    try:
        client, address, port, sender, recipient = (
            attributes[name]
            for name in ("client_address", "server_address", "server_port", "sender", "recipient")
        )
        listener = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        model.peer_address((client, 0))
        model.peer_address((address, 0))
        model.canonical_listener(listener)
    except (KeyError, ValueError):
        return None
    if not recipient or not PORT.fullmatch(port):
        return None
    identity = attributes.get("sasl_username") or None
    wanted = MODELS[dialect].decide_rcpt(listener, client, sender, recipient, identity)
    local_part = recipient[: max(recipient.rfind("@"), 0)]
    if wanted.reason in FROM_THE_SENDER or (wanted.relay and not set(local_part) & set("@!%")):
        return Action.OK
    return Action.DUNNO if wanted.accept else Action.REFUSE
