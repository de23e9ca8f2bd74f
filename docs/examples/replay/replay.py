"""What would this policy have done with last month's traffic? `replay.py --help` says how to ask.

One process reads the logs, row by row. `replay_dask.py` does the same with several.
"""

import argparse
import sys
from collections.abc import Sequence

from replay_command import Progress, argument_parser, interrupts_held_back, run
from replay_log import Part
from replay_tally import Policies, Tally, Wanted, count_batch


def count(
    _options: argparse.Namespace,
    parts: Sequence[Part],
    policies: Policies,
    wanted: Wanted,
    progress: Progress,
) -> Tally:
    """What becomes of the rows of all parts. Raises `LogError`."""
    tally = Tally(wanted)
    with interrupts_held_back() as let_interrupts_through:
        for part in parts:
            for batch in part.batches():
                counted = count_batch(part.number, batch, policies, wanted)
                tally.add(counted)
                progress.took(counted, batch.octets)
                let_interrupts_through()
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argument_parser("Replays logs of recipients against a policy, or against two.")
    return run(parser, count, arguments)


if __name__ == "__main__":
    sys.exit(main())
