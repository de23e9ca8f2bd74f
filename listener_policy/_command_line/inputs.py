"""What a command is given: files and standard input, and the policy that they make.

Everything is read before anything is used, so that all that is wrong is told at once, as
`file: path: message`.
"""

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from listener_policy._command_line.outcome import Unusable
from listener_policy._display import printable
from listener_policy.config import PolicyConfig
from listener_policy.decision import Dialect
from listener_policy.errors import ConfigError, Problem
from listener_policy.networks import CidrSet
from listener_policy.options import EsmtpListener
from listener_policy.policy import Policy
from listener_policy.relay_hosts import DEFAULT_RELAY_HOSTS

__all__ = ["InputPath", "Inputs", "PolicySource"]

T = TypeVar("T")


class InputPath(str):
    """The path of a file as the command line names it, or `-` for standard input."""

    __slots__ = ()

    @property
    def is_standard_input(self) -> bool:
        """Whether it is `-`."""
        return self == "-"

    def read(self) -> bytes:
        """What stands there. Raises `OSError`, and `ValueError` for what cannot be a path."""
        if not self.is_standard_input:
            return Path(self).read_bytes()
        if sys.stdin is None:
            raise OSError("it is closed")
        return sys.stdin.buffer.read()


class PolicySource(NamedTuple):
    """What a policy is made of, as the command line says it.

    `relay_host` is `None` where none is given, which is another thing than an empty list.
    """

    paths: tuple[InputPath, ...]
    listeners: InputPath | None
    relay_host: tuple[str, ...] | None
    dialect: Dialect
    relay_host_option: str = "--relay-host"
    """The option that says so: where problems of it are."""


class Inputs:
    """Reads what the command line names, each file once, and collects all that is wrong."""

    def __init__(self) -> None:
        self._wrong: dict[str, None] = {}  # two policies may be made of one file
        self._texts: dict[str, bytes] = {}
        self.configs: Final[dict[InputPath, PolicyConfig]] = {}
        """What has been read, by file."""

    def policy(self, source: PolicySource) -> Policy | None:
        """The policy of a source, or `None` after collecting what is wrong."""
        configs = [self.config(path) for path in source.paths]
        listeners: tuple[EsmtpListener, ...] | None = ()
        if source.listeners is not None:
            listeners = self.load(source.listeners, EsmtpListener.from_toml)
        relay_hosts: CidrSet | None = DEFAULT_RELAY_HOSTS
        if source.relay_host is not None:
            relay_hosts = self.checked(
                partial(CidrSet, source.relay_host), source.relay_host_option
            )
        read = [config for config in configs if config is not None]
        if len(read) < len(configs) or listeners is None or relay_hosts is None:
            return None
        return Policy(
            PolicyConfig.merge(*read),
            relay_hosts=relay_hosts,
            listeners=listeners,
            dialect=source.dialect,
        )

    def config(self, path: InputPath) -> PolicyConfig | None:
        """The configuration that a file is, or `None` after collecting what is wrong."""
        if path not in self.configs:
            config = self.load(path, partial(_config, path))
            if config is None:
                return None
            self.configs[path] = config
        return self.configs[path]

    def load(self, path: InputPath, loader: Callable[[bytes], T]) -> T | None:
        """What `loader` makes of a file, or `None` after collecting what is wrong."""
        text = self.text(path)
        return None if text is None else self.checked(partial(loader, text), path)

    def text(self, path: InputPath) -> bytes | None:
        """What stands in a file, or `None` after collecting why that cannot be known."""
        if path not in self._texts:
            try:
                self._texts[path] = path.read()
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else None
                self.refuse(f"{printable(path)}: cannot be read: {reason or error}")
                return None
        return self._texts[path]

    def checked(self, make: Callable[[], T], *names: str) -> T | None:
        """What `make` makes, or `None` after collecting the problems of its `ConfigError`.

        names: what its documents are called, in their order.
        """
        try:
            return make()
        except ConfigError as error:
            self.refuse(
                *(
                    _problem_line(names[problem.document or 0], problem)
                    for problem in error.problems
                )
            )
            return None

    def refuse(self, *lines: str) -> None:
        """Collect what is wrong, each thing as the line that says it."""
        self._wrong.update(dict.fromkeys(lines))

    def usable(self, value: T | None) -> T:
        """A value that was made of what was read. Raises `Unusable` if anything at all is wrong."""
        if value is None or self._wrong:
            raise Unusable(*self._wrong)
        return value


def _config(path: InputPath, text: bytes) -> PolicyConfig:
    """The configuration of one file: JSON if it is called so or, with another name, looks so."""
    suffix = Path(path).suffix.lower()
    looks_so = text.removeprefix(BOM_UTF8).lstrip()[:1] == b"{"
    is_json = suffix == ".json" or (suffix != ".toml" and looks_so)
    return PolicyConfig.from_json(text) if is_json else PolicyConfig.from_toml(text)


def _problem_line(name: str, problem: Problem) -> str:
    """A problem as `file: path: message`."""
    where = f"{printable(name)}: {problem.path}: " if problem.path else f"{printable(name)}: "
    return where + problem.message + (f"; {problem.hint}" if problem.hint else "")
