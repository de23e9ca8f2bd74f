"""The example server, asked by Python's own SMTP client."""

import signal
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from needed import need_ipv6
from smtp_wire import ABUSE, BOUNCE

from end_to_end.relay_server import ORDINARY, PATIENCE, POLICY, TRUSTED, Client, RelayServer

ACCEPTED = (250, b"2.1.5 OK")
REFUSED = (550, b"5.7.1 relaying not permitted")
ANOTHER_TRANSACTION = (452, b"4.5.3 send to this recipient in another transaction")
DENIED = "550 5.7.1 relaying not permitted"
OUTSIDER = "127.0.0.3"
OFFICE = "127.0.0.2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayServer]:
    listen = ("mx=127.0.0.1:0", "submission=127.0.0.1:0")
    with RelayServer(tmp_path_factory.mktemp("relay"), listen=listen) as running:
        yield running


def client(
    server: RelayServer, source: str = OUTSIDER, listener: str = "mx", login: str = ""
) -> smtplib.SMTP:
    connected = smtplib.SMTP(
        "127.0.0.1", server.port(listener), "client.test", PATIENCE, source_address=(source, 0)
    )
    connected.ehlo()
    if login:
        connected.login(login, {"ann": "secret", "bob": "sesame"}[login])
    return connected


def send(client: smtplib.SMTP, sender: str, recipient: str, message: str = ORDINARY) -> str:
    """The reply that decided: that to RCPT TO if it refused, otherwise that after DATA."""
    client.rset()
    assert client.mail(sender)[0] == 250
    code, text = client.rcpt(recipient)
    if code == 250:
        code, text = client.data(message)
    return f"{code} {text.decode()}"


@pytest.mark.parametrize(
    ("source", "login", "sender", "recipient", "is_granted"),
    [
        (OUTSIDER, "", "eve@evil.example", "a@evil.example", False),
        (TRUSTED, "", "eve@evil.example", "a@evil.example", True),
        (OUTSIDER, "", "eve@evil.example", "a@here.example", True),
        (OUTSIDER, "", "eve@evil.example", "a@HERE.Example", True),
        (OUTSIDER, "", "", "a@here.example", True),
        (OUTSIDER, "", "", "a@evil.example", False),
        (OFFICE, "", "a@office.example", "a@evil.example", True),
        (OFFICE, "", "a@evil.example", "a@evil.example", False),
        (OUTSIDER, "", "a@office.example", "a@evil.example", False),
        (OUTSIDER, "ann", "a@staff.example", "a@evil.example", True),
        (OUTSIDER, "ann", "a@evil.example", "a@evil.example", False),
        (OUTSIDER, "bob", "a@staff.example", "a@evil.example", False),
        (OUTSIDER, "", "a@staff.example", "a@evil.example", False),
        (OUTSIDER, "", "eve@evil.example", "a@reports.example", False),
    ],
)
def test_4_3_mail_is_relayed_for_whom_the_policy_says(
    server: RelayServer,
    source: str,
    login: str,
    sender: str,
    recipient: str,
    is_granted: bool,
) -> None:
    with client(server, source, login=login) as connected:
        reply = send(connected, sender, recipient)
    if is_granted:
        assert reply.startswith("250 2.0.0 OK ")
        record = server.record("relay", reply.rpartition(" ")[2])
        assert record["recipients"] == [
            {"address": recipient, "relay": True, "log": False}
            | {"reason": record["recipients"][0]["reason"]}
        ]
        assert record["sender"] == (sender or "<>")
        assert record["identity"] == (login or None)
        assert record["content"] == ORDINARY.encode()
    else:
        assert reply == DENIED


