"""Postfix's policy delegation, what is answered: what the policy decides, and no grant besides."""

from typing import Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import DIALECTS, OUTSIDER, short, untyped

from listener_policy import (
    AnyPolicy,
    Connection,
    Dialect,
    HookPolicy,
    ListenerDomain,
    LogReport,
    Policy,
    RcptRequest,
    RequestError,
    strategies,
)
from listener_policy.adapters.postfix import Action, ProtocolError, action, rcpt_request

POLICY: Final = Policy.from_toml("""
["example.com"]
relay_to = true
["reports.example.com"]
log_oob = true
["staff.example.com"]
relay_from = ["10.0.0.0/8", "2001:db8::/32"]
relay_from_authz = ["ann", ""]
[listener."[2001:db8::25]:587"."example.com"]
relay_to = false
[listener.mx."example.org"]
relay_to = true
""")
RCPT: Final = {
    "protocol_state": "RCPT",
    "client_address": OUTSIDER,
    "server_address": "192.0.2.25",
    "server_port": "25",
    "sender": "ann@example.net",
    "recipient": "bob@example.org",
    "sasl_username": "",
}
"""What a stranger asks, who is refused."""


def asked(policy: AnyPolicy = POLICY, /, **attributes: str) -> Action:
    """The answer to a stranger who does something else."""
    return action(policy, {**RCPT, **attributes})


def test_what_postfix_is_told() -> None:
    assert [one.response for one in Action] == [
        b"action=OK\n\n",
        b"action=DUNNO\n\n",
        b"action=550 5.7.1 relaying not permitted\n\n",
    ]


def test_4_3_each_permission_to_relay_permits() -> None:
    assert asked() is Action.REFUSE
    assert asked(client_address="127.0.0.1") is Action.OK
    assert asked(client_address="::1") is Action.OK
    assert asked(client_address="::ffff:127.0.0.1") is Action.OK
    assert asked(recipient="bob@example.com") is Action.OK
    assert asked(recipient="bob@Example.COM.") is Action.OK
    assert asked(sender="a@staff.example.com") is Action.REFUSE
    assert asked(sender="a@staff.example.com", client_address="10.1.1.1") is Action.OK
    assert asked(sender="a@staff.example.com", client_address="2001:db8::7") is Action.OK
    assert asked(sender="a@staff.example.com", sasl_username="ann") is Action.OK
    assert asked(sender="a@staff.example.com", sasl_username="Ann") is Action.REFUSE
    assert asked(sender="a@example.org", sasl_username="ann") is Action.REFUSE


def test_an_empty_sasl_username_is_nobody() -> None:
    assert "" in POLICY.config.entries["*"]["staff.example.com"].relay_from_authz
    assert asked(sender="a@staff.example.com") is Action.REFUSE
    without = {name: value for name, value in RCPT.items() if name != "sasl_username"}
    assert action(POLICY, without | {"sender": "a@staff.example.com"}) is Action.REFUSE


@pytest.mark.parametrize("name", ["sasl_sender", "ccert_subject", "helo_name", "client_name"])
def test_nothing_else_identifies_a_client(name: str) -> None:
    assert asked(sender="a@staff.example.com", **{name: "ann"}) is Action.REFUSE


def test_the_listener_is_where_the_client_connected() -> None:
    to = {"recipient": "bob@example.com"}
    assert asked(**to, server_address="2001:db8::25", server_port="587") is Action.REFUSE
    assert asked(**to, server_address="2001:DB8:0::25", server_port="587") is Action.REFUSE
    assert asked(**to, server_address="2001:db8::25", server_port="25") is Action.OK
    assert asked(**to, server_address="192.0.2.25", server_port="587") is Action.OK


def test_the_listener_may_be_given_instead() -> None:
    old = {name: value for name, value in RCPT.items() if not name.startswith("server_")}
    assert action(POLICY, old, listener="mx") is Action.OK
    assert action(POLICY, RCPT, listener="mx") is Action.OK
    assert action(POLICY, old, listener=("192.0.2.25", 25)) is Action.REFUSE
    with pytest.raises(ProtocolError, match="server_address: expected a string, found no such"):
        action(POLICY, old)
    for wrong in ("", "*", "10.0.0.1", 5):
        with pytest.raises(RequestError, match="listener: expected"):
            action(POLICY, old, listener=untyped(wrong))


