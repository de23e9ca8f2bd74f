"""A Postfix and the example's daemon beside it, and clients that say what they were told."""

import os
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from needed import need_program, need_root

DOCS: Final = Path(__file__).parents[2] / "docs"
EXAMPLE: Final = DOCS / "examples" / "postfix_policyd.py"
LOCALHOST: Final = "127.0.0.1"
PATIENCE: Final = 30.0
"""Seconds until what has not happened is a failure."""

MAIN_CF: Final = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
maillog_file = {home}/log
maillog_file_prefixes = {home}
myhostname = mx.test.example
mydestination = local.example
relay_domains =
local_recipient_maps =
local_transport = discard:
default_transport = discard:
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = all
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = test
"""
MASTER_CF: Final = """\
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
error     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
proxymap  unix  -       -       n       -       -       proxymap
postlog   unix-dgram n  -       n       -       1       postlogd
"""
SASL_CONF: Final = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
mech_list: PLAIN LOGIN
sasldb_path: {home}/etc/sasl/db
"""


def restrictions_on_the_page() -> list[str]:
    """The `smtpd_relay_restrictions` that the documentation tells people to write."""
    text = (DOCS / "embed-in-postfix.md").read_text(encoding="utf-8")
    return re.findall(r"^```main\.cf\n(smtpd_relay_restrictions = .*)\n```", text, re.MULTILINE)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return once something holds, which fails the test if it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, and that no client is given for its own end."""
    while True:
        port = random.randrange(10_000, 30_000)
        with suppress(OSError), closing(socket.socket()) as listening:
            listening.bind((LOCALHOST, port))
            return port


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections."""
    with suppress(OSError), closing(socket.create_connection((LOCALHOST, port), timeout=1)):
        return True
    return False


class Postfix:
    """A Postfix whose files are below one folder, which goes when it does.

    services: the parameters of the smtpd of each port (`name = value`).
    """

    def __init__(self, services: Mapping[int, Sequence[str]]) -> None:
        need_root()
        self._postfix = need_program("postfix")
        self._saslpasswd2 = need_program("saslpasswd2", package="sasl2-bin")
        # not one of pytest's, into which nobody but root may look: Postfix runs as `postfix`
        self._home = Path(tempfile.mkdtemp(prefix="postfix-", dir="/tmp"))
        self._services = services

    def __enter__(self) -> Self:
        try:
            self._write()
            self._run("start")
            wait_until(lambda: all(map(is_listening, self._services)), "Postfix listens")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            self._run("stop")  # which waits, and then uses force itself
        except subprocess.SubprocessError:
            pid = self._home / "queue" / "pid" / "master.pid"
            if pid.exists():
                os.kill(int(pid.read_text()), signal.SIGKILL)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def log(self) -> str:
        """What it has logged until now."""
        return (self._home / "log").read_text(errors="replace")

    def add_login(self, name: str, password: str) -> None:
        """Let somebody authenticate by SMTP AUTH."""
        database = self._home / "etc" / "sasl" / "db"
        subprocess.run(
            [self._saslpasswd2, "-p", "-c", "-f", str(database), "-u", "test", name],
            input=password,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        shutil.chown(database, "postfix")

    def _write(self) -> None:
        # cyrus_sasl_config_path has no effect in Debian: it looks below the configuration
        self._home.chmod(0o755)
        for folder in ("etc", "etc/sasl", "queue", "data"):
            (self._home / folder).mkdir()
        shutil.chown(self._home / "data", "postfix")
        lines = [
            f"{LOCALHOST}:{port} inet n - n - - smtpd"
            + "".join(f"\n  -o {{ {parameter} }}" for parameter in parameters)
            for port, parameters in self._services.items()
        ]
        (self._home / "etc" / "main.cf").write_text(MAIN_CF.format(home=self._home))
        (self._home / "etc" / "master.cf").write_text("\n".join([*lines, MASTER_CF]))
        (self._home / "etc" / "sasl" / "smtpd.conf").write_text(SASL_CONF.format(home=self._home))

    def _run(self, command: str) -> None:
        subprocess.run(
            [self._postfix, "-c", str(self._home / "etc"), command],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )


class Daemon:
    """The example's daemon, which answers Postfix on one port by one policy."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.policy = folder / "policy.toml"
        self._log = folder / "daemon.log"
        self._arguments = [sys.executable, str(EXAMPLE), str(self.policy), *options]
        self._arguments += ["--listen", f"{LOCALHOST}:{port}"]
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Return when it listens."""
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(self._arguments, stdout=log, stderr=log)
        wait_until(lambda: "INFO policy" in self.log or self._has_ended(), "the daemon listens")
        assert not self._has_ended(), self.log

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, if it runs, and return its exit status."""
        if self._running is None:
            return 0
        self._running.send_signal(number)
        try:
            return self._running.wait(PATIENCE)
        finally:
            self._running.kill()
            self._running = None

    def reload(self, policy: str | None, *, says: str) -> None:
        """Give it another policy, or none, and return when it has said what it makes of it."""
        assert self._running is not None
        before = len(self.log)
        if policy is not None:
            self.policy.write_text(policy, encoding="utf-8")
        self._running.send_signal(signal.SIGHUP)
        wait_until(lambda: says in self.log[before:], f"the daemon says {says!r}")

    @property
    def log(self) -> str:
        """What it has said since it was started."""
        return self._log.read_text(errors="replace")

    def _has_ended(self) -> bool:
        return self._running is None or self._running.poll() is not None


def swaks(port: int, sender: str, recipient: str, *options: str) -> list[tuple[str, str]]:
    """What a client says and is told, command by command; the reply is the last of its lines."""
    ended = subprocess.run(
        [
            *(need_program("swaks"), "--server", f"{LOCALHOST}:{port}", "--helo", "client.test"),
            *("--from", sender or "<>", "--to", recipient, "--timeout", "20", *options),
        ],
        capture_output=True,
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=PATIENCE,
    )
    told: list[tuple[str, str]] = []
    for line in ended.stdout.splitlines():
        if command := re.fullmatch(r" -> (.*)", line):
            told.append((command[1], ""))
        elif (reply := re.fullmatch(r"<(?:- |\*\*) (.*)", line)) and told:
            told[-1] = (told[-1][0], reply[1])
    return told


def told_at_rcpt(port: int, sender: str, recipient: str, *options: str, client: str = "") -> str:
    """The reply to RCPT TO.

    client: attributes for XCLIENT, by which Postfix is made to believe who the client is.
    """
    believed = ("--xclient", client) if client else ()
    dialogue = swaks(port, sender, recipient, "--quit-after", "RCPT", *believed, *options)
    (reply,) = (reply for command, reply in dialogue if command.startswith("RCPT TO:"))
    return reply


@contextmanager
def dialogue(port: int, client: str) -> Generator[Callable[[str], str]]:
    """Says commands, as octets of Latin-1, and gives the last line of each reply."""
    with smtplib.SMTP(LOCALHOST, port, timeout=PATIENCE) as smtp:

        def say(command: str) -> str:
            smtp.send(f"{command}\r\n".encode("latin-1"))
            code, text = smtp.getreply()
            return f"{code} {text.splitlines()[-1].decode()}"

        assert say("EHLO client.test").startswith("250 ")
        assert say(f"XCLIENT {client}").startswith("220 ")
        assert say("EHLO client.test").startswith("250 ")
        yield say
