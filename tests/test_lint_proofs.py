"""Proved lint codes: what each claims holds for all questions, and nothing is missed."""

import re
from collections.abc import Iterable, Iterator
from string import ascii_lowercase, digits
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DIALECTS, Written, written_policies

from listener_policy import (
    CidrSet,
    Decision,
    Dialect,
    EntryRef,
    ListenerDomain,
    LogReport,
    Policy,
    RcptRequest,
    Report,
    Request,
    strategies,
)
from listener_policy._display import quoted
from listener_policy.analysis import (
    LINT_CODES,
    Finding,
    LintCode,
    cells,
    equivalent,
    find_rcpt,
    lint,
)
from listener_policy.analysis.linting.findings import entry_path
from listener_policy.analysis.linting.internet import PUBLIC, at_large

OPTIONS = ("relay_to", "relay_from", "relay_from_authz", "log_oob", "log_arf")
UNLISTED = "a listener without entries"
MOST = settings(max_examples=60)
FEW = settings(max_examples=30)

_few_blocks = st.lists(
    st.sampled_from(["10.0.0.0/8", "10.0.0.7", "192.0.2.0/25", "0.0.0.0/1", "::1", "any"]),
    max_size=2,
)
_entries = st.fixed_dictionaries(
    {},
    optional={
        "relay_to": st.booleans(),
        "relay_from": _few_blocks,
        "relay_from_authz": st.sampled_from([[], ["ann"]]),
        "log_oob": st.sampled_from([False, True, "Ignore", "LogThenDrop", "LogThenRelay"]),
        "log_arf": st.sampled_from([False, True, "LogThenRelay"]),
    },
)
_KEYS = [
    *("*", "*.a", "a", "b.a", "*.b.a", "c.b.a", "*.c.b.a", "d.c.b.a", "*.b", "b", "x.b"),
    *("[10.0.0.1]", "listener"),
]
_tables = st.dictionaries(st.sampled_from(_KEYS), _entries, max_size=7)


def _near(
    palette: list[dict[str, Any]],
    tables: dict[str, dict[str, int]],
    relay_hosts: list[str],
    dialect: Dialect,
) -> Policy:
    """A policy whose entries repeat few sets of options, so that many of them say the same."""
    document = {
        "listener": {
            listener: {key: palette[n % len(palette)] for key, n in patterns.items()}
            for listener, patterns in tables.items()
        }
    }
    return Policy.from_mapping(document, relay_hosts=relay_hosts, dialect=dialect)


_near_policies = st.builds(
    _near,
    st.lists(_entries, min_size=1, max_size=3),
    st.dictionaries(
        st.sampled_from(["*", "mx", "10.1.2.3:25"]),
        st.dictionaries(st.sampled_from(_KEYS), st.integers(0, 2), max_size=7),
        max_size=3,
    ),
    _few_blocks,
    st.sampled_from(Dialect),
)
policies = _near_policies | strategies.policies() | written_policies.map(Written.policy)


def refs(policy: Policy) -> Iterator[tuple[EntryRef, ListenerDomain]]:
    """The entries of a policy, with where they are written."""
    for listener, table in policy.config.entries.items():
        for pattern, options in table.items():
            yield EntryRef(listener, pattern), options


def found(policy: Policy, *codes: LintCode) -> list[Finding]:
    """The findings of some codes."""
    return [finding for finding in lint(policy) if finding.code in codes]


def paths(findings: Iterable[Finding]) -> set[str]:
    return {finding.path for finding in findings}


def with_options(policy: Policy, ref: EntryRef, options: ListenerDomain | None) -> Policy:
    """The policy with other options for an entry, or without it."""
    tables = {name: dict(table) for name, table in policy.config.entries.items()}
    if options is None:
        del tables[ref.listener][ref.pattern]
    else:
        tables[ref.listener][ref.pattern] = options
    return Policy.from_mapping(
        {"listener": tables},
        relay_hosts=policy.relay_hosts,
        listeners=policy.listeners,
        dialect=policy.dialect,
    )


def in_dialect(policy: Policy, dialect: Dialect) -> Policy:
    return Policy(
        policy.config,
        relay_hosts=policy.relay_hosts,
        listeners=policy.listeners,
        dialect=dialect,
    )


def governs(policy: Policy, ref: EntryRef) -> bool:
    """Whether an entry governs anything: then it matters who is listed there."""
    marked = ListenerDomain(relay_from_authz=frozenset({"a mark that is nowhere else"}))
    return not equivalent(policy, with_options(policy, ref, marked))


def answer(decision: Decision) -> list[object]:
    return [decision.relay_hosts, *(getattr(decision, option) for option in OPTIONS)]


def rcpt(finding: Finding) -> RcptRequest:
    assert isinstance(finding.witness, RcptRequest)
    return finding.witness


