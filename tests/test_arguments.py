"""Arguments that are wrong, and how the public objects show themselves."""

import datetime as dt
import pickle
from collections.abc import Callable
from functools import partial
from ipaddress import ip_network
from typing import Any, cast

import pytest

from listener_policy import (
    CidrSet,
    ConfigError,
    Connection,
    Decision,
    Dialect,
    EntryRef,
    EsmtpListener,
    HookPolicy,
    ListenerDomain,
    LogReport,
    Policy,
    PolicyConfig,
    PolicyError,
    Problem,
    RequestError,
    combine,
    evaluate,
)

wrong = cast("Any", None)


class Unprintable:
    """What a broken object of somebody else may be."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def paths(make: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make()
    assert all(problem.document is None for problem in caught.value.problems)
    return [problem.path for problem in caught.value.problems]


def hook(_domain: str, _listener: str, _connection: Connection) -> ListenerDomain | None:
    return None


@pytest.mark.parametrize("make", [partial(Policy, PolicyConfig()), Policy.from_toml])
def test_all_wrong_arguments_of_a_policy_are_reported(make: Callable[..., Policy]) -> None:
    mx = EsmtpListener(listen="mx")
    arguments = {
        "relay_hosts": ["10.0.0.0/8", "10/8", 1],
        "listeners": [mx, "mx", mx],
        "dialect": "kumomta",
    }
    assert paths(lambda: make(**arguments)) == [
        *("dialect", "relay_hosts[1]", "relay_hosts[2]"),
        *("listeners[1]", "listeners[2].listen"),
    ]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"relay_hosts": "10.0.0.0/8"}, "relay_hosts"),
        ({"relay_hosts": None}, "relay_hosts"),
        ({"listeners": 1}, "listeners"),
        ({"listeners": EsmtpListener(listen="mx")}, "listeners"),
        ({"relay_hosts": ip_network("10.0.0.0/8")}, "relay_hosts"),
        ({"dialect": None}, "dialect"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], path: str) -> None:
    assert paths(lambda: Policy.from_toml(**arguments)) == [path]
    assert paths(lambda: HookPolicy(hook, **arguments)) == [path]


def test_a_dialect_as_text_is_asked_about() -> None:
    with pytest.raises(ConfigError, match=r"did you mean `Dialect\('kumomta'\)`\?"):
        Policy.from_toml(dialect=cast("Any", "kumomta"))


def test_problems_of_texts_and_of_arguments_come_together() -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_toml("x", "[", relay_hosts=["x"])
    where = [(problem.document, problem.path) for problem in caught.value.problems]
    assert where == [(0, ""), (1, ""), (None, "relay_hosts[0]")]
    assert isinstance(caught.value.__cause__, ExceptionGroup)


@pytest.mark.parametrize(
    ("config", "hint"), [({}, "did you mean `Policy.from_mapping`?"), ("", None), (wrong, None)]
)
def test_a_policy_is_made_of_a_config(config: object, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy(cast("PolicyConfig", config))
    assert [(p.path, p.hint) for p in caught.value.problems] == [("config", hint)]


def test_a_hook_is_a_function() -> None:
    assert paths(lambda: HookPolicy(wrong)) == ["get_listener_domain"]


def test_arguments_of_evaluate() -> None:
    options = ListenerDomain(relay_to=True)
    assert paths(lambda: evaluate(options, "::1", relay_hosts=["x"], dialect=wrong)) == [
        *("dialect", "relay_hosts[0]")
    ]
    with pytest.raises(PolicyError, match="options: expected a `ListenerDomain` or `None`"):
        evaluate(cast("Any", {"relay_to": True}), "::1")
    with pytest.raises(RequestError, match="peer: "):
        evaluate(options, "localhost")
    with pytest.raises(RequestError, match="auth: expected a string or `None`, found a `bytes`"):
        evaluate(options, "::1", cast("Any", b"secret"))


def test_arguments_of_combine() -> None:
    inside = evaluate(None, "::1", relay_hosts=["::1"])
    outside = evaluate(None, "::1")
    with pytest.raises(RequestError, match="two decisions about one connection"):
        combine(inside, outside)
    with pytest.raises(RequestError, match="sender: expected a `Decision`"):
        combine(wrong, outside)
    with pytest.raises(RequestError, match="recipient: expected a `Decision`"):
        combine(outside, cast("Any", True))
    assert paths(lambda: combine(outside, outside, dialect=wrong)) == ["dialect"]


def test_a_hook_that_must_be_awaited_is_told_what_to_do() -> None:
    async def later(*_: object) -> None:
        raise AssertionError

    policy = HookPolicy(cast("Callable[..., ListenerDomain]", later))
    with pytest.raises(PolicyError, match="await the entry first and give it to `evaluate`"):
        policy.decide("mx", "10.0.0.1", "a.com")  # and no warning that it was never awaited


@pytest.mark.parametrize("report", ["arf", "", False, 0])
def test_a_report_is_a_report(report: object) -> None:
    decision = Policy.from_toml("").decide_rcpt("mx", "::1", "", "")
    with pytest.raises(RequestError, match="report: expected a `Report` or `None`"):
        decision.after_data(cast("Any", report))


@pytest.mark.parametrize("value", [Unprintable(), [Unprintable()]])
def test_what_cannot_be_shown_is_named_by_its_type(value: object) -> None:
    with pytest.raises(RequestError, match=f"found `<{type(value).__name__}>`"):
        Policy.from_toml("").decide("mx", cast("Any", value), "a.com")
    with pytest.raises(ConfigError, match="expected"):
        Policy.from_mapping({"a.com": {"relay_to": value}})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Unprintable(), "a value of type `Unprintable`"),
        (dt.date(2026, 1, 1), "a date or time"),
        (10**5000, "a huge integer"),
        (1.5, "the number `1.5`"),
        (b"true", "bytes"),
        (None, "null"),
        ({}, "a table"),
        ([], "a list"),
        ("x" * 200, f'the string `"{"x" * 97}..."`'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_described_in_the_words_of_documents(value: object, shown: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_mapping({"a.com": {"relay_to": value}})
    (problem,) = caught.value.problems
    assert problem.message == f"expected `true` or `false`, found {shown}"


@pytest.mark.parametrize(
    ("text", "hint"), [({}, "`Policy.from_mapping` takes a mapping"), (None, None), (1, None)]
)
def test_a_text_is_text(text: object, hint: str | None) -> None:
    for read in (Policy.from_toml, Policy.from_json, PolicyConfig.from_toml):
        with pytest.raises(ConfigError) as caught:
            read("", cast("Any", text))
        assert (1, "", hint) in [(p.document, p.path, p.hint) for p in caught.value.problems]


def test_a_mapping_is_a_mapping() -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_mapping({}, cast("Any", "['a.com']"))
    (problem,) = caught.value.problems
    assert (problem.document, problem.path) == (1, "")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a.com": {"ttl": [1, {"x": [{"y": 1, "y": 2}]}]}}', '"a.com".ttl[1].x[0].y'),
        ('{"a.com": {}, "a.com": {}}', '"a.com"'),
        ('{"a.com": {"ttl": 1, "ttl": 1}, "b.com": {"ttl": 1}}', '"a.com".ttl'),
        ('{"listener": {"10.0.0.1:25": {}, "10.0.0.1:25": {}}}', 'listener."10.0.0.1:25"'),
        ('{"a.com": {"ttl": {"x": 1, "x": 2, "x": 3}}, "a.com": {}}', '"a.com"'),
    ],
)
def test_a_key_that_is_twice_in_json_is_reported_with_its_path(text: str, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_json(text)
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize(
    ("key", "why", "hint"),
    [
        ("", "the empty domain has no entry of its own", "did you mean `*`?"),
        ("*.", "the empty domain has no entry of its own", "did you mean `*`?"),
        (".", "no label is empty", None),
        ("a..b", "no label is empty", None),
        (" a.com.. ", "no label is empty", "did you mean `a.com`?"),
        ("ann@a.com", "letters, digits", "did you mean `a.com`?"),
        ("ann@a b", "letters, digits", None),
        ("x" * 64, "each label has at most 63 octets", None),
        ("x." * 126 + "xx", "at most 253 octets", None),
        ("x" * 255, "at most 254 characters", None),
        ("-a.com", "no label begins or ends with a hyphen", None),
        ("\u2603.com", "must be a valid U-label", None),
        ("\u00fc" * 60, "must be a valid U-label", None),
        ("\uff0a.com", "a `*` must be written in ASCII", None),
        ("[10.0.0.1", "a literal is `[ipv4]`", None),
        ("*.[10.0.0.1]", "literal has no subdomains", "did you mean `[10.0.0.1]`?"),
        ("*a.com", "any other `*` matches nothing", "did you mean `*.a.com`?"),
        ("*.*.com", "any other `*` matches nothing", "did you mean `*.com`?"),
        ("a.*.com", "any other `*` matches nothing", None),
        ("**", "any other `*` matches nothing", None),
        ("*[10.0.0.1]", "any other `*` matches nothing", None),
        ("*." + "x." * 125 + "xx", "at most 251 octets behind `*.`", None),
    ],
)
def test_a_key_that_is_no_pattern_is_told_why(key: str, why: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_mapping({key: {}})
    (problem,) = caught.value.problems
    assert why in problem.message
    assert problem.hint == hint


class Spelled(str):
    """A subclass that has its own idea of equality, as members of some enumerations have."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return False


