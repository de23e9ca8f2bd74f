"""Loading: how long it takes, how long it takes to say what is wrong, and what is held."""

import gc
import tracemalloc
from functools import partial
from typing import Final

import tomli

from benchmarks.context import Settings
from benchmarks.measuring import Spread, fresh, relative, times_of
from benchmarks.report import Table, Target
from benchmarks.workload import workload
from listener_policy import ConfigError, Policy

MANY: Final = 1_000_000
"""So many entries take most of a minute to load."""
PARSER: Final = "tomli.loads"
GOOD: Final = "Policy.from_toml"
BAD: Final = "Policy.from_toml, three mistakes"


def with_mistakes(text: str) -> str:
    """The document with three mistakes: at its beginning, in its middle and at its end."""
    tables = text.split("\n[")
    for place, mistake in (
        (1, 'relay_too = "yes"'),
        (len(tables) // 2, 'ttl = 1\nrelay_form = ["10.0.0.1/24"]'),
        (len(tables) - 1, "log_fob = 1"),
    ):
        tables[place] = f"{tables[place].rstrip()}\n{mistake}\n"
    return "\n[".join(tables)


def measure(settings: Settings) -> list[Table]:
    """The tables of loading and of memory."""
    loading = Table(
        "loading", "Loading, relative to a bare `tomli.loads` of the same text", "entries"
    )
    errors = Table(
        "loading", "Saying what is wrong, relative to loading a document without", "entries"
    )
    memory = Table("loading", "Memory that a policy and its configuration hold", "bytes an entry")
    for size in settings.loading_sizes:
        column = f"{size:,}"
        text = workload(size).toml()
        wrong = with_mistakes(text)
        problems = problems_of(wrong)
        assert problems == 3, problems
        times = times_of(
            {
                PARSER: partial(_parsed, text),
                GOOD: partial(_loaded, text),
                BAD: partial(problems_of, wrong),
            },
            settings.loading_rounds if size < MANY else min(3, settings.loading_rounds),
        )
        for name, target in ((PARSER, None), (GOOD, Target(1.3, 1.0))):
            loading.add(name, column, relative(times, PARSER)[name].ratio, target)
        errors.add(BAD, column, relative(times, GOOD)[BAD].ratio, Target(2.0))
        memory.add("held", column, Spread.of([held(text, size)]), Target(600))
    return [loading, errors, memory]


def _parsed(text: str) -> dict[str, object]:
    return tomli.loads(fresh(text))


def _loaded(text: str) -> Policy:
    return Policy.from_toml(fresh(text))


def problems_of(text: str) -> int:
    """How many problems a document has."""
    try:
        Policy.from_toml(fresh(text))
    except ConfigError as error:
        return len(error.problems)
    return 0


def held(text: str, size: int) -> float:
    """Bytes an entry that `tracemalloc` sees held, once a document is loaded."""
    Policy.from_toml('["example.com"]\nrelay_to = true\n')  # what is made once is made
    gc.collect()
    tracemalloc.start()
    try:
        policy = Policy.from_toml(text)
        gc.collect()
        allocated = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert sum(map(len, policy.config.entries.values())) == size
    return allocated / size
