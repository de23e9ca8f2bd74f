"""The aiosmtpd adapter: addresses that are none, connections that break, replies as bytes."""

import subprocess
import sys

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from smtp_wire import ORDINARY, Kept, Wire, in_a_loop

from listener_policy import HookPolicy, Policy
from listener_policy.adapters.aiosmtpd import (
    BAD_RECIPIENT,
    BAD_SENDER,
    NOT_NOW,
    PolicyHandler,
    Reply,
)

OK = "250 2.1.5 OK"
POLICY = Policy.from_toml('["here.example"]\nrelay_to = true\n', relay_hosts=["203.0.113.9"])
CONTROLS = [
    "=?utf-8?q?a=3E=0d=0aRCPT_TO:=3Cb=40evil.example?=@{}",  # aiosmtpd decodes these
    "=?utf-8?b?DQo=?=@{}",
    '"a\rb"@{}',
    '"a\\\rb"@{}',
    '"a\tb"@{}',
    "a\0b@{}",
    "a\x7f@{}",
]


@pytest.mark.parametrize("local_part", CONTROLS)
def test_rfc_5321_no_address_with_control_characters_is_handed_over(local_part: str) -> None:
    handler = Kept()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:  # of a peer in `relay_hosts`
            await wire.greet()
            address = local_part.format("here.example")
            assert await wire.say(f"MAIL FROM:<{address}>") == BAD_SENDER
            assert await wire.say("RCPT TO:<a@here.example>") == "503 Error: need MAIL command"
            assert await wire.mail("", address, "a@here.example") == [BAD_RECIPIENT, OK]
            assert wire.envelope.rcpt_tos == ["a@here.example"]
            assert await wire.data(ORDINARY) == "250 2.0.0 OK"
            assert wire.errors == []

    in_a_loop(test())
    assert [delivery.relay for _, _, delivery in handler.calls] == [("a@here.example",)]


@pytest.mark.parametrize("local_part", ['"a b"', "=?utf-8?q?a?=", "\u00fc", '"a\\"b"'])
def test_1_2_other_local_parts_are_the_servers_own_to_understand(local_part: str) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            await wire.greet()
            address = f"{local_part}@here.example"
            assert await wire.mail(address, address) == [OK]

    in_a_loop(test())


class Cut(Kept):
    """Its database hangs up when it is asked."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> Reply:
        if self._at == "MAIL":
            raise ConnectionResetError("the password is secret")
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> Reply:
        raise ConnectionResetError("the password is secret")


def test_a_connection_of_the_servers_own_that_breaks_is_not_the_clients() -> None:
    def ask(*_: object) -> None:
        raise ConnectionResetError("the password is secret")

    async def test(handler: PolicyHandler, *lines: str) -> None:
        async with Wire(handler, peer=("198.51.100.7", 4711)) as wire:
            await wire.greet()
            assert [await wire.say(line) for line in lines][-1] == NOT_NOW
            assert [type(error) for error in wire.errors] == [ConnectionResetError]
            assert wire.envelope.rcpt_tos == []
            assert await wire.say("NOOP") == "250 OK"  # the client is still there

    asked = ("MAIL FROM:<a@evil.example>", "RCPT TO:<a@here.example>")
    in_a_loop(test(PolicyHandler(POLICY, Cut("MAIL")), asked[0]))
    in_a_loop(test(PolicyHandler(POLICY, Cut("RCPT")), *asked))
    in_a_loop(test(PolicyHandler(HookPolicy(ask), Kept()), *asked))


def test_4_3_what_the_servers_own_handler_answers_stands_under_python_bb() -> None:
    asked = "from listener_policy.adapters.aiosmtpd import _is_positive as is_positive;"
    asked += "print([is_positive(one) for one in ('250 OK', b'250 OK', '550 no', b'550 no')])"
    ended = subprocess.run(
        [sys.executable, "-bb", "-c", asked], capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr) == ("[True, True, False, False]\n", "")
