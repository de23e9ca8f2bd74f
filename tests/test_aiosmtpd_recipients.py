"""The aiosmtpd adapter at RCPT TO: who is asking, and what is answered (rules 1.1, 1.2 and 4.3)."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session
from smtp_wire import ABUSE, OUTSIDER, Kept, Wire, in_a_loop
from support import BAD_TUPLES, short, untyped

from listener_policy import (
    Connection,
    HookPolicy,
    ListenerDomain,
    Policy,
    PolicyError,
    RequestError,
)
from listener_policy.adapters.aiosmtpd import (
    ANOTHER_TRANSACTION,
    NOT_NOW,
    PolicyHandler,
    identity_of,
)

OK = "250 2.1.5 OK"
REFUSED = "550 5.7.1 relaying not permitted"
POLICY = Policy.from_toml(
    """
    ["here.example"]
    relay_to = true
    ["staff.example"]
    relay_from_authz = ["ann", "b\u00fccher", "caf\u0065\u0301"]
    ["office.example"]
    relay_from = ["203.0.113.0/24"]
    ["xn--bcher-kva.example"]
    relay_to = true
    ["reports.example"]
    log_arf = "LogThenDrop"
    ["bounces.example"]
    log_oob = "LogThenDrop"
    ["both.example"]
    log_oob = true
    log_arf = true
    ["logged.example"]
    relay_to = true
    log_arf = "LogThenDrop"
    """,
    relay_hosts=["10.0.0.0/8"],
)


def authenticator(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
) -> AuthResult:
    is_right = given.password == b"secret"
    return AuthResult(success=is_right, handled=False, auth_data=given)


def test_4_3_rcpt_to_is_answered_as_the_policy_decides() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            await wire.greet()
            replies = await wire.mail("eve@evil.example", "a@here.example", "a@evil.example")
            assert replies == [OK, REFUSED]
            assert wire.envelope.rcpt_tos == ["a@here.example"]
            assert wire.envelope.rcpt_options == []

    in_a_loop(test())


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("a%evil.example@here.example", OK),  # a local part is here.example's own affair
        ("a%here.example@evil.example", REFUSED),
        ("@here.example:a@evil.example", REFUSED),
        ("@evil.example:a@here.example", OK),
        ('"a@here.example"@evil.example', REFUSED),
        ("a@b@here.example", "553 5.1.3 Error: malformed address"),
        ("here.example", REFUSED),
        ("a@", "553 5.1.3 Error: malformed address"),
        ("@here.example", "553 5.1.3 Error: malformed address"),
        ("a!b", REFUSED),
        ("postmaster", REFUSED),
        ("a@[192.0.2.25]", REFUSED),
        ("a@HERE.example", OK),
        ("a@B\u00dcCHER.example", OK),
        ("a@xn--bcher-kva.example", OK),
        ("\u00fc@b\u00fccher.example", OK),
        ("a@\udcff.example", REFUSED),
        ("a@here.example.evil.example", REFUSED),
        ("a@sub.here.example", REFUSED),
        ("a@\uff48ere.example", OK),  # UTS 46 maps it
    ],
)
def test_1_2_any_recipient_is_decided_about(recipient: str, reply: str) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            await wire.greet()
            (said,) = await wire.mail("eve@evil.example", recipient)
            assert said == reply
            assert wire.errors == []

    in_a_loop(test())


@pytest.mark.parametrize("sender", ["", "office.example", "a@office.example"])
def test_1_7_the_sender_is_what_mail_from_says(sender: str) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            await wire.greet()
            expected = OK if "@" in sender else REFUSED
            assert await wire.mail(sender, "a@evil.example") == [expected]

    in_a_loop(test())


def test_1_7_the_null_sender_is_governed_by_what_governs_it() -> None:
    policy = Policy.from_toml('["*"]\nrelay_from = ["203.0.113.9"]\n')

    async def test() -> None:
        async with Wire(PolicyHandler(policy, Kept())) as wire:
            await wire.greet()
            assert await wire.mail("", "a@evil.example") == [OK]

    in_a_loop(test())


PLACES = Policy.from_toml(
    """
    ["*"]
    relay_from = ["198.51.100.7"]
    [listener."192.0.2.25:25"."here.example"]
    relay_to = true
    [listener."[2001:db8::25]:25"."six.example"]
    relay_to = true
    [listener."unix"."unix.example"]
    relay_to = true
    """,
    relay_hosts=["10.0.0.0/8", "2001:db8::/32"],
)


@pytest.mark.parametrize(
    ("peer", "local", "recipient", "reply"),
    [
        (("203.0.113.9", 4711), ("192.0.2.25", 25), "a@here.example", OK),
        (("203.0.113.9", 4711), ("::ffff:192.0.2.25", 25, 0, 0), "a@here.example", OK),
        (("203.0.113.9", 4711), ("192.0.2.25", 587), "a@here.example", REFUSED),
        (("::1", 4711, 0, 0), ("2001:db8::25", 25, 0, 0), "a@six.example", OK),
        (("fe80::1%eth0", 1, 0, 2), ("2001:db8::25", 25, 0, 0), "a@six.example", OK),
        (("::1", 4711, 0, 0), ("2001:db8::25", 25, 0, 0), "a@here.example", REFUSED),
        (("10.0.0.7", 4711), ("192.0.2.25", 25), "a@evil.example", OK),
        (("::ffff:10.0.0.7", 4711, 0, 0), ("192.0.2.25", 25), "a@evil.example", OK),
        (("2001:db8::7", 4711, 0, 0), ("2001:db8::25", 25, 0, 0), "a@evil.example", OK),
        (("::a00:7", 4711, 0, 0), ("192.0.2.25", 25), "a@evil.example", REFUSED),
    ],
)
def test_1_1_peer_and_listener_are_those_of_the_socket(
    peer: object, local: object, recipient: str, reply: str
) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(PLACES, Kept()), peer=peer, local=local) as wire:
            await wire.greet()
            assert await wire.mail("eve@evil.example", recipient) == [reply]

    in_a_loop(test())


NO_ADDRESSES: list[object] = [
    None,
    "",
    b"",
    "/run/lmtp.sock",
    b"\0abstract",
    "10.0.0.7",
    *BAD_TUPLES,
]


async def cannot_be_decided(wire: Wire, beginning: str) -> None:
    await wire.greet()
    assert await wire.mail("eve@evil.example", "a@here.example") == [NOT_NOW]
    assert wire.envelope.rcpt_tos == []
    (error,) = wire.errors
    assert isinstance(error, RequestError)
    assert str(error).startswith(beginning)


@pytest.mark.parametrize("peer", NO_ADDRESSES, ids=short)
def test_1_1_a_connection_without_a_peer_is_not_decided_about(peer: object) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept()), peer=peer) as wire:
            await cannot_be_decided(wire, "peer: expected an address")

    in_a_loop(test())


@pytest.mark.parametrize("local", NO_ADDRESSES, ids=short)
def test_1_1_a_connection_without_a_listener_is_not_decided_about(local: object) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept()), local=local) as wire:
            await cannot_be_decided(wire, "listener: expected ")

    in_a_loop(test())


def test_1_1_a_connection_that_is_closed_has_no_listener() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            wire.server.transport = None
            with pytest.raises(RequestError, match="found one that is closed"):
                await PolicyHandler(POLICY, Kept()).handle_RCPT(
                    wire.server, wire.session, wire.envelope, "a@here.example", []
                )

    in_a_loop(test())


def test_1_1_a_server_may_know_peer_and_listener_otherwise() -> None:
    handler = PolicyHandler(
        PLACES, Kept(), peer=lambda _: "203.0.113.9", listener=lambda _server, _session: "unix"
    )

    async def test() -> None:
        async with Wire(handler, peer="", local="/run/smtp.sock") as wire:
            await wire.greet()
            assert await wire.mail("", "a@unix.example", "a@here.example") == [OK, REFUSED]

    in_a_loop(test())


@pytest.mark.parametrize(
    ("login", "reply"),
    [
        (b"ann", OK),
        ("b\u00fccher".encode(), OK),
        ("cafe\u0301".encode(), OK),
        ("caf\u00e9".encode(), REFUSED),
        (b"Ann", REFUSED),
        (b"ann ", REFUSED),
        (b"b\xfccher", REFUSED),
        (b"\xff\xfe", REFUSED),
        (b"", REFUSED),
    ],
)
def test_1_6_whoever_authenticates_is_compared_exactly(login: bytes, reply: str) -> None:
    async def test() -> None:
        handler = PolicyHandler(POLICY, Kept())
        async with Wire(handler, authenticator=authenticator) as wire:
            await wire.greet()
            assert (await wire.auth(login)).startswith("235 ")
            assert await wire.mail("x@staff.example", "a@evil.example") == [reply]
            assert wire.errors == []

    in_a_loop(test())


def test_4_2_auth_that_is_offered_and_not_made_is_nobody() -> None:
    async def test() -> None:
        handler = PolicyHandler(POLICY, Kept())
        async with Wire(handler, authenticator=authenticator) as wire:
            await wire.greet()
            assert await wire.mail("x@staff.example", "a@evil.example") == [REFUSED]
            assert await wire.say("RSET") == "250 OK"
            assert (await wire.auth(b"ann", b"wrong")).startswith("535 ")
            assert await wire.mail("x@staff.example", "a@evil.example") == [REFUSED]

    in_a_loop(test())


def test_4_2_nothing_is_remembered_across_auth() -> None:
    async def test() -> None:
        handler = PolicyHandler(POLICY, Kept())
        async with Wire(handler, authenticator=authenticator) as wire:
            await wire.greet()
            assert await wire.mail("x@staff.example", "a@evil.example") == [REFUSED]
            assert await wire.say("RSET") == "250 OK"
            assert (await wire.auth(b"ann")).startswith("235 ")
            assert await wire.mail("x@staff.example", "a@evil.example") == [OK]
        async with Wire(handler, authenticator=authenticator) as wire:  # the same address
            await wire.greet()
            assert await wire.mail("x@staff.example", "a@evil.example") == [REFUSED]

    in_a_loop(test())


def test_4_2_auth_within_a_transaction_counts_from_then_on() -> None:
    async def test() -> None:
        handler = PolicyHandler(POLICY, Kept())
        async with Wire(handler, authenticator=authenticator) as wire:
            await wire.greet()
            assert await wire.mail("x@staff.example", "a@evil.example") == [REFUSED]
            assert (await wire.auth(b"ann")).startswith("235 ")  # RFC 4954 forbids it
            assert await wire.say("RCPT TO:<a@evil.example>") == OK

    in_a_loop(test())


@pytest.mark.parametrize(
    "given", [None, 5, ("ann", "secret"), object(), LoginPassword(untyped(5), b"")], ids=type
)
def test_1_1_an_identity_that_is_no_text_is_the_servers_bug(given: object) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            await wire.greet()
            wire.session.authenticated, wire.session.auth_data = True, untyped(given)
            assert await wire.mail("x@staff.example", "a@evil.example") == [NOT_NOW]
            (error,) = wire.errors
            assert str(error).startswith("auth: expected a `LoginPassword`, a string or bytes")
            assert "secret" not in str(error)

    in_a_loop(test())


def session_with(authenticated: object, auth_data: object) -> Session:
    session = Session(untyped(None))
    session.authenticated, session.auth_data = untyped(authenticated), untyped(auth_data)
    return session


@pytest.mark.parametrize("authenticated", [None, False, 1, "no"])
def test_1_6_who_is_not_authenticated_is_nobody(authenticated: object) -> None:
    assert identity_of(session_with(authenticated, "ann")) is None


@pytest.mark.parametrize("given", ["ann", b"ann", LoginPassword(b"ann", b"")], ids=type)
def test_1_6_an_identity_is_text(given: object) -> None:
    assert identity_of(session_with(True, given)) == "ann"


def test_1_6_octets_that_are_no_text_are_different_identities() -> None:
    octets = [b"\xff", b"\xfe", b"\xc3", b"\xed\xb3\xbf", "\u00ff".encode()]
    assert len({identity_of(session_with(True, one)) for one in octets}) == len(octets)


def test_1_6_a_server_may_know_identities_otherwise() -> None:
    handler = PolicyHandler(POLICY, Kept(), identity=lambda session: str(session.host_name))

    async def test() -> None:
        async with Wire(handler) as wire:
            assert (await wire.hear()).startswith("220")
            assert await wire.say("HELO ann") == "250 mx.test"
            assert await wire.mail("x@staff.example", "a@evil.example") == [OK]

    in_a_loop(test())


MIXED: list[tuple[list[str], list[str]]] = [
    (["a@here.example", "a@reports.example"], [OK, ANOTHER_TRANSACTION]),
    (["a@reports.example", "a@here.example"], [OK, ANOTHER_TRANSACTION]),
    (["a@reports.example", "a@bounces.example"], [OK, ANOTHER_TRANSACTION]),
    (["a@bounces.example", "a@both.example"], [OK, ANOTHER_TRANSACTION]),
    (["a@here.example", "a@logged.example"], [OK, OK]),
    (["a@both.example", "b@both.example"], [OK, OK]),
    (["a@here.example", "a@here.example"], [OK, OK]),
    (["a@evil.example", "a@reports.example", "a@evil.example"], [REFUSED, OK, REFUSED]),
    (
        ["a@here.example", "a@both.example", "b@here.example"],
        [OK, ANOTHER_TRANSACTION, OK],
    ),
]


@pytest.mark.parametrize(("recipients", "replies"), MIXED, ids=lambda value: short(value[0]))
def test_4_4_one_reply_after_data_is_true_for_all(
    recipients: list[str], replies: list[str]
) -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept())) as wire:
            await wire.greet()
            assert await wire.mail("eve@evil.example", *recipients) == replies
            accepted = [one for one, reply in zip(recipients, replies, strict=True) if reply == OK]
            assert wire.envelope.rcpt_tos == accepted
            await wire.data(ABUSE)
            # what has to wait can be sent now
            left = [
                one
                for one, reply in zip(recipients, replies, strict=True)
                if reply == ANOTHER_TRANSACTION
            ]
            assert await wire.mail("eve@evil.example", *left) == [OK] * len(left)

    in_a_loop(test())


class Choosy(Kept):
    """Has checks of its own, of all kinds, by local part."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> object:
        self.asked.append(address)
        local_part = address.partition("@")[0]
        if local_part in {"appended", "full", "raised"}:
            envelope.rcpt_tos.append(address)  # as aiosmtpd wants it
        if local_part == "rewritten":
            envelope.rcpt_tos.append("b@evil.example")
        if local_part == "replaced":
            envelope.rcpt_tos = ["b@evil.example"]
        if local_part == "raised":
            raise OSError("the password is secret")
        answers = {"full": "452 4.2.2 full", "nobody": b"550 5.1.1 nobody", "silent": None}
        return answers.get(local_part, "250 2.1.5 welcome" if "app" in local_part else MISSING)


