"""What users write, as type checkers see it; every statement also runs.

mypy and pyright check this file in strict mode: `assert_type` says what a type must be, and a
`type: ignore` says that a line must be refused, since an ignore that is not needed is an error.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

import ast
from collections.abc import Iterator, Mapping
from email import message_from_bytes, message_from_string, policy
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import assert_type

import pytest
from pydantic import ValidationError

import listener_policy
from listener_policy import (
    DEFAULT_RELAY_HOSTS,
    AnyPolicy,
    Check,
    CidrSet,
    ConfigError,
    Connection,
    Decision,
    Dialect,
    Disposition,
    DomainSource,
    EntryRef,
    EsmtpListener,
    ExplainedDisposition,
    ExplainedDomain,
    Explanation,
    GoverningEntry,
    GoverningRule,
    HookPolicy,
    ListenerDomain,
    LogCheck,
    LogReport,
    Match,
    PassedOver,
    PassedOverRule,
    Policy,
    PolicyConfig,
    PolicyError,
    Problem,
    RcptDecision,
    RcptExplanation,
    RcptRequest,
    Reason,
    RelayFromAuthzCheck,
    RelayFromCheck,
    RelayHostsCheck,
    RelayHostsSource,
    RelayToCheck,
    Report,
    Request,
    RequestError,
    canonical_domain,
    combine,
    envelope_domain,
    evaluate,
)
from listener_policy.reports import classify

LISTENER = "10.1.2.3:25"
PEER = "10.0.0.7"
TOML = '["example.com"]\nrelay_to = true\n'


def a_policy() -> Policy:
    return Policy.from_toml(TOML)


def test_making_a_policy() -> None:
    config = PolicyConfig.from_toml(TOML, TOML.encode())
    listeners = [EsmtpListener(listen="mx")]
    assert_type(Policy(config), Policy)
    assert_type(
        Policy(config, relay_hosts=[PEER], listeners=listeners, dialect=Dialect.KUMOMTA), Policy
    )
    assert_type(Policy.from_toml(TOML, TOML.encode(), relay_hosts=CidrSet()), Policy)
    assert_type(Policy.from_json("{}", b"{}", listeners=tuple(listeners)), Policy)
    assert_type(Policy.from_mapping({"example.com": {"relay_to": True}}, {}), Policy)
    policy = a_policy()
    assert_type(policy.config, PolicyConfig)
    assert_type(policy.listeners, tuple[EsmtpListener, ...])
    assert_type(policy.relay_hosts, CidrSet)
    assert_type(policy.relay_hosts_at(LISTENER), CidrSet)
    assert_type(policy.dialect, Dialect)
    assert_type(policy.fingerprint, str)
    assert_type({policy: 1}[policy], int)
    assert policy == a_policy()


def test_making_a_policy_of_what_is_none() -> None:
    with pytest.raises(ConfigError):
        Policy({})  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        Policy.from_toml({})  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        Policy.from_mapping("")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        Policy.from_toml(dialect="kumomta")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        Policy.from_toml(relay_hosts=[5])  # type: ignore[list-item]
    with pytest.raises(ConfigError):
        Policy.from_toml(listeners=["mx"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        Policy(PolicyConfig(), [PEER])  # type: ignore[call-arg]


def test_a_policy_cannot_be_changed() -> None:
    policy = a_policy()
    with pytest.raises(AttributeError):
        policy.dialect = Dialect.KUMOMTA  # type: ignore[misc]
    with pytest.raises(AttributeError):
        policy.config = PolicyConfig()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        policy.fingerprint = ""  # type: ignore[misc]
    with pytest.raises(AttributeError):
        policy.remembered = 1  # type: ignore[attr-defined]


def test_asking() -> None:
    policy = a_policy()
    assert_type(policy.decide(LISTENER, PEER, "example.com"), Decision)
    assert_type(policy.decide(LISTENER, PEER, "example.com", None), Decision)
    assert_type(policy.decide(("::1", 25, 0, 0), ("10.0.0.7", 4711), "", auth="ann"), Decision)
    assert_type(policy.decide(("10.1.2.3", 25), IPv4Address(PEER), ""), Decision)
    assert_type(policy.decide("mx", IPv6Address("::1"), ""), Decision)
    assert_type(policy.decide(*Request(LISTENER, PEER, "example.com", "ann")), Decision)
    assert_type(policy.decide_rcpt(LISTENER, PEER, "", "b@example.com"), RcptDecision)
    assert_type(policy.decide_rcpt(*RcptRequest(LISTENER, PEER, "", "b", auth=None)), RcptDecision)
    assert_type(policy.resolve(LISTENER, "example.com"), Match | None)
    assert_type(Request(LISTENER, PEER, "example.com").domain, str)
    assert_type(RcptRequest(LISTENER, PEER, "", "b").auth, str | None)


def test_asking_what_cannot_be_understood() -> None:
    policy = a_policy()
    with pytest.raises(RequestError):
        policy.decide(LISTENER, PEER, b"example.com")  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        policy.decide(LISTENER, PEER, None)  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        policy.decide(LISTENER, PEER, "example.com", b"ann")  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        policy.decide(LISTENER, 167772167, "example.com")  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        policy.decide(LISTENER, (PEER, "25"), "example.com")  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        policy.decide(None, PEER, "example.com")  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        policy.decide_rcpt(LISTENER, PEER, None, "b@example.com")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        policy.decide(LISTENER, PEER)  # type: ignore[call-arg]


def test_decisions() -> None:
    decision = a_policy().decide(LISTENER, PEER, "example.com")
    assert_type(decision.relay_hosts, bool)
    assert_type(decision.relay_from, bool)
    assert_type(decision.relay_from_authz, bool)
    assert_type(decision.relay_to, bool)
    assert_type(decision.may_send, bool)
    assert_type(decision.may_receive, bool)
    assert_type((decision.log_oob, decision.log_arf), tuple[LogReport, LogReport])
    assert_type(decision.entry, EntryRef | None)
    assert_type(decision.reason, Reason)
    assert decision.entry is not None
    listener, pattern = decision.entry
    assert_type((listener, pattern, decision.entry.pattern), tuple[str, str, str])
    with pytest.raises(AttributeError):
        decision.relay_to = True  # type: ignore[misc]
    with pytest.raises(TypeError):
        bool(decision)


def test_decisions_about_recipients() -> None:
    decision = a_policy().decide_rcpt(LISTENER, PEER, "a@example.net", "b@example.com")
    assert_type(decision.accept, bool)
    assert_type(decision.relay, bool)
    assert_type((decision.log_oob, decision.log_arf), tuple[LogReport, LogReport])
    assert_type(decision.reason, Reason)
    assert_type(decision.reply, str)
    assert_type(decision.sender, Decision)
    assert_type(decision.recipient, Decision)
    disposition = decision.after_data(Report.ARF)
    assert_type(disposition, Disposition)
    assert_type(decision.after_data(None), Disposition)
    assert_type((disposition.accept, disposition.log), tuple[bool, bool])
    assert_type(disposition.relay, bool)
    assert_type(disposition.reply, str)
    with pytest.raises(RequestError):
        decision.after_data("arf")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        decision.after_data()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        decision.accept = True  # type: ignore[misc]
    with pytest.raises(AttributeError):
        disposition.relay = True  # type: ignore[misc]


def test_connections() -> None:
    connection = a_policy().connection(("10.1.2.3", 25), ("10.0.0.7", 4711))
    assert_type(connection, Connection)
    assert_type(connection.authenticated("ann"), Connection)
    assert_type(connection.authenticated(None).auth, str | None)
    assert_type(connection.decide("example.com"), Decision)
    assert_type(connection.decide_rcpt("", "b@example.com"), RcptDecision)
    assert_type(connection.in_relay_hosts, bool)
    assert_type(connection.peer_address, IPv4Address | IPv6Address)
    listener: str | tuple[str, int] | tuple[str, int, int, int] = connection.listener
    assert listener == ("10.1.2.3", 25)
    asked_again: Connection = a_policy().connection(connection.listener, connection.peer)
    assert asked_again.peer == ("10.0.0.7", 4711)
    with pytest.raises(AttributeError):
        connection.auth = "ann"  # type: ignore[misc]
    with pytest.raises(RequestError):
        connection.authenticated(b"ann")  # type: ignore[arg-type]


def test_explaining() -> None:
    explanation = a_policy().explain(LISTENER, PEER, "example.com")
    assert_type(explanation, Explanation)
    assert_type(explanation.domain, ExplainedDomain)
    assert_type(explanation.domain.source, DomainSource)
    assert_type(explanation.domain.canonical, str | None)
    assert_type(explanation.governing, GoverningEntry | None)
    assert_type(explanation.passed_over, tuple[PassedOver, ...])
    assert_type(explanation.checks, tuple[Check, ...])
    assert_type(explanation.decision, Decision)
    assert_type((explanation.listener, explanation.auth), tuple[str, str | None])
    assert_type(explanation.peer, IPv4Address | IPv6Address)
    assert_type(explanation.to_dict(), dict[str, object])
    assert explanation.governing is not None
    assert_type(explanation.governing.because, GoverningRule)
    assert_type(explanation.governing.rule, str)
    assert_type(explanation.governing.options, ListenerDomain)
    for entry in explanation.passed_over:
        assert_type((entry.because, entry.encloser), tuple[PassedOverRule, str | None])
        assert_type((entry.entry, entry.rule), tuple[EntryRef, str])
    for check in explanation.checks:
        assert_type((check.reason, check.holds, check.evidence), tuple[Reason, bool, str])
        if isinstance(check, RelayHostsCheck):
            assert_type((check.source, check.stated_by), tuple[RelayHostsSource, str | None])
        if isinstance(check, RelayHostsCheck | RelayFromCheck):
            assert_type(check.block, IPv4Network | IPv6Network | None)
            assert_type(check.blocks, CidrSet)
        if isinstance(check, RelayFromAuthzCheck):
            assert_type((check.auth, check.identities), tuple[str | None, frozenset[str]])
        if isinstance(check, RelayToCheck):
            assert_type((check.entry, check.written), tuple[EntryRef | None, bool | None])
        if isinstance(check, LogCheck):
            assert_type((check.option, check.exempt), tuple[LogReport, bool])
            assert_type(check.written, bool | LogReport | None)
    with pytest.raises(AttributeError):
        explanation.governing = None  # type: ignore[misc]
    with pytest.raises(RequestError):
        a_policy().explain(LISTENER, PEER, b"example.com")  # type: ignore[arg-type]


def test_explaining_recipients() -> None:
    explanation = a_policy().explain_rcpt(LISTENER, PEER, "", "b@example.com", auth="ann")
    assert_type(explanation, RcptExplanation)
    assert_type((explanation.sender, explanation.recipient), tuple[Explanation, Explanation])
    assert_type(explanation.checks, tuple[Check, ...])
    assert_type(explanation.not_taken, tuple[Check, ...])
    assert_type(explanation.after_data, tuple[ExplainedDisposition, ...])
    assert_type(explanation.after_data[0].disposition, Disposition)
    assert_type(explanation.after_data[0].report, Report | None)
    assert_type(explanation.decision, RcptDecision)
    assert_type(explanation.to_dict(), dict[str, object])


def test_resolving() -> None:
    match = a_policy().resolve(LISTENER, "example.com")
    assert match is not None
    entry, options = match
    assert_type(entry, EntryRef)
    assert_type(options, ListenerDomain)
    assert_type((match.entry, match.options), tuple[EntryRef, ListenerDomain])


def test_sets_of_addresses() -> None:
    blocks = CidrSet(["10.0.0.0/8", IPv6Address("::1"), IPv4Network("192.0.2.0/24")])
    assert_type(CidrSet.parse(["any"]), CidrSet)
    assert_type(DEFAULT_RELAY_HOSTS, CidrSet)
    assert_type(blocks | DEFAULT_RELAY_HOSTS, CidrSet)
    assert_type(blocks & DEFAULT_RELAY_HOSTS, CidrSet)
    assert_type(blocks - DEFAULT_RELAY_HOSTS, CidrSet)
    assert_type(blocks ^ DEFAULT_RELAY_HOSTS, CidrSet)
    assert_type(blocks <= DEFAULT_RELAY_HOSTS, bool)
    assert_type(blocks < DEFAULT_RELAY_HOSTS, bool)
    assert_type(blocks >= DEFAULT_RELAY_HOSTS, bool)
    assert_type(blocks == DEFAULT_RELAY_HOSTS, bool)
    assert_type(hash(blocks), int)
    assert_type(PEER in blocks, bool)
    assert_type(iter(blocks), Iterator[IPv4Network | IPv6Network])
    assert_type([str(block.network_address) for block in blocks], list[str])
    assert_type(blocks.to_list(), list[str])
    assert_type(blocks.block_of(PEER), IPv4Network | IPv6Network | None)
    assert blocks
    with pytest.raises(ConfigError):
        CidrSet([167772160])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        blocks | ["10.0.0.1"]  # type: ignore[operator]
    with pytest.raises(TypeError):
        assert blocks <= {PEER}  # type: ignore[operator]
    with pytest.raises(RequestError):
        assert 5 in blocks  # type: ignore[operator]
    with pytest.raises(AttributeError):
        blocks.bounds = ()  # type: ignore[misc]


def test_models() -> None:
    entry = ListenerDomain(relay_to=True, relay_from=CidrSet(["any"]), log_oob=LogReport.IGNORE)
    assert_type(entry.relay_to, bool)
    assert_type(entry.relay_from, CidrSet)
    assert_type(entry.relay_from_authz, frozenset[str])
    assert_type((entry.log_oob, entry.log_arf), tuple[bool | LogReport, bool | LogReport])
    assert_type(ListenerDomain.model_validate({"relay_from": ["any"]}), ListenerDomain)
    listener = EsmtpListener(listen=LISTENER, relay_hosts=CidrSet())
    assert_type(listener.listen, str)
    assert_type(listener.relay_hosts, CidrSet | None)
    assert_type(EsmtpListener.from_toml(""), tuple[EsmtpListener, ...])
    with pytest.raises(ValidationError):
        EsmtpListener(listen=25)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        EsmtpListener()  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        ListenerDomain(log_oob="ignore")  # type: ignore[arg-type]


def test_configurations() -> None:
    config = PolicyConfig.from_toml(TOML)
    assert_type(PolicyConfig.from_json("{}", b"{}"), PolicyConfig)
    assert_type(PolicyConfig.from_mapping({}, {"example.com": ListenerDomain()}), PolicyConfig)
    assert_type(PolicyConfig.merge(config, config), PolicyConfig)
    assert_type(config.merge(config), PolicyConfig)
    assert_type(config.entries, Mapping[str, Mapping[str, ListenerDomain]])
    assert_type(config.entries["*"]["example.com"].relay_to, bool)
    assert_type(config.to_toml(), str)
    assert_type(config.to_mapping(), dict[str, object])
    assert_type(PolicyConfig.json_schema(), dict[str, object])
    with pytest.raises(TypeError):
        config.entries["*"] = {}  # type: ignore[index]
    with pytest.raises(ConfigError):
        PolicyConfig.from_toml(None)  # type: ignore[arg-type]


def test_hooks() -> None:
    def hook(domain: str, listener: str, connection: Connection) -> ListenerDomain | None:
        assert_type(connection.auth, str | None)
        return ListenerDomain(relay_to=True) if (domain, listener) == ("a.com", "mx") else None

    def always(*_asked: object) -> ListenerDomain:
        return ListenerDomain()

    async def awaited(_domain: str, _listener: str, _connection: Connection) -> ListenerDomain:
        return ListenerDomain()

    policy = HookPolicy(hook, relay_hosts=[PEER], listeners=(), dialect=Dialect.KUMOMTA)
    assert_type(policy.decide("mx", PEER, "a.com", "ann"), Decision)
    assert_type(policy.decide_rcpt("mx", PEER, "", "b@a.com"), RcptDecision)
    assert_type(policy.connection("mx", PEER), Connection)
    assert_type(policy.relay_hosts, CidrSet)
    assert_type(policy.listeners, tuple[EsmtpListener, ...])
    assert_type(policy.dialect, Dialect)
    assert_type(HookPolicy(always), HookPolicy)
    with pytest.raises(PolicyError):
        HookPolicy(awaited).decide("mx", PEER, "a.com")  # type: ignore[arg-type]
    with pytest.raises(PolicyError):
        HookPolicy(lambda *_: True).decide("mx", PEER, "a.com")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        policy.dialect = Dialect.DOCUMENTED  # type: ignore[misc]


def test_either_kind_of_policy() -> None:
    def greet(policy: AnyPolicy) -> str:
        assert_type(policy.connection("mx", PEER), Connection)
        assert_type(policy.relay_hosts_at("mx"), CidrSet)
        return policy.decide_rcpt("mx", PEER, "", "").reply

    def hook(_domain: str, _listener: str, _connection: Connection) -> None:
        return None

    assert greet(Policy.from_toml("")) == greet(HookPolicy(hook))


def test_entries_that_are_kept_elsewhere() -> None:
    sender = evaluate(None, PEER, "ann", relay_hosts=DEFAULT_RELAY_HOSTS, dialect=Dialect.KUMOMTA)
    recipient = evaluate(ListenerDomain(relay_to=True), ("10.0.0.7", 25), relay_hosts=["::1"])
    assert_type(sender, Decision)
    assert_type(combine(sender, recipient, dialect=Dialect.KUMOMTA), RcptDecision)
    assert_type(canonical_domain("Example.com"), str | None)
    assert_type(envelope_domain("<>"), str | None)
    with pytest.raises(PolicyError):
        evaluate({"relay_to": True}, PEER)  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        combine(sender, None)  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        canonical_domain(b"example.com")  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        envelope_domain(None)  # type: ignore[arg-type]


def test_errors() -> None:
    with pytest.raises(ConfigError) as caught:
        Policy.from_toml("[")
    error: PolicyError = caught.value
    assert isinstance(error, ValueError)
    assert_type(caught.value.problems, tuple[Problem, ...])
    for problem in caught.value.problems:
        assert_type(problem.document, int | None)
        assert_type(problem.path, str)
        assert_type(problem.message, str)
        assert_type(problem.hint, str | None)
        with pytest.raises(AttributeError):
            problem.path = ""  # type: ignore[misc]
    error = RequestError("peer: expected an address")


def test_enumerations() -> None:
    dialect: str = Dialect.DOCUMENTED
    report: str = Report.OOB
    reason: str = Reason.RELAY_TO
    option: str = LogReport.LOG_THEN_DROP
    assert (dialect, report) == ("documented", "oob")
    assert (reason, option) == ("RELAY_TO", "LogThenDrop")
    assert_type(LogReport("Ignore"), LogReport)
    assert_type(list(Reason), list[Reason])
    assert_type(Dialect("kumomta"), Dialect)


def test_reports() -> None:
    for message in (Message(), EmailMessage(), message_from_bytes(b""), MIMEMultipart("report")):
        assert_type(classify(message), Report | None)
    decision = a_policy().decide_rcpt(LISTENER, PEER, "<>", "<bob@example.com>")
    assert_type(decision.after_data(classify(message_from_string(""))), Disposition)
    assert_type(message_from_bytes(b"", policy=policy.default), EmailMessage)
    classify(message_from_bytes(b"", policy=policy.default))
    with pytest.raises(RequestError):
        classify(b"From: ann@example.net")  # type: ignore[arg-type]
    with pytest.raises(RequestError):
        classify(None)  # type: ignore[arg-type]


def test_every_public_name_is_written_here() -> None:
    tree = ast.parse(Path(__file__).read_bytes())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used >= set(listener_policy.__all__)
    assert used >= set(listener_policy.__all__)
    assert_type(listener_policy.__version__, str)
