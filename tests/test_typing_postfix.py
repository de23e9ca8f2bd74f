"""What users of the Postfix adapter write, as type checkers see it; every statement also runs."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import assert_type

import pytest

from listener_policy import Policy, PolicyError, RcptRequest, RequestError
from listener_policy.adapters import postfix
from listener_policy.adapters.postfix import (
    LONGEST_REQUEST,
    Action,
    Attributes,
    ProtocolError,
    RequestParser,
    action,
    rcpt_request,
)

ATTRIBUTES: Attributes = {"protocol_state": "RCPT", "client_address": "::1"} | {
    "sender": "",
    "recipient": "bob@example.com",
}


def test_reading() -> None:
    parser = RequestParser()
    assert_type(parser.feed(b""), Iterator[Mapping[str, str]])
    assert_type(parser.feed(bytearray()), Iterator[Mapping[str, str]])
    parser.close()
    limit: int = LONGEST_REQUEST
    assert limit > 0
    with pytest.raises(RequestError):
        parser.feed("a")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        next(parser.feed(b"request=smtpd_access_policy\n\n"))["a"] = "b"  # type: ignore[index]


def test_answering() -> None:
    policy = Policy.from_toml("")
    assert_type(rcpt_request(ATTRIBUTES, listener=("10.1.2.3", 25)), RcptRequest | None)
    assert_type(action(policy, ATTRIBUTES, listener="mx"), Action)
    assert_type(Action.OK.response, bytes)
    told: str = Action.REFUSE.value
    assert told.startswith("550 ")
    with pytest.raises(TypeError):
        action(policy, ATTRIBUTES, "mx")  # type: ignore[call-arg]
    with pytest.raises(RequestError):
        action(None, ATTRIBUTES)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError) as caught:
        action(policy, {"protocol_state": b"RCPT"})  # type: ignore[dict-item]
    error: PolicyError = caught.value
    assert str(error)


def test_every_public_name_is_written_here_and_documented() -> None:
    tree = ast.parse(Path(__file__).read_bytes())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used >= set(postfix.__all__)
    for documented in (Action, Action.response, ProtocolError, RequestParser, action, rcpt_request):
        assert documented.__doc__
