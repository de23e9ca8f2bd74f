"""The command line: `PYTHONPATH=tests python -m benchmarks [group ...]`.

Progress goes to stderr, the tables to stdout. `--write docs/performance.md` puts them on the page.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import analysis, deciding, engines, loading, networks
from benchmarks.checks import check_deciding
from benchmarks.context import Context, Settings
from benchmarks.measuring import about_the_machine
from benchmarks.report import Table, markdown, with_figures
from benchmarks.workload import BLOCKS

GROUPS: Final = (*deciding.GROUPS, "listeners", "networks", "engines", "loading", "analysis")
FULL: Final = Settings(tuple(BLOCKS))
QUICK: Final = Settings(
    (10, 1_000),
    rounds=12,
    count=300,
    loading_sizes=(10_000,),
    loading_rounds=3,
    checked=1_000,
    block_counts=(4, 100, 1_000),
    analysis_sizes=(10,),
    listener_counts=(2, 20),
)


def tables(groups: Sequence[str], settings: Settings, skipped: list[str]) -> Iterator[Table]:
    """Measure what is asked for, one table after the other."""
    yield from about_deciding(groups, settings)
    if "listeners" in groups:
        progress("listeners")
        yield deciding.many_listeners(settings)
    if "networks" in groups:
        progress("networks")
        yield networks.measure(settings, skipped)
    if "engines" in groups:
        progress("engines")
        yield engines.measure(settings, skipped)
    if "loading" in groups:
        progress("loading")
        yield from loading.measure(settings)
    if "analysis" in groups:
        progress("analysis")
        yield from analysis.measure(settings, skipped)


def about_deciding(groups: Sequence[str], settings: Settings) -> list[Table]:
    """The tables of all that is measured of one policy, size by size."""
    wanted = [
        (name, measure, Table(name, title, corner))
        for name, (measure, title, corner) in deciding.GROUPS.items()
        if name in groups
    ]
    for size in settings.sizes if wanted else ():
        progress(f"{size:,} entries: the same answers")
        context = Context(size, settings)
        check_deciding(context)
        for name, measure, table in wanted:
            progress(f"{size:,} entries: {name}")
            measure(context, table)
    for name, _, table in wanted:
        if name == "deciding":
            deciding.growth(table)
    return [table for _, _, table in wanted]


def progress(what: str) -> None:
    """Say what is going on."""
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"one of: {', '.join(GROUPS)}")
    parser.add_argument("--size", type=int, action="append", help="entries; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures on a page")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.groups) - set(GROUPS))
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    settings = settings_of(quick=given.quick, sizes=given.size)
    machine = {
        **about_the_machine(),
        "rounds": str(settings.rounds),
        "questions_in_a_round": str(settings.count),
    }
    skipped: list[str] = []
    found = list(tables(given.groups or GROUPS, settings, skipped))
    report = markdown(found, skipped, machine)
    if given.write:
        page = given.write.read_text(encoding="utf-8")
        given.write.write_text(with_figures(page, report), encoding="utf-8")
    if given.json:
        told = {
            "machine": machine,
            "tables": [table.to_dict() for table in found],
            "skipped": skipped,
        }
        report = json.dumps(told, indent=2)
    sys.stdout.write(f"{report}\n")


def settings_of(*, quick: bool, sizes: Sequence[int] | None) -> Settings:
    """How much is measured."""
    settings = QUICK if quick else FULL
    if not sizes:
        return settings
    return replace(
        settings, sizes=tuple(sizes), loading_sizes=tuple(sizes), analysis_sizes=tuple(sizes)
    )


if __name__ == "__main__":
    main()
