"""What would this policy have done with last month's traffic? The same as `replay.py`, on Dask.

Each part of the logs (a row group of Parquet, 16 MB of JSON Lines, a gzip file) is a task. The
policies are pickled and sent to the workers once. Without `--scheduler` the workers are processes
of this machine which talk over its loopback interface and end with the command.
"""

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import dask.config
import replay_log
import replay_tally
from distributed import Client, LocalCluster, as_completed
from replay_command import Progress, UnusableError, argument_parser, run
from replay_log import LogError, Part
from replay_tally import Policies, Tally, Wanted, count_part

LOOPBACK: Final = "127.0.0.1"
PATIENCE: Final = 30
"""Seconds until a scheduler that does not answer is given up."""


class PolicyDiffersError(Exception):
    """A worker has another policy than it was sent: its listener_policy is another version."""


def count_on_worker(
    part: Part, policies: Policies, fingerprints: Sequence[str], wanted: Wanted
) -> Tally:
    """What becomes of the rows of a part; runs on a worker.

    Raises `LogError`, and `PolicyDiffersError` if the policies mean something else there.
    """
    if _fingerprints(policies) != fingerprints:
        raise PolicyDiffersError(
            "a worker reads the policies otherwise: compare the versions of listener_policy"
        )
    return count_part(part, policies, wanted)


def _fingerprints(policies: Policies) -> list[str]:
    both = (policies.before, policies.after)
    return [policy.fingerprint for policy in both if policy is not None]


def count(
    options: argparse.Namespace,
    parts: Sequence[Part],
    policies: Policies,
    wanted: Wanted,
    progress: Progress,
) -> Tally:
    """What becomes of the rows of all parts. Raises `LogError` or `UnusableError`."""
    tally = Tally(wanted)
    with _client(options) as client:
        try:
            sent = client.scatter(policies, broadcast=True)
            octets = {part.number: part.octets for part in parts}
            tasks = {
                client.submit(
                    count_on_worker, part, sent, _fingerprints(policies), wanted, pure=False
                ): part.number
                for part in parts
            }
            finished: Any = as_completed(list(tasks), with_results=True)
            for task, counted in finished:
                tally.add(counted)
                progress.took(counted, octets[tasks.pop(task)])
        except (LogError, UnusableError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever breaks, there is no result
            raise UnusableError(f"Dask: {type(error).__name__}: {error}") from None
    return tally


@contextmanager
def _client(options: argparse.Namespace) -> Generator[Any]:
    """A client of the scheduler that is named, or of a cluster of its own."""
    # what goes wrong is told once, by this command
    quiet = {"logging.distributed": "critical", "distributed.comm.timeouts.connect": PATIENCE}
    for logger in ("distributed", "asyncio", "tornado"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(quiet))
        place: Any = options.scheduler
        if place is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="replay-"))
            stack.enter_context(dask.config.set({"temporary-directory": folder}))
            # no address but that of the loopback interface, any free port, and no dashboard
            with _without_interrupts():
                place = LocalCluster(
                    n_workers=options.workers,
                    threads_per_worker=1,
                    host=LOOPBACK,
                    dashboard_address=f"{LOOPBACK}:0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.CRITICAL,
                )
                stack.enter_context(place)
        try:
            client: Any = stack.enter_context(Client(place, timeout=PATIENCE))
        except (OSError, ValueError) as error:
            raise UnusableError(f"--scheduler {place}: {error}") from None
        if options.scheduler is not None:
            for module in (replay_log, replay_tally):
                client.upload_file(module.__file__)
        yield client


@contextmanager
def _without_interrupts() -> Generator[None]:
    """Ignores Ctrl-C until the end of the block, and in processes started in it for ever.

    A terminal tells all processes, and it is for this one to end the others.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:5]) < 1000):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 999, found {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argument_parser("Replays logs of recipients against a policy, or two, on Dask.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=_workers, default=2, metavar="N", help="processes on this machine (2)"
    )
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a cluster: tcp://192.0.2.1:8786")
    return run(parser, count, arguments)


if __name__ == "__main__":
    sys.exit(main())
