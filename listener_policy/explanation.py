"""What an explanation consists of: the answer, and all that it rests on (rules 1.7 to 4.5).

An `Explanation` is data first. Its parts are frozen and comparable, `to_dict()` of each is made of
what JSON has, and nothing in it is shortened or escaped. Its text, `str()`, is for a terminal:
a tree of at most 80 columns whose first line gives the answer.

How the parts are found is in `listener_policy.explain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, final

from listener_policy._tree import Tree, drawn, name
from listener_policy.addresses import IPAddress
from listener_policy.checks import Check, entry_dict, listener_text
from listener_policy.decision import (
    Decision,
    Dialect,
    Disposition,
    EntryRef,
    RcptDecision,
    Report,
)
from listener_policy.options import ListenerDomain

__all__ = [
    "DomainSource",
    "ExplainedDisposition",
    "ExplainedDomain",
    "Explanation",
    "GoverningEntry",
    "GoverningRule",
    "PassedOver",
    "PassedOverRule",
    "RcptExplanation",
]

_FEW_ENTRIES: Final = 10
"""How many entries that were passed over are shown."""


# --- the domain ---------------------------------------------------------------------------------


class DomainSource(StrEnum):
    """How a question came to its domain (rule 1.7)."""

    DOMAIN = "domain"
    """It was asked about."""
    AFTER_LAST_AT = "after_last_at"
    """It is what follows the last `@` of an address."""
    NULL_SENDER = "null_sender"
    """The address is empty: the empty domain."""
    POSTMASTER = "postmaster"
    """The address is a bare `Postmaster`: the empty domain."""
    NO_AT = "no_at"
    """The address lacks an `@` and is no `Postmaster`: not valid."""
    NOTHING_AFTER_AT = "nothing_after_at"
    """Nothing follows the last `@` of the address: not valid."""


_SOURCE_TEXTS: Final = {
    DomainSource.DOMAIN: "",  # there is nothing to tell
    DomainSource.AFTER_LAST_AT: ": what follows the last `@` (1.7)",
    DomainSource.NULL_SENDER: ", of the null sender (1.7)",
    DomainSource.POSTMASTER: ", of a bare Postmaster (1.7)",
}


@final
@dataclass(frozen=True, slots=True)
class ExplainedDomain:
    """The domain of a question, and how it was read (rules 1.4 and 1.7)."""

    given: str
    """What was asked about: a domain, or an envelope address."""
    source: DomainSource
    """How the domain was found in it."""
    canonical: str | None
    """The canonical domain; `None` if there is none that is valid."""
    why_not: str | None
    """What makes it not valid."""

    def to_dict(self) -> dict[str, object]:
        """The part as JSON has it."""
        return {
            "given": self.given,
            "source": self.source.value,
            "canonical": self.canonical,
            "why_not": self.why_not,
        }

    def tree(self) -> Tree:
        """The part as a branch of an explanation's text."""
        if self.canonical is None:
            if self.source is DomainSource.DOMAIN:
                return Tree(f"domain {name(self.given)} is not valid: {self.why_not} (1.4)")
            if self.source is DomainSource.AFTER_LAST_AT:
                return Tree(f"what follows the last `@` is not valid: {self.why_not} (1.4)")
            return Tree(f"no domain: {self.why_not} (1.7)")
        how = _SOURCE_TEXTS[self.source]
        if self.source is DomainSource.DOMAIN and self.given != self.canonical:
            how = f", given as {name(self.given)}"
        return Tree(f"domain {name(self.canonical)}{how}")


# --- the entries --------------------------------------------------------------------------------


class GoverningRule(StrEnum):
    """Why the entry that governs does."""

    EXACT_NAME = "exact_name"
    """It is the exact name (rules 2.3 and 2.4)."""
    LONGEST_SUFFIX = "longest_suffix"
    """It is the longest `*.suffix` (rule 2.3)."""
    CLOSEST_ENCLOSER = "closest_encloser"
    """It is the wildcard directly under the closest encloser (rule 2.4)."""
    EVERY_DOMAIN = "every_domain"
    """It is `*`, and nothing else matches (rules 2.3 and 2.4)."""
    LAST_RESORT = "last_resort"
    """It is `*` of listener `*`, which `KUMOMTA` asks last, whatever 2.4 said (rule 2.5)."""


_GOVERNING_TEXTS: Final = {
    GoverningRule.EXACT_NAME: ("2.3", "exact name"),
    GoverningRule.LONGEST_SUFFIX: ("2.3", "longest suffix"),
    GoverningRule.CLOSEST_ENCLOSER: ("2.4", "at the closest encloser"),
    GoverningRule.EVERY_DOMAIN: ("2.3", "no other pattern applies"),
    GoverningRule.LAST_RESORT: ("2.5", "last resort"),
}
"""The number of the rule, and its words."""


