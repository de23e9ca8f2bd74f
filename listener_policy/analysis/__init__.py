"""What a policy does, what it would do, and what a change of it does: exactly.

A policy tells finitely many classes of questions apart (`listener_policy.analysis.classes` says
which, and why). So what is claimed about all questions there are is decided by asking one of each
class. Nothing is sampled, and nothing is solved: the answers are the policy's own.
"""

from listener_policy.analysis.cells import cells, find
from listener_policy.analysis.changes import Change, Effect, PolicyDiff
from listener_policy.analysis.diff import diff, equivalent
from listener_policy.analysis.recipients import find_rcpt

__all__ = [
    "Change",
    "Effect",
    "PolicyDiff",
    "cells",
    "diff",
    "equivalent",
    "find",
    "find_rcpt",
]


def __dir__() -> list[str]:
    return __all__
