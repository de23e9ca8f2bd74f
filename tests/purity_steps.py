"""Uses all of the library, step by step, for `purity_probe.py`."""

import copy
import pickle
from collections.abc import Callable, Iterable
from email import message_from_bytes
from email.policy import compat32, default
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ValidationError

from listener_policy import (
    CidrSet,
    ConfigError,
    Connection,
    Dialect,
    EsmtpListener,
    HookPolicy,
    ListenerDomain,
    Policy,
    PolicyConfig,
    PolicyError,
    Report,
    Request,
    RequestError,
    canonical_domain,
    combine,
    envelope_domain,
    evaluate,
)
from listener_policy.adapters.postfix import (
    ProtocolError,
    RequestParser,
    action,
    rcpt_request,
)
from listener_policy.analysis import (
    cells,
    diff,
    equivalent,
    expectations_json_schema,
    find,
    find_rcpt,
    lint,
    run_expectations,
)
from listener_policy.reports import classify

GUIDE: Final = """
["*"]
log_oob = true
["example.com"]
relay_to = true
["*.b\u00fccher.example"]
relay_from = ["10.0.0.0/24", "2001:db8::/32", "::ffff:192.0.2.0/120"]
relay_from_authz = ["ann"]
log_fbl = "LogThenRelay"
ttl = "5 minutes"
["[IPv6:2001:DB8::1]"]
log_oob = "LogThenDrop"
[listener."[2001:DB8::25]:25"."*.example.com"]
relay_to = false
"""
LATER: Final = '["example.com"]\nlog_arf = "LogThenDrop"\n[listener.mx."listener"]\n'
LISTENERS: Final = (
    '[[esmtp_listener]]\nlisten = "0.0.0.0:25"\nrelay_hosts = ["10.9.0.0/16", "any"]\n'
    '[[esmtp_listener]]\nlisten = "mx"\n'
)
AS_JSON: Final = '{"example.com": {"relay_to": true}, "listener": {"mx": {"*": {"log_oob": true}}}}'
DOMAINS: Final = (
    *("", "example.com", "EXAMPLE.com.", "a.example.com", "send.B\u00dcCHER.example", "a.b.c.d"),
    *("[10.0.0.1]", "[ipv6:::ffff:10.0.0.1]", "fa\u00df.de", "xn--fa-hia.de", "\u4f8b\u3048"),
    *("\u0645\u062b\u0627\u0644.example", "a\u200db", "\u0301a", "\u00ad", "a\u3002b", "\ufdfa"),
    *("\x00", "\ud800", "a\udfff.b", "\u202eevil", "*", "*.a", "a b", "%s%n", "[", "[::", "x" * 64),
    *("\u00fc" * 60, "\u0660" * 254, "\u05d0a", "xn--\u00fc", "xn--a", "xn--", ".", "..", "a..b"),
    *("." * 10**6, "\u00ad" * 10**6, "[" * 10**6, "\U0001f44d.example", "a\n", "-a", "a-"),
)
PEERS: Final = (
    *("10.0.0.7", "::ffff:10.0.0.7", "[2001:db8::7]:25", "fe80::1%eth0"),
    *(("10.0.0.7", 25), ("::1", 25, 0, 0), ip_address("10.0.0.7"), ip_address("::1")),
)
PLACES: Final = ("mx", "10.1.2.3:25", "[::ffff:10.1.2.3]:25", ("2001:db8::25", 25, 0, 0), "a:b")
FOREIGN_CHARSETS: Final = (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
    b"--b\nContent-Type: message/global-delivery-status; charset=shift_jis\n\n"
    b"Reporting-MTA: dns; a\nContent-Type: text/plain; charset=euc_kr\n\n\xff\n--b--\n"
)
MESSAGES: Final = [  # a parser makes them, which is none of ours
    message_from_bytes(content, policy=how)
    for path in sorted((Path(__file__).parent / "data" / "reports").rglob("*.eml"))
    for how in (compat32, default)
    for content in (path.read_bytes(), FOREIGN_CHARSETS)
]
POLICIES: Final[list[Policy]] = []
ANSWERS: Final[list[Any]] = []