class PassedOverRule(StrEnum):
    """Why an entry whose pattern matches does not govern."""

    LISTENER_FIRST = "listener_first"
    """The listener's own table came first, and has an entry that governs (rule 2.5)."""
    EXACT_NAME = "exact_name"
    """The table has the exact name, which comes before any `*.suffix` (rule 2.3)."""
    LONGER_SUFFIX = "longer_suffix"
    """The table has a longer suffix (rule 2.3)."""
    ANY_PATTERN = "any_pattern"
    """The pattern is `*`, and any other comes before it (rule 2.3)."""
    EXISTING_NAME = "existing_name"
    """The name is a node of the table's tree: only its exact entry could govern (rule 2.4)."""
    CLOSEST_ENCLOSER = "closest_encloser"
    """There is a closer encloser, without a wildcard directly under it (rule 2.4)."""


_PASSED_OVER_TEXTS: Final = {
    PassedOverRule.LISTENER_FIRST: ("2.5", "listener's table first"),
    PassedOverRule.EXACT_NAME: ("2.3", "exact name first"),
    PassedOverRule.LONGER_SUFFIX: ("2.3", "longer suffix first"),
    PassedOverRule.ANY_PATTERN: ("2.3", "`*` comes last"),
    PassedOverRule.EXISTING_NAME: ("2.4", "the name has entries below it, and none of its own"),
    PassedOverRule.CLOSEST_ENCLOSER: ("2.4", "{} is the closest encloser, and there is no {}"),
}
"""The number of the rule, and its words."""


@final
@dataclass(frozen=True, slots=True)
class GoverningEntry:
    """The entry that governs, and why it does (rules 2.3 to 2.5)."""

    entry: EntryRef
    options: ListenerDomain
    """What is written in it."""
    because: GoverningRule

    @property
    def rule(self) -> str:
        """The number of the rule."""
        return _GOVERNING_TEXTS[self.because][0]

    def to_dict(self) -> dict[str, object]:
        """The part as JSON has it; `written` are the names of the options that are written."""
        return {
            **entry_dict(self.entry),
            "written": _written(self.options),
            "because": self.because.value,
            "rule": self.rule,
        }

    def words(self) -> str:
        """Which entry, and why, in words."""
        why = _GOVERNING_TEXTS[self.because][1]
        return f"governed by {_entry_text(self.entry)}: {why} ({self.rule})"


@final
@dataclass(frozen=True, slots=True)
class PassedOver:
    """An entry whose pattern matches the domain and which does not govern (rules 2.3 to 2.5)."""

    entry: EntryRef
    options: ListenerDomain
    """What is written in it."""
    because: PassedOverRule
    encloser: str | None = None
    """The closest encloser in the entry's table, where that is the reason: the name itself, or an
    ancestor."""

    @property
    def rule(self) -> str:
        """The number of the rule."""
        return _PASSED_OVER_TEXTS[self.because][0]

    def to_dict(self) -> dict[str, object]:
        """The part as JSON has it; `written` are the names of the options that are written."""
        return {
            **entry_dict(self.entry),
            "written": _written(self.options),
            "because": self.because.value,
            "rule": self.rule,
            "encloser": self.encloser,
        }

    def tree(self) -> Tree:
        """The part as a branch of an explanation's text."""
        encloser, below = name(f"{self.encloser}"), name(f"*.{self.encloser}")
        why = _PASSED_OVER_TEXTS[self.because][1].format(encloser, below)
        return Tree(f"passed over {_entry_text(self.entry)}: {why} ({self.rule})")


def _written(options: ListenerDomain) -> list[str]:
    return [option for option in ListenerDomain.model_fields if option in options.model_fields_set]


def _entry_text(entry: EntryRef) -> str:
    return f"{name(entry.pattern)} of {listener_text(entry.listener)}"


