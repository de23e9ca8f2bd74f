"""The example server, asked by swaks, the mail administrator's SMTP client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from smtp_wire import ABUSE, BOUNCE, ORDINARY

from end_to_end.postfix import swaks
from end_to_end.relay_server import TRUSTED, RelayServer

OK = "250 2.1.5 OK"
TAKEN = "250 2.0.0 OK"
DENIED = "550 5.7.1 relaying not permitted"
OUTSIDER = "127.0.0.3"
OFFICE = "127.0.0.2"
ANN = ("--auth", "PLAIN", "--auth-user", "ann", "--auth-password", "secret")
ANN_BY_LOGIN = ("--auth", "LOGIN", *ANN[2:])
BOB = ("--auth", "PLAIN", "--auth-user", "bob", "--auth-password", "sesame")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayServer]:
    listen = ("mx=127.0.0.1:0", "submission=127.0.0.1:0")
    with RelayServer(tmp_path_factory.mktemp("swaks"), listen=listen) as running:
        yield running


@pytest.mark.parametrize(
    ("source", "login", "sender", "recipient", "reply"),
    [
        (OUTSIDER, (), "eve@evil.example", "a@evil.example", DENIED),
        (OUTSIDER, (), "", "a@evil.example", DENIED),
        (OUTSIDER, (), "eve@evil.example", "a@here.example", OK),
        (TRUSTED, (), "eve@evil.example", "a@evil.example", OK),
        (OFFICE, (), "a@office.example", "a@evil.example", OK),
        (OUTSIDER, (), "a@office.example", "a@evil.example", DENIED),
        (OUTSIDER, ANN, "a@staff.example", "a@evil.example", OK),
        (OUTSIDER, ANN_BY_LOGIN, "a@staff.example", "a@evil.example", OK),
        (OUTSIDER, BOB, "a@staff.example", "a@evil.example", DENIED),
        (OUTSIDER, (), "a@staff.example", "a@evil.example", DENIED),
        (OUTSIDER, (), "eve@evil.example", "a%evil.example@here.example", OK),
        (OUTSIDER, (), "eve@evil.example", "a%here.example@evil.example", DENIED),
    ],
)
def test_4_3_rcpt_to_is_answered_as_the_policy_decides(
    server: RelayServer,
    source: str,
    login: tuple[str, ...],
    sender: str,
    recipient: str,
    reply: str,
) -> None:
    options = ("--local-interface", source, "--quit-after", "RCPT", *login)
    told = dict(swaks(server.port("mx"), sender, recipient, *options))
    assert told[f"RCPT TO:<{recipient}>"] == reply
    assert [answer for answer in told.values() if answer.startswith("235 ")] == (
        ["235 2.7.0 Authentication successful"] if login else []
    )


@pytest.mark.parametrize(
    ("recipient", "message", "reply"),
    [
        ("a@here.example", ORDINARY, TAKEN),
        ("a@reports.example", ABUSE, TAKEN),
        ("a@reports.example", ORDINARY, DENIED),
        ("a@bounces.example", BOUNCE, TAKEN),
        ("a@bounces.example", ABUSE, DENIED),
    ],
)
def test_4_4_after_data_the_message_counts(
    server: RelayServer, tmp_path: Path, recipient: str, message: bytes, reply: str
) -> None:
    file = tmp_path / "message.eml"
    file.write_bytes(message)
    options = ("--local-interface", OUTSIDER, "--data", f"@{file}")
    told = dict(swaks(server.port("mx"), "eve@evil.example", recipient, *options))
    assert told[f"RCPT TO:<{recipient}>"] == OK
    assert told["."].startswith(reply)


def test_4_4_a_recipient_that_differs_waits_for_another_transaction(server: RelayServer) -> None:
    recipients = "a@here.example,a@reports.example"
    told = dict(swaks(server.port("mx"), "", recipients, "--local-interface", OUTSIDER))
    assert told["RCPT TO:<a@here.example>"] == OK
    assert told["RCPT TO:<a@reports.example>"].startswith("452 4.5.3 ")
    assert told["."].startswith(TAKEN)


@pytest.mark.parametrize(("listener", "reply"), [("mx", DENIED), ("submission", OK)])
def test_4_3_each_listener_has_its_own_answers(
    server: RelayServer, listener: str, reply: str
) -> None:
    options = ("--local-interface", OUTSIDER, "--quit-after", "RCPT")
    told = dict(swaks(server.port(listener), "", "a@only.example", *options))
    assert told["RCPT TO:<a@only.example>"] == reply


def test_4_2_a_password_that_is_wrong_ends_it(server: RelayServer) -> None:
    options = ("--auth", "PLAIN", "--auth-user", "ann", "--auth-password", "sesame")
    told = swaks(server.port("mx"), "a@staff.example", "a@evil.example", *options)
    assert [reply for command, reply in told if command.startswith("AUTH")] == [
        "535 5.7.8 Authentication credentials invalid"
    ]
    assert not [command for command, _ in told if command.startswith("RCPT")]
