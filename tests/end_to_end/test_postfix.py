"""Postfix asks the example's daemon at RCPT TO: who relays, who does not, and who only seemed to.

Every reply is what a client was told over SMTP. XCLIENT makes Postfix believe who the client is.
"""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pytest

from end_to_end.postfix import (
    LOCALHOST,
    Daemon,
    Postfix,
    dialogue,
    free_port,
    restrictions_on_the_page,
    swaks,
    told_at_rcpt,
)

POLICY: Final = """
["example.com"]
relay_to = true
["b\u00fccher.example"]
relay_to = true
["bounces.example.com"]
log_oob = true
["abuse.example.com"]
log_arf = "LogThenRelay"
["send.example.com"]
relay_from = ["10.1.0.0/16", "2001:db8::/32"]
["staff.example.com"]
relay_from_authz = ["ann@test", ""]
[listener."{submission}"."two.example"]
relay_to = true
[listener."198.51.100.25:25"."three.example"]
relay_to = true
"""
LISTENERS: Final = """
[[esmtp_listener]]
listen = "{submission}"
relay_hosts = ["10.8.0.0/16"]
"""
REPORTS_FOR_EVERYBODY: Final = '["*"]\nlog_oob = true\nlog_arf = true\n'
STRANGER: Final = "ADDR=203.0.113.9"
HOST: Final = "ADDR=10.9.0.7"
"""A client in `relay_hosts`."""
OK: Final = "250 2.1.5 Ok"


def refused(recipient: str) -> str:
    """What the policy has a client told."""
    return f"550 5.7.1 <{recipient}>: Recipient address rejected: relaying not permitted"


def left_to_postfix(recipient: str) -> str:
    """What `reject_unauth_destination` says, behind a policy that says DUNNO."""
    return f"554 5.7.1 <{recipient}>: Relay access denied"


