"""How it is measured: ratios, of candidates that take turns in one process.

Neither pyperf nor pytest-benchmark can do that. Both finish one benchmark before they begin the
next (pyperf even in another process), so that two figures are minutes apart, and what else the
machine does in those minutes goes into their ratio. And both call a function again with the same
arguments, or make new ones within the time that they measure: a `str` keeps its hash, so a name
that is asked twice is looked up for less than any name that arrives from the network. So the
rounds are made here; pyperf tells about the machine (`about_the_machine`).

In a round every candidate is asked its own questions, made for it just before, in an order that
is another one in every round. Its time is divided by the time of the `base` of the same round.
What is told of these ratios is the median and the quartiles.

The clock is the processor time of this thread: nothing that is measured waits, and when the
machine is shared, the time of others does not count. While rounds are timed, the cyclic garbage
collector is off and what lives is frozen, as `timeit` has it: a decision makes no cycles, and a
collection would be put down to whoever happens to be next. Loading is another matter, and is
measured with the collector as Python starts it (`collecting`).
"""

import gc
import importlib
import random
import statistics
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import thread_time_ns
from typing import Any, Final, cast

Arguments = tuple[Any, ...]
Ask = Callable[..., object]


@dataclass(frozen=True)
class Candidate:
    """Something that is timed: a function, and who makes arguments for it.

    ask: what is called, positionally.
    questions: makes the arguments of that many calls, with strings that nobody has seen.
    share: how many of them it gets, relative to the others; less than 1 for what is slow.
    """

    ask: Ask
    questions: Callable[[int], Sequence[Arguments]]
    share: float = 1.0


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles of what was measured in all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of some values, of which there may be one."""
        ordered = sorted(values)
        if len(ordered) == 1:
            ordered *= 2
        low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Measured:
    """What a candidate takes for one question: relative to the base, and in nanoseconds."""

    ratio: Spread
    nanoseconds: Spread


def compared(
    candidates: Mapping[str, Candidate], base: str, *, count: int, rounds: int
) -> dict[str, Measured]:
    """Time candidates in turns, `count` questions each in each of so many rounds.

    One more round goes before, untimed. `base` is one of the names.
    """
    loops = {name: _loop(candidate) for name, candidate in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    with _undisturbed():
        for number, names in enumerate(_turns(candidates, rounds + 1)):
            for name in names:
                candidate = candidates[name]
                asked = candidate.questions(max(1, int(count * candidate.share)))
                start = thread_time_ns()
                loops[name](asked)
                elapsed = thread_time_ns() - start
                if number:
                    times[name].append(elapsed / len(asked))
    return relative(times, base)


def _turns(names: Iterable[str], rounds: int) -> Iterator[list[str]]:
    """The order of each round: who comes before whom decides what the processor has at hand."""
    rng = random.Random(rounds)
    order = list(names)
    for _ in range(rounds):
        rng.shuffle(order)
        yield order


def relative(times: Mapping[str, Sequence[float]], base: str) -> dict[str, Measured]:
    """The times of all rounds, each relative to that of `base` in the same round."""
    return {
        name: Measured(
            Spread.of(mine / others for mine, others in zip(spent, times[base], strict=True)),
            Spread.of(spent),
        )
        for name, spent in times.items()
    }


_LOOP: Final = """
def loop(questions):
    for {arguments}, in questions:
        ask({arguments})
"""


def _loop(candidate: Candidate) -> Callable[[Sequence[Arguments]], None]:
    """A loop that calls a candidate as a server would: `ask(listener, peer, domain, auth)`.

    `ask(*question)` takes another way through the interpreter, which costs as much as half of
    what is measured. Each candidate has a loop of its own, because the interpreter adapts a call
    to what is called there.
    """
    (first,) = candidate.questions(1)
    arguments = ", ".join(f"argument_{number}" for number in range(len(first)))
    namespace: dict[str, Any] = {"ask": candidate.ask}
    exec(_LOOP.format(arguments=arguments), namespace)
    return cast("Callable[[Sequence[Arguments]], None]", namespace["loop"])


@contextmanager
def _undisturbed() -> Generator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextmanager
def collecting() -> Generator[None]:
    """The garbage collector as Python starts it, with nothing left over from before."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # or a full collection would go through all that was made for other measurements
    gc.collect()  # and would be the rarer, the more there was at the last one
    gc.set_threshold(700, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def timed(action: Callable[[], object]) -> float:
    """How many nanoseconds of processor time an action takes, the collector being on.

    What the action returns is thrown away when the time is over.
    """
    with collecting():
        start = thread_time_ns()
        result = action()
        elapsed = thread_time_ns() - start
        del result
    return float(elapsed)


def times_of(actions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """How long actions take that take long: in turns, one call each in every round."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for names in _turns(actions, rounds):
        for name in names:
            times[name].append(timed(actions[name]))
    return times


def fresh(text: str) -> str:
    """A string that is equal to `text`, whose hash nobody has computed."""
    return text.encode().decode()


ABOUT: Final = (
    "cpu_model_name",
    "cpu_count",
    "python_implementation",
    "python_version",
    "load_avg_1min",
)


def about_the_machine() -> dict[str, str]:
    """What pyperf knows about the machine, as far as figures depend on it."""
    pyperf = importlib.import_module("pyperf")  # an extra
    known = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    return {name: str(known[name]) for name in ABOUT if name in known}