def load_documents() -> None:
    PolicyConfig.from_toml(GUIDE, LATER.encode())
    PolicyConfig.from_json(AS_JSON, "\ufeff{}".encode())
    PolicyConfig.from_mapping({"example.com": {"relay_from": ["any"]}}, {"a": ListenerDomain()})
    listeners = EsmtpListener.from_toml(LISTENERS)
    for dialect in Dialect:
        policy = Policy.from_toml(GUIDE, LATER, listeners=listeners, dialect=dialect)
        POLICIES.extend((policy, Policy.from_json(AS_JSON, relay_hosts=[], dialect=dialect)))
        Policy.from_mapping({"example.com": {}}, relay_hosts=["10.0.0.0/8", "::1"])
        Policy(PolicyConfig(), dialect=dialect)


def build_models() -> None:
    ListenerDomain(relay_to=True, relay_from=CidrSet(["10.0.0.0/8"]), log_oob=True)
    ListenerDomain.model_validate({"relay_from": ["10.0.0.1"], "log_fbl": "Ignore", "ttl": 5})
    EsmtpListener(listen="mx", relay_hosts=CidrSet.parse(["any"]))
    config = PolicyConfig.model_validate({"entries": {"*": {"Example.com": {"log_oob": True}}}})
    PolicyConfig.merge(config, config).merge(config)
    blocks = CidrSet(["10.0.0.0/8"]) | CidrSet([ip_address("::1")])
    ANSWERS.extend((blocks & blocks, blocks - blocks, blocks ^ blocks, tuple(blocks)))
    ANSWERS.extend(("10.1.1.1" in blocks, blocks <= CidrSet(), repr(blocks.to_list())))


def decide() -> None:
    ANSWERS.extend(
        policy.decide(listener, peer, domain, auth)
        for policy in POLICIES
        for listener in PLACES
        for peer in PEERS
        for domain in DOMAINS[:4]
        for auth in (None, "ann", "\ud800")
    )
    questions = [Request("mx", "::1", domain) for domain in DOMAINS]
    ANSWERS.extend(policy.decide(*question) for policy in POLICIES for question in questions)


def decide_rcpt() -> None:
    for policy in POLICIES:
        for domain in DOMAINS:
            for auth in (None, "ann", domain):
                answer = policy.decide_rcpt("mx", "::1", f"<a@{domain}>", f"b@{domain}", auth)
                ANSWERS.extend((answer, answer.reply, answer.reason, answer.sender.reason))
                ANSWERS.extend(answer.after_data(report) for report in (None, *Report))


def classify_messages() -> None:
    found = [classify(message) for message in MESSAGES]
    if set(found) != {None, *Report}:
        raise AssertionError(found)
    for policy in POLICIES:
        answer = policy.decide_rcpt("mx", "::1", "", "b@example.com")
        ANSWERS.extend(answer.after_data(report) for report in found)


def connect() -> None:
    for policy in POLICIES:
        connection = policy.connection(("10.1.2.3", 25), ("10.0.0.7", 4711)).authenticated("ann")
        ANSWERS.extend((connection.peer_address, connection.in_relay_hosts, repr(connection)))
        ANSWERS.extend((connection.decide("b\u00fccher.example"), connection.decide_rcpt("", "x")))


def resolve() -> None:
    ANSWERS.extend(policy.resolve("mx", domain) for policy in POLICIES for domain in DOMAINS)
    ANSWERS.extend(policy.relay_hosts_at(listener) for policy in POLICIES for listener in PLACES)


def explain() -> None:
    for policy in POLICIES:
        for domain in DOMAINS:
            for explanation in (
                policy.explain("mx", "::1", domain, domain),
                policy.explain_rcpt("0.0.0.0:25", "10.9.0.1", f"a@{domain}", f"<b@{domain}>"),
                policy.explain_rcpt("[2001:db8::25]:25", "192.0.2.1", domain, "<>", "ann"),
            ):
                ANSWERS.extend((explanation, str(explanation), str(explanation.to_dict())))


def lint_policies() -> None:
    for policy in POLICIES:
        findings = lint(policy, routing_domains={"example.com": "mx"}, progress=max)
        ANSWERS.extend((str(finding), str(finding.to_dict())) for finding in findings)