def test_the_question_can_be_had_to_be_explained() -> None:
    question = rcpt_request({**RCPT, "sasl_username": "ann", "sender": ""})
    assert question == RcptRequest("192.0.2.25:25", OUTSIDER, "", "bob@example.org", "ann")
    assert question is not None
    assert POLICY.explain_rcpt(*question).decision == POLICY.decide_rcpt(*question)
    assert rcpt_request({"protocol_state": "DATA"}) is None


WRONG: Final[dict[str, list[object]]] = {
    "protocol_state": [None, 5],
    "client_address": [
        *(None, 5, b"10.0.0.1", "", "unknown", "localhost", "10.0.0.1:25", "[::1]", "IPv6:::1"),
        *("10.0.0.1 ", "10.0.0.0/8", "010.0.0.1", "::1\r", "\ud800"),
    ],
    "server_address": [
        *(None, 5, "", "unknown", "*", "mx", "[::1]", "[::1", "::1]:25]", "10.0.0.1:25", "a:b"),
        *("10.0.0", "10.0.0.1]", "[10.0.0.1"),
    ],
    "server_port": [
        *(None, 25, "", "unknown", "smtp", "025", "+25", "65536", "25\r", "\u0662\u0665", "25:25"),
        *("]:25", " 25", "2_5", "9" * 5000),
    ],
    "sender": [None, 5, b"ann@example.net"],
    "recipient": [None, 5, b"bob@example.org", ""],
    "sasl_username": [None, 5, b"ann"],
}
WRONG_VALUES: Final = [(name, value) for name, values in WRONG.items() for value in values]
EVERYTHING: Final = Policy.from_toml('["*"]\nrelay_to = true\n', relay_hosts=["any"])


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES, ids=short)
def test_what_cannot_be_understood_is_an_error_that_names_it(name: str, value: object) -> None:
    wrong = {**RCPT, name: untyped(value)}
    if value is None:
        wrong.pop(name)
        if name == "sasl_username":
            wrong[name] = untyped(None)
    with pytest.raises(ProtocolError, match=f"^{name}: expected ") as caught:
        action(EVERYTHING, wrong)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isascii()


def test_the_rest_of_a_wrong_request_would_have_been_granted() -> None:
    assert action(EVERYTHING, RCPT) is Action.OK


@pytest.mark.parametrize("state", ["CONNECT", "EHLO", "MAIL", "DATA", "END-OF-MESSAGE", "VRFY"])
def test_questions_that_are_not_about_a_recipient_are_not_answered(state: str) -> None:
    assert asked(EVERYTHING, protocol_state=state) is Action.DUNNO
    assert asked(EVERYTHING, protocol_state=state, recipient="") is Action.DUNNO
    assert action(EVERYTHING, {"protocol_state": state}) is Action.DUNNO
    assert asked(EVERYTHING, protocol_state="rcpt") is Action.DUNNO
    assert asked(EVERYTHING, protocol_state="") is Action.DUNNO


@pytest.mark.parametrize("policy", [None, "policy", POLICY.config, {}], ids=short)
def test_what_is_no_policy_is_an_error(policy: object) -> None:
    with pytest.raises(RequestError, match="policy: expected a policy, found "):
        action(untyped(policy), RCPT)


LOCAL_PARTS: Final = [
    *("bob%example.org", "example.org!bob", "bob@example.org", "%", "!", "@", "bob%", "!bob"),
    *("@example.org:bob", "a%b%c", "a!b%c@d", 'bob"@"example.org', "bob\\@example.org"),
]
"""With routing; Postfix has removed the quotes, if there were any."""


@pytest.mark.parametrize("local_part", LOCAL_PARTS)
def test_a_destination_alone_does_not_permit_a_route_beyond_it(local_part: str) -> None:
    recipient = f"{local_part}@example.com"
    decision = POLICY.decide_rcpt("mx", OUTSIDER, "", recipient)
    assert decision.relay
    assert decision.recipient.relay_to
    assert asked(recipient=recipient) is Action.DUNNO
    assert asked(recipient=f"{local_part}@example.org") is Action.REFUSE


@pytest.mark.parametrize("local_part", LOCAL_PARTS)
def test_who_may_relay_anywhere_may_name_a_route(local_part: str) -> None:
    for domain in ("example.com", "example.org"):
        recipient = f"{local_part}@{domain}"
        staff = "ann@staff.example.com"
        assert asked(recipient=recipient, client_address="127.0.0.1") is Action.OK
        assert asked(recipient=recipient, sender=staff, client_address="10.9.9.9") is Action.OK
        assert asked(recipient=recipient, sender=staff, sasl_username="ann") is Action.OK


