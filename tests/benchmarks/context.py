"""What all measurements of one size have in common, made when it is first needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from unittest.mock import patch

from benchmarks import floor as floor_module
from benchmarks.careful import CarefulPolicy
from benchmarks.workload import EVERYONE, OTHER, Workload, workload
from listener_policy import Connection, EsmtpListener, HookPolicy, ListenerDomain, Policy
from listener_policy._memory import Known
from listener_policy.decision import Entry


class NoMemory:
    """What remembers nothing but what is always known."""

    def __init__(self, _room: int) -> None:
        pass

    def known(self, always: Mapping[str, Entry]) -> Known[str, Entry]:
        """What is always known."""
        return Known(always)

    def remember(self, _known: object, _name: str, _value: object) -> int:
        """Forget it, and do not come again."""
        return 2**62


@dataclass(frozen=True)
class Settings:
    """How much is measured."""

    sizes: Sequence[int]
    """Numbers of entries."""
    rounds: int = 100
    count: int = 500
    """Questions in a round."""
    loading_sizes: Sequence[int] = (100_000, 1_000_000)
    loading_rounds: int = 5
    checked: int = 4000
    """Questions of the check for the same answers."""
    block_counts: Sequence[int] = (4, 100, 1_000, 10_000, 100_000)
    """Numbers of blocks, where nothing else is asked."""
    analysis_sizes: Sequence[int] = (10, 1_000, 100_000)
    listener_counts: Sequence[int] = (2, 20, 200, 2_000)
    """Numbers of listeners, where nothing else differs."""


@dataclass(frozen=True)
class Context:
    """A policy in all the forms in which it is asked."""

    size: int
    settings: Settings
    own: int = 1
    """How many listeners have entries of their own."""
    workload: Workload = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "workload", workload(self.size, self.own))

    @property
    def column(self) -> str:
        """The heading of this size's figures."""
        return f"{self.size:,}"

    @cached_property
    def policy(self) -> Policy:
        """The package's."""
        return self.workload.policy()

    @cached_property
    def forgetful(self) -> Policy:
        """The same without a memory of domains."""
        with patch("listener_policy.rules.Memory", NoMemory):
            return self.workload.policy()

    @cached_property
    def floor(self) -> floor_module.Floor:
        """The floor."""
        return floor_module.floor(self.workload)

    @cached_property
    def careful(self) -> CarefulPolicy:
        """What is written in an afternoon."""
        return CarefulPolicy(self.workload)

    @cached_property
    def hook_policy(self) -> HookPolicy:
        """A policy that asks a function, which looks into the same tables."""
        return HookPolicy(
            hook(self.policy),
            relay_hosts=self.policy.relay_hosts,
            listeners=[
                EsmtpListener.model_validate(
                    {"listen": OTHER, "relay_hosts": self.workload.other_blocks.written()}
                )
            ],
        )


def hook(policy: Policy) -> Callable[[str, str, Connection], ListenerDomain | None]:
    """A hook as a server would write it: exact names and nothing else."""
    entries = policy.config.entries

    def get_listener_domain(
        domain: str, listener: str, _connection: Connection
    ) -> ListenerDomain | None:
        own = entries.get(listener)
        found = None if own is None else own.get(domain)
        return found or entries[EVERYONE].get(domain)

    return get_listener_domain
