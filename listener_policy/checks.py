"""What decides, one check after the other, each with its evidence (rules 4.1 to 4.5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, final

from listener_policy._tree import Tree, name
from listener_policy.decision import EntryRef, LogReport, Reason, Report
from listener_policy.listeners import EVERY_LISTENER
from listener_policy.networks import CidrSet, IPNetwork, block_text
from listener_policy.options import LogOption

__all__ = [
    "Check",
    "LogCheck",
    "RelayFromAuthzCheck",
    "RelayFromCheck",
    "RelayHostsCheck",
    "RelayHostsSource",
    "RelayToCheck",
    "entry_dict",
    "listener_text",
]

_FEW: Final = 4
"""How many blocks or identities are named where a check found none of them to be the peer's."""


class Check(ABC):
    """One thing that was looked at: whether it holds, and the evidence (rule 4.5)."""

    __slots__ = ()

    @property
    @abstractmethod
    def reason(self) -> Reason:
        """What the decision's reason is if this is the first that holds."""

    @property
    @abstractmethod
    def holds(self) -> bool:
        """Whether it holds."""

    @property
    @abstractmethod
    def evidence(self) -> str:
        """What was found, or what was looked at, in words; names are escaped and shortened."""

    @abstractmethod
    def to_dict(self) -> dict[str, object]:
        """The check as JSON has it."""

    def _dict(self, **evidence: object) -> dict[str, object]:
        return {"check": self.reason.value, "holds": self.holds, **evidence}

    def tree(self) -> Tree:
        """The check as a branch of an explanation's text."""
        beginning = f"{self.reason:<16}  {'YES' if self.holds else 'no '}  "
        return Tree(beginning + self.evidence, indent=len(beginning))


class RelayHostsSource(StrEnum):
    """Whose `relay_hosts` hold at a listener (rule 4.1)."""

    LISTENER = "listener"
    """The listener's own."""
    ANY_IPV4 = "any_ipv4"
    """Those of `0.0.0.0` with its port, since it states none."""
    ANY_IPV6 = "any_ipv6"
    """Those of `[::]` with its port, since neither it nor `0.0.0.0` states any."""
    DEFAULT = "default"
    """The policy's default, since nobody states any."""


@final
@dataclass(frozen=True, slots=True)
class RelayHostsCheck(Check):
    """Whether the peer is in the listener's `relay_hosts` (rule 4.1)."""

    source: RelayHostsSource
    stated_by: str | None
    """The listener that states them; `None` for the default."""
    blocks: CidrSet
    """What was looked at."""
    block: IPNetwork | None
    """The block that contains the peer."""

    @property
    def reason(self) -> Reason:
        """`RELAY_HOSTS`."""
        return Reason.RELAY_HOSTS

    @property
    def holds(self) -> bool:
        """Whether the peer is in them."""
        return self.block is not None

    @property
    def evidence(self) -> str:
        """The block, or what was looked at, and whose it is."""
        if self.source is RelayHostsSource.LISTENER:
            whose = "listener's own (4.1)"
        elif self.stated_by is not None:
            whose = f"of {listener_text(self.stated_by)} (4.1)"
        else:
            whose = "default, none stated (4.1)"
        return f"{_blocks_text(self.blocks, self.block)}; {whose}"

    def to_dict(self) -> dict[str, object]:
        """The check as JSON has it; see `RelayFromCheck.to_dict`."""
        return self._dict(
            source=self.source.value,
            stated_by=self.stated_by,
            **_blocks_dict(self.blocks, self.block),
        )


@dataclass(frozen=True, slots=True)
class _EntryCheck(Check):
    """A check of an option of the entry that governs."""

    entry: EntryRef | None
    """The entry; `None` if none governs."""

    @property
    def evidence(self) -> str:
        """What was found, or what was looked at."""
        return "no entry governs" if self.entry is None else self._found

    @property
    @abstractmethod
    def _found(self) -> str: ...

    def _dict(self, **evidence: object) -> dict[str, object]:
        entry = None if self.entry is None else entry_dict(self.entry)
        return Check._dict(
            self, entry=entry, **evidence
        )  # super() fails where slots=True made the class anew


@final
@dataclass(frozen=True, slots=True)
class RelayFromCheck(_EntryCheck):
    """Whether the peer is in the entry's `relay_from` (rule 4.2)."""

    blocks: CidrSet
    """What was looked at."""
    block: IPNetwork | None
    """The block that contains the peer."""

    @property
    def reason(self) -> Reason:
        """`RELAY_FROM`."""
        return Reason.RELAY_FROM

    @property
    def holds(self) -> bool:
        """Whether the peer is in them."""
        return self.block is not None

    @property
    def _found(self) -> str:
        return _blocks_text(self.blocks, self.block)

    def to_dict(self) -> dict[str, object]:
        """The check as JSON has it.

        `ranges` says how many stretches of addresses were looked at, `blocks` names the blocks if
        they are few.
        """
        return self._dict(**_blocks_dict(self.blocks, self.block))


