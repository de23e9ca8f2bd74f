"""Uses the whole library while everything that touches the world is recorded.

Run in a fresh interpreter by `test_purity.py`: an audit hook cannot be removed, and what is only
imported or opened at first use would go unnoticed the second time. Prints a JSON object: for each
of `STEPS` and `CONTROLS`, what it did. Steps may do nothing; controls must be seen.

Python audits imports, files, sockets and processes, but not `os.stat`, `print`, the clock or the
environment. So calls into the modules that do such things are recorded as well.
"""

import importlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType
from typing import Any, Final

from purity_steps import STEPS

EXEMPT: Final = {
    "builtins.id": "a number that is forgotten again",
    "marshal.dumps": "bytes in memory, out of values in memory",
    "pickle.find_class": "a class that is being unpickled; an import would be an event of its own",
}
"""The audit events that are no I/O, and what they are instead. Every other event is a finding."""

WORLD: Final = frozenset(
    {
        *(
            "_io",
            "_posixsubprocess",
            "_random",
            "_socket",
            "_warnings",
            "asyncio",
            "io",
            "linecache",
        ),
        *("logging", "nt", "os", "posix", "random", "select", "socket", "subprocess", "tempfile"),
        *("threading", "time", "warnings"),
    }
)
"""The modules of which no function is called, `PARSERS` aside."""

PARSERS: Final = frozenset({"_socket.inet_pton"})
"""The functions among them that only turn a text into bytes, in memory."""

WORLDLY_BUILTINS: Final = frozenset({"breakpoint", "input", "open", "print"})
CLOCKS: Final = frozenset({"now", "today", "utcnow"})
"""The methods of `datetime` and `date` that look at the clock."""


class Recorder:
    """Records what touches the world, while a step is taken."""

    def __init__(self) -> None:
        self._armed = False
        self._seen: list[str] = []
        sys.meta_path.insert(0, self)
        sys.addaudithook(self._audit)

    def done_by(self, step: Callable[[], object]) -> list[str]:
        """What a step does, in order."""
        self._seen = []
        sys.setprofile(self._profile)
        self._armed = True
        try:
            step()
        finally:
            self._armed = False
            if sys.getprofile() != self._profile:
                self._seen.append("calls were not recorded to the end")
            sys.setprofile(None)
        return self._seen

    def find_spec(self, name: str, *_where: object) -> ModuleSpec | None:
        """Record an import, and find nothing."""
        if self._armed:
            self._seen.append(f"find_spec {name}")
        return None

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._armed and event not in EXEMPT:
            self._seen.append(f"{event} {arguments!a}"[:200])

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        if not self._armed or event not in ("call", "c_call"):
            return
        if event == "call":
            module, name = str(frame.f_globals.get("__name__")), "*"  # its name is an audit event
        else:
            owner = getattr(function, "__self__", None)
            module = str(function.__module__ or type(owner).__module__)
            name = str(function.__name__)
            if name in CLOCKS and isinstance(owner, type) and issubclass(owner, date):
                module = "time"
        worldly = module.partition(".")[0] in WORLD and f"{module}.{name}" not in PARSERS
        if worldly or (module == "builtins" and name in WORLDLY_BUILTINS):
            self._seen.append(f"{module}.{name}")


def start_process() -> None:
    with suppress(OSError):
        subprocess.Popen(["/nonexistent/program"])


def look_for_module() -> None:
    with suppress(ModuleNotFoundError):
        importlib.import_module("there_is_no_such_module")


CONTROLS: Final[dict[str, tuple[str, Callable[[], object]]]] = {
    "open a file": ("open ", lambda: Path(__file__).read_bytes()),
    "list a directory": ("os.scandir ", lambda: os.scandir().close()),
    "look at a file": (f"{os.stat.__module__}.stat", lambda: Path(__file__).stat()),
    "import a module": ("import ", lambda: __import__("colorsys")),
    "look for a module": ("find_spec ", look_for_module),
    "open a socket": ("socket.__new__ ", lambda: socket.socket().close()),
    "look up a name": ("socket.getaddrinfo ", lambda: socket.getaddrinfo("127.0.0.1", 25)),
    "start a process": ("subprocess.Popen ", start_process),
    "run code": ("exec ", lambda: exec("0")),
    "read the clock": ("time.time", time.time),
    "read the date": ("time.now", lambda: datetime.now(UTC)),
    "read the environment": ("os.*", lambda: os.environ.get("HOME")),
    "get random bytes": (f"{os.urandom.__module__}.urandom", lambda: os.urandom(1)),
    "get a random number": ("random.random", random.random),
    "print": ("builtins.print", lambda: print(end="")),  # noqa: T201
    "write to a stream": ("_io.write", lambda: sys.stderr.write("")),
    "warn": ("_warnings.warn", lambda: warnings.warn("", stacklevel=1)),
}
"""What touches the world: how its record begins, and how it is done."""


def main() -> None:
    recorder = Recorder()
    warnings.simplefilter("ignore")  # a control warns
    done = {name: recorder.done_by(step) for name, step in STEPS.items()}
    done |= {name: recorder.done_by(control) for name, (_, control) in CONTROLS.items()}
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    main()