@pytest.mark.parametrize("local_part", ["bob", "", "b+c", "b c", "b/c=d", "b\u00fcb", "b:c", '"b"'])
def test_other_local_parts_are_no_routes(local_part: str) -> None:
    assert asked(recipient=f"{local_part}@example.com") is Action.OK


@pytest.mark.parametrize(
    "recipient",
    [
        *(
            "example.com",
            "bob",
            "@",
            "bob@",
            "bob@example.com@",
            "bob%example.com",
            "example.com!b",
        ),
        *("bob@[example.com]", "bob@example.com\r", "bob@example.com\udcff", "b@a.example.com"),
        *("bob@example.com ", "bob@\udcffexample.com", "bob@example.com@example.org", "postmaster"),
    ],
    ids=ascii,
)
def test_what_is_not_of_the_domain_is_refused(recipient: str) -> None:
    assert asked(recipient=recipient) is Action.REFUSE


LOG: Final[list[bool | LogReport]] = [True, *LogReport]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("option", ["log_oob", "log_arf", "log_fbl"])
@pytest.mark.parametrize("value", LOG)
def test_4_4_no_stranger_relays_through_an_entry_that_looks_for_reports(
    dialect: Dialect, option: str, value: bool | LogReport
) -> None:
    policy = Policy.from_mapping({"*": {option: untyped(value)}}, dialect=dialect)
    accepted = value is not LogReport.IGNORE
    assert asked(policy) is (Action.DUNNO if accepted else Action.REFUSE)
    assert asked(policy, sender="") is (Action.DUNNO if accepted else Action.REFUSE)
    assert policy.decide_rcpt("mx", OUTSIDER, "", "bob@example.org").accept is accepted


@given(policy=strategies.policies(), choose=st.data(), hosts=st.sampled_from(["@", "!", "%", ""]))
def test_4_3_what_is_answered_is_what_is_decided(
    policy: Policy, choose: st.DataObject, hosts: str
) -> None:
    request = choose.draw(strategies.rcpt_requests(policy))
    recipient = hosts + request.recipient
    assume(recipient)
    connection = policy.connection(request.listener, request.peer, request.auth or None)
    attributes = {
        "protocol_state": "RCPT",
        "client_address": str(connection.peer_address),
        "sender": request.sender,
        "recipient": recipient,
        "sasl_username": request.auth or "",
    }
    answer = action(policy, attributes, listener=request.listener)
    decision = connection.decide_rcpt(request.sender, recipient)
    local_part = recipient[: recipient.rfind("@") + 1][:-1]
    if any(sign in local_part for sign in "@!%"):
        assert (answer is Action.OK) is decision.sender.may_send
    else:
        assert (answer is Action.OK) is decision.relay
    assert (answer is Action.REFUSE) is not decision.accept
    assert answer.value in ("OK", "DUNNO", decision.reply)


def test_a_hook_may_know_the_entries() -> None:
    def hook(domain: str, listener: str, connection: Connection) -> ListenerDomain | None:
        if domain == "example.com":
            return ListenerDomain(relay_to=listener == "192.0.2.25:25")
        if domain == "fails.example":
            raise LookupError(connection.auth)
        return None

    policy = HookPolicy(hook)
    assert asked(policy, recipient="bob@example.com") is Action.OK
    assert asked(policy, recipient="bob@example.com", server_port="587") is Action.REFUSE
    with pytest.raises(LookupError, match="ann"):
        asked(policy, recipient="bob@fails.example", sasl_username="ann")


def test_5_2_an_answer_does_not_depend_on_those_before_it() -> None:
    questions = [
        {**RCPT, "sender": sender, "recipient": recipient, "sasl_username": login}
        for sender in ("a@staff.example.com", "")
        for recipient in ("bob@example.com", "bob@example.org", "bob@reports.example.com")
        for login in ("ann", "")
    ]
    alone = [action(POLICY, question) for question in questions]
    assert set(alone) == set(Action)
    for first, answer in zip(questions, alone, strict=True):
        for then, expected in zip(questions, alone, strict=True):
            assert (action(POLICY, first), action(POLICY, then)) == (answer, expected)