@pytest.mark.parametrize(
    ("local_part", "reply", "taken"),
    [
        ("a", OK, 1),
        ("appended", "250 2.1.5 welcome", 1),
        ("apple", "250 2.1.5 welcome", 1),
        ("full", "452 4.2.2 full", 0),
        ("nobody", "550 5.1.1 nobody", 0),
        ("silent", NOT_NOW, 0),
        ("raised", NOT_NOW, 0),
        ("rewritten", NOT_NOW, 0),
        ("replaced", NOT_NOW, 0),
    ],
)
def test_4_3_the_servers_own_handler_may_refuse_what_the_policy_accepts(
    local_part: str, reply: str, taken: int
) -> None:
    handler = Choosy()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            await wire.greet()
            recipients = ["first@here.example", f"{local_part}@here.example", "x@evil.example"]
            assert await wire.mail("", *recipients) == [OK, reply, REFUSED]
            assert handler.asked == recipients[:2]  # not about what the policy refuses
            assert wire.envelope.rcpt_tos == recipients[: 1 + taken]
            assert len(wire.errors) == (reply == NOT_NOW)
            assert (await wire.data(ABUSE)) == "250 2.0.0 OK"
            assert handler.calls[0][1] == recipients[: 1 + taken]

    in_a_loop(test())


