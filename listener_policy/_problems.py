"""What is wrong, on its way to the error that says so (rule 3.4)."""

from __future__ import annotations

from typing import NoReturn

from listener_policy.errors import ConfigError, Problem

__all__ = ["Malformed", "ProblemList"]


class Malformed(ValueError):  # noqa: N818 - it is no error yet
    """A text that is not what it should be, before anybody knows where it stood.

    Whoever knows the place makes a `Problem` or a `RequestError` of it.
    """

    def __init__(self, expected: str, found: str, hint: str | None = None) -> None:
        super().__init__(expected, found, hint)
        self.expected = expected
        self.found = found
        self.hint = hint

    @property
    def message(self) -> str:
        """What was expected and what was found, in one line."""
        return f"expected {self.expected}, found {self.found}"


class ProblemList:
    """Collects problems, so that all of them are reported at once."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._causes: list[Exception] = []

    def __len__(self) -> int:
        return len(self._problems)

    def add(self, document: int | None, path: str, message: str, hint: str | None = None) -> None:
        """Add one problem."""
        self._problems.append(Problem(document, path, message, hint))

    def add_malformed(self, document: int | None, path: str, malformed: Malformed) -> None:
        """Add a malformed text, now that its place is known."""
        self.add(document, path, malformed.message, malformed.hint)

    def caused_by(self, cause: Exception) -> None:
        """Remember the foreign exception behind the problems that were just added."""
        self._causes.append(cause)

    def raise_if_any(self) -> None:
        """Raise `ConfigError` if there is a problem."""
        if self._problems:
            self.fail()

    def fail(self) -> NoReturn:
        """Raise `ConfigError` with everything that was collected."""
        cause: Exception | None = None
        if self._causes:
            several = len(self._causes) > 1
            cause = ExceptionGroup("causes", self._causes) if several else self._causes[0]
        last = len(self._problems)  # arguments come after documents
        problems = sorted(self._problems, key=lambda p: last if p.document is None else p.document)
        raise ConfigError(tuple(problems)) from cause
