"""Who may relay anything, by listener (rule 4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias, cast, final

from listener_policy._display import described, quoted
from listener_policy._frozen import FrozenMapping
from listener_policy._problems import Malformed, ProblemList
from listener_policy.listeners import wildcard_listeners
from listener_policy.networks import Block, CidrSet, read_cidr_set
from listener_policy.options import EsmtpListener

__all__ = ["DEFAULT_RELAY_HOSTS", "Blocks", "RelayHosts", "read_relay_hosts"]

DEFAULT_RELAY_HOSTS: Final = CidrSet(["127.0.0.1", "::1"])
"""The `relay_hosts` of a policy that states none (rule 4.1)."""

Blocks: TypeAlias = CidrSet | Iterable[Block]
"""What is taken for a `CidrSet`: one, or blocks to make one of."""


@final
class RelayHosts:
    """The `relay_hosts` of every listener: those that state theirs, and the default."""

    __slots__ = ("default", "listeners", "stated")

    default: CidrSet
    listeners: tuple[EsmtpListener, ...]
    stated: FrozenMapping[str, CidrSet]

    def __init__(
        self, default: Blocks, listeners: Iterable[EsmtpListener], problems: ProblemList
    ) -> None:
        """Read the arguments of a policy, adding what is wrong with them to `problems`."""
        self.default = read_relay_hosts(default, problems)
        self.listeners = tuple(_read_listeners(listeners, problems))
        self.stated = FrozenMapping(
            (listener.listen, listener.relay_hosts)
            for listener in self.listeners
            if listener.relay_hosts is not None
        )

    def source(self, listener: str) -> str | None:
        """The listener whose `relay_hosts` hold at a canonical listener, or `None` for the default.

        Its own; failing that, those of the wildcard addresses, IPv4's before IPv6's.
        """
        return listener if listener in self.stated else self._source_besides(listener)

    def _source_besides(self, listener: str) -> str | None:
        others = (other for other in wildcard_listeners(listener) if other != listener)
        return next((other for other in others if other in self.stated), None)

    def of(self, source: str | None) -> CidrSet:
        """The `relay_hosts` that `source` has named."""
        return self.default if source is None else self.stated[source]

    def meaning(self) -> dict[str, CidrSet]:
        """The listeners whose `relay_hosts` are others than if they stated none (rule 5.1)."""
        return {
            listener: blocks
            for listener, blocks in self.stated.items()
            if blocks != self.of(self._source_besides(listener))
        }


def read_relay_hosts(blocks: Blocks, problems: ProblemList) -> CidrSet:
    """The set of an argument `relay_hosts`, adding what is wrong with it to `problems`."""

    def report(index: int | None, malformed: Malformed) -> None:
        where = "" if index is None else f"[{index}]"
        problems.add_malformed(None, f"relay_hosts{where}", malformed)

    return read_cidr_set(blocks, report)


def _read_listeners(
    listeners: Iterable[EsmtpListener], problems: ProblemList
) -> Iterable[EsmtpListener]:
    if not isinstance(cast("object", listeners), list | tuple | AbstractSet | Iterator):
        found = described(listeners)
        hint = "put it in a list" if isinstance(cast("object", listeners), EsmtpListener) else None
        problems.add(None, "listeners", f"expected a list of `EsmtpListener`s, found {found}", hint)
        return
    listed: set[str] = set()
    for index, listener in enumerate(listeners):
        path = f"listeners[{index}]"
        if not isinstance(cast("object", listener), EsmtpListener):
            found = described(cast("object", listener))
            problems.add(None, path, f"expected an `EsmtpListener`, found {found}")
        elif listener.listen in listed:
            problems.add(None, f"{path}.listen", f"{quoted(listener.listen)} is listed twice")
        else:
            listed.add(listener.listen)
            yield listener