@dataclass(frozen=True)
class Site:
    """Where to connect: ports of one Postfix, with the restrictions that the page shows."""

    postfix: Postfix
    mx: int
    submission: int
    with_own_domains: int
    """Its restrictions begin with `permit_auth_destination`, and `local.example` is local."""
    strict: int
    """Its `smtpd_recipient_restrictions` refuse everybody."""
    kumomta: int
    """With the other dialect, and a policy that looks everywhere for reports."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    mx, submission, with_own_domains, strict, kumomta = (free_port() for _ in range(5))
    asked, asked_kumomta = free_port(), free_port()
    relaying, with_domains, with_timeout = (
        line.replace("9998", str(asked)) for line in restrictions_on_the_page()
    )
    services = {
        mx: [relaying],
        submission: [with_timeout],
        with_own_domains: [with_domains],
        strict: [relaying, "smtpd_recipient_restrictions = reject"],
        kumomta: [relaying.replace(str(asked), str(asked_kumomta))],
    }

    folder = tmp_path_factory.mktemp("documented")
    listeners = folder / "listeners.toml"
    names = {"submission": f"{LOCALHOST}:{submission}"}
    listeners.write_text(LISTENERS.format(**names), encoding="utf-8")
    hosts = ["--relay-host", "10.9.0.0/16"]
    daemon = Daemon(folder, asked, "--listeners", str(listeners), *hosts)
    daemon.policy.write_text(POLICY.format(**names), encoding="utf-8")
    other_folder = tmp_path_factory.mktemp("kumomta")
    other = Daemon(other_folder, asked_kumomta, "--dialect", "kumomta", *hosts)
    other.policy.write_text(REPORTS_FOR_EVERYBODY, encoding="utf-8")
    with Postfix(services) as postfix, daemon, other:
        postfix.add_login("ann", "secret")
        yield Site(postfix, mx, submission, with_own_domains, strict, kumomta)


@pytest.mark.parametrize(
    ("client", "sender", "recipient"),
    [
        (HOST, "ann@example.net", "bob@example.org"),
        (HOST, "", "bob@example.org"),
        (STRANGER, "ann@example.net", "bob@example.com"),
        (STRANGER, "", "Bob@Example.COM."),
        ("ADDR=10.1.2.3", "ann@send.example.com", "bob@example.org"),
        ("ADDR=IPV6:2001:db8::7", "ann@send.example.com", "bob@example.org"),
        (f"{STRANGER} LOGIN=ann@test", "ann@staff.example.com", "bob@example.org"),
        (f"{STRANGER} DESTADDR=198.51.100.25 DESTPORT=25", "", "bob@three.example"),
    ],
)
def test_4_3_who_has_a_permission_relays(
    site: Site, client: str, sender: str, recipient: str
) -> None:
    assert told_at_rcpt(site.mx, sender, recipient, client=client) == OK


@pytest.mark.parametrize(
    ("client", "sender", "recipient"),
    [
        (STRANGER, "ann@example.net", "bob@example.org"),
        (STRANGER, "", "bob@example.org"),
        (STRANGER, "ann@example.com", "bob@example.org"),
        (STRANGER, "ann@example.net", "bob@a.example.com"),
        (STRANGER, "ann@example.net", "bob@fooexample.com"),
        (STRANGER, "ann@example.net", "bob@[10.9.0.7]"),
        (STRANGER, "ann@send.example.com", "bob@example.org"),
        ("ADDR=IPV6:2001:db9::7", "ann@send.example.com", "bob@example.org"),
        ("ADDR=10.1.2.3", "ann@a.send.example.com", "bob@example.org"),
        (STRANGER, "ann@staff.example.com", "bob@example.org"),
        (f"{STRANGER} LOGIN=ann@test", "ann@example.net", "bob@example.org"),
        (f"{STRANGER} LOGIN=Ann@test", "ann@staff.example.com", "bob@example.org"),
        (f"{STRANGER} LOGIN=ann", "ann@staff.example.com", "bob@example.org"),
        (f"{STRANGER} LOGIN=[UNAVAILABLE]", "ann@staff.example.com", "bob@example.org"),
        ("ADDR=10.8.0.7", "ann@example.net", "bob@example.org"),
        (STRANGER, "ann@example.net", "bob@two.example"),
        (STRANGER, "ann@example.net", "bob@three.example"),
    ],
)
def test_4_3_who_has_none_is_refused(site: Site, client: str, sender: str, recipient: str) -> None:
    assert told_at_rcpt(site.mx, sender, recipient, client=client) == refused(recipient)


def test_2_7_each_port_is_a_listener(site: Site) -> None:
    assert told_at_rcpt(site.mx, "", "bob@two.example", client=STRANGER).startswith("550 ")
    assert told_at_rcpt(site.submission, "", "bob@two.example", client=STRANGER) == OK
    assert told_at_rcpt(site.submission, "", "bob@example.com", client=STRANGER) == OK


def test_4_1_each_listener_has_its_relay_hosts(site: Site) -> None:
    recipient = "bob@example.org"
    for port, here, there in (
        (site.mx, HOST, "ADDR=10.8.0.7"),
        (site.submission, "ADDR=10.8.0.7", HOST),
    ):
        assert told_at_rcpt(port, "", recipient, client=here) == OK
        assert told_at_rcpt(port, "", recipient, client=there) == refused(recipient)


SASL: Final = ("--auth", "PLAIN", "--auth-user", "ann", "--auth-password")


def test_who_authenticates_relays_as_the_identity_that_sasl_settled_on(site: Site) -> None:
    sender, recipient = "ann@staff.example.com", "bob@example.org"
    assert told_at_rcpt(site.mx, sender, recipient, *SASL, "secret", client=STRANGER) == OK
    other = "ann@example.net"
    told = told_at_rcpt(site.mx, other, recipient, *SASL, "secret", client=STRANGER)
    assert told == refused(recipient)


def test_who_fails_to_authenticate_is_nobody(site: Site) -> None:
    sender, recipient = "ann@staff.example.com", "bob@example.org"
    options = (*SASL, "wrong", "--auth-optional", "--quit-after", "RCPT", "--xclient", STRANGER)
    told = swaks(site.mx, sender, recipient, *options)
    assert [reply[:9] for said, reply in told if said.startswith("AUTH")] == ["535 5.7.8"]
    assert dict(told)[f"RCPT TO:<{recipient}>"] == refused(recipient)


def test_a_message_is_relayed_as_a_whole(site: Site) -> None:
    told = swaks(site.mx, "ann@example.net", "bob@example.com", "--xclient", STRANGER)
    assert dict(told)["."].startswith("250 2.0.0 Ok: queued as ")


@pytest.mark.parametrize("sender", ["", "eve@example.net"])
@pytest.mark.parametrize("domain", ["bounces.example.com", "abuse.example.com"])
def test_4_4_what_looks_for_reports_only_is_no_relay(site: Site, sender: str, domain: str) -> None:
    recipient = f"bob@{domain}"
    assert told_at_rcpt(site.mx, sender, recipient, client=STRANGER) == left_to_postfix(recipient)
    assert told_at_rcpt(site.mx, sender, recipient, client=HOST) == OK


@pytest.mark.parametrize("sender", ["", "eve@example.net"])
@pytest.mark.parametrize("recipient", ["bob@example.org", "bob@gmail.com", "bob%b.org@a.org"])
def test_4_4_strangers_do_not_relay_through_an_entry_for_everything(
    site: Site, sender: str, recipient: str
) -> None:
    told = told_at_rcpt(site.kumomta, sender, recipient, client=STRANGER)
    assert told == left_to_postfix(recipient)


ROUTED: Final = {
    "bob%example.org@example.com": "bob%example.org@example.com",
    "example.org!bob@example.com": "example.org!bob@example.com",
    '"bob@example.org"@example.com': "bob@example.org@example.com",
    '"bob%example.org"@example.com': "bob%example.org@example.com",
    '"bob"%example.org@example.com': "bob%example.org@example.com",
    "bob\\@example.org@example.com": "bob@example.org@example.com",
    "bob%example.org%example.net@example.com": "bob%example.org%example.net@example.com",
    "@example.com,@example.org:bob%b.org@example.com": "bob%b.org@example.com",
}
"""Recipients with a route beyond `example.com`, and what Postfix makes of them."""


@pytest.mark.parametrize("recipient", ROUTED)
def test_a_destination_alone_permits_no_route_beyond_it(site: Site, recipient: str) -> None:
    for port in (site.mx, site.with_own_domains):
        with dialogue(port, STRANGER) as say:
            assert say("MAIL FROM:<eve@example.net>") == "250 2.1.0 Ok"
            told = say(f"RCPT TO:<{recipient}>")
            assert told.startswith("554 5.7.1 <")
            assert told.endswith(">: Relay access denied")
            assert say("RCPT TO:<bob@example.com>") == OK


@pytest.mark.parametrize("recipient", ROUTED)
def test_who_may_relay_anywhere_may_name_a_route(site: Site, recipient: str) -> None:
    with dialogue(site.mx, HOST) as say:
        say("MAIL FROM:<ann@example.net>")
        assert say(f"RCPT TO:<{recipient}>") == OK


@pytest.mark.parametrize(
    "recipient",
    [
        *("bob@example.com@example.org", '"bob@example.com"@example.org', "bob%example.com"),
        *("bob@example.org%example.com", "example.com!bob", "bob@example.org,bob@example.com"),
        *("bob@example.org@", "bob@example.com@", "@", "bob@"),
        *("bob@example.com\\@example.org", "@example.com:bob@example.org", "bob"),
    ],
)
def test_a_domain_elsewhere_in_an_address_permits_nothing(site: Site, recipient: str) -> None:
    with dialogue(site.mx, STRANGER) as say:
        say("MAIL FROM:<eve@example.net>")
        assert say(f"RCPT TO:<{recipient}>")[:9] in {"550 5.7.1", "554 5.7.1", "501 5.1.3"}


@pytest.mark.parametrize(
    "octets", ["bob@example.com\xff", "bob@\xc3\x28.example.com", "\xff", "bob@\xc0\xaeexample.com"]
)
def test_octets_that_are_no_text_are_refused_and_do_no_harm(site: Site, octets: str) -> None:
    with dialogue(site.mx, STRANGER) as say:
        say("MAIL FROM:<eve@example.net>")
        assert say(f"RCPT TO:<{octets}>") == "500 5.5.2 Error: bad UTF-8 syntax"
        assert say("RCPT TO:<b\xc3\xb6b@example.com>") == OK


def test_1_4_an_internationalized_domain_is_the_one_of_the_policy(site: Site) -> None:
    with dialogue(site.mx, STRANGER) as say:
        say("MAIL FROM:<eve@example.net> SMTPUTF8")
        as_latin_1 = "b\u00f6b@B\u00dcCHER.example".encode().decode("latin-1")
        assert say(f"RCPT TO:<{as_latin_1}>") == OK
        assert say("RCPT TO:<bob@xn--bcher-kva.example>") == OK
        other = "bob@b\u00fccher.example.org".encode().decode("latin-1")
        assert say(f"RCPT TO:<{other}>").startswith("550 5.7.1 ")


def test_5_2_no_permission_sticks_to_the_session(site: Site) -> None:
    with dialogue(site.mx, f"{STRANGER} LOGIN=ann@test") as say:
        for _ in range(2):
            say("MAIL FROM:<ann@staff.example.com>")
            assert say("RCPT TO:<bob@example.org>") == OK
            say("RSET")
            say("MAIL FROM:<eve@example.net>")
            assert say("RCPT TO:<bob@example.org>") == refused("bob@example.org")
            assert say("RCPT TO:<bob@example.com>") == OK
            assert say("RCPT TO:<bob@example.org>") == refused("bob@example.org")
            assert say("RCPT TO:<bob@bounces.example.com>").startswith("554 5.7.1 ")
            say("RSET")


def test_clients_at_the_same_time_are_not_mixed_up(site: Site) -> None:
    asked = ["bob@example.com", "bob@example.org", "bob@bounces.example.com"] * 5
    expected = [OK, refused("bob@example.org"), left_to_postfix("bob@bounces.example.com")] * 5

    def told(offset: int) -> list[str]:
        with dialogue(site.mx, STRANGER) as say:
            say("MAIL FROM:<eve@example.net>")
            return [say(f"RCPT TO:<{recipient}>") for recipient in asked[offset % 3 :]]

    with ThreadPoolExecutor(12) as clients:
        replies = list(clients.map(told, range(12)))
    assert replies == [expected[offset % 3 :] for offset in range(12)]


def test_the_longest_addresses_that_postfix_takes_are_decided_about(site: Site) -> None:
    long = "b" * 1900
    with dialogue(site.mx, STRANGER) as say:
        assert say(f"MAIL FROM:<{long}@example.net>") == "250 2.1.0 Ok"
        assert say(f"RCPT TO:<{long}@example.com>") == OK
        assert say(f"RCPT TO:<{long}@example.org>").startswith("550 5.7.1 ")


def test_without_an_accepted_recipient_there_is_no_data(site: Site) -> None:
    with dialogue(site.kumomta, STRANGER) as say:
        say("MAIL FROM:<>")
        assert say("RCPT TO:<bob@example.org>") == left_to_postfix("bob@example.org")
        assert say("DATA").startswith("554 ")


def test_domains_that_postfix_has_itself_are_let_through_before_the_policy(site: Site) -> None:
    own, other = "bob@local.example", "bob@example.org"
    assert told_at_rcpt(site.with_own_domains, "", own, client=STRANGER) == OK
    assert told_at_rcpt(site.mx, "", own, client=STRANGER) == refused(own)
    assert told_at_rcpt(site.with_own_domains, "", other, client=STRANGER) == refused(other)


def test_ok_ends_the_question_of_relaying_and_no_other(site: Site) -> None:
    recipient = "bob@example.com"
    for client in (STRANGER, HOST):
        told = told_at_rcpt(site.strict, "", recipient, client=client)
        assert told == f"554 5.7.1 <{recipient}>: Recipient address rejected: Access denied"


def test_postfix_never_asks_about_its_postmaster(site: Site) -> None:
    for port in (site.mx, site.with_own_domains, site.kumomta):
        assert told_at_rcpt(port, "", "postmaster", client=STRANGER) == OK


def test_a_client_without_an_address_is_put_off(site: Site) -> None:
    told = told_at_rcpt(site.mx, "", "bob@example.com", client="ADDR=[UNAVAILABLE]")
    assert told.startswith("451 4.3.5 ")
    assert told_at_rcpt(site.mx, "", "bob@example.com", client=STRANGER) == OK
