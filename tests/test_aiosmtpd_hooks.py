"""The aiosmtpd adapter and the hooks of the server's own handler: PROXY, STARTTLS, AUTH and all."""

import asyncio
import struct
from ipaddress import ip_address
from typing import Any

import pytest
from aiosmtpd.proxy_protocol import V2_SIGNATURE, ProxyData
from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, Session
from smtp_wire import ORDINARY, Kept, Wire, in_a_loop

from listener_policy import Policy, RequestError
from listener_policy.adapters.aiosmtpd import NOT_NOW, PolicyHandler

OK = "250 2.1.5 OK"
TAKEN = "250 2.0.0 OK"
REFUSED = "550 5.7.1 relaying not permitted"
PROXY_ADDRESS = ("127.0.0.1", 4711)
POLICY = Policy.from_toml(
    """
    ["staff.example"]
    relay_from_authz = ["ann"]
    [listener."198.51.100.25:587"."here.example"]
    relay_to = true
    [listener."[2001:db8::25]:25"."six.example"]
    relay_to = true
    """,
    relay_hosts=["127.0.0.1", "192.0.2.0/24"],
)


class Believing(Kept):
    """Believes what it is told about the client."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[ProxyData] = []

    async def handle_PROXY(
        self, server: SMTP, session: Session, envelope: Envelope, proxy_data: ProxyData
    ) -> object:
        self.told.append(proxy_data)
        return True


def v2(command: int, family: int, addresses: bytes) -> bytes:
    head = struct.pack("!BBH", 0x20 | command, family, len(addresses))
    return V2_SIGNATURE + head + addresses


def inet(source: str, destination: str, port: int) -> bytes:
    octets = ip_address(source).packed + ip_address(destination).packed
    return octets + struct.pack("!HH", 4711, port)


TRUSTED = inet("192.0.2.7", "198.51.100.25", 587)
SOMEBODY = inet("203.0.113.9", "198.51.100.25", 587)


def proxied(handler: object) -> Wire:
    return Wire(handler, peer=PROXY_ADDRESS, proxy_protocol_timeout=60)


@pytest.mark.parametrize(
    ("header", "recipient", "reply"),
    [
        (b"PROXY TCP4 203.0.113.9 198.51.100.25 4711 587\r\n", "a@here.example", OK),
        (b"PROXY TCP4 203.0.113.9 198.51.100.25 4711 587\r\n", "a@evil.example", REFUSED),
        (b"PROXY TCP4 203.0.113.9 198.51.100.25 4711 25\r\n", "a@here.example", REFUSED),
        (b"PROXY TCP4 192.0.2.7 198.51.100.25 4711 25\r\n", "a@evil.example", OK),
        (b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::25 4711 25\r\n", "a@evil.example", OK),
        (b"PROXY TCP6 2001:db8::7 2001:db8::25 4711 25\r\n", "a@six.example", OK),
        (v2(1, 0x11, SOMEBODY), "a@here.example", OK),
        (v2(1, 0x11, SOMEBODY), "a@evil.example", REFUSED),
        (v2(1, 0x11, TRUSTED), "a@evil.example", OK),
        (v2(1, 0x21, inet("2001:db8::7", "2001:db8::25", 25)), "a@six.example", OK),
    ],
)
def test_1_1_behind_a_proxy_peer_and_listener_are_those_of_the_header(
    header: bytes, recipient: str, reply: str
) -> None:
    async def test() -> None:
        async with proxied(PolicyHandler(POLICY, Believing())) as wire:
            wire.feed(header)
            await wire.greet()
            assert await wire.mail("eve@evil.example", recipient) == [reply]

    in_a_loop(test())


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 192.0.2.7 198.51.100.25 4711 25\r\n",
        v2(0, 0x00, b""),
        v2(0, 0x11, TRUSTED),  # the proxy's own business, whatever else it says
        v2(1, 0x00, b""),
        v2(1, 0x31, b"/run/client.sock".ljust(108, b"\0") * 2),
    ],
)
def test_1_1_a_proxy_that_names_no_client_is_not_the_client(header: bytes) -> None:
    async def test() -> None:
        async with proxied(PolicyHandler(POLICY, Believing())) as wire:
            wire.feed(header)
            await wire.greet()
            assert await wire.mail("eve@evil.example", "a@here.example") == [NOT_NOW]
            (error,) = wire.errors
            assert isinstance(error, RequestError)
            assert str(error) == "listener: expected an address in the PROXY header, found none"

    in_a_loop(test())


def test_1_1_a_proxy_header_that_is_wrong_names_no_client() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Kept()), peer=PROXY_ADDRESS) as wire:
            await wire.greet()
            proxy_data: Any = ProxyData(version=1).with_error("broken")
            proxy_data.src_addr = proxy_data.dst_addr = ip_address("192.0.2.7")
            wire.session.proxy_data = proxy_data
            assert await wire.mail("eve@evil.example", "a@here.example") == [NOT_NOW]

    in_a_loop(test())


def test_proxy_headers_are_not_believed_unless_the_servers_own_handler_says_so() -> None:
    async def test() -> None:
        async with proxied(PolicyHandler(POLICY, Kept())) as wire:
            wire.feed(v2(1, 0x11, TRUSTED))
            assert await wire.hear() == "closed"

    in_a_loop(test())


class Doubting(Believing):
    async def handle_PROXY(
        self, server: SMTP, session: Session, envelope: Envelope, proxy_data: ProxyData
    ) -> object:
        await super().handle_PROXY(server, session, envelope, proxy_data)
        return False


def test_the_servers_own_handler_may_doubt_a_proxy_header() -> None:
    handler = Doubting()

    async def test() -> None:
        async with proxied(PolicyHandler(POLICY, handler)) as wire:
            wire.feed(v2(1, 0x11, TRUSTED))
            assert await wire.hear() == "closed"
            assert len(handler.told) == 1

    in_a_loop(test())


def start_tls(wire: Wire) -> None:
    """What aiosmtpd does when the handshake is over, without the handshake."""
    transport: Any = wire.server.transport
    wire.server._original_transport = transport
    wire.server._tls_protocol = type("Protocol", (), {"_extra": {}})()
    wire.server.connection_made(transport)


def test_1_1_starttls_does_not_make_the_proxy_the_client() -> None:
    """After it aiosmtpd has another session, without what the PROXY header said."""

    async def test() -> None:
        async with proxied(PolicyHandler(POLICY, Believing())) as wire:
            wire.feed(v2(1, 0x11, SOMEBODY))
            await wire.greet()
            assert await wire.mail("eve@evil.example", "a@evil.example") == [REFUSED]
            start_tls(wire)
            assert (await wire.say("EHLO again.test")).startswith("250 ")
            replies = await wire.mail("eve@evil.example", "a@evil.example", "a@here.example")
            assert replies == [REFUSED, OK]

    in_a_loop(test())


def test_4_2_nothing_is_remembered_across_starttls() -> None:
    async def test() -> None:
        def authenticator(*_: object) -> AuthResult:
            return AuthResult(success=True, auth_data=b"ann")

        handler = PolicyHandler(POLICY, Kept())
        async with Wire(handler, authenticator=authenticator) as wire:
            await wire.greet()
            assert (await wire.auth(b"ann")).startswith("235 ")
            assert await wire.mail("a@staff.example", "a@evil.example") == [OK]
            start_tls(wire)
            assert (await wire.say("EHLO again.test")).startswith("250 ")
            assert await wire.mail("a@staff.example", "a@evil.example") == [REFUSED]

    in_a_loop(test())


class Insecure(Kept):
    def handle_STARTTLS(self, server: SMTP, session: Session, envelope: Envelope) -> bool:
        return session.ssl is None


def test_the_servers_own_handler_may_refuse_a_handshake() -> None:
    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Insecure())) as wire:
            await wire.greet()
            start_tls(wire)
            assert (await wire.say("EHLO again.test")).startswith("554 ")

    in_a_loop(test())


class Everything(Kept):
    """Has all the hooks that there are."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    def _note(self, name: str) -> object:
        self.called.append(name)
        return MISSING

    async def handle_HELO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str
    ) -> str:
        self._note("HELO")
        session.host_name = hostname
        return "250 hello"

    async def handle_EHLO(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        self._note("EHLO")
        session.host_name = hostname
        return [*responses[:-1], "250-X-OURS", responses[-1]]

    async def handle_NOOP(
        self, server: SMTP, session: Session, envelope: Envelope, arg: str
    ) -> object:
        return self._note("NOOP")

    async def handle_RSET(self, server: SMTP, session: Session, envelope: Envelope) -> object:
        return self._note("RSET")

    async def handle_VRFY(
        self, server: SMTP, session: Session, envelope: Envelope, address: str
    ) -> object:
        return self._note("VRFY")

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> object:
        return self._note("QUIT")

    async def handle_AUTH(
        self, server: SMTP, session: Session, envelope: Envelope, args: list[str]
    ) -> object:
        return self._note("AUTH")

    async def auth_TOKEN(self, server: SMTP, args: list[str]) -> AuthResult:
        self._note("TOKEN")
        return AuthResult(success=True, auth_data=args[1])

    async def auth_OLD(self, server: SMTP, args: list[str]) -> str:
        self._note("OLD")
        return args[1]

    async def handle_MAIL(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        mail_options: list[str],
    ) -> object:
        self._note("MAIL")
        if address.startswith("spam"):
            return "550 5.7.1 no spam"
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 2.1.0 go on"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raise AssertionError("it would not know for whom")


def test_the_servers_own_handler_keeps_its_hooks() -> None:
    handler = Everything()

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, handler)) as wire:
            assert (await wire.hear()).startswith("220 ")
            assert await wire.say("HELO client.test") == "250 hello"
            assert (await wire.say("EHLO client.test")).startswith("250 ")
            assert await wire.say("NOOP") == "250 OK"
            assert (await wire.say("VRFY ann")).startswith("252 ")
            assert (await wire.say("AUTH TOKEN ann")).startswith("235 ")
            assert await wire.say("MAIL FROM:<spam@staff.example>") == "550 5.7.1 no spam"
            assert await wire.say("MAIL FROM:<a@staff.example> SIZE=1") == "250 2.1.0 go on"
            assert await wire.say("RCPT TO:<a@evil.example>") == OK
            assert await wire.data(ORDINARY) == TAKEN
            assert await wire.say("RSET") == "250 OK"
            assert await wire.say("QUIT") == "221 Bye"

    in_a_loop(test())
    expected = ["HELO", "EHLO", "NOOP", "VRFY", "AUTH", "TOKEN", "MAIL", "MAIL", "RSET", "QUIT"]
    assert handler.called == expected
    assert handler.kinds == ["relay"]