# --- the explanation of a domain ----------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """Why `Policy.decide` decided as it did about one domain (rule 4.2).

    Immutable, hashable, comparable and picklable. `to_dict()` is the whole of it for a program;
    `str()` is a tree of at most 80 columns, names escaped and shortened.

    >>> from listener_policy import Policy
    >>> policy = Policy.from_mapping({"example.com": {"relay_to": True}, "*": {}}, relay_hosts=[])
    >>> print(policy.explain("mx", "203.0.113.9", "example.com"))
    may send: no, may receive: yes  RELAY_TO
    |- listener "mx", dialect documented
    |- peer 203.0.113.9, nobody authenticated
    |- domain "example.com"
    |- governed by "example.com" of listener *: exact name (2.3)
    |  `- passed over "*" of listener *: `*` comes last (2.3)
    |- RELAY_HOSTS       no   lists nobody; default, none stated (4.1)
    |- RELAY_FROM        no   lists nobody
    |- RELAY_FROM_AUTHZ  no   lists nobody
    |- RELAY_TO          YES  true
    |- LOG_ARF           no   not written
    `- LOG_OOB           no   not written
    """

    listener: str
    """The listener, in canonical form."""
    peer: IPAddress
    """The client's address, IPv4 if it was mapped (rule 1.3)."""
    auth: str | None
    """The authorization identity; `None` if nobody authenticated."""
    dialect: Dialect
    domain: ExplainedDomain
    governing: GoverningEntry | None
    """The entry that governs; `None` if none does."""
    passed_over: tuple[PassedOver, ...]
    """The entries that match and do not govern: the listener's own first, and in each table the
    exact name, suffixes from the longest to the shortest, `*`."""
    checks: tuple[Check, ...]
    """All six, in the order in which they count (rule 4.5)."""
    decision: Decision

    def to_dict(self) -> dict[str, object]:
        """The explanation of what JSON has: `str`, `int`, `bool`, `None`, `list` and `dict`."""
        return {
            **_question(self),
            **_half(self),
            "checks": [check.to_dict() for check in self.checks],
        }

    def __str__(self) -> str:
        address = (Tree(f"address {name(self.domain.given)}"),)
        is_domain = self.domain.source is DomainSource.DOMAIN
        return drawn(
            Tree(
                _answer(self),
                (
                    *_connection_trees(self),
                    *(() if is_domain else address),
                    self.domain.tree(),
                    _entry_tree(self),
                    *(check.tree() for check in self.checks),
                ),
            )
        )

    def __repr__(self) -> str:
        return f"<Explanation of {self.decision!r}>"


def _half(explained: Explanation) -> dict[str, object]:
    return {
        "domain": explained.domain.to_dict(),
        "governing": None if explained.governing is None else explained.governing.to_dict(),
        "passed_over": [entry.to_dict() for entry in explained.passed_over],
        "decision": _decision_dict(explained.decision),
    }


def _answer(explained: Explanation) -> str:
    decision = explained.decision
    reports = "reports only" if decision.log_arf or decision.log_oob else "no"
    receive = "yes" if decision.may_receive else reports
    send = "yes" if decision.may_send else "no"
    return f"may send: {send}, may receive: {receive}  {decision.reason}"


def _entry_tree(explained: Explanation) -> Tree:
    passed_over = [entry.tree() for entry in explained.passed_over[:_FEW_ENTRIES]]
    if len(explained.passed_over) > _FEW_ENTRIES:
        more = len(explained.passed_over) - _FEW_ENTRIES
        passed_over.append(Tree(f"and {more} more that were passed over"))
    if explained.governing is not None:
        text = explained.governing.words()
    elif explained.domain.canonical is None:
        text = "no entry governs what is not valid, not even `*` (1.2)"
    elif explained.passed_over:
        text = "no entry governs it (2.4)"
    else:
        text = "no entry governs it: nothing matches (2.3)"
    return Tree(text, tuple(passed_over))


def _question(explained: Explanation) -> dict[str, object]:
    return {
        "listener": explained.listener,
        "peer": str(explained.peer),
        "auth": explained.auth,
        "dialect": explained.dialect.value,
    }


def _connection_trees(explained: Explanation) -> tuple[Tree, Tree]:
    who = (
        "nobody authenticated"
        if explained.auth is None
        else f"authenticated as {name(explained.auth)}"
    )
    return (
        Tree(f"{listener_text(explained.listener)}, dialect {explained.dialect}"),
        Tree(f"peer {explained.peer}, {who}"),
    )


def _decision_dict(decision: Decision) -> dict[str, object]:
    return {
        "relay_hosts": decision.relay_hosts,
        "relay_from": decision.relay_from,
        "relay_from_authz": decision.relay_from_authz,
        "relay_to": decision.relay_to,
        "log_oob": decision.log_oob.value,
        "log_arf": decision.log_arf.value,
        "entry": None if decision.entry is None else entry_dict(decision.entry),
        "may_send": decision.may_send,
        "may_receive": decision.may_receive,
        "reason": decision.reason.value,
    }


# --- the explanation of a recipient -------------------------------------------------------------

_REPORT_NAMES: Final = {
    Report.ARF: "abuse report",
    Report.OOB: "delivery report",
    None: "other message",
}


