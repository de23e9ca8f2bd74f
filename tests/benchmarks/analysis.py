"""Analysis of whole policies, relative to loading one of them."""

import importlib
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

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
        times = times_of(
            {
                LOADING: partial(Policy.from_toml, text),
                "`equivalent`": partial(analysis.equivalent, policy, same),
                "`diff`": partial(analysis.diff, policy, other),
                "`cells`": partial(_all_cells, analysis.cells, policy),
                "`lint`": partial(analysis.lint, policy),
            },
            max(3, settings.loading_rounds),
        )
        for name, figures in relative(times, LOADING).items():
            table.add(name, f"{size:,}", figures.ratio)
    return [table]


def _all_cells(cells: Callable[[Policy], Iterable[object]], policy: Policy) -> None:
    deque(cells(policy), maxlen=0)
