"""What those who look for an open relay say to the example server, and what it says to them."""

import smtplib
from base64 import b64encode
from collections.abc import Iterator

import pytest

from end_to_end.relay_server import PATIENCE, TRUSTED, Client, RelayServer

OK = "250 2.1.5 OK"
DENIED = "550 5.7.1 relaying not permitted"
CONTROL = "553 5.1.3 malformed address"
MALFORMED = "553 5.1.3 Error: malformed address"
TOO_LONG = "500 Command line too long"
SYNTAX = "501 Syntax: RCPT TO: <address> [SP <mail-parameters>]"
UNKNOWN_PARAMETER = "555 RCPT TO parameters not recognized or not implemented"
OUTSIDER = "127.0.0.3"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayServer]:
    folder = tmp_path_factory.mktemp("attacked")
    with RelayServer(folder, listen=("mx=127.0.0.1:0",)) as running:
        yield running
        assert running.numbers("log") == set()
        assert not [line for line in running.lines if "Traceback" in line]


@pytest.fixture
def attacker(server: RelayServer) -> Iterator[Client]:
    with Client(server.port("mx"), source=OUTSIDER) as connected:
        yield connected


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        # what passes belongs to the domain that is ours, and is for it to sort out
        ("<user%evil.example@here.example>", OK),
        ("<evil.example!user@here.example>", OK),
        ('<"user@evil.example"@here.example>', OK),
        ('<"user%evil.example"@here.example>', OK),
        ("<@evil.example:user@here.example>", OK),
        ("<user@here.example>", OK),
        ("user@here.example", OK),
        # what does not
        ("<user@evil.example>", DENIED),
        ("user@evil.example", DENIED),
        ("<user%here.example@evil.example>", DENIED),
        ("<here.example!user@evil.example>", DENIED),
        ("<@here.example:user@evil.example>", DENIED),
        ("<@here.example,@also.example:user@evil.example>", DENIED),
        ('<"user@here.example"@evil.example>', DENIED),
        ("<user@evil.example@here.example>", MALFORMED),
        ("<user@here.example@evil.example>", MALFORMED),
        ("<user%evil.example>", DENIED),
        ("<evil.example!user>", DENIED),
        ('<"user@evil.example">', DENIED),
        ('<"user%evil.example">', DENIED),
        ("<user@[127.0.0.1]>", DENIED),
        ("<user@[203.0.113.9]>", DENIED),
        ("<user%evil.example@[127.0.0.1]>", DENIED),
        ("<user@localhost>", DENIED),
        ("<here.example>", DENIED),
        ("<postmaster>", DENIED),
        ("<user@>", MALFORMED),
        ("<@here.example>", MALFORMED),
        ("<user@here.example.>", MALFORMED),
        ("<user@.here.example>", MALFORMED),
        ("<user@here..example>", MALFORMED),
        ("<user@xhere.example>", DENIED),
        ("<user@x.here.example>", DENIED),
        ("<user@here.example.evil.example>", DENIED),
        ("<user@here.example\\@evil.example>", SYNTAX),
        ("<user@here.example> <user@evil.example>", SYNTAX),
        ("<user@here.example>,<user@evil.example>", SYNTAX),
        ("<user@evil.example> ORCPT=here.example", UNKNOWN_PARAMETER),
        ("<user@evil.example(@here.example)>", DENIED),
        ("<user@here.example(@evil.example)>", OK),
        ("<user@here.example", OK),
        ("<user@evil.example", DENIED),
        ("<>", DENIED),
        ("", SYNTAX),
        ("<user@\uff45vil.example>", DENIED),
        ("<user@\x00here.example>", CONTROL),
        ("<user@here.example\x00>", CONTROL),
        ("<=?utf-8?q?user=0d=0aRSET?=@here.example>", CONTROL),
        ("<user@here.example\u3002evil.example>", DENIED),
        ("<user@\udcffhere.example>", DENIED),
        (f"<user@{'a.' * 5000}here.example>", TOO_LONG),
        (f"<user@{'a' * 10_000}>", TOO_LONG),
        (f"<user@{'a.' * 200}here.example>", DENIED),
        (f"<user@{'a' * 400}.example>", DENIED),
    ],
)
def test_1_2_an_outsider_relays_nowhere(attacker: Client, recipient: str, reply: str) -> None:
    assert attacker.say("MAIL FROM:<eve@evil.example>") == "250 OK"
    assert attacker.say(f"RCPT TO:{recipient}") == reply
    assert attacker.say("RCPT TO:<user@evil.example>") == DENIED
    assert attacker.say("DATA").startswith("354 " if reply == OK else "503 ")


