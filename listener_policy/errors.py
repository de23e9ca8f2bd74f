"""What can go wrong, and whose fault it is.

- `ConfigError`: the operator's. A configuration is wrong; nothing of it is used. It carries every
  problem that was found, not the first.
- `RequestError`: the embedding server's. It asked something that cannot be understood, such as a
  peer that is no address. Nothing that arrives from the network ever causes one (rule 1.2).
- An adapter's own, where it reads what a mail server sends: `adapters.postfix.ProtocolError`.

All are `PolicyError`, which is a `ValueError`. No other exception leaves this package on purpose,
but for `pydantic.ValidationError` from models that are constructed in Python, `TypeError` from the
truth value of an answer, and whatever a hook raises.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConfigError", "PolicyError", "Problem", "RequestError"]


class PolicyError(ValueError):
    """The base of all errors of this package."""


class RequestError(PolicyError):
    """A question that cannot be understood: a bug of the server that asks (rule 1.1)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration (rule 3.4).

    document: index of the text among those that were given, or `None` for an argument of the call.
    path: where in the document, spelled as TOML spells it (`"a.com".relay_from[0]`); empty where
        the document as a whole is meant.
    message: what was found and what was expected, in one line.
    hint: the nearest right thing as a question or an advice, or `None` where there is none.
    """

    document: int | None
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = [] if self.document is None else [f"document {self.document}"]
        where += [self.path] if self.path else []
        hint = "" if self.hint is None else f"; {self.hint}"
        return ": ".join([*where, self.message]) + hint


class ConfigError(PolicyError):
    """A configuration that cannot be used, with all of its problems (rule 3.4).

    The exception of the underlying parser or validator is the `__cause__`, where there was one; if
    there were several, an `ExceptionGroup` of them is.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        return "\n".join([f"{len(self.problems)} problems:", *(f"  {p}" for p in self.problems)])