def test_4_2_who_authenticates_in_the_way_of_old_is_nobody() -> None:
    """aiosmtpd answers 235 and leaves `session.authenticated` as it was."""

    async def test() -> None:
        async with Wire(PolicyHandler(POLICY, Everything())) as wire:
            await wire.greet()
            assert (await wire.say("AUTH OLD ann")).startswith("235 ")
            assert wire.session.authenticated is None
            assert await wire.say("MAIL FROM:<a@staff.example>") == "250 2.1.0 go on"
            assert await wire.say("RCPT TO:<a@evil.example>") == REFUSED

    in_a_loop(test())


class OldEhlo(Kept):
    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str
    ) -> str:
        session.host_name = hostname
        return "250 HELP"


def test_hooks_of_the_old_kind_are_aiosmtpds_to_deprecate() -> None:
    async def test() -> None:
        with pytest.warns(DeprecationWarning, match="5-argument handle_EHLO"):
            wire = Wire(PolicyHandler(POLICY, OldEhlo()), peer=("192.0.2.7", 4711))
        async with wire:
            await wire.greet()
            assert await wire.mail("", "a@evil.example") == [OK]

    in_a_loop(test())


def test_4_3_a_transaction_without_its_mail_hook_begins_at_rcpt_to() -> None:
    handler = PolicyHandler(POLICY, Kept())

    async def test() -> None:
        async with Wire(handler, peer=("192.0.2.7", 4711)) as wire:
            await wire.greet()
            del wire.server._handle_hooks["MAIL"]
            assert await wire.mail("", "a@evil.example") == [OK]
            handler.policy = Policy.from_toml("", relay_hosts=[])
            assert await wire.say("RCPT TO:<b@evil.example>") == OK
            assert await wire.data(ORDINARY) == TAKEN

    in_a_loop(test())


def test_many_connections_share_a_handler_and_nothing_else() -> None:
    async def client(handler: PolicyHandler, number: int) -> None:
        async with Wire(handler, peer=(f"192.0.{number}.7", 4711)) as wire:
            await wire.greet()
            replies = await wire.mail(f"s{number}@x.example", f"r{number}@x.example")
            assert replies == [OK if number == 2 else REFUSED]
            if number == 2:
                assert await wire.data(ORDINARY) == TAKEN

    async def test() -> None:
        kept = Kept()
        handler = PolicyHandler(POLICY, kept)
        await asyncio.gather(*(client(handler, number) for number in range(5)))
        assert [rcpt_tos for _, rcpt_tos, _ in kept.calls] == [["r2@x.example"]]

    in_a_loop(test())
