"""What a policy does, what it would do, and what a change of it does: exactly.

A policy tells finitely many classes of questions apart (`listener_policy.analysis.classes` says
which, and why). So what is claimed about all questions there are is decided by asking one of each
class. Nothing is sampled, and nothing is solved: the answers are the policy's own.
"""

from listener_policy.analysis._expectation_tables import expectations_json_schema
from listener_policy.analysis.cells import cells, find
from listener_policy.analysis.changes import Change, Effect, PolicyDiff
from listener_policy.analysis.diff import diff, equivalent
from listener_policy.analysis.expectations import (
    ExpectationReport,
    ExpectationResult,
    FailedQuestion,
    Mismatch,
    run_expectations,
)
from listener_policy.analysis.linting.findings import (
    LINT_CODES,
    Finding,
    LintCode,
    LintRule,
    Severity,
)
from listener_policy.analysis.linting.lint import lint
from listener_policy.analysis.recipients import find_rcpt

__all__ = [
    "LINT_CODES",
    "Change",
    "Effect",
    "ExpectationReport",
    "ExpectationResult",
    "FailedQuestion",
    "Finding",
    "LintCode",
    "LintRule",
    "Mismatch",
    "PolicyDiff",
    "Severity",
    "cells",
    "diff",
    "equivalent",
    "expectations_json_schema",
    "find",
    "find_rcpt",
    "lint",
    "run_expectations",
]


def __dir__() -> list[str]:
    return __all__
