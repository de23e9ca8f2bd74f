"""The example server in a process of its own, and a client that says exactly what it is told to."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from relay_server_files import hashed

EXAMPLE: Final = Path(__file__).parents[2] / "docs" / "examples" / "relay_server.py"
PATIENCE: Final = 120.0
"""Seconds until what has not happened is a failure."""
ORDINARY: Final = "From: <ann@staff.example>\r\nSubject: hello\r\n\r\n..and good bye\r\n"

POLICY: Final = """
["here.example"]
relay_to = true
["b\u00fccher.example"]
relay_to = true
["office.example"]
relay_from = ["127.0.0.2", "::1"]
["staff.example"]
relay_from_authz = ["ann", "b\u00fccher"]
["reports.example"]
log_arf = "LogThenDrop"
["bounces.example"]
log_oob = "LogThenDrop"
["desk.example"]
relay_to = true
log_arf = "LogThenRelay"
[listener."submission"."only.example"]
relay_to = true
"""
TRUSTED: Final = "127.0.0.9"
"""The peer that is in `relay_hosts`."""
USERS: Final = {"ann": "secret", "bob": "sesame", "b\u00fccher": "gehei\u00dfm"}


class RelayServer:
    """The example server, from its start to its end."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        listen: tuple[str, ...],
        policy: str = POLICY,
        auth_without_tls: bool = True,
    ) -> None:
        self.policy = folder / "policy.toml"
        self.policy.write_text(policy, encoding="utf-8")
        self._spool = folder / "spool"
        users = folder / "users"
        lines = (f"{name} {hashed(word.encode(), n=2)}\n" for name, word in USERS.items())
        users.write_text("".join(lines), encoding="utf-8")
        self._arguments = [sys.executable, str(EXAMPLE), str(self.policy)]
        self._arguments += ["--users", str(users), "--spool", str(self._spool)]
        self._arguments += ["--auth-without-tls"] * auth_without_tls
        self._arguments += ["--relay-host", TRUSTED, *options]
        self._arguments += [argument for one in listen for argument in ("--listen", one)]
        self._lines: list[str] = []
        self._has_said = threading.Condition()
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._running = subprocess.Popen(
            self._arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self.wait_until_it_says("policy ")
        for line in self._lines:
            if found := re.search(r"listening on .*:(\d+)(?: as (.*))?$", line):
                self._ports[found[2] or ""] = int(found[1])
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _listen(self) -> None:
        assert self._running.stdout is not None
        with self._running.stdout as lines:
            for line in lines:
                with self._has_said:
                    self._lines.append(line.rstrip())
                    self._has_said.notify_all()
        with self._has_said:
            self._lines.append("(end)")
            self._has_said.notify_all()

    def wait_until_it_says(self, text: str, since: int = 0) -> str:
        """The line in which it says something, once it has said it."""

        def found() -> str:
            return next((line for line in self._lines[since:] if text in line), "")

        with self._has_said:
            has_ended = self._has_said.wait_for(lambda: found() or "(end)" in self._lines, PATIENCE)
            assert has_ended, f"it did not say {text!r}: {self._lines}"
            assert found(), f"it ended without saying {text!r}: {self._lines}"
            return found()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and return its exit status."""
        try:
            if self._running.poll() is None:
                self._running.send_signal(number)
            return self._running.wait(PATIENCE)
        finally:
            self._running.kill()
            self._listener.join(PATIENCE)

    def reload(self, policy: str, *, says: str) -> str:
        """Give it another policy, and return what it makes of it."""
        since = len(self._lines)
        self.policy.write_text(policy, encoding="utf-8")
        self._running.send_signal(signal.SIGHUP)
        return self.wait_until_it_says(says, since)

    def port(self, name: str = "") -> int:
        """Where a listener is, by its name."""
        return self._ports[name]

    def connections(self) -> int:
        """How many sockets it has open, those that listen included."""
        files = Path(f"/proc/{self._running.pid}/fd").iterdir()
        return sum(str(file.readlink()).startswith("socket:") for file in files)

    @property
    def lines(self) -> list[str]:
        """What it has said."""
        return list(self._lines)

    def numbers(self, where: str) -> set[str]:
        """The messages in a part of the spool: `relay` or `log`."""
        return {path.name for path in (self._spool / where).iterdir()}

    def record(self, where: str, number: str) -> dict[str, Any]:
        """What is written down about a message, with its content."""
        folder = self._spool / where / number
        written: dict[str, Any] = json.loads((folder / "envelope.json").read_bytes())
        return written | {"content": (folder / "message.eml").read_bytes()}


class Client:
    """A client that says what it is told to, octet by octet, and hears whole replies."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", source: str = "", greet: bool = True
    ) -> None:
        bound = (source, 0) if source else None
        self._socket: socket.socket = socket.create_connection(
            (host, port), PATIENCE, source_address=bound
        )
        self._file = self._socket.makefile("rb")
        if greet:
            assert self.hear().startswith("220 ")
            assert self.say("EHLO client.test").startswith("250 ")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._socket.close()

    def wrap(self, context: ssl.SSLContext) -> None:
        """Go on in TLS."""
        self._file.close()
        self._socket = context.wrap_socket(self._socket)
        self._file = self._socket.makefile("rb")

    def send(self, octets: bytes) -> None:
        """Say something and do not wait."""
        self._socket.sendall(octets)

    def hear(self) -> str:
        """The last line of a reply, or `closed`."""
        while True:
            line = self._file.readline()
            if not line:
                return "closed"
            if line[3:4] != b"-":
                return line.decode().rstrip("\r\n")

    def say(self, line: str | bytes) -> str:
        """Say a line, and hear the last line of the reply."""
        octets = line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line
        self.send(octets + b"\r\n")
        return self.hear()

    def auth(self, login: bytes, password: bytes) -> str:
        """Authenticate."""
        return self.say(b"AUTH PLAIN " + b64encode(b"\0" + login + b"\0" + password))

    def told(self, sender: str, *recipients: str) -> list[str]:
        """The replies to RCPT TO in a new transaction."""
        assert self.say("RSET") == "250 OK"
        assert self.say(f"MAIL FROM:<{sender}>") == "250 OK"
        return [self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def data(self, message: str = ORDINARY) -> str:
        """The reply after DATA."""
        assert self.say("DATA").startswith("354 ")
        return self.say(message.replace("\r\n.", "\r\n..") + ".")