def test_a_subclass_of_str_is_taken_for_what_it_says() -> None:
    entry = {"relay_to": True, "relay_from_authz": ["ann"]}
    policy = Policy.from_mapping({"a.com": entry, "listener": {"mx": {"b.com": entry}}})
    listener, peer, domain, auth = map(Spelled, ("mx", "10.0.0.1", "a.com", "ann"))
    assert policy.decide(listener, peer, domain, auth) == policy.decide(
        "mx", "10.0.0.1", "a.com", "ann"
    )
    assert policy.decide(listener, (peer, 25), Spelled("b.com")).relay_to
    address = Spelled("x@b.com")
    assert policy.decide_rcpt(listener, peer, address, address).relay
    assert Policy.from_mapping({Spelled("a.com"): {"relay_from": [Spelled("10.0.0.0/8")]}}) == (
        Policy.from_mapping({"a.com": {"relay_from": ["10.0.0.0/8"]}})
    )


def test_errors_pickle_and_show_every_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_toml("['a b']", "['a.com']\nrelay_to = 1")
    copied = pickle.loads(pickle.dumps(caught.value))
    assert copied.problems == caught.value.problems
    first, second, third = str(copied).splitlines()
    assert first == "2 problems:"
    assert second.startswith('  document 0: "a b": expected a domain')
    assert third.startswith('  document 1: "a.com".relay_to: expected `true` or `false`')
    assert str(Problem(None, "", "message")) == "message"


