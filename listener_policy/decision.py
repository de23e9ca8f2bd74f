"""Decisions: what is granted, put together from what an entry says (rules 4.2 to 4.5).

All that a decision says, but for the entry that it was taken from, is one of 144 `Outcome`s: four
booleans and two options of three values. All that a `RcptDecision` says, but for its two halves,
is one of 288 `Verdict`s. Both are made once, when this module is imported, so that deciding means
picking one, and everything about a kind of decision can be read in one place.

To pick one, an entry tells eight kinds of senders apart: in `relay_hosts` or not, in its
`relay_from` or not, in its `relay_from_authz` or not. What is read on the way has slots: an
attribute of a named tuple takes ten times as long to read.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import ClassVar, Final, NamedTuple, Never, cast, final

from listener_policy._display import described, shown
from listener_policy._intervals import Bounds
from listener_policy._problems import ProblemList
from listener_policy.addresses import IPV4_MAPPED
from listener_policy.errors import RequestError

__all__ = [
    "OUTCOMES",
    "REFUSED",
    "VERDICTS",
    "Decision",
    "Dialect",
    "Disposition",
    "Entry",
    "EntryRef",
    "Grants",
    "LogReport",
    "Outcome",
    "RcptDecision",
    "Reason",
    "Report",
    "Verdict",
    "check_dialect",
    "combine",
    "sender_index",
]


class Dialect(StrEnum):
    """Which reading of KumoMTA's listener-domain policy holds, where there are two (S1 to S4)."""

    DOCUMENTED = "documented"
    """What the user guide says."""
    KUMOMTA = "kumomta"
    """What the engine does."""


def check_dialect(dialect: object, problems: ProblemList) -> None:
    """Add to `problems` anything that is no `Dialect`, a dialect's value as text included."""
    if isinstance(dialect, Dialect):
        return
    hint = None
    if isinstance(dialect, str) and str.__str__(dialect) in [known.value for known in Dialect]:
        hint = f"did you mean `Dialect({str.__str__(dialect)!r})`?"
    problems.add(None, "dialect", f"expected a `Dialect`, found {described(dialect)}", hint)


class LogReport(StrEnum):
    """What becomes of a report, as `log_oob` and `log_arf` say it. `IGNORE` alone is falsy."""

    IGNORE = "Ignore"
    """It is treated as any other message."""
    LOG_THEN_DROP = "LogThenDrop"
    """It is accepted, logged and discarded."""
    LOG_THEN_RELAY = "LogThenRelay"
    """It is accepted, logged and relayed; under `DOCUMENTED`, if it may be relayed (S3)."""

    def __bool__(self) -> bool:
        return self is not LogReport.IGNORE


class Report(StrEnum):
    """The kinds of reports that a policy tells from other messages."""

    ARF = "arf"
    """An abuse report (RFC 5965)."""
    OOB = "oob"
    """A delivery report that arrives out of band (RFC 3464)."""


class Reason(StrEnum):
    """Why a decision is what it is: the first of these that holds (rule 4.5)."""

    RELAY_HOSTS = "RELAY_HOSTS"
    RELAY_FROM = "RELAY_FROM"
    RELAY_FROM_AUTHZ = "RELAY_FROM_AUTHZ"
    RELAY_TO = "RELAY_TO"
    LOG_ARF = "LOG_ARF"
    LOG_OOB = "LOG_OOB"
    DENIED = "DENIED"


class EntryRef(NamedTuple):
    """Which entry: the listener and the pattern under which it is written, both canonical."""

    listener: str
    pattern: str


class _Answer:
    """What all answers have in common: no truth value, and a readable form."""

    __slots__ = ()

    _shown: ClassVar[tuple[str, ...]]
    """The names of what an answer says, in the order in which they are shown."""

    def __bool__(self) -> Never:
        raise TypeError(
            f"a {type(self).__name__} is neither true nor false: say which permission is meant "
            f"({', '.join(f'.{name}' for name in self._permissions)})"
        )

    _permissions: ClassVar[tuple[str, ...]]
    """The names among them for which a truth value could be mistaken."""

    def __repr__(self) -> str:
        shown_values = (f"{name}={_plain(getattr(self, name))}" for name in self._shown)
        return f"{type(self).__name__}({', '.join(shown_values)})"


def _plain(value: object) -> str:
    return str(value) if isinstance(value, StrEnum) else repr(value)


class Outcome(NamedTuple):
    """All of a decision but the entry that it was taken from."""

    relay_hosts: bool
    relay_from: bool
    relay_from_authz: bool
    relay_to: bool
    log_oob: LogReport
    log_arf: LogReport