@pytest.mark.parametrize(
    ("recipient", "message", "reply", "where"),
    [
        ("a@reports.example", ABUSE, "250 2.0.0 OK", ["log"]),
        ("a@reports.example", BOUNCE, DENIED, []),
        ("a@bounces.example", BOUNCE, "250 2.0.0 OK", ["log"]),
        ("a@bounces.example", ABUSE, DENIED, []),
        ("a@desk.example", ABUSE, "250 2.0.0 OK ", ["log", "relay"]),
        ("a@desk.example", BOUNCE, "250 2.0.0 OK ", ["relay"]),
        ("a@here.example", ABUSE, "250 2.0.0 OK ", ["relay"]),
    ],
)
def test_4_4_reports_are_logged_and_what_may_not_be_relayed_is_refused(
    server: RelayServer, recipient: str, message: bytes, reply: str, where: list[str]
) -> None:
    before = {place: server.numbers(place) for place in ("log", "relay")}
    with client(server) as connected:
        said = send(connected, "", recipient, message.decode())
    assert said.startswith(reply)
    new = {place: server.numbers(place) - before[place] for place in before}
    assert [place for place in new if new[place]] == where
    for place in where:
        (number,) = new[place]
        record = server.record(place, number)
        assert record["content"] == message.replace(b"\n", b"\r\n")
        assert [one["address"] for one in record["recipients"]] == [recipient]


def test_4_4_a_client_sends_the_rest_in_another_transaction(server: RelayServer) -> None:
    left = ["a@here.example", "a@reports.example", "b@here.example", "a@bounces.example"]
    left += ["b@reports.example", "a@evil.example"]
    rounds: list[list[str]] = []
    denied: dict[str, object] = {}
    before = server.numbers("log")
    with client(server) as connected:
        while left:
            try:
                refused = connected.sendmail("eve@evil.example", left, ABUSE)
            except smtplib.SMTPDataError as error:  # for all of them
                refused = {}
                denied[left[0]] = str(error)
            waiting = [one for one in left if refused.get(one) == ANOTHER_TRANSACTION]
            rounds.append([one for one in left if one not in refused])
            denied |= {one: answer for one, answer in refused.items() if one not in waiting}
            left = waiting
    assert rounds == [
        ["a@here.example", "b@here.example"],
        ["a@reports.example", "b@reports.example"],
        ["a@bounces.example"],
    ]
    assert denied == {"a@evil.example": REFUSED, "a@bounces.example": str(REFUSED)}
    (logged,) = server.numbers("log") - before
    addresses = [one["address"] for one in server.record("log", logged)["recipients"]]
    assert addresses == ["a@reports.example", "b@reports.example"]


def test_4_3_each_listener_has_its_own_answers(server: RelayServer) -> None:
    for listener, answer in (("mx", REFUSED), ("submission", ACCEPTED)):
        with client(server, listener=listener) as connected:
            connected.mail("eve@evil.example")
            assert connected.rcpt("a@only.example") == answer


def test_4_2_auth_between_two_transactions_counts_for_the_second(server: RelayServer) -> None:
    with client(server) as connected:
        assert send(connected, "a@staff.example", "a@evil.example").startswith("550 ")
        connected.login("ann", "secret")
        assert send(connected, "a@staff.example", "a@evil.example").startswith("250 ")
    with client(server) as connected:  # from the same address
        assert send(connected, "a@staff.example", "a@evil.example").startswith("550 ")
        with pytest.raises(smtplib.SMTPAuthenticationError, match="credentials invalid"):
            connected.login("ann", "wrong")
        assert send(connected, "a@staff.example", "a@evil.example").startswith("550 ")


@pytest.mark.parametrize("recipient", ["\u00fc@b\u00fccher.example", "u@xn--bcher-kva.example"])
def test_1_4_addresses_may_be_written_in_any_script(server: RelayServer, recipient: str) -> None:
    with client(server) as connected:
        assert connected.has_extn("smtputf8")
        connected.mail("\u00e9ve@evil.example", ["SMTPUTF8"])
        assert connected.docmd(f"RCPT TO:<{recipient}>".encode().decode("latin-1"))[0] in {250, 550}
    with Client(server.port("mx"), source=OUTSIDER) as exact:
        assert exact.say("MAIL FROM:<\u00e9ve@evil.example> SMTPUTF8") == "250 OK"
        assert exact.say(f"RCPT TO:<{recipient}>") == "250 2.1.5 OK"
        reply = exact.data()
    record = server.record("relay", reply.rpartition(" ")[2])
    assert record["recipients"][0]["address"] == recipient
    assert record["sender"] == "\u00e9ve@evil.example"


