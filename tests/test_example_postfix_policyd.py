"""The example's daemon for Postfix: what it says, what it answers, and when it says nothing."""

import argparse
import asyncio
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from end_to_end.postfix import EXAMPLE, LOCALHOST, PATIENCE, Daemon

from listener_policy import DEFAULT_RELAY_HOSTS, Dialect, Policy

if os.name != "posix":
    pytest.skip("its signals are POSIX's", allow_module_level=True)

POLICY = '["example.com"]\nrelay_to = true\n["*"]\nlog_oob = true\n["example.org"]\n'


def request(recipient: str, **attributes: str) -> bytes:
    """What Postfix asks about a stranger's recipient."""
    asked = {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "client_address": "203.0.113.9",
        "server_address": "192.0.2.25",
        "server_port": "25",
        "sender": "",
        "recipient": recipient,
        **attributes,
    }
    return "".join(f"{name}={value}\n" for name, value in asked.items()).encode() + b"\n"


GRANTED = request("bob@example.com")
OK, DUNNO = b"action=OK\n\n", b"action=DUNNO\n\n"
Opened: TypeAlias = Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]
REFUSED = b"action=550 5.7.1 relaying not permitted\n\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon]:
    made = Daemon(tmp_path, 0)
    made.policy.write_text(POLICY, encoding="utf-8")
    with made:
        yield made


def connected(daemon: Daemon) -> socket.socket:
    """A connection to where the daemon says that it listens."""
    (port,) = re.findall(r"^INFO listening on 127\.0\.0\.1:(\d+)$", daemon.log, re.MULTILINE)
    return socket.create_connection((LOCALHOST, int(port)), PATIENCE)


def told(connection: socket.socket, octets: bytes) -> bytes:
    """What is answered, request by request."""
    connection.sendall(octets)
    answered = b""
    while answered.count(b"\n\n") < octets.count(b"\n\n"):
        received = connection.recv(65536)
        assert received, "disconnected"
        answered += received
    return answered


def told_before_the_end(connection: socket.socket, octets: bytes) -> bytes:
    """What is answered until the daemon disconnects, if nothing else is sent."""
    answered = b""
    with suppress(ConnectionError):  # it disconnects, whatever was on its way
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65536):
            answered += received
    return answered


def test_it_answers_request_by_request_and_in_order(daemon: Daemon) -> None:
    with closing(connected(daemon)) as connection:
        assert told(connection, GRANTED) == OK
        assert told(connection, request("bob@example.org")) == REFUSED
        assert told(connection, request("bob@example.net")) == DUNNO
        assert told(connection, request("bob@example.org", client_address="::1")) == OK
        several = [GRANTED, request("bob@example.net"), GRANTED, request("bob@example.org")]
        assert told_before_the_end(connection, b"".join(several)) == OK + DUNNO + OK + REFUSED


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "expected `name=value`"),
        (b"\n", "request: expected `smtpd_access_policy`"),
        (GRANTED[:-1], "found the end of the stream"),
        (b"a" * 70_000, "expected at most 65536 octets"),
        (request("bob@example.com", client_address="unknown"), "client_address: expected"),
        (request("bob@example.com", server_port=""), "server_port: expected a port, found"),
        (request("bob@example.com\0"), "without NUL"),
    ],
)
def test_on_trouble_it_disconnects_without_an_answer(
    daemon: Daemon, octets: bytes, why: str
) -> None:
    with closing(connected(daemon)) as beside:
        with closing(connected(daemon)) as connection:
            assert told_before_the_end(connection, octets) == b""
        with closing(connected(daemon)) as connection:
            assert told(connection, GRANTED) == OK
            assert told_before_the_end(connection, octets) == b""
        assert told(beside, GRANTED) == OK
    assert "WARNING disconnected: " in daemon.log
    assert why in daemon.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_it_is_told_to_though_somebody_is_connected(
    daemon: Daemon, number: signal.Signals
) -> None:
    with closing(connected(daemon)) as connection:
        assert told(connection, GRANTED) == OK
        assert daemon.stop(number) == 0
        assert connection.recv(1) == b""
    assert "Traceback" not in daemon.log


