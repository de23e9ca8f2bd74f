"""What policies decide about the rows of a log, counted.

A `Tally` counts some rows, and `Tally.add` puts two together: in whatever order and groups that
happens, the result is the same, so the rows of a log may be counted anywhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, TypeVar

from replay_log import Batch, Part, Question

from listener_policy import (
    LogReport,
    Policy,
    RcptDecision,
    RcptRequest,
    Reason,
    Report,
    RequestError,
    envelope_domain,
)

T = TypeVar("T")

NOT_VALID: Final = "(not valid)"
"""Stands for all domains that are not valid (rule 1.4)."""
NULL_SENDER: Final = "<>"
WHO: Final = ("listener", "sender", "recipient", "peer")


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies that are asked, `after` if there is one to compare with."""

    before: Policy
    after: Policy | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is kept besides counts."""

    names: bool
    """Whether listeners, domains and peers are counted by name."""
    examples: int
    """How many rows of each kind are kept."""


class Outcome(NamedTuple):
    """What becomes of mail for a recipient, and why (rules 4.3 to 4.5)."""

    accept: bool
    """Whether RCPT TO is accepted."""
    relay: bool
    """Whether any message is relayed."""
    arf_report: str
    """What becomes of an abuse report that is logged: it is "relayed" or "dropped"."""
    oob_report: str
    """The same of a delivery report."""
    reason: Reason

    @property
    def effect(self) -> tuple[bool, bool, str, str]:
        """All but the reason: what can be seen from outside."""
        return self[:4]

    def __str__(self) -> str:
        said = ["relayed"] if self.relay else []
        said += [f"abuse reports logged and {self.arf_report}"] * bool(self.arf_report)
        said += [f"delivery reports logged and {self.oob_report}"] * bool(self.oob_report)
        return f"{', '.join(said) or 'refused'} {self.reason}"


Pair: TypeAlias = tuple[Outcome, Outcome]
"""What one policy makes of a row, and what the other; the same if there is only one."""


class Place(NamedTuple):
    """Where a row is: the part of the log, and the line or row in it, from 1."""

    part: int
    line: int


@dataclass(slots=True)
class Group:
    """The rows of which the same becomes."""

    rows: int = 0
    who: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter[str]() for name in WHO}
    )
    """How often each listener, sender's and recipient's domain, and peer occurs."""
    examples: dict[Place, RcptRequest] = field(default_factory=dict[Place, RcptRequest])
    """The first rows."""


@dataclass(slots=True)
class Tally:
    """What becomes of some rows of a log."""

    wanted: Wanted
    groups: dict[Pair, Group] = field(default_factory=dict[Pair, Group])
    authenticated: int = 0
    unusable: int = 0
    """Rows that no policy can be asked about: there is no question, or it is a `RequestError`."""
    reasons: dict[Place, str] = field(default_factory=dict[Place, str])
    """Why, of the first of these."""
    lines: dict[int, int] = field(default_factory=dict[int, int])
    """The lines of each part, as far as they have been read."""

    @property
    def rows(self) -> int:
        """The rows that were decided about."""
        return sum(group.rows for group in self.groups.values())

    def add(self, other: "Tally") -> None:
        """Count what another tally has counted, which stays as it is."""
        for pair, more in other.groups.items():
            group = self.groups.setdefault(pair, Group())
            group.rows += more.rows
            for name, counts in more.who.items():
                group.who[name].update(counts)
            group.examples = _first({**group.examples, **more.examples}, self.wanted.examples)
        self.authenticated += other.authenticated
        self.unusable += other.unusable
        self.reasons = _first({**self.reasons, **other.reasons}, self.wanted.examples)
        for part, lines in other.lines.items():
            self.lines[part] = max(lines, self.lines.get(part, 0))


def _first(places: dict[Place, T], count: int) -> dict[Place, T]:
    return {place: places[place] for place in sorted(places)[:count]}


# --- Counting ------------------------------------------------------------------------------------

_Facts: TypeAlias = tuple[bool, LogReport, LogReport, Reason]
"""What all else about a decision follows from, at one policy."""


def count_part(part: Part, policies: Policies, wanted: Wanted) -> Tally:
    """What becomes of the rows of a part. Raises `LogError` if it cannot be read to its end."""
    tally = Tally(wanted)
    for batch in part.batches():
        tally.add(count_batch(part.number, batch, policies, wanted))
    return tally


def count_batch(part: int, batch: Batch, policies: Policies, wanted: Wanted) -> Tally:
    """What becomes of the rows of a batch of a part, which is given by its number."""
    before, after = policies.before, policies.after or policies.before
    compares = policies.after is not None
    questions, lines = batch.questions, batch.lines
    reasons = dict(batch.broken)
    alike: dict[tuple[_Facts, _Facts], list[int]] = {}
    pairs: dict[tuple[_Facts, _Facts], Pair] = {}
    client: tuple[object, ...] | None = None
    old_connection = new_connection = before.connection("none", "::1")
    for index, (listener, peer, sender, recipient, auth) in enumerate(questions):
        # the recipients of a session mostly stand together in a log: a dictionary of connections
        # would be asked as often as this comparison is made, and costs more
        try:
            if (asking := (listener, peer, auth)) != client:
                client = None
                old_connection = before.connection(*asking)
                if compares:
                    new_connection = after.connection(*asking)
                client = asking
            old = old_connection.decide_rcpt(sender, recipient)
            new = new_connection.decide_rcpt(sender, recipient) if compares else old
        except RequestError as error:
            reasons[lines[index]] = str(error)
            continue
        facts = old.relay, old.log_oob, old.log_arf, old.reason
        key = facts, (new.relay, new.log_oob, new.log_arf, new.reason) if compares else facts
        rows = alike.get(key)
        if rows is None:
            rows = alike[key] = []
            pairs[key] = _outcome(old), _outcome(new)
        rows.append(index)

    tally = Tally(wanted)
    for key, rows in alike.items():
        old_outcome, new_outcome = pair = pairs[key]
        group = tally.groups[pair] = Group(len(rows))
        if not compares or old_outcome.effect != new_outcome.effect:
            asked = [questions[row] for row in rows]
            if wanted.names:
                group.who = _who(asked, before)
            group.examples = {
                Place(part, lines[row]): RcptRequest(*question)
                for row, question in zip(rows[: wanted.examples], asked, strict=False)
            }
    tally.authenticated = sum(
        questions[row][4] is not None for rows in alike.values() for row in rows
    )
    tally.unusable = len(reasons)
    tally.reasons = _first(
        {Place(part, line): reason for line, reason in reasons.items()}, wanted.examples
    )
    tally.lines = {part: max([*lines[-1:], *reasons], default=0)}
    return tally


def _outcome(decision: RcptDecision) -> Outcome:
    after_arf, after_oob = (decision.after_data(report) for report in (Report.ARF, Report.OOB))
    return Outcome(
        decision.accept,
        decision.relay,
        ("relayed" if after_arf.relay else "dropped") if after_arf.log else "",
        ("relayed" if after_oob.relay else "dropped") if after_oob.log else "",
        decision.reason,
    )


def _who(questions: Sequence[Question], policy: Policy) -> dict[str, Counter[str]]:
    """How often each name occurs in questions that have been answered."""
    listeners, peers, senders, recipients, _ = zip(*questions, strict=True)
    listener = listeners[0]
    return {
        "listener": Counter(map(str, listeners)),
        "sender": _domains(senders),
        "recipient": _domains(recipients),
        "peer": _renamed(
            Counter(peers), lambda peer: str(policy.connection(listener, peer).peer_address)
        ),
    }


def _domains(addresses: Iterable[str]) -> Counter[str]:
    """How often each domain occurs. Only what tells domains apart is taken to canonical form."""
    tails = Counter(
        address[max(address.rfind("@"), 0) :] if address[-1:] != ">" else address
        for address in addresses
    )
    return _renamed(tails, _domain)


def _domain(address: str) -> str:
    domain = envelope_domain(address)
    return NOT_VALID if domain is None else domain or NULL_SENDER


def _renamed(counts: Counter[str], name: Callable[[str], str]) -> Counter[str]:
    renamed = Counter[str]()
    for text, count in counts.items():
        renamed[name(text)] += count
    return renamed