def compare_and_search() -> None:
    before, after = POLICIES[0], POLICIES[-1]
    found = diff(before, after)
    ANSWERS.extend((equivalent(before, after), str(found), str(found.to_dict())))
    ANSWERS.extend(cells(before, after, blocks=["10.0.0.0/8"], domains=["*.b\u00fccher.example"]))
    ANSWERS.append(find(before, lambda request, decision: decision.may_send and not request.auth))
    ANSWERS.append(find_rcpt(after, lambda request, decision: decision.relay and not request))


def ask_hooks() -> None:
    def hook(domain: str, _listener: str, _connection: Connection) -> ListenerDomain | None:
        return ListenerDomain(relay_to=True) if domain else None

    for dialect in Dialect:
        policy = HookPolicy(hook, relay_hosts=["192.0.2.0/24"], dialect=dialect)
        for domain in DOMAINS:
            ANSWERS.extend((policy.decide("mx", "::1", domain), canonical_domain(domain)))
            ANSWERS.extend((policy.decide_rcpt("mx", "::1", domain, domain, "ann"),))
            ANSWERS.append(envelope_domain(f"a@{domain}"))
        entry = ListenerDomain(log_oob=True)
        evaluated = evaluate(entry, "10.0.0.7", "ann", relay_hosts=["10.0.0.0/8"], dialect=dialect)
        ANSWERS.append(combine(evaluated, evaluated, dialect=dialect))


def pickle_copy_compare() -> None:
    answers = {repr(answer): answer for answer in ANSWERS}
    things = [*answers.values(), *Dialect, CidrSet(["any"]), ListenerDomain()]
    for policy in POLICIES:
        things += (policy, policy.config, policy.listeners, policy.relay_hosts, policy.fingerprint)
    for thing in things:
        for clone in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
            if clone != thing or hash(clone) != hash(thing):
                raise AssertionError(repr(thing))
        repr(thing)
        str(thing)


def write_documents() -> None:
    for policy in POLICIES:
        if PolicyConfig.from_toml(policy.config.to_toml()) != policy.config:
            raise AssertionError(policy.config)
        PolicyConfig.from_mapping(policy.config.to_mapping())
        policy.config.model_dump_json()


def write_json_schema() -> None:
    PolicyConfig.json_schema()
    expectations_json_schema()


EXPECTATIONS: Final = """
[defaults]
listener = ["mx", "[2001:db8::25]:25"]
peer = ["10.0.0.7", "::1"]
auth = [false, "ann"]
sender = "ann@send.B\u00dcCHER.example"
[[expect]]
name = "holds or fails"
recipient = ["bob@example.com", "", "<Postmaster>"]
result = "accepted"
sender_entry = { listener = "mx", pattern = "*.b\u00fccher.example" }
arf_report = "logged and dropped"
[[expect]]
name = "about a domain"
domain = ["", "example.com", "[IPv6:::1]"]
may_send = false
entry = false
log_oob = "Ignore"
"""


def check_expectations() -> None:
    for policy in POLICIES:
        report = run_expectations(policy, EXPECTATIONS.encode())
        if report.passed or not report.results:
            raise AssertionError(report)
        ANSWERS.append((report, str(report), repr(report), str(report.to_dict())))
        ANSWERS.append((report.untouched, report.coverage, str(report.results[0])))


DELEGATED: Final = b"""\
request=smtpd_access_policy
protocol_state=RCPT
client_address=10.0.0.7
server_address=::ffff:10.1.2.3
server_port=25
sender=
recipient=b@\xffexample.com
sasl_username=ann

"""


def answer_postfix() -> None:
    for policy in POLICIES:
        parser = RequestParser()
        for portion in (DELEGATED[:9], DELEGATED[9:] + DELEGATED.replace(b"\xff", b"")):
            for attributes in parser.feed(portion):
                answer = action(policy, attributes)
                ANSWERS.append((answer.response, repr(answer), rcpt_request(attributes)))
        parser.close()


WRONG_DELEGATED: Final = (b"\n", b"a\n", b"a=\0\n", DELEGATED[:-1] * 2, b"x" * 10**6)


def refuse_postfix() -> None:
    refuse(ProtocolError, lambda octets: list(RequestParser().feed(octets)), WRONG_DELEGATED)
    refuse(RequestError, RequestParser().feed, (None, "a"))
    refuse(ProtocolError, lambda state: action(POLICIES[0], {"protocol_state": state}), ("RCPT", 5))
    refuse(RequestError, lambda policy: action(policy, {}), (None, "policy"))