def test_it_reads_the_policy_again_and_keeps_it_if_that_is_wrong(daemon: Daemon) -> None:
    closed = '["example.com"]\n'
    with closing(connected(daemon)) as connection:
        daemon.reload('["example.com"]\nrelay_too = true\n', says="did you mean `relay_to`?")
        assert "WARNING the policy stays as it was: document 0: " in daemon.log
        assert told(connection, GRANTED) == OK
        daemon.reload(closed, says=f"INFO policy {Policy.from_toml(closed).fingerprint}")
        assert told(connection, GRANTED) == REFUSED
        daemon.policy.unlink()
        daemon.reload(POLICY, says="INFO policy ")
        daemon.policy.unlink()
        daemon.reload(None, says="WARNING the policy stays as it was: [Errno 2]")
        assert told(connection, GRANTED) == OK


@pytest.mark.parametrize(
    ("policy", "options", "why"),
    [
        ("[", (), "document 0"),
        (None, (), "No such file"),
        (POLICY, ("--relay-host", "10.0.0.1/8"), "did you mean `10.0.0.0/8`?"),
        (POLICY, ("--listen", "127.0.0.1"), "--listen: invalid ip_and_port value"),
        (POLICY, ("--listen", "9998"), "--listen: invalid ip_and_port value"),  # not everywhere
        (POLICY, ("--listen", ":9998"), "--listen: invalid ip_and_port value"),
        (POLICY, ("--listen", "127.0.0.1:70000"), "--listen: invalid ip_and_port value"),
        (POLICY, ("--listen", "203.0.113.9:25"), "CRITICAL"),
        (POLICY, ("--dialect", "sendmail"), "invalid Dialect value"),
    ],
)
def test_it_does_not_start_with_what_is_wrong(
    tmp_path: Path, policy: str | None, options: tuple[str, ...], why: str
) -> None:
    if policy is not None:
        (tmp_path / "policy.toml").write_text(policy, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, str(EXAMPLE), str(tmp_path / "policy.toml"), *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 2
    assert why in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def example() -> ModuleType:
    """The example, as a module."""
    spec = importlib.util.spec_from_file_location("postfix_policyd", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def served(module: ModuleType, folder: Path) -> AsyncGenerator[Callable[[], Opened]]:
    """Opens connections to a daemon in this process."""
    path = folder / "policy.toml"
    path.write_text(POLICY, encoding="utf-8")
    arguments = argparse.Namespace(
        policy=[path], listeners=[], relay_host=DEFAULT_RELAY_HOSTS, dialect=Dialect.DOCUMENTED
    )
    daemon: Any = module.Daemon(arguments)
    server = await asyncio.start_server(daemon.answer, LOCALHOST, 0)
    host, port = server.sockets[0].getsockname()
    yield lambda: asyncio.open_connection(host, port)
    server.close()
    await server.wait_closed()


def test_it_closes_connections_that_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example()
    monkeypatch.setattr(module, "IDLE", 0.05)

    async def say_nothing() -> None:
        async with served(module, tmp_path) as opened:
            reader, writer = await opened()
            assert await reader.read() == b""
            writer.close()

    asyncio.run(say_nothing())


def test_it_closes_connections_that_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example()
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 2)

    async def connect() -> None:
        async with served(module, tmp_path) as opened:
            first, second, third = [await opened() for _ in range(3)]
            assert await third[0].read() == b""
            for reader, writer in (first, second):
                writer.write(GRANTED)
                writer.write_eof()
                assert await reader.read() == OK
            reader, writer = await opened()
            writer.write(GRANTED)
            assert await reader.readexactly(len(OK)) == OK
            for _, one in (first, second, third, (reader, writer)):
                one.close()

    asyncio.run(connect())
