"""`test`: whether a policy does what it is expected to do."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from listener_policy._command_line.arguments import Command, Parser, add_policy, policy_source
from listener_policy._command_line.explain import PALETTE
from listener_policy._command_line.inputs import InputPath, Inputs
from listener_policy._command_line.outcome import Outcome, Status
from listener_policy._command_line.terminal import Palette, Progress, Style
from listener_policy.analysis import ExpectationReport, run_expectations
from listener_policy.policy import Policy

__all__ = ["TEST"]

_PALETTE: Final[Palette] = {
    r"^FAILED: .*$": Style.RED,
    r"^[0-9]+ of [0-9]+ expectations? failed\.$": Style.RED,
    r"^[0-9]+ expectations? holds?\b.*$": Style.GREEN,
    **PALETTE,
}
_NO_POLICY: Final = Policy.from_mapping()


class _TestReport:
    """What has become of all expectations, and where they stand."""

    def __init__(self, paths: list[InputPath], report: ExpectationReport) -> None:
        self._paths = paths
        self._report = report

    def to_dict(self) -> dict[str, object]:
        """The report for programs; `document` is an index into `documents`."""
        return {"documents": self._paths, **self._report.to_dict()}

    def __str__(self) -> str:
        return str(self._report)


def _configure(command: Parser) -> None:
    add_policy(command)
    command.add_argument(
        "--expectations",
        metavar="FILE",
        nargs="+",
        action="extend",
        required=True,
        type=InputPath,
        help="what the policy is to answer, TOML; names are unique in all files together",
    )


def _run(options: argparse.Namespace, progress: Progress) -> Outcome:
    progress.says("reading the policy and what is expected of it")
    inputs = Inputs()
    policy = inputs.policy(policy_source(options, options.policy))
    paths: list[InputPath] = options.expectations
    report = _report(inputs, paths, policy or _NO_POLICY)  # so that all problems are told
    inputs.usable(policy)
    report = inputs.usable(report)
    status = Status.FINE if report.passed else Status.FOUND
    return Outcome(status, _TestReport(paths, report), _PALETTE)


def _report(inputs: Inputs, paths: list[InputPath], policy: Policy) -> ExpectationReport | None:
    """What becomes of the expectations in all that can be read."""
    found = [(path, text) for path in paths if (text := inputs.text(path)) is not None]
    if not found:
        return None
    names, texts = zip(*found, strict=True)
    return inputs.checked(partial(run_expectations, policy, *texts), *names)


TEST: Final = Command(
    "test",
    "%(prog)s POLICY... --expectations FILE... [options]",
    "check whether a policy answers as it is expected to",
    """\
Ask the policy every question that the expectations list. Shown is every answer
that is not as expected, with its explanation, and the entries of the policy
that no expectation touches.""",
    _configure,
    _run,
)