def refuse(error: type[Exception], ask: Callable[[Any], object], cases: Iterable[Any]) -> None:
    """Ask what must be refused, case by case, and look at the errors from all sides."""
    for case in cases:
        try:
            ask(case)
        except error as caught:
            ANSWERS.append((str(caught), repr(caught), str(caught.__cause__)))
            if isinstance(caught, ConfigError):
                ANSWERS.append(str(pickle.loads(pickle.dumps(caught))))
            if isinstance(caught, ValidationError):
                ANSWERS.extend((repr(caught.errors()), caught.json()))
        else:
            raise AssertionError(f"not refused: {ask!r} {case!r}")


WRONG_OPTIONS: Final = (
    *("relay_too = true", "nonsense = 1", "relay_to = 1", 'relay_to = "true"', "log_oob = 3"),
    *('log_arf = "ignore"', "log_arf = true\nlog_fbl = true", 'relay_from = "any"', "a.b = 1"),
    *('relay_from = ["10.0.0.1/24", 5, "10/8", "*"]', 'relay_from_authz = "ann"', "x = 1.5"),
    *("relay_from_authz = [1]", "relay_to = 1979-05-27", "relay_to = {}", "log_oob = inf"),
)
WRONG_KEYS: Final = (
    "",
    "a.*.com",
    "*.",
    "a b",
    "\uff0a.com",
    "*.[::1]",
    "a@b",
    "x" * 300,
    "\u2603",
)
WRONG_LISTENERS: Final = ("", "10.0.0.1", "1.2.3:25", "[::1]", "::1", "10.0.0.1:99999")
WRONG_TOML: Final[tuple[Any, ...]] = (
    *(f'["a.com"]\n{options}\n' for options in WRONG_OPTIONS),
    *(f'["{key}"]\n' for key in WRONG_KEYS),
    *(f'[listener."{key}"."a.com"]\n' for key in WRONG_LISTENERS),
    *('["A.com"]\n["a.com."]\n', "[listener]\nmx = 1", "listener = 1", '"a.com" = 1', "[a.com]"),
    *('["a.com"', "a = " + "[" * 10**5, "a = " + "9" * 5000, "\x00", "a = 1\na = 2", b"\xff"),
    *(b"a = '\xc3'", None, 5, {}, bytearray(b"a")),
)
WRONG_JSON: Final[tuple[Any, ...]] = (
    *("", "[]", "null", "{", '{"a": NaN}', '{"a.com": {"relay_to": true, "relay_to": false}}'),
    *("[" * 10**5, '{"a": %s}' % ("9" * 5000), '{"\\ud800": {}}', b"\xff", 5, "\ufeff\ufeff{}"),
)
WRONG_MAPPINGS: Final[tuple[Any, ...]] = (
    *(None, [], "a", {5: {}}, {"a": []}, {"a": {5: 5}}, {"a": {"x": 10**9999}}),
)
WRONG_LISTENER_FILES: Final = (
    *("a", "a = 1", "[esmtp_listener]", "[[esmtp_listener]]", LISTENERS + LISTENERS),
)


WRONG_EXPECTATIONS: Final = (
    *("", "x = 1", "[expect]", "[[expect]]", "[[expect]]\nnam = 1\npeer = '10/8'\nauth = true"),
    *("[defaults]\npeer = ['x', 1]\nsender = 'x'", "[[expect]]\nname = 'a'\nrelay = 1" * 2),
    *("[[expect]]\nname = ' '\nentry = 'a b'\ndomain = '*'\nlog_oob = true\nresult = 'no'",),
)


def refuse_documents() -> None:
    refuse(ConfigError, lambda text: run_expectations(POLICIES[0], text), WRONG_EXPECTATIONS)
    refuse(ConfigError, lambda policy: run_expectations(policy, EXPECTATIONS), (None, "policy"))
    refuse(ConfigError, Policy.from_toml, WRONG_TOML)
    refuse(ConfigError, lambda text: PolicyConfig.from_toml(GUIDE, text, text), WRONG_TOML)
    refuse(ConfigError, Policy.from_json, WRONG_JSON)
    refuse(ConfigError, Policy.from_mapping, WRONG_MAPPINGS)
    refuse(ConfigError, EsmtpListener.from_toml, WRONG_LISTENER_FILES)


