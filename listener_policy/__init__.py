"""Decides who may relay mail: KumoMTA's listener-domain policy, as a library without I/O.

    policy = Policy.from_toml(text, relay_hosts=["127.0.0.1", "192.168.1.0/24"])
    policy.decide_rcpt("10.1.2.3:25", "10.0.0.7", "ann@example.net", "bob@example.com").reply

The rules, by whose numbers docstrings and tests refer to them, are in `docs/specification.md`.
"""

from listener_policy.checks import (
    Check,
    LogCheck,
    RelayFromAuthzCheck,
    RelayFromCheck,
    RelayHostsCheck,
    RelayHostsSource,
    RelayToCheck,
)
from listener_policy.config import PolicyConfig
from listener_policy.connection import AnyPolicy, Connection
from listener_policy.decision import (
    Decision,
    Dialect,
    Disposition,
    EntryRef,
    LogReport,
    RcptDecision,
    Reason,
    Report,
    combine,
)
from listener_policy.domains import canonical_domain, envelope_domain
from listener_policy.errors import ConfigError, PolicyError, Problem, RequestError
from listener_policy.explanation import (
    DomainSource,
    ExplainedDisposition,
    ExplainedDomain,
    Explanation,
    GoverningEntry,
    GoverningRule,
    PassedOver,
    PassedOverRule,
    RcptExplanation,
)
from listener_policy.hook import HookPolicy, evaluate
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener, ListenerDomain
from listener_policy.policy import Match, Policy
from listener_policy.questions import RcptRequest, Request
from listener_policy.relay_hosts import DEFAULT_RELAY_HOSTS

__version__ = "0.1.0.dev0"

__all__ = [
    "DEFAULT_RELAY_HOSTS",
    "AnyPolicy",
    "Check",
    "CidrSet",
    "ConfigError",
    "Connection",
    "Decision",
    "Dialect",
    "Disposition",
    "DomainSource",
    "EntryRef",
    "EsmtpListener",
    "ExplainedDisposition",
    "ExplainedDomain",
    "Explanation",
    "GoverningEntry",
    "GoverningRule",
    "HookPolicy",
    "ListenerDomain",
    "LogCheck",
    "LogReport",
    "Match",
    "PassedOver",
    "PassedOverRule",
    "Policy",
    "PolicyConfig",
    "PolicyError",
    "Problem",
    "RcptDecision",
    "RcptExplanation",
    "RcptRequest",
    "Reason",
    "RelayFromAuthzCheck",
    "RelayFromCheck",
    "RelayHostsCheck",
    "RelayHostsSource",
    "RelayToCheck",
    "Report",
    "Request",
    "RequestError",
    "canonical_domain",
    "combine",
    "envelope_domain",
    "evaluate",
]


def __dir__() -> list[str]:
    return __all__