def test_1_6_a_login_may_be_written_in_any_script(server: RelayServer) -> None:
    with Client(server.port("mx"), source=OUTSIDER) as exact:
        login, password = "b\u00fccher".encode(), "gehei\u00dfm".encode()
        assert exact.auth(login, password) == "235 2.7.0 Authentication successful"
        assert exact.told("a@staff.example", "a@evil.example") == ["250 2.1.5 OK"]


def test_1_3_ipv6_and_a_socket_for_both(tmp_path: Path) -> None:
    need_ipv6()
    policy = (
        POLICY
        + """
        ["both.example"]
        relay_from = ["127.0.0.2"]
        [listener."mx6"."six.example"]
        relay_to = true
        """
    )
    with RelayServer(tmp_path, listen=("mx6=[::1]:0", "both=[::]:0"), policy=policy) as running:
        with smtplib.SMTP("::1", running.port("mx6"), "client.test", PATIENCE) as connected:
            connected.ehlo()
            assert send(connected, "a@office.example", "a@evil.example").startswith("250 ")
            assert send(connected, "", "a@six.example").startswith("250 ")
        port = running.port("both")
        for source, reply in ((OFFICE, "250 2.1.5 OK"), (OUTSIDER, DENIED)):
            with Client(port, source=source) as exact:
                assert exact.told("a@both.example", "a@evil.example") == [reply]
        with Client(port, source=TRUSTED) as exact:
            assert exact.told("a@evil.example", "a@evil.example") == ["250 2.1.5 OK"]


def test_3_4_a_policy_is_reloaded_if_it_is_right_and_stays_if_it_is_wrong(tmp_path: Path) -> None:
    other = '["there.example"]\nrelay_to = true\n'
    wrong = '["there.example"]\nrelay_too = true\nrelay_from = ["10.0.0.1/24"]\n'
    with (
        RelayServer(tmp_path, listen=("mx=127.0.0.1:0",)) as running,
        Client(running.port("mx"), source=OUTSIDER) as old,
    ):
        assert old.told("", "a@here.example") == ["250 2.1.5 OK"]
        said = running.reload(other, says="policy ")
        assert said != running.lines[1]
        # the transaction that is open goes on as it began
        assert old.say("RCPT TO:<b@here.example>") == "250 2.1.5 OK"
        assert old.say("RCPT TO:<b@there.example>") == DENIED
        assert old.data().startswith("250 ")
        assert old.told("", "a@here.example", "a@there.example") == [DENIED, "250 2.1.5 OK"]
        running.reload(wrong, says="all stays as it was: what is wrong:")
        running.wait_until_it_says(f'{running.policy}: "there.example".relay_too: expected')
        running.wait_until_it_says("did you mean `10.0.0.0/24`?")
        assert old.told("", "a@there.example") == ["250 2.1.5 OK"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    with RelayServer(tmp_path, listen=("127.0.0.1:0",)) as running:
        with Client(running.port(), source=OUTSIDER) as open_connection:
            assert open_connection.told("", "a@here.example") == ["250 2.1.5 OK"]
            assert running.stop(number) == 0
            assert open_connection.hear() == "closed"
        assert running.lines[-2:] == ["INFO stopped", "(end)"]


def test_it_does_not_start_with_a_policy_that_is_wrong(tmp_path: Path) -> None:
    server = RelayServer(tmp_path, listen=("127.0.0.1:0",), policy='["a.example"]\nrelay_to = 1\n')
    with pytest.raises(AssertionError, match=r"it ended without saying.*relay_to: expected"):
        server.__enter__()
    assert server.stop() == 2
