"""The example server behind a proxy, with and without TLS: who the client is, on the wire."""

import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from needed import need_program

from end_to_end.relay_server import PATIENCE, TRUSTED, Client, RelayServer

OK = "250 2.1.5 OK"
DENIED = "550 5.7.1 relaying not permitted"
NOT_NOW = "451 4.3.0 requested action aborted: local error in processing"
PROXY = TRUSTED
"""The proxy sits in `relay_hosts`, as it would if it were taken for its clients."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(need_program("openssl"), "req", "-x509", "-nodes", "-newkey", "rsa:2048"),
            *("-subj", "/CN=localhost", "-days", "2", "-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    return certificate, key


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[RelayServer]:
    options = ("--proxy", PROXY, "--tls", *map(str, certificate))
    folder = tmp_path_factory.mktemp("proxied")
    with RelayServer(folder, *options, listen=("mx=127.0.0.1:0",)) as running:
        yield running


def behind(server: RelayServer, header: str, proxy: str = PROXY) -> Client:
    """A client whose proxy has said something about it, before anything is answered."""
    connected = Client(server.port("mx"), source=proxy, greet=False)
    connected.send(f"{header}\r\n".encode())
    return connected


@pytest.mark.parametrize(
    ("client", "sender", "reply"),
    [
        ("TCP4 203.0.113.9 198.51.100.25 4711 25", "eve@evil.example", DENIED),
        (f"TCP4 {TRUSTED} 198.51.100.25 4711 25", "eve@evil.example", OK),
        ("TCP4 127.0.0.2 198.51.100.25 4711 25", "a@office.example", OK),
        ("TCP6 ::ffff:127.0.0.2 ::1 4711 25", "a@office.example", OK),
        ("TCP6 ::1 ::1 4711 25", "a@office.example", OK),
        ("TCP6 2001:db8::9 ::1 4711 25", "a@office.example", DENIED),
        ("UNKNOWN", "eve@evil.example", NOT_NOW),
        (f"UNKNOWN {TRUSTED} {TRUSTED} 4711 25", "eve@evil.example", NOT_NOW),
    ],
)
def test_1_1_the_peer_is_whom_the_proxy_names(
    server: RelayServer, client: str, sender: str, reply: str
) -> None:
    with behind(server, f"PROXY {client}") as connected:
        assert connected.hear().startswith("220 ")
        assert connected.say("EHLO client.test").startswith("250 ")
        assert connected.told(sender, "a@evil.example") == [reply]
    if reply == NOT_NOW:  # the operator is told why
        server.wait_until_it_says("RequestError: peer: expected an address in the PROXY header")


@pytest.mark.parametrize(
    ("header", "proxy"),
    [
        (f"PROXY TCP4 {TRUSTED} 198.51.100.25 4711 25", "127.0.0.3"),
        (f"PROXY TCP4 {TRUSTED} 198.51.100.25 4711", PROXY),
        ("EHLO client.test", PROXY),
        ("EHLO client.test", "127.0.0.3"),
    ],
)
def test_a_proxy_that_is_not_known_or_not_understood_is_not_served(
    server: RelayServer, header: str, proxy: str
) -> None:
    with behind(server, header, proxy) as connected:
        assert connected.hear() == "closed"


def starttls(connected: Client) -> None:
    """Go on in TLS; what it is worth is not looked at."""
    assert connected.say("STARTTLS").startswith("220 ")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connected.wrap(context)


def test_1_1_starttls_does_not_make_the_proxy_the_client(server: RelayServer) -> None:
    with behind(server, "PROXY TCP4 203.0.113.9 198.51.100.25 4711 25") as connected:
        assert connected.hear().startswith("220 ")
        assert connected.say("EHLO client.test").startswith("250 ")
        assert connected.told("eve@evil.example", "a@evil.example") == [DENIED]
        starttls(connected)
        assert connected.say("EHLO client.test").startswith("250 ")
        told = connected.told("eve@evil.example", "a@evil.example", "a@here.example")
        assert told == [DENIED, OK]
        assert connected.data().startswith("250 2.0.0 OK ")


def test_4_2_starttls_begins_anew(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    options = ("--tls", *map(str, certificate))
    with RelayServer(tmp_path, *options, listen=("mx=127.0.0.1:0",)) as running:
        with Client(running.port("mx"), source="127.0.0.3") as connected:
            assert connected.auth(b"ann", b"secret").startswith("235 ")
            assert connected.told("a@staff.example", "a@evil.example") == [OK]
            starttls(connected)
            assert connected.say("EHLO client.test").startswith("250 ")
            assert connected.told("a@staff.example", "a@evil.example") == [DENIED]
        port = running.port("mx")
        with smtplib.SMTP("127.0.0.1", port, "client.test", PATIENCE) as client:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.starttls(context=context)
            client.login("ann", "secret")
            assert client.sendmail("a@staff.example", ["a@evil.example"], "Subject: x") == {}


def test_4_2_auth_is_not_offered_without_tls_unless_asked_for(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    options = ("--tls", *map(str, certificate))
    careful = RelayServer(tmp_path, *options, listen=("mx=127.0.0.1:0",), auth_without_tls=False)
    with careful as running, smtplib.SMTP("127.0.0.1", running.port("mx"), "client.test") as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH PLAIN AGFubgBzZWNyZXQ=")[0] == 538
