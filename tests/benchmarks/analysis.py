"""Analysis of whole policies, relative to loading one of them.

The two policies that are compared differ in what one in twelve of their entries says.
"""

import importlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from benchmarks.context import Settings
from benchmarks.measuring import relative, times_of
from benchmarks.report import Table
from benchmarks.workload import Workload, workload
from listener_policy import Policy

LOADING = "Policy.from_toml"


def measure(settings: Settings, skipped: list[str]) -> list[Table]:
    """The table, or none after saying why there is none."""
    try:
        analysis = importlib.import_module("listener_policy.analysis")
    except ModuleNotFoundError as error:
        skipped.append(f"analysis: {error}")
        return []
    table = Table("analysis", "Analysis, relative to loading the policy", "entries")
    for size in settings.analysis_sizes:
        text = workload(size).toml()
        policy, same = Policy.from_toml(text), Policy.from_toml(text)
        other = Policy.from_mapping(Workload(size, 4, seed=2).document())
        assert analysis.equivalent(policy, same)
        actions: dict[str, Callable[[], object]] = {LOADING: partial(Policy.from_toml, text)}
        for name, arguments in (
            ("equivalent", (policy, same)),
            ("diff", (policy, other)),
            ("cells", (policy,)),
            ("lint", (policy,)),
        ):
            if hasattr(analysis, name):
                actions[f"`{name}`"] = partial(_exhausted, getattr(analysis, name), *arguments)
        times = times_of(actions, max(3, settings.loading_rounds))
        for name, figures in relative(times, LOADING).items():
            table.add(name, f"{size:,}", figures.ratio)
    return [table]


def _exhausted(function: Callable[..., object], *arguments: Policy) -> None:
    """Call a function, and take all from what it gives if that is an iterator."""
    result = function(*arguments)
    if isinstance(result, Iterator):
        deque(cast("Iterator[object]", result), maxlen=0)
