"""What users of the aiosmtpd adapter write, as type checkers see it; every statement also runs."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import ast
import asyncio
from email.message import Message
from pathlib import Path
from typing import assert_type

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from listener_policy import (
    AnyPolicy,
    Disposition,
    HookPolicy,
    Policy,
    PolicyError,
    RcptDecision,
    Report,
    RequestError,
)
from listener_policy.adapters import aiosmtpd
from listener_policy.adapters.aiosmtpd import (
    Delivery,
    MessageHandler,
    PolicyHandler,
    Recipient,
    Reply,
    identity_of,
    listener_of,
    peer_of,
    report_of,
)
from listener_policy.messages import read_message


class Store:
    """Names its parameters as it likes, and answers in one of the ways that there are."""

    async def relay_message(
        self, _server: SMTP, _session: Session, envelope: Envelope, delivery: Delivery
    ) -> str:
        assert_type(delivery.relay, tuple[str, ...])
        assert_type(delivery.log, tuple[str, ...])
        assert_type(delivery.drop, tuple[str, ...])
        assert_type(delivery.refused, tuple[str, ...])
        assert_type(delivery.report, Report | None)
        assert_type(delivery.reply, str)
        for one in delivery.recipients:
            assert_type(one, Recipient)
            assert_type(one.address, str)
            assert_type(one.decision, RcptDecision)
            assert_type(one.disposition, Disposition)
        assert_type(envelope.rcpt_tos, list[str])
        return "250 2.0.0 queued"

    async def log_report(self, *_asked: object) -> None:
        return None


class Forgetful:
    async def relay_message(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _delivery: Delivery
    ) -> bytes | None:
        return None


def test_making_a_handler() -> None:
    policy, store = Policy.from_toml(""), Store()
    own: MessageHandler = store
    handler = PolicyHandler(policy, own)
    assert_type(handler.policy, AnyPolicy)
    handler.policy = HookPolicy(lambda _domain, _listener, _connection: None)
    PolicyHandler(
        policy,
        store,
        peer=lambda session: str(session.peer),
        listener=lambda _server, _session: "submission",
        identity=lambda _session: None,
        report=report_of,
    )
    PolicyHandler(policy, store, peer=peer_of, listener=listener_of, identity=identity_of)
    with pytest.raises(PolicyError):
        PolicyHandler(policy, Forgetful())  # type: ignore[arg-type]
    with pytest.raises(PolicyError):
        PolicyHandler("", store)  # type: ignore[arg-type]
    with pytest.raises(PolicyError):
        handler.policy = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        PolicyHandler(policy, store, peer_of)  # type: ignore[call-arg]


def test_asking_a_handler() -> None:
    handler = PolicyHandler(Policy.from_toml(""), Store())

    async def ask() -> None:
        session, envelope = Session(asyncio.get_running_loop()), Envelope()
        server = SMTP(handler, hostname="mx.test", loop=session.loop)
        delivery = Delivery(None, ())
        assert_type(await handler.handle_DATA(server, session, envelope), Reply)
        reply: str | bytes = await Store().relay_message(server, session, envelope, delivery)
        assert reply
        assert_type(identity_of(session), str | None)
        with pytest.raises(RequestError):
            peer_of(session)
        with pytest.raises(RequestError):
            listener_of(server, session)
        assert_type(await report_of(b""), Report | None)

    asyncio.run(ask())
    assert_type(read_message(b""), Message)


def test_every_public_name_is_written_here() -> None:
    tree = ast.parse(Path(__file__).read_bytes())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(aiosmtpd.__all__) <= used
