"""Answers Postfix's `check_policy_service` by a policy: `postfix_policyd.py --help` says how.

SIGHUP reads the files again; a policy that is wrong is told about and not taken. On any trouble a
connection is closed without an answer, upon which Postfix puts its client off (451).
"""

import argparse
import asyncio
import logging
import signal
import sys
from ipaddress import ip_address
from pathlib import Path

from listener_policy import DEFAULT_RELAY_HOSTS, Dialect, EsmtpListener, Policy, PolicyError
from listener_policy.adapters.postfix import RequestParser, action

IDLE = 600
"""Seconds of silence; Postfix itself closes after `smtpd_policy_service_max_idle`, 300."""
MOST_CONNECTIONS = 1000
"""Each smtpd process keeps one; `default_process_limit` of Postfix is 100."""

log = logging.getLogger("postfix_policyd")


def load(arguments: argparse.Namespace) -> Policy:
    """The policy of the files as they are now."""
    listeners = [
        listener
        for path in arguments.listeners
        for listener in EsmtpListener.from_toml(path.read_bytes())
    ]
    return Policy.from_toml(
        *(path.read_bytes() for path in arguments.policy),
        relay_hosts=arguments.relay_host,
        listeners=listeners,
        dialect=arguments.dialect,
    )


class Daemon:
    """The policy that holds, and who asks for it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.policy = load(arguments)
        self.connections = 0

    def reload(self) -> None:
        """Take the policy of the files, if it is right."""
        try:
            self.policy = load(self.arguments)
        except (OSError, PolicyError) as error:
            log.warning("the policy stays as it was: %s", error)
        else:
            log.info("policy %s", self.policy.fingerprint)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, request by request."""
        parser = RequestParser()
        self.connections += 1
        try:
            if self.connections > MOST_CONNECTIONS:
                raise ConnectionError("too many connections")
            while octets := await asyncio.wait_for(reader.read(65536), IDLE):
                for attributes in parser.feed(octets):
                    writer.write(action(self.policy, attributes).response)
                await asyncio.wait_for(writer.drain(), IDLE)
            parser.close()
        except asyncio.CancelledError:
            log.info("disconnected: the daemon stops")
        except Exception as trouble:  # noqa: BLE001 - whatever it is, no answer permits nothing
            log.warning("disconnected: %s", str(trouble) or type(trouble).__name__)
        finally:
            self.connections -= 1
            writer.close()

    async def serve(self) -> None:
        """Answer until SIGTERM or SIGINT."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        server = await asyncio.start_server(self.answer, *self.arguments.listen)
        for socket in server.sockets:
            log.info("listening on %s:%s", *socket.getsockname()[:2])
        log.info("policy %s", self.policy.fingerprint)
        await stopped.wait()
        server.close()


def ip_and_port(text: str) -> tuple[str, int]:
    """An address to listen on, `ip:port` or `[v6]:port`."""
    host, _, port = text.rpartition(":")
    return str(ip_address(host.strip("[]"))), range(65536).index(int(port))


def main() -> int:
    """Serve; 2 if the policy, the address or the arguments are wrong."""
    parser = argparse.ArgumentParser(description="Answers Postfix's check_policy_service.")
    add = parser.add_argument
    add("policy", nargs="+", type=Path, help="TOML documents, merged in order")
    add("--listen", default="127.0.0.1:9998", type=ip_and_port, metavar="IP:PORT")
    add(
        "--listeners", nargs="*", default=[], type=Path, metavar="FILE", help="esmtp_listener, TOML"
    )
    add(
        "--relay-host",
        nargs="*",
        default=DEFAULT_RELAY_HOSTS,
        metavar="BLOCK",
        help="who may relay",
    )
    add("--dialect", default=Dialect.DOCUMENTED, type=Dialect, help="documented, or kumomta")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    try:
        asyncio.run(Daemon(parser.parse_args()).serve())
    except (OSError, ValueError) as error:  # PolicyError is a ValueError
        log.critical("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
