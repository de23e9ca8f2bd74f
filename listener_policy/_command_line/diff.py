"""`diff`: what a change of a policy changes."""

from __future__ import annotations

import argparse
from typing import Final

from listener_policy._command_line.arguments import (
    DIALECTS,
    Command,
    Parser,
    add_policy_options,
    policy_source,
)
from listener_policy._command_line.inputs import InputPath, Inputs, PolicySource
from listener_policy._command_line.outcome import Outcome, Status, Unusable
from listener_policy._command_line.terminal import Palette, Progress, Style
from listener_policy.analysis import diff
from listener_policy.decision import Dialect

__all__ = ["DIFF"]

_PALETTE: Final[Palette] = {
    r"^[^ |`\n].*$": Style.BOLD,
    r"\bmay do more\b.*$": Style.YELLOW,
    r"\bmay do less$": Style.CYAN,
    r"(?<=  )gains(?= )": Style.GREEN,
    r"(?<=  )loses(?= )": Style.RED,
}


def _configure(command: Parser) -> None:
    command.add_argument(
        "policy",
        metavar="POLICY",
        nargs="*",
        type=InputPath,
        help="the policy before and the policy after, TOML or JSON, or - for standard input",
    )
    add_policy_options(command)
    for side in ("before", "after"):
        group = command.add_argument_group(f"what holds {side} the change, and not on both sides")
        group.add_argument(
            f"--{side}",
            metavar="FILE",
            nargs="+",
            action="extend",
            type=InputPath,
            help="the policy, if it is written in several files; later files override earlier",
        )
        group.add_argument(f"--{side}-listeners", metavar="FILE", type=InputPath, help="listeners")
        group.add_argument(
            f"--{side}-relay-host", metavar="BLOCK", nargs="*", action="extend", help="relay hosts"
        )
        group.add_argument(f"--{side}-dialect", choices=DIALECTS, help="dialect")


def _run(options: argparse.Namespace, progress: Progress) -> Outcome:
    paths = _paths(options)
    sources = [_side(options, side, paths[side]) for side in paths]
    if len(options.policy) == 1 and sources[0] == sources[1]:
        raise Unusable(
            "diff: found one policy, and nothing that tells before from after; expected two, or an "
            "option such as --after-dialect"
        )
    progress.says("reading the policies")
    inputs = Inputs()
    policies = [inputs.policy(source) for source in sources]
    before, after = map(inputs.usable, policies)
    progress.says("comparing the policies")
    changes = diff(before, after)
    return Outcome(Status.FOUND if changes else Status.FINE, changes, _PALETTE)


def _paths(options: argparse.Namespace) -> dict[str, tuple[InputPath, ...]]:
    """The files of each side, in whichever of three ways they are named."""
    named: list[InputPath] = options.policy
    before: list[InputPath] | None = options.before
    after: list[InputPath] | None = options.after
    match named, before, after:
        case [], list(), list():
            return {"before": tuple(before), "after": tuple(after)}
        case [both], None, None:
            return {"before": (both,), "after": (both,)}
        case [old, new], None, None:
            return {"before": (old,), "after": (new,)}
        case _:
            raise Unusable(
                "diff: expected BEFORE and AFTER, or --before FILE... and --after FILE..., or one "
                "POLICY for both"
            )


def _side(options: argparse.Namespace, side: str, paths: tuple[InputPath, ...]) -> PolicySource:
    """What the policy of one side is made of: what is said of both, unless it has its own."""
    source = policy_source(options, paths)
    given = vars(options)
    listeners: InputPath | None = given[f"{side}_listeners"]
    relay_host: list[str] | None = given[f"{side}_relay_host"]
    dialect: str | None = given[f"{side}_dialect"]
    if listeners is not None:
        source = source._replace(listeners=listeners)
    if relay_host is not None:
        option = f"--{side}-relay-host"
        source = source._replace(relay_host=tuple(relay_host), relay_host_option=option)
    if dialect is not None:
        source = source._replace(dialect=Dialect(dialect))
    return source


DIFF: Final = Command(
    "diff",
    """\
%(prog)s BEFORE AFTER [options]
       %(prog)s --before FILE... --after FILE... [options]
       %(prog)s POLICY --after-OPTION VALUE [options]""",
    "show what a change of a policy changes, and for whom",
    """\
Show every change of what is answered from one policy to another: where, for
whom, whether it widens or narrows what they may do, and a question that shows
it. Nothing that changes is left out, and nothing that does not is shown,
however much has been rewritten.

Options hold for both sides, unless one side has its own: --after-dialect and
the like. With one POLICY for both sides, such options are all that changes.""",
    _configure,
    _run,
)
