"""`check`: whether a policy can be used, and what is wrong or suspicious about it."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final, NamedTuple, cast

from listener_policy._command_line.arguments import Command, Parser, add_policy, policy_source
from listener_policy._command_line.inputs import InputPath, Inputs, PolicySource
from listener_policy._command_line.outcome import Outcome, Status
from listener_policy._command_line.terminal import Palette, Progress, Style
from listener_policy._display import printable
from listener_policy._documents import parse_toml
from listener_policy._problems import ProblemList
from listener_policy.analysis import Finding, LintCode, Severity, lint
from listener_policy.analysis.linting.findings import entry_path, table_path
from listener_policy.config import PolicyConfig
from listener_policy.decision import EntryRef
from listener_policy.errors import ConfigError
from listener_policy.policy import Policy
from listener_policy.questions import explain_arguments

__all__ = ["CHECK"]

_PALETTE: Final[Palette] = {
    r"(?<=: )error(?=: )": Style.RED,
    r"(?<=: )warning(?=: )": Style.YELLOW,
    r"(?<=: )notice(?=: )": Style.CYAN,
    r"\[[a-z-]+\]$": Style.BOLD,
}
_NO_POLICY: Final = Policy.from_mapping()
_ROUTES: Final = "routing_domains."
_RELAY_HOSTS: Final = "relay_hosts"
_LISTENERS: Final = "listeners["
_ESMTP_LISTENERS: Final = "esmtp_listener["
_SEVERITIES: Final = tuple(Severity)


def _configure(command: Parser) -> None:
    add_policy(command)
    command.add_argument(
        "--routing-domains",
        metavar="FILE",
        type=InputPath,
        help="the routes that mail takes, name or pattern = next hop in TOML; if given, domains "
        "with relay_to are found that have none",
    )
    command.add_argument(
        "--severity",
        choices=[severity.value for severity in _SEVERITIES],
        default=_SEVERITIES[-1].value,
        help="the least severity that counts as a finding (default: %(default)s)",
    )
    command.add_argument(
        "--ignore",
        metavar="CODE",
        nargs="+",
        action="extend",
        choices=[code.value for code in LintCode],
        default=[],
        help="findings that are meant to be so, by the code in brackets: open-relay, for example",
    )


def _run(options: argparse.Namespace, progress: Progress) -> Outcome:
    progress.says("reading the policy")
    inputs = Inputs()
    source = policy_source(options, options.policy)
    policy = inputs.policy(source)
    routes: Mapping[str, str] | None = None
    if options.routing_domains is not None:
        routes = inputs.load(options.routing_domains, _routing_domains)
    policy = inputs.usable(policy)

    def looked_at(done: int, total: int) -> None:
        progress.says(f"checking {done:,} of {total:,} entries")

    findings = lint(policy, routing_domains=routes, progress=looked_at)
    counting = _SEVERITIES[: _SEVERITIES.index(Severity(options.severity)) + 1]
    kept = [
        finding
        for finding in findings
        if finding.code not in options.ignore and finding.severity in counting
    ]
    entries = sum(map(len, policy.config.entries.values()))
    place = _Sources(source, inputs.configs).place
    report = _CheckReport(entries, [*map(place, kept)], len(findings) - len(kept))
    return Outcome(Status.FOUND if kept else Status.FINE, report, _PALETTE)


def _routing_domains(text: bytes) -> Mapping[str, str]:
    """The next hops of a document. Raises `ConfigError` with all that is wrong with them."""
    problems = ProblemList()
    table = parse_toml(text, 0, problems)
    problems.raise_if_any()
    routes = cast("Mapping[str, str]", table)
    try:
        lint(_NO_POLICY, routing_domains=routes)  # where there is nothing else to look at
    except ConfigError as error:
        raise ConfigError(
            tuple(
                replace(problem, path=problem.path.removeprefix(_ROUTES))
                for problem in error.problems
            )
        ) from None
    return routes


class _Placed(NamedTuple):
    """A finding, and where on the command line and in which file its path leads."""

    file: str
    path: str
    finding: Finding


class _Sources:
    """The files that a policy was made of."""

    def __init__(self, source: PolicySource, configs: Mapping[InputPath, PolicyConfig]) -> None:
        self._source = source
        self._configs = configs

    def place(self, finding: Finding) -> _Placed:
        """Where the path of a finding leads."""
        path = finding.path
        if path.startswith(_LISTENERS):
            file = self._source.listeners or ""
            return _Placed(file, path.replace(_LISTENERS, _ESMTP_LISTENERS, 1), finding)
        if path.startswith(_RELAY_HOSTS):
            rest = path.removeprefix(_RELAY_HOSTS)
            return _Placed(self._source.relay_host_option, rest, finding)
        return _Placed(self._file(path), path, finding)

    def _file(self, path: str) -> InputPath:
        """The last file that has a say about an entry, or about an option of it (rule 2.8)."""
        files = self._source.paths
        if len(files) == 1:
            return files[0]
        prefixes = (path[:end] for end in range(len(path), 0, -1))
        table = next((prefix for prefix in prefixes if prefix in self._writers), "")
        writers = self._writers.get(table, [(files[-1], set[str]())])
        written = re.match(r"\.(\w+)", path.removeprefix(table))
        option = written[1] if written else ""
        said = (file for file, options in reversed(writers) if option in options)
        return next(said, writers[-1][0])

    @cached_property
    def _writers(self) -> dict[str, list[tuple[InputPath, set[str]]]]:
        """The files in which tables are written, and the options that are written there."""
        writers: dict[str, list[tuple[InputPath, set[str]]]] = {}
        for file in self._source.paths:
            for listener, patterns in self._configs[file].entries.items():
                writers.setdefault(table_path(listener), []).append((file, set()))
                for pattern, options in patterns.items():
                    path = entry_path(EntryRef(listener, pattern))
                    writers.setdefault(path, []).append((file, options.model_fields_set))
        return writers


class _CheckReport:
    """What is wrong or suspicious about a policy."""

    def __init__(self, entries: int, findings: Sequence[_Placed], ignored: int) -> None:
        self._entries = entries
        self._findings = findings
        self._ignored = ignored

    def to_dict(self) -> dict[str, object]:
        return {
            "entries": self._entries,
            "findings": [
                {"file": file, **finding.to_dict(), "path": path}
                for file, path, finding in self._findings
            ],
            "ignored": self._ignored,
        }

    def __str__(self) -> str:
        lines = [line for placed in self._findings for line in _lines(placed)]
        return "\n".join([*lines, self._summary()])

    def _summary(self) -> str:
        severities = Counter(placed.finding.severity for placed in self._findings)
        found = [
            _count(severities[severity], severity.value)
            for severity in Severity
            if severities[severity]
        ]
        ignored = f", {self._ignored} ignored" if self._ignored else ""
        return f"{', '.join(found) or 'no findings'}{ignored}, in {_count(self._entries, 'entry')}"


def _count(number: int, noun: str) -> str:
    nouns = "entries" if noun == "entry" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else nouns}"


def _lines(placed: _Placed) -> Iterator[str]:
    """A finding as `file: path: severity: message [code]`, with what can be done below."""
    file, path, finding = placed
    where = ": ".join(filter(None, (printable(file), path)))
    yield f"{where}: {finding.severity}: {finding.message} [{finding.code}]"
    yield f"    {finding.hint}"
    if finding.witness is not None:
        yield f"    to see why: explain {explain_arguments(finding.witness)}"


CHECK: Final = Command(
    "check",
    "%(prog)s POLICY... [options]",
    "say what is wrong or suspicious about a policy",
    """\
Read a policy, and say what is wrong or suspicious about it: what happens, what
to do about it, and a question to give to explain that shows it.""",
    _configure,
    _run,
)