@pytest.mark.parametrize(
    "sender",
    [
        *(
            "<>",
            "<user@here.example>",
            "<user@localhost>",
            "<user@[127.0.0.1]>",
            "<office.example>",
        ),
        *("<user@office.example>", "<user@staff.example>", '<"x@office.example"@evil.example>'),
        *("<@office.example:user@evil.example>", "<user%office.example@evil.example>"),
    ],
)
def test_4_3_no_name_of_a_sender_is_a_permission(attacker: Client, sender: str) -> None:
    assert attacker.say(f"MAIL FROM:{sender}") == "250 OK"
    assert attacker.say("RCPT TO:<user@evil.example>") == DENIED


def test_4_3_what_was_said_in_another_order_is_no_permission(attacker: Client) -> None:
    assert attacker.say("RCPT TO:<user@evil.example>").startswith("503 ")
    assert attacker.say("DATA").startswith("503 ")
    assert attacker.say("MAIL FROM:<eve@evil.example>") == "250 OK"
    assert attacker.say("MAIL FROM:<eve@office.example>") == "503 Error: nested MAIL command"
    assert attacker.say("RCPT TO:<user@evil.example>") == DENIED
    assert attacker.say("DATA") == "503 Error: need RCPT command"


BAD_AUTHS = [
    (b"AUTH PLAIN !!!", "501 5.5.2 Can't decode base64"),
    (b"AUTH PLAIN " + b64encode(b"ann"), "501 5.5.2 Can't split auth value"),
    (b"AUTH PLAIN " + b64encode(b"\0ann\0wrong"), "535 5.7.8 Authentication credentials invalid"),
    (
        b"AUTH PLAIN " + b64encode(b"\0\xff\xfe\0secret"),
        "535 5.7.8 Authentication credentials invalid",
    ),
    (b"AUTH PLAIN " + b64encode(b"\0ann\0secret\0"), "501 5.5.2 Can't split auth value"),
    (b"AUTH PLAIN " + b64encode(b"\0\0"), "535 5.7.8 Authentication credentials invalid"),
    (b"AUTH PLAIN \xff", "501 5.5.2 Can't decode base64"),
    (b"AUTH PLAIN a b", "501 Too many values"),
    (b"AUTH", "501 Not enough value"),
    (b"AUTH EXTERNAL YW5u", "504 5.5.4 Unrecognized authentication type"),
    (b"AUTH plain " + b64encode(b"\0ann\0secret"), "504 5.5.4 Unrecognized authentication type"),
]


@pytest.mark.parametrize(("command", "reply"), BAD_AUTHS)
def test_4_2_auth_that_fails_is_nobody(attacker: Client, command: bytes, reply: str) -> None:
    assert attacker.say(command) == reply
    assert attacker.told("user@staff.example", "user@evil.example") == [DENIED]


def test_passwords_are_not_guessed_without_end(attacker: Client) -> None:
    replies = [attacker.auth(b"ann", b"guess %d" % number) for number in range(5)]
    assert replies == ["535 5.7.8 Authentication credentials invalid"] * 5
    assert attacker.auth(b"ann", b"secret") == "421 4.7.0 AUTH sent too many times"
    assert attacker.hear() == "closed"


def test_1_6_who_may_act_for_whom_is_not_the_clients_to_say(attacker: Client) -> None:
    login = b64encode(b"ann\0bob\0sesame")  # bob, who wants to act for ann
    assert attacker.say(b"AUTH PLAIN " + login) == "235 2.7.0 Authentication successful"
    assert attacker.told("user@staff.example", "user@evil.example") == [DENIED]


@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_a_message_ends_where_its_client_ends_it(
    server: RelayServer, attacker: Client, line_end: str
) -> None:
    """RFC 5321, 4.1.1.4: `<LF>.<LF>` ends no message, so none can be smuggled in by it."""
    before = server.numbers("relay")
    assert attacker.told("eve@evil.example", "user@here.example") == [OK]
    assert attacker.say("DATA").startswith("354 ")
    smuggled = f"RSET{line_end}MAIL FROM:<eve@evil.example>{line_end}RCPT TO:<user@here.example>"
    attacker.send(f"Subject: x\r\n\r\nx{line_end}.{line_end}{smuggled}{line_end}\r\n.\r\n".encode())
    assert attacker.hear().startswith("250 2.0.0 OK ")
    assert attacker.say("NOOP") == "250 OK"
    (number,) = server.numbers("relay") - before
    assert b"RCPT TO" in server.record("relay", number)["content"]