@final
@dataclass(frozen=True, slots=True)
class ExplainedDisposition:
    """What becomes of a message of one kind after DATA, and why (rule 4.4)."""

    report: Report | None
    """The kind: a report, or `None` for any other message."""
    disposition: Disposition
    rule: Literal["4.4", "S3", "S4"]
    """The rule that makes it so."""
    why: str
    """What the rule says, in words."""

    def to_dict(self) -> dict[str, object]:
        """The part as JSON has it."""
        return {
            "report": None if self.report is None else self.report.value,
            "accept": self.disposition.accept,
            "log": self.disposition.log,
            "relay": self.disposition.relay,
            "reply": self.disposition.reply,
            "rule": self.rule,
            "why": self.why,
        }

    def tree(self) -> Tree:
        """The part as a branch of an explanation's text."""
        beginning = f"{_REPORT_NAMES[self.report]:<15}  "
        disposition = self.disposition
        logged = "logged and " if disposition.log else ""
        done = f"{logged}{'relayed' if disposition.relay else 'dropped'}"
        what = f"{disposition.reply[:3]} {done if disposition.accept else 'refused'}"
        return Tree(f"{beginning}{what}: {self.why} ({self.rule})", indent=len(beginning))


@final
@dataclass(frozen=True, slots=True, repr=False)
class RcptExplanation:
    """Why `Policy.decide_rcpt` decided as it did about one recipient (rules 4.3 and 4.4).

    Immutable, hashable, comparable and picklable. `to_dict()` is the whole of it for a program;
    `str()` is a tree of at most 80 columns, names escaped and shortened.
    """

    sender: Explanation
    """The explanation of the sender's domain. Not all that it grants counts: see `checks`."""
    recipient: Explanation
    """The explanation of the recipient's domain. Not all that it grants counts: see `checks`."""
    checks: tuple[Check, ...]
    """All six that count, in order: the first three of the sender, then three of the recipient.
    Those of `log_arf` and `log_oob` are what S4 makes of them."""
    after_data: tuple[ExplainedDisposition, ...]
    """What becomes of the message: of an abuse report, a delivery report, any other message."""
    decision: RcptDecision

    @property
    def not_taken(self) -> tuple[Check, ...]:
        """What holds in one of the two entries and does not count there (rule 4.3).

        The sender's permissions are never taken from the recipient's entry, nor the reverse.
        """
        return (*self._not_taken_of_sender, *self._not_taken_of_recipient)

    @property
    def _not_taken_of_sender(self) -> tuple[Check, ...]:
        return tuple(check for check in self.sender.checks[3:] if check.holds)

    @property
    def _not_taken_of_recipient(self) -> tuple[Check, ...]:
        return tuple(check for check in self.recipient.checks[1:3] if check.holds)

    def to_dict(self) -> dict[str, object]:
        """The explanation of what JSON has: `str`, `int`, `bool`, `None`, `list` and `dict`."""
        decision = self.decision
        return {
            **_question(self.sender),
            "sender": _half(self.sender),
            "recipient": _half(self.recipient),
            "checks": [check.to_dict() for check in self.checks],
            "not_taken": [check.to_dict() for check in self.not_taken],
            "after_data": [message.to_dict() for message in self.after_data],
            "decision": {
                "accept": decision.accept,
                "relay": decision.relay,
                "log_oob": decision.log_oob.value,
                "log_arf": decision.log_arf.value,
                "reason": decision.reason.value,
                "reply": decision.reply,
            },
        }

    def __str__(self) -> str:
        hosts, *others = [check.tree() for check in self.checks]
        listener, peer = _connection_trees(self.sender)
        return drawn(
            Tree(
                f"{self.decision.reply}  {self.decision.reason}",
                (
                    listener,
                    peer._replace(branches=(hosts,)),
                    self._side("sender", self.sender, others[:2], self._not_taken_of_sender),
                    self._side(
                        "recipient", self.recipient, others[2:], self._not_taken_of_recipient
                    ),
                    self._after_data_tree(),
                ),
            )
        )

    def __repr__(self) -> str:
        return f"<RcptExplanation of {self.decision!r}>"

    def _side(
        self, role: str, half: Explanation, checks: list[Tree], not_taken: tuple[Check, ...]
    ) -> Tree:
        branches = [half.domain.tree(), _entry_tree(half), *checks]
        if not_taken:
            names = ", ".join(check.reason for check in not_taken)
            branches.append(Tree(f"holds, but never counts for a {role}: {names} (4.3)"))
        return Tree(f"{role} {name(half.domain.given)}", tuple(branches))

    def _after_data_tree(self) -> Tree:
        if not self.decision.accept:
            return Tree("after DATA: nothing is accepted, logged or relayed (4.4)")
        return Tree("after DATA", tuple(message.tree() for message in self.after_data))