NO_PEERS: Final[tuple[Any, ...]] = (
    *("", "localhost", "10.0.0", "x" * 10**6, ("::1", "25"), (), None, 5, b"::1", [1]),
)
NO_LISTENERS: Final[tuple[Any, ...]] = (
    *("", "*", "10.0.0.1", "[::1]", "1:x", ("::1", 99999), (), None, 5, b"mx", [1]),
)


def refuse_requests() -> None:
    policy = POLICIES[0]
    answer = policy.decide_rcpt("mx", "::1", "", "")
    refuse(RequestError, lambda peer: policy.decide("mx", peer, "a.com"), NO_PEERS)
    refuse(RequestError, lambda place: policy.decide(place, "::1", "a.com"), NO_LISTENERS)
    refuse(RequestError, lambda domain: policy.decide("mx", "::1", domain), (None, 5, b"a"))
    refuse(RequestError, lambda auth: policy.decide("mx", "::1", "a.com", auth), (5, b"ann"))
    refuse(RequestError, lambda name: policy.decide_rcpt("mx", "::1", "", name), (None, 5, b"a"))
    refuse(RequestError, answer.after_data, ("arf", True, b""))
    refuse(RequestError, classify, (None, b"From: a", "", 5, MESSAGES))
    refuse(RequestError, lambda half: combine(answer.sender, half), (None, answer))
    refuse(TypeError, bool, (answer, answer.sender, answer.after_data(None)))


def refuse_arguments() -> None:
    async def hook(*_asked: object) -> None:
        """A hook that must be awaited, which nobody does."""

    config, listener = PolicyConfig(), EsmtpListener(listen="mx")
    asked: Any = HookPolicy(cast("Any", hook))
    wrong_blocks: tuple[Any, ...] = ("10.0.0.0/8", ["10.0.0.1/8", "10.0.0.256", 5], 5, None)
    refuse(ConfigError, Policy, ({"a.com": {}}, None))
    refuse(ConfigError, CidrSet, wrong_blocks)
    refuse(ConfigError, lambda blocks: Policy(config, relay_hosts=blocks), wrong_blocks)
    refuse(ConfigError, lambda given: Policy(config, listeners=given), ([listener] * 2, 5, ["mx"]))
    refuse(ConfigError, lambda name: Policy(config, dialect=name), ("kumomta", None, b"\xff"))
    refuse(ConfigError, HookPolicy, (None, "hook"))
    refuse(PolicyError, lambda domain: asked.decide("mx", "10.0.0.7", domain), ("", "a.com"))
    refuse(PolicyError, lambda options: evaluate(options, "10.0.0.7"), ({}, 5))


WRONG_ENTRIES: Final[tuple[Any, ...]] = (
    *({"relay_to": 1}, {"relay_from": ["10.0.0.1/8"]}, {"relay_from": 5}, {"nonsense": True}),
    *({"relay_from_authz": "ann"}, {"log_oob": "ignore"}, {"log_arf": True, "log_fbl": True}),
)
WRONG_CONFIGS: Final[tuple[Any, ...]] = (
    *({"mx": {"a*": {}}}, {"[::1]": {}}, 5, {"*": {"a.com": {"relay_to": 1}}}),
)


def refuse_models() -> None:
    refuse(ValidationError, ListenerDomain.model_validate, WRONG_ENTRIES)
    refuse(
        ValidationError,
        EsmtpListener.model_validate,
        ({}, {"listen": "::1"}, {"listen": "mx", "relay_hosts": ["x"]}),
    )
    refuse(ValidationError, lambda entries: PolicyConfig(entries=entries), WRONG_CONFIGS)
    refuse(ValidationError, lambda value: setattr(ListenerDomain(), "relay_to", value), (True,))


STEPS: Final = {
    step.__name__: step
    for step in (
        *(load_documents, build_models, decide, decide_rcpt, connect, resolve, explain, ask_hooks),
        *(classify_messages,),
        *(check_expectations, lint_policies, compare_and_search, pickle_copy_compare),
        *(write_documents, write_json_schema, answer_postfix, refuse_postfix),
        *(refuse_documents, refuse_requests, refuse_arguments, refuse_models),
    )
}
"""What is done, in this order; nothing of it may touch the world."""
