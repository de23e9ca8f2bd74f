"""What users write to analyse policies, as type checkers see it.

As in `test_typing`, the statements matter to mypy and pyright first: what is written here is what
must stay writable, and `type: ignore` marks what must stay an error.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import pytest

from listener_policy import (
    CidrSet,
    ConfigError,
    Decision,
    Dialect,
    EntryRef,
    Explanation,
    LogReport,
    Policy,
    PolicyConfig,
    RcptDecision,
    RcptExplanation,
    RcptRequest,
    Request,
    RequestError,
    analysis,
)
from listener_policy.analysis import (
    LINT_CODES,
    Change,
    Effect,
    ExpectationReport,
    ExpectationResult,
    FailedQuestion,
    Finding,
    LintCode,
    LintRule,
    Mismatch,
    PolicyDiff,
    Severity,
    cells,
    diff,
    equivalent,
    expectations_json_schema,
    find,
    find_rcpt,
    lint,
    run_expectations,
)

BEFORE = Policy.from_mapping({"*": {"log_oob": True}})
AFTER = Policy.from_mapping(
    {"example.com": {"relay_from": ["10.0.0.0/8"], "relay_from_authz": ["ann"]}}
)


def test_representatives() -> None:
    assert_type(cells(BEFORE, AFTER), Iterator[Request])
    network = CidrSet(["192.0.2.0/24"])
    for request in cells(
        AFTER,
        blocks=["10.1.0.0/16", network],
        domains=("*.example.com", ""),
        identities={"ann", None},
        listeners=["mx", ("10.1.2.3", 25)],
    ):
        assert_type(AFTER.decide(*request), Decision)
    with pytest.raises(RequestError, match=r"\Ablocks\[0\]: "):
        cells(AFTER, blocks=[25])  # type: ignore[list-item]


def test_searching() -> None:
    def may_send(request: Request, decision: Decision) -> bool:
        return request.auth is None and decision.may_send

    def accepts(request: RcptRequest, decision: RcptDecision) -> bool:
        return request.sender == "<>" and decision.accept

    assert_type(find(BEFORE, may_send), Request | None)
    assert_type(find(BEFORE, lambda _, decision: decision.may_send, domains=["*"]), Request | None)
    assert_type(find_rcpt(BEFORE, accepts, listeners=["mx"]), RcptRequest | None)
    with pytest.raises(AttributeError):
        find(BEFORE, accepts)  # type: ignore[arg-type]


def test_differences() -> None:
    assert_type(equivalent(BEFORE, AFTER), bool)
    found = diff(BEFORE, AFTER)
    assert_type(found, PolicyDiff)
    assert_type(found.changes, tuple[Change, ...])
    assert_type((found.widens, found.narrows), tuple[bool, bool])
    assert_type(found.to_dict(), dict[str, object])
    assert bool(found)
    for change in found.changes:
        assert_type(change.listeners, tuple[str, ...])
        assert_type(change.domains, tuple[str, ...])
        assert_type((change.before, change.after), tuple[EntryRef | None, EntryRef | None])
        assert_type((change.gained, change.lost), tuple[CidrSet, CidrSet])
        assert_type(change.gained_identities, tuple[str, ...])
        assert_type(change.lost_identities, tuple[str, ...])
        assert_type(change.relay_to, tuple[bool, bool] | None)
        assert_type(change.log_oob, tuple[LogReport, LogReport] | None)
        assert_type(change.log_arf, tuple[LogReport, LogReport] | None)
        assert_type(change.dialects, tuple[Dialect, Dialect] | None)
        assert_type(change.strangers, Effect)
        assert_type(change.effects, dict[str, Effect])
        assert_type(change.witness, Request)
        assert BEFORE.decide(*change.witness) != AFTER.decide(*change.witness)
        with pytest.raises(AttributeError):
            change.witness = Request("mx", "::1", "")  # type: ignore[misc]


EXPECTATIONS = """
[[expect]]
name = "strangers cannot relay"
listener = "mx"
peer = "10.0.0.7"
sender = ""
recipient = "bob@example.net"
result = "accepted"
"""


def test_expectations() -> None:
    report = run_expectations(AFTER, EXPECTATIONS)
    assert_type(report, ExpectationReport)
    assert_type(run_expectations(AFTER, EXPECTATIONS.encode()).passed, bool)
    assert_type(report.failed, tuple[ExpectationResult, ...])
    assert_type(report.entries, tuple[EntryRef, ...])
    assert_type(report.untouched, tuple[EntryRef, ...])
    assert_type(report.touched, frozenset[EntryRef])
    assert_type(report.coverage, float)
    assert_type((report.to_dict(), str(report)), tuple[dict[str, object], str])
    (result,) = report.results
    assert_type((result.name, result.path), tuple[str, str])
    assert_type((result.document, result.passed), tuple[int, bool])
    assert_type(result.requests, tuple[Request | RcptRequest, ...])
    (failure,) = result.failures
    assert_type(failure, FailedQuestion)
    assert_type(failure.request, Request | RcptRequest)
    assert_type(failure.mismatches, tuple[Mismatch, ...])
    assert_type(failure.explanation, Explanation | RcptExplanation)
    (mismatch,) = failure.mismatches
    assert_type(mismatch.key, str)
    assert_type(mismatch.found, bool | str | EntryRef | None)
    assert_type(expectations_json_schema(), dict[str, object])
    with pytest.raises(TypeError):
        bool(report)
    with pytest.raises(AttributeError):
        report.results = ()  # type: ignore[misc]
    with pytest.raises(ConfigError):
        run_expectations(PolicyConfig(), EXPECTATIONS)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        run_expectations(BEFORE)  # type: ignore[call-arg]


def test_findings() -> None:
    routes = {"*.example.com": "mx.example.com"}
    findings = lint(Policy.from_mapping({"*": {"relay_to": True}}), routing_domains=routes)
    assert_type(findings, tuple[Finding, ...])
    for finding in findings:
        assert_type(finding.code, LintCode)
        assert_type(finding.severity, Severity)
        assert_type(finding.witness, Request | RcptRequest | None)
        assert_type(finding.to_dict(), dict[str, object])
        assert_type(LINT_CODES[finding.code], LintRule)
        code: str = finding.code
        assert (code, finding.proved) == ("open-relay", True)
    assert_type(lint(Policy.from_toml(""), progress=print), tuple[Finding, ...])
    with pytest.raises(ConfigError):
        lint(Policy.from_toml(""), routing_domains=["a.com"])  # type: ignore[arg-type]


def test_every_public_name_is_written_here() -> None:
    tree = ast.parse(Path(__file__).read_bytes())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used >= set(analysis.__all__)