def asked(finding: Finding) -> Request:
    assert isinstance(finding.witness, Request)
    return finding.witness


@MOST
@given(policies)
def test_every_witness_is_a_question_that_can_be_explained(policy: Policy) -> None:
    findings = lint(policy)
    for finding in findings:
        if isinstance(finding.witness, RcptRequest):
            policy.explain_rcpt(*finding.witness)
        elif finding.witness is not None:
            policy.explain(*finding.witness)
        assert finding.severity == LINT_CODES[finding.code].severity
        assert "\n" not in finding.message + finding.hint
        assert finding.message[0] == finding.message[0].lower()
    assert len({(finding.code, finding.path) for finding in findings}) == len(findings)
    assert lint(policy) == findings == tuple(sorted(findings, key=lambda finding: finding.rank))


@MOST
@given(policies)
def test_redundant_entry_is_one_without_which_all_answers_are_the_same(policy: Policy) -> None:
    redundant = paths(found(policy, LintCode.REDUNDANT_ENTRY))
    unreachable = paths(found(policy, LintCode.UNREACHABLE_ENTRY))
    for ref, options in refs(policy):
        path = entry_path(ref)
        grants = any(
            getattr(options, name) not in (False, "Ignore") and getattr(options, name)
            for name in OPTIONS
        )
        same = equivalent(policy, with_options(policy, ref, None))
        if path in redundant:
            assert same
        elif same:
            assert path in unreachable or (ref.pattern == "*" and not grants)


@FEW
@given(policies)
def test_unreachable_entry_is_one_whose_options_do_not_matter(policy: Policy) -> None:
    unreachable = paths(found(policy, LintCode.UNREACHABLE_ENTRY))
    for ref, _ in refs(policy):
        assert (entry_path(ref) in unreachable) is not governs(policy, ref)


LONG = ".".join(["x" * 63] * 3 + ["y" * 59])
"""A suffix below which there is room for one more letter."""


