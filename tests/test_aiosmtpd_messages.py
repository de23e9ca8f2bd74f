"""The aiosmtpd adapter after DATA: who gets which message, and what is answered (rule 4.4)."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from smtp_wire import ABUSE, BOUNCE, ORDINARY, Kept, Wire, in_a_loop
from support import untyped

from listener_policy import Dialect, Policy, PolicyError, Report
from listener_policy.adapters.aiosmtpd import (
    NOT_NOW,
    Delivery,
    PolicyHandler,
    Recipient,
    Reply,
    report_of,
)

OK = "250 2.1.5 OK"
TAKEN = "250 2.0.0 OK"
REFUSED = "550 5.7.1 relaying not permitted"
TOML = """
["here.example"]
relay_to = true
["reports.example"]
log_arf = "LogThenDrop"
["bounces.example"]
log_oob = "LogThenDrop"
["both.example"]
log_oob = true
log_arf = "LogThenRelay"
["dropped.example"]
relay_to = true
log_arf = "LogThenDrop"
["relayed.example"]
relay_to = true
log_arf = "LogThenRelay"
"""
POLICY = Policy.from_toml(TOML)
ENGINE = Policy.from_toml(TOML, dialect=Dialect.KUMOMTA)
MESSAGES = {"abuse": ABUSE, "bounce": BOUNCE, "ordinary": ORDINARY}
REPORTS = {"abuse": Report.ARF, "bounce": Report.OOB, "ordinary": None}


@pytest.mark.parametrize(
    ("domain", "message", "reply", "kinds"),
    [
        ("here", "ordinary", TAKEN, ["relay"]),
        ("here", "abuse", TAKEN, ["relay"]),
        ("reports", "ordinary", REFUSED, ["refused"]),
        ("reports", "abuse", TAKEN, ["log"]),
        ("reports", "bounce", REFUSED, ["refused"]),
        ("bounces", "bounce", TAKEN, ["log"]),
        ("bounces", "abuse", REFUSED, ["refused"]),
        ("both", "bounce", TAKEN, ["log"]),
        ("both", "abuse", TAKEN, ["log"]),
        ("dropped", "ordinary", TAKEN, ["relay"]),
        ("dropped", "abuse", TAKEN, ["log"]),
        ("relayed", "abuse", TAKEN, ["log", "relay"]),
        ("relayed", "bounce", TAKEN, ["relay"]),
    ],
)
def test_4_4_the_message_goes_where_its_disposition_says(
    domain: str, message: str, reply: str, kinds: list[str]
) -> None:
    handler = Kept()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            recipients = [f"a@{domain}.example", f"b@{domain}.example"]
            assert await wire.mail("eve@evil.example", *recipients) == [OK, OK]
            assert await wire.data(MESSAGES[message]) == reply
            assert handler.kinds == kinds
            is_relayed = "relay" in kinds
            for _, rcpt_tos, delivery in handler.calls:
                assert rcpt_tos == (recipients if is_relayed else [])
                assert delivery.relay == (tuple(recipients) if is_relayed else ())
                assert delivery.log == (tuple(recipients) if "log" in kinds else ())
                assert delivery.drop == (tuple(recipients) if kinds == ["log"] else ())
                assert delivery.refused == (tuple(recipients) if kinds == ["refused"] else ())
                assert delivery.reply == reply
                looked = domain != "here"
                assert delivery.report is (REPORTS[message] if looked else None)

    in_a_loop(test())


def test_4_4_recipients_with_the_same_answer_may_have_different_dispositions() -> None:
    handler = Kept()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            names = ["here", "dropped", "relayed", "here"]
            recipients = [f"{name[0]}@{name}.example" for name in names]
            assert await wire.mail("eve@evil.example", *recipients) == [OK] * 4
            assert await wire.data(ABUSE) == TAKEN
            here, dropped, relayed, _ = recipients
            assert handler.kinds == ["log", "relay"]
            for _, rcpt_tos, delivery in handler.calls:
                assert delivery.report is Report.ARF
                assert delivery.relay == tuple(rcpt_tos) == (here, relayed, here)
                assert delivery.log == (dropped, relayed)
                assert delivery.drop == (dropped,)
                assert delivery.refused == ()
                assert [one.address for one in delivery.recipients] == recipients
                assert delivery.recipients[1].decision.log_arf == "LogThenDrop"
                assert delivery.recipients[1].disposition.log

    in_a_loop(test())


def test_4_4_the_dialect_is_the_policys() -> None:
    handler = Kept()

    async def test() -> None:
        async with Wire(PolicyHandler(ENGINE, handler)) as wire:
            await wire.greet()
            assert await wire.mail("", "a@both.example") == [OK]
            assert await wire.data(BOUNCE) == TAKEN
            assert handler.kinds == ["log", "relay"]  # S2 and S3

    in_a_loop(test())


def a_delivery(policy: Policy, report: Report | None, *addresses: str) -> Delivery:
    """A delivery of recipients that no transaction would have together."""
    decisions = [
        (address, policy.decide_rcpt("192.0.2.25:25", "203.0.113.9", "", address))
        for address in addresses
    ]
    return Delivery(
        report,
        tuple(Recipient(one, decision, decision.after_data(report)) for one, decision in decisions),
    )


def test_4_4_whatever_is_refused_for_one_is_not_said_to_be_accepted() -> None:
    delivery = a_delivery(POLICY, None, "a@here.example", "a@reports.example")
    assert (delivery.relay, delivery.refused) == (("a@here.example",), ("a@reports.example",))
    assert delivery.reply == REFUSED
    assert a_delivery(POLICY, None, "a@here.example").reply == TAKEN


def test_a_delivery_is_neither_true_nor_false() -> None:
    delivery = a_delivery(POLICY, None, "a@here.example")
    with pytest.raises(TypeError, match="a Delivery is neither true nor false"):
        bool(delivery)
    with pytest.raises(AttributeError):
        delivery.report = Report.ARF  # type: ignore[misc]
    assert hash(delivery) == hash(a_delivery(POLICY, None, "a@here.example"))


@pytest.mark.parametrize(
    ("logged", "relayed", "reply", "kinds"),
    [
        (None, None, TAKEN, ["log", "relay"]),
        ("250 logged", None, TAKEN, ["log", "relay"]),
        (None, "250 2.0.0 queued as 4711", "250 2.0.0 queued as 4711", ["log", "relay"]),
        (None, "452 4.3.1 disk full", "452 4.3.1 disk full", ["log", "relay"]),
        ("452 4.3.1 disk full", None, "452 4.3.1 disk full", ["log"]),
        (b"554 no", None, "554 no", ["log"]),
        (5, None, NOT_NOW, ["log"]),
        (None, True, NOT_NOW, ["log", "relay"]),
    ],
)
def test_4_4_nothing_is_accepted_that_the_servers_own_handler_has_not_taken(
    logged: object, relayed: object, reply: str, kinds: list[str]
) -> None:
    handler = Kept()
    handler.logged, handler.relayed = untyped(logged), untyped(relayed)

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            assert await wire.mail("", "a@relayed.example") == [OK]
            assert await wire.data(ABUSE) == reply
            assert handler.kinds == kinds
            assert await wire.mail("") == []  # another transaction can begin

    in_a_loop(test())


class Failing(Kept):
    async def relay_message(
        self, server: SMTP, session: Session, envelope: Envelope, delivery: Delivery
    ) -> Reply | None:
        raise ConnectionResetError("the password is secret")


def test_an_exception_says_nothing_to_the_client_and_all_to_the_operator(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Failing())) as wire:
            await wire.greet()
            for _ in range(2):
                assert await wire.mail("", "a@here.example") == [OK]
                assert await wire.data(ORDINARY) == NOT_NOW
            assert [type(error) for error in wire.errors] == [ConnectionResetError] * 2
            asyncio.get_running_loop().set_exception_handler(None)
            assert await wire.mail("", "a@here.example") == [OK]
            assert await wire.data(ORDINARY) == NOT_NOW

    in_a_loop(test())
    (record,) = [record for record in caplog.records if record.name == "asyncio"]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the password is secret"


class Reporting(Failing):
    """Sees to exceptions itself."""

    def __init__(self, reply: object) -> None:
        super().__init__()
        self.seen: list[Exception] = []
        self._reply = reply

    async def handle_exception(self, error: Exception) -> object:
        self.seen.append(error)
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


@pytest.mark.parametrize(
    ("given", "reply", "told"),
    [
        ("421 4.3.2 later", "421 4.3.2 later", []),
        (None, NOT_NOW, [PolicyError]),
        (OSError("secret"), NOT_NOW, [OSError]),
    ],
)
def test_the_servers_own_handler_may_see_to_exceptions(
    given: object, reply: str, told: list[type[Exception]]
) -> None:
    handler = Reporting(given)

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            assert await wire.mail("", "a@here.example") == [OK]
            assert await wire.data(ORDINARY) == reply
            (error,) = handler.seen
            assert isinstance(error, ConnectionResetError)
            assert [type(error) for error in wire.errors] == told

    in_a_loop(test())


def test_what_is_wrong_in_aiosmtpd_is_not_told_to_the_client() -> None:
    def authenticator(*_: object) -> AuthResult:
        raise OSError("db.internal:5432 is down")

    async def test() -> None:
        handler = PolicyHandler(POLICY, Kept())
        async with Wire(handler, authenticator=authenticator) as wire:
            await wire.greet()
            assert await wire.auth(b"ann") == NOT_NOW
            (error,) = wire.errors
            assert isinstance(error, OSError)

    in_a_loop(test())


async def add_a_recipient(wire: Wire) -> None:
    wire.envelope.rcpt_tos.append("b@evil.example")


async def replace_the_recipients(wire: Wire) -> None:
    wire.envelope.rcpt_tos = ["b@evil.example"]


async def another_envelope(wire: Wire) -> None:
    wire.server.envelope = Envelope()
    wire.envelope.mail_from, wire.envelope.rcpt_tos = "x", ["b@evil.example"]


@pytest.mark.parametrize(
    "change", [add_a_recipient, replace_the_recipients, another_envelope], ids=lambda f: f.__name__
)
def test_4_3_recipients_that_were_never_decided_about_get_nothing(change: Any) -> None:
    handler = Kept()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            assert await wire.mail("", "a@here.example") == [OK]
            await change(wire)
            assert await wire.data(ORDINARY) == NOT_NOW
            assert handler.calls == []
            (error,) = wire.errors
            assert str(error).startswith("handle_DATA: expected in `envelope.rcpt_tos`")

    in_a_loop(test())


@pytest.mark.parametrize("command", ["RSET", "EHLO again.test", "HELO again.test"])
def test_4_3_nothing_is_left_of_a_transaction_that_was_given_up(command: str) -> None:
    handler = Kept()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            assert await wire.mail("", "a@reports.example") == [OK]
            assert (await wire.say(command)).startswith("250 ")
            assert (await wire.say("RCPT TO:<a@here.example>")).startswith("503 ")
            # recipients that would not go together with the one that is forgotten
            assert await wire.mail("", "a@here.example", "b@here.example") == [OK, OK]
            assert await wire.data(ORDINARY) == TAKEN
            assert [rcpt_tos for _, rcpt_tos, _ in handler.calls] == [
                ["a@here.example", "b@here.example"]
            ]

    in_a_loop(test())


def test_4_4_transactions_of_one_connection_are_strangers() -> None:
    handler = Kept()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            for domain, message, reply in (
                ("here", ORDINARY, TAKEN),
                ("reports", ABUSE, TAKEN),
                ("reports", ORDINARY, REFUSED),
                ("bounces", BOUNCE, TAKEN),
                ("here", BOUNCE, TAKEN),
            ):
                assert await wire.mail("", f"a@{domain}.example") == [OK]
                assert await wire.data(message) == reply
            assert handler.kinds == ["relay", "log", "refused", "log", "relay"]

    in_a_loop(test())


def test_5_2_what_belongs_to_a_transaction_goes_with_its_envelope() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            await wire.greet()
            assert await wire.mail("", "a@here.example") == [OK]
            policy_handler = wire.server.event_handler
            kept = weakref.ref(wire.envelope)
            assert list(policy_handler._transactions) == [kept()]
            assert await wire.say("RSET") == "250 OK"
            gc.collect()
            assert kept() is None
            assert len(policy_handler._transactions) == 0

    in_a_loop(test())


def test_4_3_a_transaction_has_the_policy_of_its_beginning() -> None:
    handler = PolicyHandler(POLICY, Kept())
    other = Policy.from_toml('["there.example"]\nrelay_to = true\n')

    async def test() -> None:
        async with Wire(handler) as wire:
            await wire.greet()
            assert await wire.mail("", "a@here.example", "a@there.example") == [OK, REFUSED]
            handler.policy = other
            assert await wire.say("RCPT TO:<b@here.example>") == OK
            assert await wire.say("RCPT TO:<b@there.example>") == REFUSED
            assert await wire.data(ORDINARY) == TAKEN
            assert await wire.mail("", "a@here.example", "a@there.example") == [REFUSED, OK]
            assert handler.policy is other

    in_a_loop(test())


@pytest.mark.parametrize("no_policy", [None, TOML, {}, Policy])
def test_a_policy_that_is_none_changes_nothing(no_policy: object) -> None:
    with pytest.raises(PolicyError, match="policy: expected a `Policy` or a `HookPolicy`"):
        PolicyHandler(untyped(no_policy), Kept())
    handler = PolicyHandler(POLICY, Kept())
    with pytest.raises(PolicyError, match="policy: expected"):
        handler.policy = untyped(no_policy)
    assert handler.policy is POLICY


@pytest.mark.parametrize("no_handler", [None, object(), Mailbox, {}], ids=str)
def test_a_handler_that_takes_no_messages_is_none(no_handler: object) -> None:
    with pytest.raises(PolicyError, match="expected an object with the methods `relay_message`"):
        PolicyHandler(POLICY, untyped(no_handler))


class Silent:
    """Does not want to hear of what is refused."""

    relay_message = Kept.relay_message
    log_report = Kept.log_report


def test_4_4_nobody_has_to_hear_of_what_is_refused() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, untyped(Silent()))) as wire:
            await wire.greet()
            assert await wire.mail("", "a@reports.example") == [OK]
            assert await wire.data(ORDINARY) == REFUSED
            assert wire.errors == []

    in_a_loop(test())


@pytest.mark.parametrize("message", MESSAGES)
def test_4_4_reports_are_told_from_other_messages(message: str) -> None:
    assert asyncio.run(report_of(MESSAGES[message])) is REPORTS[message]


def test_4_4_a_server_may_tell_reports_otherwise() -> None:
    handler, seen = Kept(), list[bytes]()

    async def report(content: bytes) -> Report | None:
        seen.append(content)
        return Report.ARF

    async def test() -> None:
        async with Wire(
            PolicyHandler(POLICY, handler, report=report), decode_data=True, enable_SMTPUTF8=False
        ) as wire:
            await wire.greet()
            assert await wire.mail("", "a@here.example") == [OK]
            assert await wire.data(ORDINARY) == TAKEN
            assert seen == []  # nobody asks
            assert await wire.mail("", "a@reports.example") == [OK]
            assert await wire.data(ORDINARY) == TAKEN
            assert seen == [ORDINARY.replace(b"\n", b"\r\n")]
            assert handler.kinds == ["relay", "log"]

    in_a_loop(test())