def _first_reason(outcome: Outcome) -> Reason:
    return next((r for r in _REASONS if getattr(outcome, r.lower())), Reason.DENIED)


_REASONS: Final = tuple(reason for reason in Reason if reason is not Reason.DENIED)


ACCEPTED_RCPT: Final = "250 2.1.5 OK"
ACCEPTED_DATA: Final = "250 2.0.0 OK"
REFUSED: Final = "550 5.7.1 relaying not permitted"


@final
@dataclass(frozen=True, slots=True, repr=False)
class Disposition(_Answer):
    """What becomes of a message for one recipient, once it is there (rule 4.4)."""

    _shown = ("accept", "log", "relay", "reply")
    _permissions = ("accept", "log", "relay")

    accept: bool
    """Whether the message is accepted at all."""
    log: bool
    """Whether it is a report that is to be logged."""
    relay: bool
    """Whether it is to be relayed; what is accepted and not relayed is dropped."""

    @property
    def reply(self) -> str:
        """The SMTP reply after DATA."""
        return ACCEPTED_DATA if self.accept else REFUSED


class Verdict(NamedTuple):
    """All of a decision about a recipient but its halves (rules 4.3 to 4.5)."""

    accept: bool
    relay: bool
    log_oob: LogReport
    log_arf: LogReport
    reason: Reason
    dialect: Dialect
    message: Disposition
    arf_report: Disposition
    oob_report: Disposition


@final
@dataclass(slots=True)
class Grants:
    """What an entry says, as the dialect reads it.

    `outcomes` and `verdicts` are by `sender_index`: the first of the domain itself, the second of
    a recipient in the domain, the index then being that of the sender's entry.
    """

    relay_from: Bounds
    relay_from_octets: tuple[bytes, ...]
    """The same boundaries, as octets compare with them."""
    relay_from_authz: frozenset[str]
    outcomes: tuple[Outcome, ...]
    verdicts: tuple[Verdict, ...]
    for_senders: bool = field(init=False)
    """Whether there are blocks or identities at all. Most entries have none."""

    def __post_init__(self) -> None:
        self.for_senders = bool(self.relay_from or self.relay_from_authz)

    def index(self, relay_hosts: int, peer: bytes, auth: str | None) -> int:
        """The `sender_index` of a sender.

        relay_hosts: 1 if the peer is in the listener's, else 0. peer: the octets of its address,
        of which IPv4 may have four.
        """
        index = 4 * relay_hosts
        if self.relay_from_octets:
            octets = peer if len(peer) == _OCTETS else IPV4_MAPPED + peer
            if bisect_right(self.relay_from_octets, octets) & 1:
                index += 2
        if auth is not None and auth in self.relay_from_authz:
            index += 1
        return index


_OCTETS: Final = 16
"""Of an address on the line."""
_new: Final = object.__new__


@final
class Decision(_Answer):
    """What a listener grants a peer with regard to one domain (rule 4.2).

    Immutable, hashable, comparable and picklable; equal if all that it says is equal. It has no
    truth value: ask for the permission that is meant.
    """

    __slots__ = ("_entry", "_outcome")
    _shown = (*Outcome._fields, "entry")
    _permissions = ("may_send", "may_receive")

    def __init__(self, entry: EntryRef | None, outcome: Outcome) -> None:
        self._entry = entry
        self._outcome = outcome

    @property
    def relay_hosts(self) -> bool:
        """Whether the peer is in the listener's `relay_hosts`."""
        return self._outcome.relay_hosts

    @property
    def relay_from(self) -> bool:
        """Whether the peer is in the entry's `relay_from`."""
        return self._outcome.relay_from

    @property
    def relay_from_authz(self) -> bool:
        """Whether the authenticated identity is in the entry's `relay_from_authz`."""
        return self._outcome.relay_from_authz

    @property
    def relay_to(self) -> bool:
        """The entry's `relay_to`."""
        return self._outcome.relay_to

    @property
    def log_oob(self) -> LogReport:
        """The entry's `log_oob`, a boolean resolved by the dialect (S2)."""
        return self._outcome.log_oob

    @property
    def log_arf(self) -> LogReport:
        """The entry's `log_arf`, a boolean resolved by the dialect (S2)."""
        return self._outcome.log_arf

    @property
    def entry(self) -> EntryRef | None:
        """The entry that governs the domain, or `None`."""
        return self._entry

    @property
    def may_send(self) -> bool:
        """Whether a sender of this domain may relay to anywhere (rule 4.3)."""
        outcome = self._outcome
        return outcome.relay_hosts or outcome.relay_from or outcome.relay_from_authz

    @property
    def may_receive(self) -> bool:
        """Whether anybody may relay to a recipient of this domain (rule 4.3)."""
        return self._outcome.relay_hosts or self._outcome.relay_to

    @property
    def reason(self) -> Reason:
        """The first permission that is granted (rule 4.5)."""
        return _first_reason(self._outcome)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Decision):
            return NotImplemented
        return self._outcome == other._outcome and self._entry == other._entry

    def __hash__(self) -> int:
        return hash((self._entry, self._outcome))

    def __reduce__(self) -> tuple[object, ...]:
        return Decision, (self._entry, self._outcome)


