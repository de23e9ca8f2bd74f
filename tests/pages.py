"""The pages of the documentation, as readers follow them: from top to bottom, in one folder.

On such a page,

- a block with a title is a file of that name,
- `console` is a session at a terminal: each line that begins with `$ ` is run, and prints what
  stands below it. A command that ends in `&` goes on, and `$!` is its number;
- `text` is what that command writes next;
- `python` and `pycon` are run, and share their names.
"""

import doctest
import os
import queue
import re
import shlex
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

from command_line import environment

ROOT: Final = Path(__file__).parent.parent
DOCS: Final = ROOT / "docs"
PATIENCE: Final = 60.0
"""Seconds after which nothing more is to be expected."""

_BLOCK: Final = re.compile(
    r"^(?P<fence>`{3,})(?P<language>[\w.]*)(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_COMMAND: Final = re.compile(r"^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", re.MULTILINE)
_INSTALL: Final = re.compile(r"\.venv/bin/pip install --quiet '\.\./listener_policy\[(\w+)\]'")


@dataclass(frozen=True)
class Block:
    """Fenced code of a page."""

    language: str
    title: str | None
    """The name of the file that it is."""
    code: str


def blocks_of(page: Path) -> list[Block]:
    """All fenced code of a page, in order."""
    found: list[Block] = []
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        title = re.search(r'title="([^"]+)"', block["info"])
        found.append(Block(block["language"], title and title[1], block["code"]))
    return found


def commands_in(session: str) -> Iterator[tuple[str, str]]:
    """The commands of a session at a terminal, each with the output that is shown below it."""
    found = list(_COMMAND.finditer(session))
    assert "".join(command[0] for command in found) == session
    for command in found:
        yield command[1].rstrip("\n"), command[2]


class Reader:
    """Somebody who does what a page says, in a folder of their own beside a clone."""

    def __init__(self, folder: Path, *ports: str) -> None:
        """ports: those that the page shows; free ones are taken in their place."""
        self.folder = folder / "reader"
        self.folder.mkdir()
        (folder / "listener_policy").symlink_to(ROOT)
        programs = folder / "programs"
        programs.mkdir()
        for name in ("python", "python3"):
            script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
            (programs / name).write_text(script, encoding="utf-8")
            (programs / name).chmod(0o755)
        self._environment = environment(
            PATH=os.pathsep.join([str(programs), os.environ["PATH"]]),
            COLUMNS="80",
            PYTHONUNBUFFERED="1",
        )
        self._names: dict[str, Any] = {"__name__": "page"}
        self._number = 0
        self._server: subprocess.Popen[str] | None = None
        self._server_log: queue.Queue[str] = queue.Queue()
        self._status = 0
        self._ports: dict[str, str] = {}
        for port in ports:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._ports[port] = str(free.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(PATIENCE)

    def follow(self, block: Block) -> None:
        """Do what a block says, and see what it shows."""
        if block.title is not None:
            (self.folder / block.title).write_text(self._taken(block.code), encoding="utf-8")
        elif block.language == "console":
            for command, output in commands_in(block.code):
                assert self._run(command, output.count("\n")) == _comparable(output), command
        elif block.language == "text":
            assert self._logged(block.code.count("\n")) == _comparable(block.code)
        elif block.language == "python":
            exec(compile(block.code, "page", "exec"), self._names)
        elif block.language == "pycon":
            self._number += 1
            test = doctest.DocTestParser().get_doctest(
                block.code, self._names, f"session {self._number}", None, None
            )
            runner = doctest.DebugRunner(optionflags=doctest.ELLIPSIS)
            runner.run(test, clear_globs=False)
            self._names = test.globs
        else:
            raise AssertionError(f"nobody knows what to do with {block.language}: {block.code}")

    def _run(self, command: str, lines: int) -> str:
        """What a command prints; of one that goes on, that many lines."""
        command = self._taken(command)
        if extra := _INSTALL.fullmatch(command):
            self._install(extra[1])
            return ""
        if command.endswith(" &"):
            self._start(command.removesuffix(" &"))
            return self._logged(lines)
        if self._server is not None:
            command = command.replace("$!", str(self._server.pid))
        ended = subprocess.run(
            ["sh", "-c", f"(exit {self._status}); {command}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        self._status = ended.returncode
        return self._shown(ended.stdout)

    def _install(self, extra: str) -> None:
        """Let the page's environment have what this one has: a test downloads nothing."""
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        (packages,) = (self.folder / ".venv").glob("lib/python*/site-packages")
        here = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        (packages / "installed.pth").write_text("\n".join(here), encoding="utf-8")

    def _start(self, command: str) -> None:
        assert self._server is None
        self._server = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        Thread(target=self._read, args=[self._server], daemon=True).start()

    def _read(self, server: "subprocess.Popen[str]") -> None:
        assert server.stdout is not None
        with server.stdout as log:
            for line in log:
                self._server_log.put(line)

    def _logged(self, lines: int) -> str:
        found: list[str] = []
        with suppress(queue.Empty):  # what is there is compared, and says more
            found += (self._server_log.get(timeout=PATIENCE) for _ in range(lines))
        return self._shown("".join(found))

    def _taken(self, text: str) -> str:
        for shown, taken in self._ports.items():
            text = text.replace(shown, taken)
        return text

    def _shown(self, output: str) -> str:
        for shown, taken in self._ports.items():
            output = output.replace(taken, shown)
        return _comparable(output)


def _comparable(output: str) -> str:
    """Output without what is drawn anew each time: numbers of messages, ports of clients."""
    return re.sub(r"\b[0-9a-f]{16}\b|(?<=\('127\.0\.0\.1', )\d+", "0", output)