def test_4_3_what_the_servers_own_handler_refuses_says_nothing_about_the_others() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Choosy())) as wire:
            await wire.greet()
            recipients = ("nobody@here.example", "a@reports.example")
            assert await wire.mail("", *recipients) == ["550 5.1.1 nobody", OK]

    in_a_loop(test())


def asked_of(answers: Iterable[ListenerDomain | Exception | None]) -> HookPolicy:
    """A policy of a hook that gives these answers, one after the other."""
    left = list(answers)

    def hook(_domain: str, _listener: str, _connection: Connection) -> ListenerDomain | None:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return HookPolicy(hook)


def test_4_2_a_hook_that_fails_is_no_permission() -> None:
    everything = ListenerDomain(relay_to=True)
    policy = asked_of([None, everything, None, OSError("db is down"), None, untyped("yes")])

    async def test() -> None:
        async with Wire(PolicyHandler(policy, Kept())) as wire:
            await wire.greet()
            replies = await wire.mail("e@evil.example", *["a@here.example"] * 3)
            assert replies == [OK, NOT_NOW, NOT_NOW]
            assert [type(error) for error in wire.errors] == [OSError, PolicyError]
            assert wire.envelope.rcpt_tos == ["a@here.example"]

    in_a_loop(test())


def test_1_1_a_recipient_without_mail_from_is_not_decided_about() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept()), peer=OUTSIDER) as wire:
            with pytest.raises(RequestError, match="address: expected a string"):
                await PolicyHandler(POLICY, Kept()).handle_RCPT(
                    wire.server, wire.session, wire.envelope, "a@here.example", []
                )

    in_a_loop(test())