def test_commands_that_come_at_once_are_answered_one_by_one(attacker: Client) -> None:
    attacker.send(
        b"MAIL FROM:<eve@evil.example>\r\nRCPT TO:<user@evil.example>\r\n"
        b"RCPT TO:<user@here.example>\r\nRSET\r\nRCPT TO:<user@here.example>\r\n"
        b"MAIL FROM:<eve@office.example>\r\nRCPT TO:<user@evil.example>\r\nDATA\r\nNOOP\r\n"
    )
    assert [attacker.hear() for _ in range(9)] == [
        *("250 OK", DENIED, OK, "250 OK", "503 Error: need MAIL command"),
        *("250 OK", DENIED, "503 Error: need RCPT command", "250 OK"),
    ]


def test_nonsense_is_answered_as_nonsense(attacker: Client) -> None:
    attacker.send(b"\xff\xfe\r\n\r\n" + b"A" * 5000 + b"\r\nGET / HTTP/1.1\r\nNOOP\r\n")
    assert [attacker.hear() for _ in range(5)] == [
        *("500 Error: bad syntax", "500 Error: bad syntax", TOO_LONG),
        *('500 Error: command "GET" not recognized', "250 OK"),
    ]
    assert attacker.told("", "user@evil.example") == [DENIED]
    replies = [attacker.say("XYZZY") for _ in range(4)]
    assert replies[-1] == "502 5.5.1 Too many unrecognized commands, goodbye."
    assert attacker.hear() == "closed"


def test_recipients_without_end_end(attacker: Client) -> None:
    assert attacker.say("MAIL FROM:<eve@evil.example>") == "250 OK"
    replies = [attacker.say(f"RCPT TO:<u{number}@here.example>") for number in range(101)]
    assert replies == [*[OK] * 100, "452 4.5.3 too many recipients"]


def test_a_message_without_end_is_not_taken(server: RelayServer, attacker: Client) -> None:
    before = server.numbers("relay")
    assert attacker.told("eve@evil.example", "user@here.example") == [OK]
    assert attacker.say("DATA").startswith("354 ")
    attacker.send((b"x" * 998 + b"\r\n") * 11_000 + b".\r\n")
    assert attacker.hear() == "552 Error: Too much mail data"
    assert server.numbers("relay") == before


HURTFUL = {
    "parts in parts": "".join(
        f'Content-Type: multipart/report; boundary="b{depth}"\r\n\r\n--b{depth}\r\n'
        for depth in range(900)
    )
    + "x\r\n" * 100_000,
    "messages in messages": "Content-Type: message/rfc822\r\n\r\n" * 50_000,
    "parts without end": "Content-Type: multipart/report; boundary=b\r\n\r\n"
    + "--b\r\n\r\n" * 200_000,
    "a charset of its own": "Content-Type: multipart/report; boundary*=punycode''x%ff\r\n\r\n",
    "a field without end": 'Content-Type: multipart/report; x="'
    + ";;;;;;;;;;;;;;;;\r\n " * 60_000
    + '"\r\n\r\n',
}


@pytest.mark.parametrize("message", HURTFUL)
def test_1_2_a_message_that_is_made_to_hurt_is_no_report(attacker: Client, message: str) -> None:
    assert attacker.told("eve@evil.example", "user@bounces.example") == [OK]
    assert attacker.data(HURTFUL[message]) == DENIED
    assert attacker.told("eve@evil.example", "user@here.example") == [OK]


def test_xclient_and_its_like_are_not_known(attacker: Client) -> None:
    for command in (f"XCLIENT ADDR={TRUSTED}", "XFORWARD ADDR=127.0.0.9", "EXPN staff", "TURN"):
        assert attacker.say(command).startswith("50")
    assert attacker.told("", "user@evil.example") == [DENIED]


def test_a_proxy_header_is_a_command_like_any_other_where_none_is_expected(
    server: RelayServer,
) -> None:
    with Client(server.port("mx"), source=OUTSIDER, greet=False) as connected:
        connected.send(f"PROXY TCP4 {TRUSTED} 127.0.0.1 4711 25\r\n".encode())
        assert connected.hear().startswith("220 ")
        assert connected.hear() == '500 Error: command "PROXY" not recognized'
        assert connected.say("EHLO client.test").startswith("250 ")
        assert connected.told("", "user@evil.example") == [DENIED]


def test_a_client_that_says_nothing_costs_the_others_nothing(server: RelayServer) -> None:
    silent = [Client(server.port("mx"), source=OUTSIDER, greet=False) for _ in range(50)]
    with smtplib.SMTP(
        "127.0.0.1", server.port("mx"), "client.test", PATIENCE, source_address=(TRUSTED, 0)
    ) as connected:
        connected.ehlo()
        connected.mail("")
        assert connected.rcpt("a@evil.example")[0] == 250
    for one in silent:
        one.__exit__(None, None, None)
