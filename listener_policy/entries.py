"""Entries, compiled: what each kind of sender gets from one is there before anybody asks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final, cast

from listener_policy._intervals import EMPTY
from listener_policy.decision import (
    OUTCOMES,
    VERDICTS,
    Dialect,
    Entry,
    Grants,
    LogReport,
)
from listener_policy.errors import PolicyError
from listener_policy.networks import CidrSet
from listener_policy.options import ListenerDomain, LogOption

__all__ = ["NO_ENTRY", "NO_OPTIONS", "compiled", "grants_by_model", "log_option"]


_TRUE_MEANS: Final = {
    Dialect.DOCUMENTED: LogReport.LOG_THEN_DROP,
    Dialect.KUMOMTA: LogReport.LOG_THEN_RELAY,
}
"""What `log_oob = true` and `log_arf = true` stand for (S2)."""

_LOG_OPTION: Final = (bool, LogReport)

NO_OPTIONS: Final = (False, LogReport.IGNORE, LogReport.IGNORE)
"""`relay_to`, `log_oob` and `log_arf` where nothing is written."""

NO_ENTRY: Final = {
    dialect: Entry(
        None,
        Grants(EMPTY, (), frozenset(), OUTCOMES[NO_OPTIONS], VERDICTS[dialect, NO_OPTIONS]),
    )
    for dialect in Dialect
}
"""What governs where no entry does: nothing is granted."""


def compiled(options: ListenerDomain, dialect: Dialect) -> Grants:
    """What an entry grants, its booleans read as the dialect reads them (S2).

    Raises `PolicyError` for a model that was made without being validated.
    """
    if not _is_sound(options):
        raise PolicyError("expected a validated `ListenerDomain`, found one that never was")
    fixed = (
        options.relay_to,
        log_option(options.log_oob, dialect),
        log_option(options.log_arf, dialect),
    )
    return Grants(
        options.relay_from.bounds,
        options.relay_from.octets,
        options.relay_from_authz,
        OUTCOMES[fixed],
        VERDICTS[dialect, fixed],
    )


def log_option(option: LogOption, dialect: Dialect) -> LogReport:
    """What `log_oob` or `log_arf` means as it is written (S2)."""
    if isinstance(option, bool):
        return _TRUE_MEANS[dialect] if option else LogReport.IGNORE
    return option


def _is_sound(options: ListenerDomain) -> bool:
    """Whether the values are of the types that validation gives them.

    `model_construct` and `model_copy(update=...)` take anything: a text for a set of identities,
    say, in which every part of it would be found.
    """
    logs = cast("tuple[object, object]", (options.log_oob, options.log_arf))
    return (
        isinstance(cast("object", options.relay_to), bool)
        and isinstance(cast("object", options.relay_from), CidrSet)
        and isinstance(cast("object", options.relay_from_authz), frozenset)
        and isinstance(logs[0], _LOG_OPTION)
        and isinstance(logs[1], _LOG_OPTION)
    )


def grants_by_model(
    entries: Mapping[str, Mapping[str, ListenerDomain]], dialect: Dialect
) -> dict[int, Grants]:
    """What the entries of all listeners grant, by the `id` of a model.

    Each model is compiled once: loading shares them.
    """
    tables = [patterns.values() for patterns in entries.values()]
    models = {id(model): model for model in chain.from_iterable(tables)}
    return {number: compiled(model, dialect) for number, model in models.items()}
