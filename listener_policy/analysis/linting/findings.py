"""What lint finds, as data: codes, severities and findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, final

from listener_policy._display import quoted_key
from listener_policy._documents import LISTENER
from listener_policy._frozen import FrozenMapping
from listener_policy.decision import EntryRef
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.questions import RcptRequest, Request

__all__ = ["LINT_CODES", "Finding", "LintCode", "LintRule", "Severity", "entry_path", "table_path"]


class Severity(StrEnum):
    """How much a finding should worry its reader, the worst first."""

    ERROR = "error"
    """Strangers may do what no operator wants them to."""
    WARNING = "warning"
    """It hardly does what was meant."""
    NOTICE = "notice"
    """It is worth knowing, and may well be meant."""


class LintCode(StrEnum):
    """What kind of thing was found; stable, so that programs may go by it."""

    OPEN_RELAY = "open-relay"
    OPEN_REPORT_RELAY = "open-report-relay"
    ACCEPTS_ANY_RCPT = "accepts-any-rcpt"
    BROAD_NETWORK = "broad-network"
    BROAD_WILDCARD = "broad-wildcard"
    UNREACHABLE_ENTRY = "unreachable-entry"
    REDUNDANT_ENTRY = "redundant-entry"
    IMPOSSIBLE_LISTENER = "impossible-listener"
    UNLISTED_LISTENER = "unlisted-listener"
    LISTENER_HIDES_GRANT = "listener-hides-grant"
    LISTENER_HIDES_REFUSAL = "listener-hides-refusal"
    NAME_HIDES_GRANT = "name-hides-grant"
    BOOLEAN_LOG = "boolean-log"
    REPORT_WITHOUT_RELAY_TO = "report-without-relay-to"
    DEFAULT_KEY = "default-key"
    SUSPICIOUS_IDENTITY = "suspicious-identity"
    DIALECTS_DIFFER = "dialects-differ"
    TTL_IGNORED = "ttl-ignored"
    APEX_NOT_COVERED = "apex-not-covered"
    NESTED_BLOCK = "nested-block"
    BLOCK_IN_RELAY_HOSTS = "block-in-relay-hosts"
    LOOPBACK_LEFT_OUT = "loopback-left-out"
    UNROUTED_RELAY_TO = "unrouted-relay-to"


class LintRule(NamedTuple):
    """What holds for all findings of one code."""

    severity: Severity
    proved: bool
    """Whether it is certain, for all questions there are, or a suspicion of what was meant."""
    description: str
    """What is claimed."""


_ERROR, _WARNING, _NOTICE = Severity
_PROVED, _SUSPICION = True, False

LINT_CODES: Final = FrozenMapping(
    {
        LintCode.OPEN_RELAY: LintRule(
            _ERROR,
            _PROVED,
            "strangers from the public internet at large may relay to anywhere: by `relay_hosts`, "
            "by `relay_from`, or by the `relay_to` of `*`",
        ),
        LintCode.OPEN_REPORT_RELAY: LintRule(
            _ERROR,
            _PROVED,
            "strangers may relay to anywhere what is written in the shape of a report: by "
            "`LogThenRelay` on `*` under KUMOMTA",
        ),
        LintCode.ACCEPTS_ANY_RCPT: LintRule(
            _WARNING,
            _PROVED,
            "RCPT TO is accepted from strangers for domains that nothing names, because `*` has "
            "`log_oob` or `log_arf`",
        ),
        LintCode.BROAD_NETWORK: LintRule(
            _WARNING,
            _SUSPICION,
            "a list has a network of public addresses that is broader than most operators have: "
            "more than a /16 of IPv4, or a /32 of IPv6",
        ),
        LintCode.BROAD_WILDCARD: LintRule(
            _WARNING,
            _SUSPICION,
            "`relay_to` for all names below a top-level domain",
        ),
        LintCode.UNREACHABLE_ENTRY: LintRule(
            _WARNING,
            _PROVED,
            "an entry that governs no domain: every name that it matches has a nearer one",
        ),
        LintCode.REDUNDANT_ENTRY: LintRule(
            _NOTICE,
            _PROVED,
            "an entry without which every question would be answered alike",
        ),
        LintCode.IMPOSSIBLE_LISTENER: LintRule(
            _WARNING,
            _SUSPICION,
            "the key of a listener is an address that no connection has at its local end",
        ),
        LintCode.UNLISTED_LISTENER: LintRule(
            _WARNING,
            _SUSPICION,
            "entries for an address where none of the listeners that are listed listens",
        ),
        LintCode.LISTENER_HIDES_GRANT: LintRule(
            _WARNING,
            _PROVED,
            "an entry of a listener governs domains instead of an entry of listener `*` that "
            "grants something, and does not say whether it grants that too",
        ),
        LintCode.LISTENER_HIDES_REFUSAL: LintRule(
            _WARNING,
            _PROVED,
            "an entry of a listener grants something for domains for which a more specific entry "
            "of listener `*`, which it hides, says that it is not granted",
        ),
        LintCode.NAME_HIDES_GRANT: LintRule(
            _NOTICE,
            _PROVED,
            "an entry governs names instead of a wildcard that grants something, and does not say "
            "whether it grants that too",
        ),
        LintCode.BOOLEAN_LOG: LintRule(
            _NOTICE,
            _PROVED,
            "`log_oob` or `log_arf` is `true`, of which the dialects make something else",
        ),
        LintCode.REPORT_WITHOUT_RELAY_TO: LintRule(
            _WARNING,
            _PROVED,
            "reports are to be relayed to domains to which strangers may not relay: they are "
            "dropped under DOCUMENTED, and relayed regardless under KUMOMTA",
        ),
        LintCode.DEFAULT_KEY: LintRule(
            _WARNING,
            _SUSPICION,
            "a key such as `default`, which is a name as any other, where `*` was probably meant",
        ),
        LintCode.SUSPICIOUS_IDENTITY: LintRule(
            _WARNING,
            _SUSPICION,
            "an identity that hardly anybody has: empty, with blanks around it, or a pattern",
        ),
        LintCode.DIALECTS_DIFFER: LintRule(
            _NOTICE,
            _PROVED,
            "domains that another entry governs in the other dialect, which says something else",
        ),
        LintCode.TTL_IGNORED: LintRule(
            _NOTICE,
            _PROVED,
            "`ttl` is written, which has no effect",
        ),
        LintCode.APEX_NOT_COVERED: LintRule(
            _NOTICE,
            _SUSPICION,
            "a wildcard grants something that is not granted for the name that it is below, which "
            "it does not govern",
        ),
        LintCode.NESTED_BLOCK: LintRule(
            _NOTICE,
            _PROVED,
            "a block of a `relay_from` or `relay_hosts` that is inside another block of the same "
            "list, so that it changes nothing",
        ),
        LintCode.BLOCK_IN_RELAY_HOSTS: LintRule(
            _NOTICE,
            _PROVED,
            "a block of a `relay_from` that is inside the `relay_hosts` of every listener where it "
            "may count, so that it changes nothing about who may relay",
        ),
        LintCode.LOOPBACK_LEFT_OUT: LintRule(
            _NOTICE,
            _SUSPICION,
            "the `relay_hosts` of a listener that takes local connections leave out the loopback "
            "address, which the default has",
        ),
        LintCode.UNROUTED_RELAY_TO: LintRule(
            _WARNING,
            _SUSPICION,
            "`relay_to` for a domain without a route: if its MX is this server, mail loops",
        ),
    }
)
"""Every code, with its severity, whether it is proved, and what it claims."""

_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that lint has found."""

    code: LintCode
    path: str
    """Where in the policy, as in the problems of a `ConfigError`, the keys in canonical form."""
    message: str
    """What happens, in one line."""
    hint: str
    """What to do about it, in one line."""
    witness: Request | RcptRequest | None = None
    """A question that shows it, for `explain` or `explain_rcpt`, where one question can."""

    @property
    def severity(self) -> Severity:
        """How much it should worry its reader."""
        return LINT_CODES[self.code].severity

    @property
    def proved(self) -> bool:
        """Whether it is certain, for all questions there are, or a suspicion of what was meant."""
        return LINT_CODES[self.code].proved

    @property
    def rank(self) -> tuple[int, str, str, str]:
        """What findings are sorted by: the worst first, then by path and code."""
        return _RANKS[self.severity], self.path, self.code, self.message

    def to_dict(self) -> dict[str, object]:
        """The finding as JSON has it."""
        return {
            "code": str(self.code),
            "severity": str(self.severity),
            "proved": self.proved,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
            "witness": None if self.witness is None else self.witness._asdict(),
        }

    def __str__(self) -> str:
        return f"{self.severity}: {self.path}: {self.message}; {self.hint} [{self.code}]"


def table_path(listener: str) -> str:
    """Where the table of a listener stands in a document."""
    return f"{LISTENER}.{quoted_key(listener)}"


def entry_path(entry: EntryRef) -> str:
    """Where an entry stands in a document; a domain called `listener` below listener `*`."""
    if entry.listener == EVERY_LISTENER and entry.pattern != LISTENER:
        return quoted_key(entry.pattern)
    return f"{table_path(entry.listener)}.{quoted_key(entry.pattern)}"