@final
class Entry:
    """What governs a domain. `ref` is `None` where there is no entry, or none with a place.

    Most entries list no senders: they say one thing to peers in `relay_hosts` and one to all
    others. Both decisions are made before anybody asks, since to make one takes as long as two
    lookups. Where senders are listed there would be up to eight, too much to keep.
    """

    __slots__ = ("grants", "inside", "outside", "ref")

    def __init__(self, ref: EntryRef | None, grants: Grants) -> None:
        self.ref = ref
        self.grants = grants
        self.inside: Decision | None = None
        """To peers in `relay_hosts`; `None` if it depends on the sender."""
        self.outside: Decision | None = None
        """To all other peers."""
        if not grants.for_senders:  # without a call, in half the time: entries are many
            self.inside = made = _new(Decision)
            made._entry = ref  # pyright: ignore[reportPrivateUsage]
            made._outcome = grants.outcomes[4]  # pyright: ignore[reportPrivateUsage]
            self.outside = made = _new(Decision)
            made._entry = ref  # pyright: ignore[reportPrivateUsage]
            made._outcome = grants.outcomes[0]  # pyright: ignore[reportPrivateUsage]

    def decision(self, index: int) -> Decision:
        """What it grants a kind of senders, given as `Grants.index` has it (rule 4.2)."""
        made = _new(Decision)
        made._entry = self.ref  # pyright: ignore[reportPrivateUsage]
        made._outcome = self.grants.outcomes[index]  # pyright: ignore[reportPrivateUsage]
        return made


@final
class RcptDecision(_Answer):
    """Whether a listener accepts one recipient of one message (rule 4.3).

    Immutable, hashable, comparable and picklable. It has no truth value, and `.accept` is no
    permission to queue the message: ask `after_data` for that, once the message is there.

    The halves are made when somebody asks for them: servers want the reply.
    """

    __slots__ = ("_recipient", "_recipient_index", "_sender", "_sender_index", "_verdict")
    _shown = ("accept", "relay", "log_oob", "log_arf", "reason", "reply", "sender", "recipient")
    _permissions = ("accept", "relay")

    def __init__(
        self,
        sender: Entry,
        sender_index: int,
        recipient: Entry,
        recipient_index: int,
        verdict: Verdict,
    ) -> None:
        self._sender = sender
        self._sender_index = sender_index
        self._recipient = recipient
        self._recipient_index = recipient_index
        self._verdict = verdict

    @property
    def accept(self) -> bool:
        """Whether RCPT TO is accepted, be it only to see whether a report follows."""
        return self._verdict.accept

    @property
    def relay(self) -> bool:
        """Whether any message may be relayed."""
        return self._verdict.relay

    @property
    def log_oob(self) -> LogReport:
        """What becomes of a delivery report: the recipient's option, after S4."""
        return self._verdict.log_oob

    @property
    def log_arf(self) -> LogReport:
        """What becomes of an abuse report: the recipient's option, after S4."""
        return self._verdict.log_arf

    @property
    def reason(self) -> Reason:
        """The first permission that holds (rule 4.5)."""
        return self._verdict.reason

    @property
    def reply(self) -> str:
        """The SMTP reply to RCPT TO."""
        return ACCEPTED_RCPT if self._verdict.accept else REFUSED

    @property
    def sender(self) -> Decision:
        """The decision about the sender's domain."""
        return self._sender.decision(self._sender_index)

    @property
    def recipient(self) -> Decision:
        """The decision about the recipient's domain."""
        return self._recipient.decision(self._recipient_index)

    def after_data(self, report: Report | None) -> Disposition:
        """What becomes of the message, once it is there (rule 4.4).

        report: what the message is, `None` for anything but a report. Raises `RequestError` if
        `report` is something else.
        """
        if report is None:
            return self._verdict.message
        if report is Report.ARF:
            return self._verdict.arf_report
        if cast("object", report) is Report.OOB:
            return self._verdict.oob_report
        raise RequestError(f"report: expected a `Report` or `None`, found `{shown(report)}`")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RcptDecision):
            return NotImplemented
        return self._halves() == other._halves()

    def __hash__(self) -> int:
        return hash(self._halves())

    def __reduce__(self) -> tuple[object, ...]:
        return _combined, self._halves()

    def _halves(self) -> tuple[Decision, Decision, Dialect]:
        """What determines all the rest."""
        return self.sender, self.recipient, self._verdict.dialect


