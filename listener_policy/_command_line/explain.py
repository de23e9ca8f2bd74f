"""`explain`: why one question is answered as it is."""

from __future__ import annotations

import argparse
from typing import Final

from listener_policy._command_line.arguments import Command, Parser, add_policy, policy_source
from listener_policy._command_line.inputs import Inputs
from listener_policy._command_line.outcome import Outcome, Status, Unusable
from listener_policy._command_line.terminal import Palette, Progress, Style
from listener_policy.errors import RequestError
from listener_policy.explanation import Explanation, RcptExplanation

__all__ = ["EXPLAIN", "PALETTE"]

_NULL_SENDER: Final = "<>"

PALETTE: Final[Palette] = {
    r"^250 2\.1\.5 .*$": Style.GREEN,
    r"^550 5\.7\.1 .*$": Style.RED,
    r"^may send: .*$": Style.BOLD,
    r"\bYES(?=  )": Style.GREEN,
}
"""What stands out in an explanation."""


def _configure(command: Parser) -> None:
    add_policy(command)
    command.add_argument(
        "--listener",
        required=True,
        help="the listener that took the connection: 10.1.2.3:25, [2001:db8::25]:25 or a name",
    )
    command.add_argument("--peer", required=True, help="the client's address")
    command.add_argument("--sender", metavar="ADDRESS", help="the address of MAIL FROM")
    command.add_argument("--recipient", metavar="ADDRESS", help="the address of RCPT TO")
    command.add_argument("--domain", help="a domain, instead of sender and recipient")
    command.add_argument(
        "--auth", metavar="IDENTITY", help="the identity that the client authenticated as"
    )


def _run(options: argparse.Namespace, progress: Progress) -> Outcome:
    sender: str | None = options.sender
    recipient: str | None = options.recipient
    domain: str | None = options.domain
    if (domain is None) is (sender is None and recipient is None):
        raise Unusable("explain: give --sender, --recipient or both, or --domain alone")
    progress.says("reading the policy")
    inputs = Inputs()
    policy = inputs.usable(inputs.policy(policy_source(options, options.policy)))
    client = (options.listener, options.peer)
    explanation: Explanation | RcptExplanation
    try:
        if domain is not None:
            explanation = policy.explain(*client, domain, options.auth)
        else:
            addresses = (sender or _NULL_SENDER, recipient or _NULL_SENDER)
            explanation = policy.explain_rcpt(*client, *addresses, options.auth)
            if recipient is None:
                explanation = explanation.sender
    except RequestError as error:
        raise Unusable(f"--{error}") from None
    return Outcome(Status.FINE, explanation, PALETTE)


EXPLAIN: Final = Command(
    "explain",
    """\
%(prog)s POLICY... [options]
           --listener LISTENER --peer PEER [--auth IDENTITY]
           ([--sender ADDRESS] [--recipient ADDRESS] | --domain DOMAIN)""",
    "decide about one recipient or one domain, and say why",
    """\
Decide about one sender and recipient, or about one domain, and say why: every
check with its evidence, and the entries that were passed over. Without
--recipient it is said what the sender may; without --sender the sender is the
null sender.""",
    _configure,
    _run,
)
