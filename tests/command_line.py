"""What the tests of the command line share: files to work on, and programs to start."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import listener_policy

ROOT: Final = Path(listener_policy.__file__).parent.parent
COMMAND: Final = [sys.executable, "-m", "listener_policy"]
COMMANDS: Final = ("check", "explain", "diff", "test")
BEFORE: Final = '["example.com"]\nrelay_to = true\n'
EXPECTATIONS: Final = """
[[expect]]
name = "anybody may write to us"
listener = "mx"
peer = "203.0.113.9"
domain = "example.com"
may_receive = true
[[expect]]
name = "and somebody may send"
listener = "mx"
peer = "203.0.113.9"
domain = "example.com"
may_send = true
"""
AFTER: Final = '["example.com"]\nrelay_from = ["192.0.2.0/24", "192.0.2.1"]\nttl = 1\n'


def written(path: Path, text: str) -> str:
    """The name of a file in which that stands."""
    path.write_text(text, encoding="utf-8")
    return str(path)


def environment(**variables: str) -> dict[str, str]:
    """An environment for a program that finds this package and nothing that it would mind."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **variables}


def run(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        encoding="utf-8",
        env=environment() if env is None else env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
    )


class InterruptedStream(io.StringIO):
    """A stream that is being written to when Ctrl-C is pressed."""

    def write(self, _text: str, /) -> int:
        raise KeyboardInterrupt


@contextmanager
def ctrl_c_is(handler: Any) -> Generator[None]:
    """Within the block, SIGINT is handled like that, here and in processes that are started."""
    inherited = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, inherited)


def closed_pipe() -> int:
    """The end for writing of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


def opened_for_writing(fifo: Path, process: subprocess.Popen[bytes]) -> BinaryIO:
    """A named pipe, once the process reads from it."""
    while process.poll() is None:
        with suppress(OSError):  # nobody reads yet
            return os.fdopen(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK), "wb")
        time.sleep(0.01)
    raise AssertionError(process.communicate())