def _combined(sender: Decision, recipient: Decision, dialect: Dialect) -> RcptDecision:
    return combine(sender, recipient, dialect=dialect)


def _verdict(outcome: Outcome, dialect: Dialect) -> Verdict:
    """What is decided about a recipient (rules 4.3 to 4.5).

    outcome: the permissions of the sender's entry with the options of the recipient's.
    """
    hosts = outcome.relay_hosts
    relay = hosts or outcome.relay_from or outcome.relay_from_authz or outcome.relay_to
    log_oob, log_arf = outcome.log_oob, outcome.log_arf
    if hosts and dialect is Dialect.DOCUMENTED:  # S4
        log_oob = log_arf = LogReport.IGNORE
    accept = relay or log_oob is not LogReport.IGNORE or log_arf is not LogReport.IGNORE

    def disposition(option: LogReport) -> Disposition:
        if not accept:
            return Disposition(accept=False, log=False, relay=False)
        if option is LogReport.IGNORE:
            return Disposition(accept=relay, log=False, relay=relay)
        may_relay = relay or dialect is Dialect.KUMOMTA  # S3
        return Disposition(
            accept=True, log=True, relay=option is LogReport.LOG_THEN_RELAY and may_relay
        )

    return Verdict(
        accept,
        relay,
        log_oob,
        log_arf,
        _first_reason(outcome),
        dialect,
        message=disposition(LogReport.IGNORE),
        arf_report=disposition(log_arf),
        oob_report=disposition(log_oob),
    )


def sender_index(relay_hosts: bool, relay_from: bool, relay_from_authz: bool) -> int:
    """What a sender may, as one number."""
    return 4 * relay_hosts + 2 * relay_from + relay_from_authz


_OPTIONS: Final = tuple(product((False, True), LogReport, LogReport))
_SENDERS: Final = tuple(product((False, True), repeat=3))
"""In the order of `sender_index`."""

OUTCOMES: Final = {
    (relay_to, log_oob, log_arf): tuple(
        Outcome(hosts, from_, authz, relay_to, log_oob, log_arf) for hosts, from_, authz in _SENDERS
    )
    for relay_to, log_oob, log_arf in _OPTIONS
}
"""By `(relay_to, log_oob, log_arf)`, the outcomes by `sender_index`."""

VERDICTS: Final = {
    (dialect, options): tuple(_verdict(outcome, dialect) for outcome in OUTCOMES[options])
    for dialect in Dialect
    for options in _OPTIONS
}
"""By dialect and the *recipient's* `(relay_to, log_oob, log_arf)`, the verdicts by the
`sender_index` of the *sender's* entry: neither takes a permission from the other (4.3)."""


def combine(
    sender: Decision, recipient: Decision, *, dialect: Dialect = Dialect.DOCUMENTED
) -> RcptDecision:
    """Put the decisions about a sender's and a recipient's domain together (rule 4.3).

    For servers that find entries elsewhere and ask `evaluate` about them. Raises `RequestError` if
    the two differ in `relay_hosts`, since then they are not of one connection, or if one of them
    is no decision; `ConfigError` for a dialect of another type.
    """
    for name, half in (("sender", sender), ("recipient", recipient)):
        if not isinstance(cast("object", half), Decision):
            raise RequestError(f"{name}: expected a `Decision`, found `{shown(half)}`")
    problems = ProblemList()
    check_dialect(dialect, problems)
    problems.raise_if_any()
    if sender.relay_hosts is not recipient.relay_hosts:
        raise RequestError(
            "expected two decisions about one connection, found "
            f"relay_hosts={sender.relay_hosts} for the sender and "
            f"relay_hosts={recipient.relay_hosts} for the recipient"
        )
    index = _index_of(sender)
    options = (recipient.relay_to, recipient.log_oob, recipient.log_arf)
    return RcptDecision(
        _entry_of(sender, dialect),
        index,
        _entry_of(recipient, dialect),
        _index_of(recipient),
        VERDICTS[dialect, options][index],
    )


def _index_of(decision: Decision) -> int:
    return sender_index(decision.relay_hosts, decision.relay_from, decision.relay_from_authz)


def _entry_of(decision: Decision, dialect: Dialect) -> Entry:
    """An entry that says what a decision says, whoever asks."""
    options = (decision.relay_to, decision.log_oob, decision.log_arf)
    grants = Grants((), (), frozenset(), OUTCOMES[options], VERDICTS[dialect, options])
    return Entry(decision.entry, grants)