@pytest.mark.parametrize("listener", ["*", "mx"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("missing", ["", "_", "q"])
def test_unreachable_entry_if_every_name_below_is_taken(
    dialect: Dialect, listener: str, missing: str
) -> None:
    assert len(LONG) == 251
    names = [f"{letter}.{LONG}" for letter in ascii_lowercase + digits + "_" if letter != missing]
    table: dict[str, Any] = {name: {"relay_to": True} for name in names}
    table[f"*.{LONG}"] = {"relay_from": ["192.0.2.1"]}
    policy = Policy.from_mapping({"listener": {listener: table}}, dialect=dialect)
    ref = EntryRef(listener, f"*.{LONG}")
    expected = set[str]() if missing else {entry_path(ref)}
    assert paths(found(policy, LintCode.UNREACHABLE_ENTRY)) == expected
    assert governs(policy, ref) is bool(missing)


@MOST
@given(policies)
def test_open_relay_lets_strangers_relay_to_anywhere(policy: Policy) -> None:
    findings = found(policy, LintCode.OPEN_RELAY)
    for finding in findings:
        request = rcpt(finding)
        decision = policy.decide_rcpt(*request)
        assert decision.relay
        assert request.auth is None
        if finding.path.endswith(".relay_to"):
            assert decision.recipient.entry is not None
            assert decision.recipient.entry.pattern == "*"
        else:
            assert request.peer in PUBLIC
    listed = {listener.listen: n for n, listener in enumerate(policy.listeners)}
    expected = {"relay_hosts"} if at_large(policy.relay_hosts.bounds) else set[str]()
    for listener in policy.listeners:
        if listener.relay_hosts is not None and at_large(listener.relay_hosts.bounds):
            expected.add(f"listeners[{listed[listener.listen]}].relay_hosts")
    for ref, options in refs(policy):
        if governs(policy, ref):
            if at_large(options.relay_from.bounds):
                expected.add(f"{entry_path(ref)}.relay_from")
            if ref.pattern == "*" and options.relay_to:
                expected.add(f"{entry_path(ref)}.relay_to")
    assert paths(findings) == expected


@FEW
@given(policies)
def test_open_relay_is_missing_only_where_no_stranger_relays(policy: Policy) -> None:
    """No sender has an unusual share of the internet, and nobody relays to what nothing names."""
    if found(policy, LintCode.OPEN_RELAY):
        return
    for request in cells(policy):
        match = policy.resolve(request.listener, request.domain)
        hosts = policy.relay_hosts_at(request.listener)
        assert not at_large(hosts.bounds)
        assert match is None or not at_large(match.options.relay_from.bounds)
        decision = policy.decide(*request)
        unnamed = match is None or match.entry.pattern == "*"
        assert not (unnamed and decision.may_receive and not decision.relay_hosts)


REPORTS = {"log_oob": Report.OOB, "log_arf": Report.ARF}


@MOST
@given(policies)
def test_reports_are_accepted_relayed_or_dropped_as_is_claimed(policy: Policy) -> None:
    codes = (
        LintCode.OPEN_REPORT_RELAY,
        LintCode.ACCEPTS_ANY_RCPT,
        LintCode.REPORT_WITHOUT_RELAY_TO,
    )
    findings = found(policy, *codes)
    for finding in findings:
        path, _, option = finding.path.rpartition(".")
        decision = policy.decide_rcpt(*rcpt(finding))
        report = decision.after_data(REPORTS[option])
        assert decision.recipient.entry is not None
        assert entry_path(decision.recipient.entry) == path
        assert decision.accept
        assert not decision.relay
        assert report.log
        if finding.code is not LintCode.REPORT_WITHOUT_RELAY_TO:
            assert decision.recipient.entry.pattern == "*"
            assert report.relay is (finding.code is LintCode.OPEN_REPORT_RELAY)
        else:
            assert decision.recipient.log_oob or decision.recipient.log_arf
            assert report.relay is (policy.dialect is Dialect.KUMOMTA)
    reported = {(finding.code, finding.path) for finding in findings}
    for request in cells(policy):
        of_domain = policy.decide(*request)
        entry = of_domain.entry
        null_sender = policy.decide(request.listener, request.peer, "", request.auth)
        if entry is None or null_sender.may_send or of_domain.relay_to:
            continue
        if entry.listener == "*" and request.listener in policy.config.entries:
            continue  # said of listeners where no table hides the entry
        address = f"a@{request.domain}" if request.domain else "postmaster"
        decision = policy.decide_rcpt(request.listener, request.peer, "<>", address, request.auth)
        for option, kind in REPORTS.items():
            after = decision.after_data(kind)
            path = f"{entry_path(entry)}.{option}"
            if after.log and entry.pattern == "*":
                code = LintCode.OPEN_REPORT_RELAY if after.relay else LintCode.ACCEPTS_ANY_RCPT
                assert (code, path) in reported
            if getattr(of_domain, option) is LogReport.LOG_THEN_RELAY:
                assert {
                    (LintCode.REPORT_WITHOUT_RELAY_TO, path),
                    (LintCode.OPEN_REPORT_RELAY, path),
                } & reported


@FEW
@given(policies)
def test_accepts_any_rcpt_is_missing_only_if_no_such_rcpt_is_accepted(policy: Policy) -> None:
    codes = (LintCode.OPEN_REPORT_RELAY, LintCode.ACCEPTS_ANY_RCPT, LintCode.OPEN_RELAY)
    if found(policy, *codes):
        return
    literals = [ref.pattern for ref, _ in refs(policy) if ref.pattern != "*"]

    def accepted(_request: RcptRequest, decision: Any) -> bool:
        recipient = decision.recipient.entry
        return bool(
            decision.accept
            and not decision.relay
            and recipient is not None
            and recipient.pattern == "*"
        )

    request = find_rcpt(policy, accepted, domains=literals)
    assert request is None


@MOST
@given(policies)
def test_boolean_log_is_wherever_true_governs(policy: Policy) -> None:
    findings = found(policy, LintCode.BOOLEAN_LOG)
    expected = {
        f"{entry_path(ref)}.{option}"
        for ref, options in refs(policy)
        for option in REPORTS
        if getattr(options, option) is True and governs(policy, ref)
    }
    assert paths(findings) == expected
    for finding in findings:
        option = finding.path.rpartition(".")[2]
        answers = [in_dialect(policy, one).decide(*asked(finding)) for one in Dialect]
        assert [getattr(one, option) for one in answers] == ["LogThenDrop", "LogThenRelay"]
        (own,) = (one for one in answers if one == policy.decide(*asked(finding)))
        assert own.entry is not None
        assert getattr(own, option) in finding.hint
        assert f"{entry_path(own.entry)}.{option}" == finding.path


@MOST
@given(policies)
def test_ttl_has_no_effect(policy: Policy) -> None:
    ignored = paths(found(policy, LintCode.TTL_IGNORED))
    for ref, options in refs(policy):
        written = "ttl" in options.model_fields_set
        assert (f"{entry_path(ref)}.ttl" in ignored) is (written and governs(policy, ref))
        if written:
            others = {name: getattr(options, name) for name in options.model_fields_set - {"ttl"}}
            assert equivalent(policy, with_options(policy, ref, ListenerDomain(**others)))


@FEW
@given(policies)
def test_block_in_relay_hosts_changes_nothing_about_relaying(policy: Policy) -> None:
    findings = found(policy, LintCode.BLOCK_IN_RELAY_HOSTS)
    blocks = {f.path: CidrSet(re.findall(r"`([^`]*[.:][^`]*)`", f.message)) for f in findings}
    for finding in findings:
        decision = policy.decide(*asked(finding))
        assert decision.relay_hosts
        assert decision.relay_from
    for request in cells(policy, blocks=list(blocks.values())):
        decision = policy.decide(*request)
        inside = blocks.get(
            "" if decision.entry is None else f"{entry_path(decision.entry)}.relay_from"
        )
        if inside is not None and request.peer in inside:
            assert decision.relay_from
            assert decision.relay_hosts


@FEW
@given(policies)
def test_block_in_relay_hosts_is_found_if_the_listener_is_the_only_one(policy: Policy) -> None:
    if policy.listeners:
        return
    reported = paths(found(policy, LintCode.BLOCK_IN_RELAY_HOSTS))
    for ref, options in refs(policy):
        inside = any(CidrSet([block]) <= policy.relay_hosts for block in options.relay_from)
        assert (f"{entry_path(ref)}.relay_from" in reported) is (inside and governs(policy, ref))


@MOST
@given(policies)
def test_name_hides_grant_is_what_a_wildcard_would_grant(policy: Policy) -> None:
    findings = {f.path: f for f in found(policy, LintCode.NAME_HIDES_GRANT)}
    seen: set[EntryRef] = set()
    for request in cells(policy):
        match = policy.resolve(request.listener, request.domain)
        if match is None or match.entry in seen:
            continue
        seen.add(match.entry)
        instead = with_options(policy, match.entry, None).resolve(request.listener, request.domain)
        missing = set[str]()
        if (
            instead is not None
            and instead.entry.listener == match.entry.listener
            and instead.entry.pattern != "*"
        ):
            missing = {
                option
                for option in OPTIONS
                if option not in match.options.model_fields_set
                and getattr(instead.options, option) not in (False, LogReport.IGNORE)
                and getattr(instead.options, option)
            }
        finding = findings.pop(entry_path(match.entry), None)
        assert (finding is not None) is bool(missing)
        if finding is not None and instead is not None:
            assert {o for o in OPTIONS if f"`{o}`" in finding.message} == missing
            witness = asked(finding)
            without = with_options(policy, match.entry, None)
            option = next(option for option in OPTIONS if option in missing)
            assert not getattr(policy.decide(*witness), option)
            assert getattr(without.decide(*witness), option)
            assert without.decide(*witness).entry == instead.entry
    assert findings == {}


@MOST
@given(policies)
def test_listener_hides_what_listener_star_says(policy: Policy) -> None:
    grants = {f.path: f for f in found(policy, LintCode.LISTENER_HIDES_GRANT)}
    refusals = {f.path: f for f in found(policy, LintCode.LISTENER_HIDES_REFUSAL)}
    entries = policy.config.entries
    for findings, here in ((grants, False), (refusals, True)):
        for finding in findings.values():
            witness = asked(finding)
            there = policy.decide(UNLISTED, *witness[1:])
            assert there.entry is not None
            option = next(o for o in OPTIONS if f"`{o}` (" in finding.message)
            assert bool(getattr(policy.decide(*witness), option)) is here
            assert bool(getattr(there, option)) is not here
            assert quoted(there.entry.pattern) in finding.message
    patterns = [ref.pattern for ref, _ in refs(policy)]
    for request in cells(policy, domains=patterns, listeners=[UNLISTED]):
        own = policy.resolve(request.listener, request.domain)
        shared = policy.resolve(UNLISTED, request.domain)
        if own is None or shared is None or own.entry.listener == "*":
            continue
        for option in OPTIONS:
            a = getattr(entries[own.entry.listener][own.entry.pattern], option)
            b = getattr(shared.options, option)
            grants_a = bool(a) and a is not LogReport.IGNORE
            grants_b = bool(b) and b is not LogReport.IGNORE
            path = entry_path(own.entry)
            if grants_b and option not in own.options.model_fields_set:
                assert f"`{option}` (" in grants[path].message
            if grants_a and not grants_b and option in shared.options.model_fields_set:
                more_specific = own.entry.pattern == "*" and shared.entry.pattern != "*"
                if more_specific:
                    assert f"`{option}` (" in refusals[path].message


@MOST
@given(policies)
def test_dialects_differ_is_wherever_another_entry_governs_and_says_else(policy: Policy) -> None:
    findings = {f.path: f for f in found(policy, LintCode.DIALECTS_DIFFER)}
    documented, kumomta = (in_dialect(policy, dialect) for dialect in Dialect)
    for path, finding in findings.items():
        a, b = (one.decide(*asked(finding)) for one in (documented, kumomta))
        assert a.entry is not None
        assert entry_path(a.entry) == path
        assert a.entry != b.entry
        assert answer(a) != answer(b)
    for request in cells(documented, kumomta):
        a, b = (one.decide(*request) for one in (documented, kumomta))
        if a.entry != b.entry and answer(a) != answer(b):
            assert a.entry is not None
            assert entry_path(a.entry) in findings
