"""The front of a mail server, which relays for whom a policy says: see `relay_server.py --help`.

It takes mail and puts it into a spool, from where something else is to send it on. SIGHUP reads all
files again; what is wrong is told about and changes nothing. SIGTERM and SIGINT end it.
"""

import argparse
import asyncio
import json
import logging
import os
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from aiosmtpd.proxy_protocol import ProxyData
from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session
from relay_server_files import NOBODY, is_password, read_policy, read_users

from listener_policy import DEFAULT_RELAY_HOSTS, CidrSet, ConfigError, Dialect, Policy, Report
from listener_policy.adapters.aiosmtpd import Delivery, PolicyHandler, identity_of, listener_of
from listener_policy.messages import read_message
from listener_policy.reports import classify

MOST_RECIPIENTS = 100
LARGEST_MESSAGE = 10 * 2**20
BACKLOG = 1024
"""Connections that wait to be taken."""
MOST_AUTH = 5
"""Times that a client may say AUTH before it has to connect anew: guessing is made slow."""
PROXY_PATIENCE = 30.0
"""Seconds to wait for a PROXY header."""

log = logging.getLogger("relay_server")


class Spool:
    """A folder of messages, each in a folder of its own that appears when it is complete.

    Nobody else may read them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("tmp", "relay", "log"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)

    async def keep(self, where: str, session: Session, envelope: Envelope, found: Delivery) -> str:
        """Write a message down, and return its number once it is safe."""
        record = {
            "peer": str(
                session.peer if session.proxy_data is None else session.proxy_data.src_addr
            ),
            "identity": identity_of(session),
            "sender": envelope.mail_from,
            "report": found.report,
            "recipients": [
                {
                    "address": one.address,
                    "relay": one.disposition.relay,
                    "log": one.disposition.log,
                    "reason": one.decision.reason,
                }
                for one in found.recipients
            ],
        }
        content = envelope.original_content or b""
        number = secrets.token_hex(8)
        await asyncio.to_thread(self._write, where, number, json.dumps(record, indent=1), content)
        return number

    def _write(self, where: str, number: str, record: str, content: bytes) -> None:
        folder = self.folder / "tmp" / number
        folder.mkdir(mode=0o700)
        for name, octets in (("message.eml", content), ("envelope.json", record.encode())):
            with (folder / name).open("wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
        sync(folder)
        folder.rename(self.folder / where / number)
        sync(self.folder / where)


def sync(folder: Path) -> None:
    """Have the names in a folder written down: what has no name after a crash is lost."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Handler:
    """What this server does with what the policy accepts."""

    def __init__(self, spool: Spool, proxies: Sequence[CidrSet]) -> None:
        self._spool = spool
        self._proxies = proxies

    async def handle_PROXY(
        self, _server: SMTP, session: Session, _envelope: Envelope, _proxy_data: ProxyData
    ) -> bool:
        """Believe the proxies that were named, and nobody else."""
        host, *_ = cast("tuple[str, int]", session.peer)
        return any(ip_address(host) in block for block in self._proxies)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, _address: str, _: list[str]
    ) -> object:
        """Refuse what would take too much memory, after the policy has accepted it."""
        too_many = len(envelope.rcpt_tos) >= MOST_RECIPIENTS
        return "452 4.5.3 too many recipients" if too_many else MISSING

    async def relay_message(
        self, _server: SMTP, session: Session, envelope: Envelope, delivery: Delivery
    ) -> str:
        """Spool the message for `delivery.relay`."""
        number = await self._spool.keep("relay", session, envelope, delivery)
        log.info("relay %s for %s", number, ascii(delivery.relay))
        return f"250 2.0.0 OK {number}"

    async def log_report(
        self, _server: SMTP, session: Session, envelope: Envelope, delivery: Delivery
    ) -> None:
        """Keep the report for `delivery.log`."""
        number = await self._spool.keep("log", session, envelope, delivery)
        log.info("log %s for %s", number, ascii(delivery.log))

    async def message_refused(
        self, _server: SMTP, session: Session, _envelope: Envelope, delivery: Delivery
    ) -> None:
        """Tell the operator."""
        log.info("refuse a message of %s for %s", session.peer, ascii(delivery.refused))


