"""What has changed from one policy to another, as data and as text.

How changes are found is in `listener_policy.analysis.diff`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from listener_policy._tree import Tree, drawn, name
from listener_policy.decision import Dialect, EntryRef, LogReport
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.networks import CidrSet
from listener_policy.questions import Request, explain_arguments

__all__ = ["AUDIENCES", "Change", "Effect", "PolicyDiff", "effect_of"]

AUDIENCES: Final = ("strangers", "listed peers", "authenticated")
"""To whom a change may do something; whoever is listed and authenticated is authenticated."""

_FEW: Final = 8
"""How many domains, blocks or identities are shown."""


class Effect(StrEnum):
    """What a change does to somebody."""

    UNCHANGED = "unchanged"
    WIDENS = "widens"
    """Something may be done now, and nothing is forbidden that was not."""
    NARROWS = "narrows"
    """Something is forbidden now, and nothing may be done that was forbidden."""
    BOTH = "both"
    """Something may be done now, and something else is forbidden."""


@final
@dataclass(frozen=True, slots=True)
class Change:
    """One change of what is answered: where, what, for whom, and a question that shows it.

    What it does to whom is told apart from what other changes do: of a change of what is said of
    domains it is what it does to peers that stay inside or outside of `relay_hosts`.
    """

    listeners: tuple[str, ...]
    """The listeners, canonical. If `relay_hosts` change, `*` are all that are not listed, and
    `0.0.0.0:port` and `[::]:port` include those of a family and port that are not. If what is said
    of domains changes, `*` are all listeners where no entry of their own governs them."""
    domains: tuple[str, ...]
    """The domains, as patterns: `*.suffix` stands for the names below a suffix for which there is
    nothing nearer, `""` for the null sender, `[*]` for literals that are not listed. Empty if
    `relay_hosts` change, which do not look at the domain."""
    before: EntryRef | None
    """The entry that governed the domains, or `None`."""
    after: EntryRef | None
    """The entry that governs them now, or `None`."""
    gained: CidrSet
    """The peers that `relay_hosts` or the governing `relay_from` gains."""
    lost: CidrSet
    """The peers that it loses."""
    gained_identities: tuple[str, ...]
    """The identities that the governing `relay_from_authz` gains, sorted."""
    lost_identities: tuple[str, ...]
    """The identities that it loses, sorted."""
    relay_to: tuple[bool, bool] | None
    """`relay_to` before and after, if it changes."""
    log_oob: tuple[LogReport, LogReport] | None
    """`log_oob` before and after, if it changes, booleans resolved by the dialect (S2)."""
    log_arf: tuple[LogReport, LogReport] | None
    """`log_arf` before and after, if it changes, booleans resolved by the dialect (S2)."""
    dialects: tuple[Dialect, Dialect] | None
    """The dialects before and after, if they differ: they read the same options otherwise (S2 to
    S4)."""
    strangers: Effect
    """What it does to peers that are not listed and have not authenticated as anybody listed."""
    listed_peers: Effect
    """What it does to peers in `relay_hosts` or `relay_from`, before or after."""
    authenticated: Effect
    """What it does to identities in `relay_from_authz`, before or after."""
    witness: Request
    """A question whose answer has changed."""

    @property
    def effects(self) -> dict[str, Effect]:
        """What it does to whom."""
        return {
            "strangers": self.strangers,
            "listed peers": self.listed_peers,
            "authenticated": self.authenticated,
        }

    def to_dict(self) -> dict[str, object]:
        """The change as JSON has it."""
        return {
            "listeners": list(self.listeners),
            "domains": list(self.domains),
            "before": None if self.before is None else self.before._asdict(),
            "after": None if self.after is None else self.after._asdict(),
            "gained": self.gained.to_list(),
            "lost": self.lost.to_list(),
            "gained_identities": list(self.gained_identities),
            "lost_identities": list(self.lost_identities),
            "relay_to": self.relay_to and list(self.relay_to),
            "log_oob": self.log_oob and list(map(str, self.log_oob)),
            "log_arf": self.log_arf and list(map(str, self.log_arf)),
            "dialects": self.dialects and list(map(str, self.dialects)),
            **{name.replace(" ", "_"): str(effect) for name, effect in self.effects.items()},
            "witness": self.witness._asdict(),
        }

    def __str__(self) -> str:
        return drawn(Tree(_where(self), tuple(_branches(self))))


@final
@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """All changes from one policy to another. It is true if there are any."""

    changes: tuple[Change, ...]
    """Changes of `relay_hosts`, then changes of what is said of domains."""

    @property
    def widens(self) -> bool:
        """Whether anybody may do anything now that was forbidden."""
        return self._does(Effect.WIDENS)

    @property
    def narrows(self) -> bool:
        """Whether anything is forbidden to anybody now that was not."""
        return self._does(Effect.NARROWS)

    def _does(self, effect: Effect) -> bool:
        return any(
            {effect, Effect.BOTH}.intersection(change.effects.values()) for change in self.changes
        )

    def to_dict(self) -> dict[str, object]:
        """The changes as JSON has them."""
        return {
            "widens": self.widens,
            "narrows": self.narrows,
            "changes": [change.to_dict() for change in self.changes],
        }

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        number = len(self.changes)
        if not number:
            return "no change: every question is answered alike"
        changes = f"{number} change" if number == 1 else f"{number} changes"
        effect = effect_of(widens=self.widens, narrows=self.narrows)
        return "\n".join([f"{changes}: {_SUMS[effect]}", *map(str, self.changes)])


def effect_of(*, widens: bool, narrows: bool) -> Effect:
    """The effect that permits something, forbids something, both or neither."""
    if widens:
        return Effect.BOTH if narrows else Effect.WIDENS
    return Effect.NARROWS if narrows else Effect.UNCHANGED


_DOES: Final = {
    Effect.WIDENS: "may do more",
    Effect.NARROWS: "may do less",
    Effect.BOTH: "may do more, and other things no longer",
}
_SUMS: Final = {
    Effect.WIDENS: "more may be done",
    Effect.NARROWS: "less may be done",
    Effect.BOTH: "more may be done, and other things no longer",
    Effect.UNCHANGED: "nobody may do more or less",
}


def _where(change: Change) -> str:
    """The domains and listeners, as the first line of a change."""
    domains = _few([name(domain) if domain else "the null sender" for domain in change.domains])
    listeners = _few([_listener(listener) for listener in change.listeners])
    return f"{domains or 'relay_hosts'} at listener {listeners}"


def _branches(change: Change) -> Iterator[Tree]:
    if change.domains and change.before == change.after:
        yield Tree(f"governed by {_entry(change.after)}")
    elif change.domains:
        yield Tree(f"was governed by {_entry(change.before)}")
        yield Tree(f"is governed by {_entry(change.after)}")
    blocks = "relay_from" if change.domains else "relay_hosts"
    identities = "relay_from_authz"
    for option, verb, values in (
        (blocks, "gains", change.gained.to_list()),
        (blocks, "loses", change.lost.to_list()),
        (identities, "gains", [name(identity) for identity in change.gained_identities]),
        (identities, "loses", [name(identity) for identity in change.lost_identities]),
    ):
        if values:
            yield _row(option, f"{verb} {_few(values)}")
    for option, pair in (
        ("relay_to", change.relay_to),
        ("log_oob", change.log_oob),
        ("log_arf", change.log_arf),
        ("dialect", change.dialects),
    ):
        if pair is not None:
            yield _row(option, f"{_written(pair[0])} -> {_written(pair[1])}")
    for who, effect in change.effects.items():
        if effect is not Effect.UNCHANGED:
            yield _row(who, _DOES[effect])
    yield _row("explain", explain_arguments(change.witness))


def _row(title: str, text: str) -> Tree:
    return Tree(f"{title:<17} {text}", indent=18)


def _few(texts: Sequence[str]) -> str:
    more = [f"{len(texts) - _FEW} more"] if len(texts) > _FEW else []
    return ", ".join([*texts[:_FEW], *more])


def _written(value: bool | StrEnum) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listener(listener: str) -> str:
    return listener if listener == EVERY_LISTENER else name(listener)


def _entry(entry: EntryRef | None) -> str:
    if entry is None:
        return "nothing"
    return f"{name(entry.pattern)} of listener {_listener(entry.listener)}"