def test_objects_show_themselves() -> None:
    policy = Policy.from_mapping({"a.com": {"relay_to": True}}, relay_hosts=["::1"])
    connection = policy.connection("mx", ("10.0.0.1", 25), "ann")
    assert repr(connection) == "Connection(listener='mx', peer=('10.0.0.1', 25), auth='ann')"
    assert repr(policy) == (
        "<Policy of 1 entries, relay_hosts=['::1'], 0 listeners, documented, "
        f"{policy.fingerprint[:12]}>"
    )
    assert repr(connection.decide("a.com")) == (
        "Decision(relay_hosts=False, relay_from=False, relay_from_authz=False, relay_to=True, "
        "log_oob=Ignore, log_arf=Ignore, entry=EntryRef(listener='*', pattern='a.com'))"
    )


def test_a_connection_gives_back_what_it_was_given() -> None:
    for policy in (Policy.from_toml(""), HookPolicy(hook)):
        connection = policy.connection("mx", "::ffff:127.0.0.1", "ann")
        assert (connection.listener, connection.peer, connection.auth) == (
            *("mx", "::ffff:127.0.0.1", "ann"),
        )
        assert str(connection.peer_address) == "127.0.0.1"
        assert connection.in_relay_hosts is True
        assert connection.authenticated(None).auth is None


def test_policies_say_what_they_were_made_of() -> None:
    listeners = [EsmtpListener(listen="mx", relay_hosts=CidrSet(["10.0.0.0/8"]))]
    arguments: dict[str, Any] = {
        "relay_hosts": iter(["::1"]),
        "listeners": iter(listeners),
        "dialect": Dialect.KUMOMTA,
    }
    policy = HookPolicy(hook, **arguments)
    assert policy.relay_hosts == CidrSet(["::1"])
    assert policy.listeners == tuple(listeners)
    assert policy.dialect is Dialect.KUMOMTA


def test_relay_hosts_of_a_listener_can_be_asked() -> None:
    listed = EsmtpListener(listen="[::]:25", relay_hosts=CidrSet(["10.0.0.0/8"]))
    policy = Policy.from_toml("", relay_hosts=["::1"], listeners=[listed])
    assert policy.relay_hosts_at("10.0.0.1:25") == CidrSet(["10.0.0.0/8"])
    assert policy.relay_hosts_at("mx") == CidrSet(["::1"])
    with pytest.raises(RequestError):
        policy.relay_hosts_at("*")


def test_answers_and_policies_equal_no_other_type() -> None:
    policy = Policy.from_toml("")
    rcpt = policy.decide_rcpt("mx", "::1", "", "")
    for answer in (policy, policy.config, rcpt, rcpt.sender, rcpt.after_data(None)):
        assert answer != "something else"
        assert answer == pickle.loads(pickle.dumps(answer))
        assert len({answer, pickle.loads(pickle.dumps(answer))}) == 1


def test_log_ignore_alone_is_falsy() -> None:
    assert [bool(log) for log in LogReport] == [False, True, True]


def test_an_entry_is_a_pair() -> None:
    decision: Decision = Policy.from_mapping({"*": {}}).decide("mx", "::1", "a.com")
    assert decision.entry == EntryRef("*", "*")
    assert decision.entry == ("*", "*")
