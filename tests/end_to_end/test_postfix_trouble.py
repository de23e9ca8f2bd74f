"""Postfix and a policy server that is down, dies, stalls or babbles: nobody relays meanwhile."""

import socket
import socketserver
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import pytest

from end_to_end.postfix import (
    LOCALHOST,
    PATIENCE,
    Daemon,
    Postfix,
    dialogue,
    free_port,
    told_at_rcpt,
)
from listener_policy import Policy
from listener_policy.adapters.postfix import Action, Attributes, RequestParser, action

OPEN: Final = '["example.com"]\nrelay_to = true\n'
CLOSED: Final = '["example.com"]\nrelay_to = false\n'
STRANGER: Final = "ADDR=203.0.113.9"
RECIPIENT: Final = "bob@example.com"
OK: Final = "250 2.1.5 Ok"
REFUSED: Final = f"550 5.7.1 <{RECIPIENT}>: Recipient address rejected: relaying not permitted"
PUT_OFF: Final = (
    f"451 4.3.5 <{RECIPIENT}>: Recipient address rejected: Server configuration problem"
)


@dataclass(frozen=True)
class Site:
    """Two ports of one Postfix, and where each of them asks."""

    postfix: Postfix
    smtp: int
    asked: int
    impatient: int
    """With a second of patience and one try, in a process of its own for each client: after a
    failure, the next request of a process may fail as well."""
    asked_impatiently: int


@pytest.fixture(scope="module")
def site() -> Generator[Site]:
    smtp, asked, impatient, asked_impatiently = (free_port() for _ in range(4))
    policy = f"check_policy_service inet:{LOCALHOST}:{asked}"
    impatiently = (
        f"check_policy_service {{ inet:{LOCALHOST}:{asked_impatiently}, timeout=1s, try_limit=1 }}"
    )
    services = {
        smtp: [f"smtpd_relay_restrictions = {policy}, reject_unauth_destination"],
        impatient: [
            f"smtpd_relay_restrictions = {impatiently}, reject_unauth_destination",
            "max_use = 1",
        ],
    }
    with Postfix(services) as postfix:
        yield Site(postfix, smtp, asked, impatient, asked_impatiently)


@pytest.fixture
def daemon(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("daemon"), site.asked, "--relay-host")
    made.policy.write_text(OPEN, encoding="utf-8")
    with made:
        yield made


def told(port: int) -> str:
    """What a stranger is told about `RECIPIENT`."""
    return told_at_rcpt(port, "eve@example.net", RECIPIENT, client=STRANGER)


def test_while_the_daemon_is_down_clients_are_put_off(site: Site, daemon: Daemon) -> None:
    assert told(site.smtp) == OK
    assert daemon.stop() == 0
    assert told(site.smtp) == PUT_OFF
    daemon.start()
    assert told(site.smtp) == OK


def test_a_daemon_that_restarts_is_asked_in_the_same_session(site: Site, daemon: Daemon) -> None:
    with dialogue(site.smtp, STRANGER) as say:
        say("MAIL FROM:<>")
        assert say(f"RCPT TO:<{RECIPIENT}>") == OK
        daemon.stop()
        assert say(f"RCPT TO:<{RECIPIENT}>") == PUT_OFF
        daemon.policy.write_text(CLOSED, encoding="utf-8")
        daemon.start()
        assert say(f"RCPT TO:<{RECIPIENT}>") == REFUSED


def test_a_reload_takes_effect_in_the_same_session(site: Site, daemon: Daemon) -> None:
    with dialogue(site.smtp, STRANGER) as say:
        say("MAIL FROM:<>")
        assert say(f"RCPT TO:<{RECIPIENT}>") == OK
        daemon.reload(CLOSED, says=f"policy {Policy.from_toml(CLOSED, relay_hosts=[]).fingerprint}")
        assert say(f"RCPT TO:<{RECIPIENT}>") == REFUSED


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ('["example.com"]\nrelay_too = true\n', "did you mean `relay_to`?"),
        ('["example.com"\n', "document 0: "),
        ('["example.com"]\nrelay_from = ["10.0.0.1/8"]', "did you mean `10.0.0.0/8`?"),
    ],
)
def test_a_policy_that_is_wrong_is_told_about_and_not_taken(
    site: Site, daemon: Daemon, wrong: str, why: str
) -> None:
    daemon.reload(wrong, says="the policy stays as it was: ")
    assert why in daemon.log
    assert told(site.smtp) == OK
    daemon.policy.unlink()
    daemon.reload(CLOSED, says="INFO policy ")
    assert told(site.smtp) == REFUSED


Answer: TypeAlias = Callable[[socket.socket], None]
"""What a policy server does, on its connection, when it has read a request."""


@contextmanager
def server(port: int, answer: Answer) -> Generator[list[Attributes]]:
    """A policy server that reads as it should; its answers are another matter."""
    requests: list[Attributes] = []

    class Connection(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            parser = RequestParser()
            self.request.settimeout(PATIENCE)
            with suppress(OSError):
                while octets := self.request.recv(65536):
                    if found := list(parser.feed(octets)):
                        requests.extend(found)
                        answer(self.request)
                        return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server((LOCALHOST, port), Connection) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield requests
        finally:
            listening.shutdown()
            thread.join()


def sends(octets: bytes) -> Answer:
    return lambda connection: connection.sendall(octets)


def stalls(connection: socket.socket) -> None:
    connection.recv(1)


def sends_half_and_stalls(connection: socket.socket) -> None:
    connection.sendall(Action.OK.response[:-1])
    connection.recv(1)


@pytest.mark.parametrize(
    "answer",
    [
        *(sends(b""), sends(b"action=OK"), sends(b"action=OK\n"), sends(b"\n"), sends(b"OK\n\n")),
        *(sends(b"action\n\n"), sends(b"\0\xff" * 99), stalls, sends_half_and_stalls),
    ],
)
def test_what_is_no_whole_answer_permits_nothing(site: Site, answer: Answer) -> None:
    with server(site.asked_impatiently, answer) as requests:
        assert told(site.impatient) == PUT_OFF
        assert len(requests) == 1


def test_what_postfix_sends_is_what_the_adapter_reads(site: Site) -> None:
    with server(site.asked_impatiently, sends(Action.REFUSE.response)) as requests:
        assert told(site.impatient) == REFUSED
    (attributes,) = requests
    told_by_postfix = {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "client_address": "203.0.113.9",
        "server_address": LOCALHOST,
        "server_port": str(site.impatient),
        "sasl_username": "",
        "sender": "eve@example.net",
        "recipient": RECIPIENT,
    }
    assert {name: attributes[name] for name in told_by_postfix} == told_by_postfix
    assert len(attributes) > 25
    policy = Policy.from_toml(OPEN)
    assert action(policy, attributes) is Action.OK


def test_an_answer_that_is_one_permits(site: Site) -> None:
    for one, reply in ((Action.OK, OK), (Action.DUNNO, "554 "), (Action.REFUSE, REFUSED)):
        with server(site.asked_impatiently, sends(one.response)):
            assert told(site.impatient).startswith(reply)