@final
@dataclass(frozen=True, slots=True)
class RelayFromAuthzCheck(_EntryCheck):
    """Whether the identity is in the entry's `relay_from_authz` (rule 4.2)."""

    identities: frozenset[str]
    """What was looked at."""
    auth: str | None
    """The identity that was looked for; `None` if nobody authenticated."""

    @property
    def reason(self) -> Reason:
        """`RELAY_FROM_AUTHZ`."""
        return Reason.RELAY_FROM_AUTHZ

    @property
    def holds(self) -> bool:
        """Whether the identity is among them."""
        return self.auth in self.identities

    @property
    def _found(self) -> str:
        if self.auth is not None and self.holds:
            return f"{name(self.auth)} is listed"
        if not self.identities:
            return "lists nobody"
        who = "nobody authenticated" if self.auth is None else f"{name(self.auth)} is not listed"
        listed = self._listed()
        names = f"{len(self.identities):,} identities" if listed is None else _names(listed)
        return f"{who}; listed: {names}"

    def _listed(self) -> list[str] | None:
        """All identities, if they are few."""
        return sorted(self.identities) if len(self.identities) <= _FEW else None

    def to_dict(self) -> dict[str, object]:
        """The check as JSON has it; `identities` is their number, `listed` names them if few."""
        return self._dict(auth=self.auth, identities=len(self.identities), listed=self._listed())


@final
@dataclass(frozen=True, slots=True)
class RelayToCheck(_EntryCheck):
    """Whether the entry has `relay_to` (rule 4.2)."""

    written: bool | None
    """The option as it is written; `None` if it is not."""

    @property
    def reason(self) -> Reason:
        """`RELAY_TO`."""
        return Reason.RELAY_TO

    @property
    def holds(self) -> bool:
        """Whether it is on."""
        return self.written is True

    @property
    def _found(self) -> str:
        return _option_text(self.written)

    def to_dict(self) -> dict[str, object]:
        """The check as JSON has it."""
        return self._dict(written=self.written)


@final
@dataclass(frozen=True, slots=True)
class LogCheck(_EntryCheck):
    """Whether reports of one kind are logged (rules 4.2 and 4.3)."""

    report: Report
    written: LogOption | None
    """The option as it is written; `None` if it is not."""
    option: LogReport
    """What that means in the dialect (S2)."""
    exempt: bool = False
    """Whether it does not count, since the peer is in `relay_hosts` (S4). Only about recipients:
    in the explanation of a domain it is as the entry has it (rule 4.2)."""

    @property
    def reason(self) -> Reason:
        """`LOG_ARF` or `LOG_OOB`."""
        return Reason.LOG_ARF if self.report is Report.ARF else Reason.LOG_OOB

    @property
    def holds(self) -> bool:
        """Whether it is another than `Ignore`, and counts."""
        return self.option is not LogReport.IGNORE and not self.exempt

    @property
    def _found(self) -> str:
        means = f", which is {self.option} (S2)" if isinstance(self.written, bool) else ""
        exempt = "; not for a peer in relay_hosts (S4)" if self.exempt else ""
        return _option_text(self.written) + means + exempt

    def to_dict(self) -> dict[str, object]:
        """The check as JSON has it."""
        written = self.written.value if isinstance(self.written, LogReport) else self.written
        return self._dict(written=written, option=self.option.value, exempt=self.exempt)


def _blocks_text(blocks: CidrSet, block: IPNetwork | None) -> str:
    if block is not None:
        return f"in {block_text(block)}"
    if not blocks:
        return "lists nobody"
    listed = _few_blocks(blocks)
    if listed is None:
        ranges = len(blocks.bounds) // 2
        return "not in its range" if ranges == 1 else f"in none of its {ranges:,} ranges"
    return f"not in {', '.join(listed)}"


def _few_blocks(blocks: CidrSet) -> list[str] | None:
    """All blocks of a set, if they are few; what there is without end is not walked."""
    if len(blocks.bounds) > 2 * _FEW:
        return None
    listed = [block_text(block) for block in islice(blocks, _FEW + 1)]
    return listed if len(listed) <= _FEW else None


def _blocks_dict(blocks: CidrSet, block: IPNetwork | None) -> dict[str, object]:
    return {
        "block": None if block is None else block_text(block),
        "ranges": len(blocks.bounds) // 2,
        "blocks": _few_blocks(blocks),
    }


def _option_text(written: LogOption | None) -> str:
    if written is None:
        return "not written"
    return str(written).lower() if isinstance(written, bool) else written.value


def _names(texts: list[str]) -> str:
    return ", ".join(map(name, texts))


def entry_dict(entry: EntryRef) -> dict[str, object]:
    """An entry's place as JSON has it."""
    return {"listener": entry.listener, "pattern": entry.pattern}


def listener_text(listener: str) -> str:
    """A listener as an explanation's text names it."""
    return f"listener {listener if listener == EVERY_LISTENER else name(listener)}"