class Server:
    """The files as they were when they were last right, and a handler for each listener."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._policy, self._users = self._read()
        self._handlers: list[PolicyHandler] = []
        self._tls: ssl.SSLContext | None = None
        if arguments.tls:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*arguments.tls)

    def _read(self) -> tuple[Policy, Mapping[bytes, str]]:
        given = self._arguments
        policy = read_policy(given.policy, given.listeners, given.relay_host, given.dialect)
        return policy, {} if given.users is None else read_users(given.users)

    def reload(self) -> None:
        """Take what the files say now, if it is right. Open transactions keep their policy."""
        try:
            self._policy, self._users = self._read()
        except (OSError, ValueError) as error:  # a PolicyError is a ValueError
            log.warning("all stays as it was: %s", error)
            return
        for handler in self._handlers:
            handler.policy = self._policy
        log.info("policy %s", self._policy.fingerprint)

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _name: str, given: object
    ) -> AuthResult:
        """What aiosmtpd asks about PLAIN and LOGIN. Everybody else waits meanwhile: 50 ms."""
        login, password = cast("LoginPassword", given)
        is_right = is_password(password, self._users.get(login, NOBODY))
        return AuthResult(success=is_right, handled=False, auth_data=given)

    async def listen(self, name: str, host: str, port: int, spool: Spool) -> asyncio.Server:
        """Take connections of one listener, which is its address if it has no name."""
        given, loop = self._arguments, asyncio.get_running_loop()
        handler = PolicyHandler(
            self._policy,
            Handler(spool, given.proxy),
            listener=(lambda _server, _session: name) if name else listener_of,
            report=report_in_a_thread,
        )
        self._handlers.append(handler)
        taken = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::",
        )
        shown = "listening on [%s]:%s%s" if ":" in host else "listening on %s:%s%s"
        log.info(shown, *taken.getsockname()[:2], f" as {name}" if name else "")
        return await loop.create_server(
            lambda: SMTP(
                handler,
                hostname=given.hostname,
                ident="ESMTP",
                loop=loop,
                data_size_limit=LARGEST_MESSAGE,
                enable_SMTPUTF8=True,
                tls_context=self._tls,
                authenticator=self.authenticate,
                auth_require_tls=not given.auth_without_tls,
                auth_exclude_mechanism=() if given.users else ("LOGIN", "PLAIN"),
                command_call_limit={"AUTH": MOST_AUTH, "*": sys.maxsize},
                proxy_protocol_timeout=PROXY_PATIENCE if given.proxy else None,
            ),
            sock=taken,
            backlog=BACKLOG,
        )

    async def serve(self) -> None:
        """Serve until somebody says that it is enough."""
        loop, enough = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, enough.set)
        spool = Spool(self._arguments.spool)
        listening = [
            await self.listen(name, host, port, spool)
            for name, host, port in self._arguments.listen
        ]
        log.info("policy %s", self._policy.fingerprint)
        await enough.wait()
        for server in listening:
            server.close()
        log.info("stopped")


async def report_in_a_thread(content: bytes) -> Report | None:
    """What a message is; meanwhile other clients are served."""
    return await asyncio.to_thread(lambda: classify(read_message(content)))


def name_and_address(text: str) -> tuple[str, str, int]:
    """The name, host and port of `[NAME=]IP:PORT`; without a name, it is empty."""
    name, _, address = text.rpartition("=")
    host, _, port = address.rpartition(":")
    try:
        return name, str(ip_address(host.strip("[]"))), range(65536).index(int(port))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected [NAME=]IP:PORT, found {text!r}") from None


def block(text: str) -> CidrSet:
    """A CIDR block."""
    try:
        return CidrSet.parse([text])
    except ConfigError as error:
        raise argparse.ArgumentTypeError(error.problems[0].message) from None


def arguments() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    parser = argparse.ArgumentParser(description="Takes mail as a policy decides, and spools it.")

    add = parser.add_argument
    add("policy", nargs="+", type=Path, help="TOML documents, merged in order")
    add("--listen", action="append", required=True, type=name_and_address, help="[NAME=]IP:PORT")
    add("--listeners", action="append", default=[], type=Path, help="esmtp_listener, in TOML")
    add("--relay-host", nargs="*", default=DEFAULT_RELAY_HOSTS, help="who may relay anything")
    add("--dialect", type=Dialect, default=Dialect.DOCUMENTED, choices=list(Dialect))
    add("--spool", type=Path, default=Path("spool"), help="the folder for messages")
    add("--hostname", default="localhost", help="what the server calls itself")
    add("--users", type=Path, help="who may authenticate, see relay_server_files.py")
    add("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="offer STARTTLS")
    add("--auth-without-tls", action="store_true", help="passwords may be read on the way")
    add("--proxy", nargs="+", default=[], type=block, help="who puts PROXY headers first: all do")
    return parser


def main() -> int:
    """Serve; 2 if the files, the addresses or the arguments are wrong."""
    given = arguments().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd tells of every command
    try:
        asyncio.run(Server(given).serve())
    except (OSError, ValueError) as error:  # a PolicyError is a ValueError
        log.critical("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
