"""An SMTP conversation with aiosmtpd in one process, without a socket."""

import asyncio
from base64 import b64encode
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

from listener_policy.adapters.aiosmtpd import Delivery, Reply

LOCAL: object = ("192.0.2.25", 25)
OUTSIDER: object = ("203.0.113.9", 36316)
PATIENCE = 60
"""Seconds until a server that does not answer is given up."""

ABUSE = b"""\
From: <abuse@isp.example>
To: <fbl@reports.example>
Subject: a complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1

--b
Content-Type: message/rfc822

Subject: cheap

Buy.
--b--
"""
BOUNCE = b"""\
From: <MAILER-DAEMON@mx.example>
To: <bob@bounces.example>
Subject: undeliverable
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; nobody@mx.example
Action: failed
Status: 5.1.1

--b--
"""
ORDINARY = b"From: <ann@example.net>\nSubject: hello\n\n..and good bye\n"


class _Transport(asyncio.Transport):
    """Keeps what the server says."""

    def __init__(self, peer: object, local: object) -> None:
        super().__init__({"peername": peer, "sockname": local})
        self.replies: asyncio.Queue[str] = asyncio.Queue()
        self._unfinished = b""
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._unfinished += bytes(data)
        *lines, self._unfinished = self._unfinished.split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self.replies.put_nowait(line.decode())

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        self.replies.put_nowait("closed")


class Wire:
    """A client's end of a connection."""

    def __init__(
        self, handler: object, *, peer: object = OUTSIDER, local: object = LOCAL, **options: Any
    ) -> None:
        self._transport = _Transport(peer, local)
        self._told: list[dict[str, Any]] = []
        settings: dict[str, Any] = {"auth_require_tls": False, "enable_SMTPUTF8": True, **options}
        loop = asyncio.get_running_loop()
        self.server: Any = SMTP(handler, hostname="mx.test", loop=loop, **settings)

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: self._told.append(told))
        self.server.connection_made(self._transport)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task: asyncio.Task[None] = self.server._handler_coroutine
        self._transport.close()
        self.server.connection_lost(None)
        await asyncio.wait([task])

    @property
    def errors(self) -> list[Exception]:
        """What the exception handler of the event loop was told."""
        return [told["exception"] for told in self._told]

    @property
    def session(self) -> Session:
        session = self.server.session
        assert isinstance(session, Session)
        return session

    @property
    def envelope(self) -> Envelope:
        envelope = self.server.envelope
        assert isinstance(envelope, Envelope)
        return envelope

    def feed(self, octets: bytes) -> None:
        self.server.data_received(octets)

    async def hear(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self._transport.replies.get()

    async def say(self, line: str | bytes) -> str:
        """The last line of the reply to a command."""
        octets = line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line
        self.feed(octets + b"\r\n")
        return await self.hear()

    async def greet(self) -> None:
        assert (await self.hear()).startswith("220 ")
        assert (await self.say("EHLO client.test")).startswith("250 ")

    async def auth(self, login: bytes, password: bytes = b"secret") -> str:
        return await self.say(b"AUTH PLAIN " + b64encode(b"\0" + login + b"\0" + password))

    async def mail(self, sender: str, *recipients: str) -> list[str]:
        """The replies to RCPT TO."""
        assert await self.say(f"MAIL FROM:<{sender}>") == "250 OK"
        return [await self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]

    async def mail_again(self, sender: str, *recipients: str) -> list[str]:
        """The same, after a transaction that is given up."""
        assert await self.say("RSET") == "250 OK"
        return await self.mail(sender, *recipients)

    async def data(self, message: bytes) -> str:
        assert (await self.say("DATA")).startswith("354 ")
        return await self.say(message.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n") + b".")


def in_a_loop(test: Coroutine[Any, Any, None]) -> None:
    """Run what a test does."""
    asyncio.run(test)


class Kept:
    """A server's own handler that keeps what it is given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], Delivery]] = []
        self.relayed: Reply | None = None
        self.logged: Reply | None = None

    async def relay_message(
        self, server: SMTP, session: Session, envelope: Envelope, delivery: Delivery
    ) -> Reply | None:
        self.calls.append(("relay", list(envelope.rcpt_tos), delivery))
        return self.relayed

    async def log_report(
        self, server: SMTP, session: Session, envelope: Envelope, delivery: Delivery
    ) -> Reply | None:
        self.calls.append(("log", list(envelope.rcpt_tos), delivery))
        return self.logged

    async def message_refused(
        self, server: SMTP, session: Session, envelope: Envelope, delivery: Delivery
    ) -> None:
        self.calls.append(("refused", list(envelope.rcpt_tos), delivery))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.calls]
