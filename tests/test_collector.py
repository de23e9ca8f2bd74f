"""While a policy is loaded, the garbage collector rests; afterwards it is as it was before."""

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, Final

import pytest
from support import untyped

from listener_policy import ConfigError, EsmtpListener, ListenerDomain, Policy, PolicyConfig

TEXT: Final = '["a.com"]\nrelay_to = true\n'
WRONG: Final = '["a.com"]\nrelay_too = true\n'
CONFIG: Final = PolicyConfig.from_toml(TEXT)
LISTENERS: Final = '[[esmtp_listener]]\nlisten = "mx"\n'
THRESHOLDS: Final = (701, 11, 12)
"""What a careful operator has set."""


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    """Gives back what the tests have taken."""
    enabled, before = gc.isenabled(), gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    yield
    gc.set_threshold(*before)
    (gc.enable if enabled else gc.disable)()


class Meanwhile(Mapping[str, Any]):
    """A document that does something while it is read."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        self._act()
        return iter(())

    def __len__(self) -> int:
        return 0


def load_while(act: Callable[[], object]) -> None:
    Policy.from_mapping(Meanwhile(act))


def collections_started(act: Callable[[], object]) -> int:
    """How often the collector starts by itself."""
    started: list[str] = []

    def note(phase: str, _info: Mapping[str, int]) -> None:
        started.append(phase)

    gc.callbacks.append(note)
    try:
        act()
    finally:
        gc.callbacks.remove(note)
    return started.count("start")


def make_many_objects() -> None:
    kept: list[list[int]] = [[number] for number in range(5000)]
    kept.clear()


def test_it_rests_while_a_policy_is_loaded() -> None:
    assert collections_started(make_many_objects) > 0
    started: list[int] = []
    load_while(lambda: started.append(collections_started(make_many_objects)))
    assert started == [0]
    assert collections_started(make_many_objects) > 0


MAKERS: Final[list[Callable[[Meanwhile], object]]] = [
    Policy.from_mapping,
    PolicyConfig.from_mapping,
    lambda made: PolicyConfig(entries={"*": untyped(made)}),
    lambda made: PolicyConfig.merge(PolicyConfig.model_construct(entries={"*": made})),
    lambda made: Policy(PolicyConfig.model_construct(entries={"*": made})),
]


@pytest.mark.parametrize("load", MAKERS)
def test_it_rests_whatever_is_made(load: Callable[[Any], object]) -> None:
    seen: list[int] = []
    load(Meanwhile(lambda: seen.append(gc.get_threshold()[0])))
    assert set(seen).isdisjoint(THRESHOLDS)
    assert seen
    assert gc.get_threshold() == THRESHOLDS


def test_it_rests_while_a_text_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def note(_text: str, **_hooks: object) -> dict[str, object]:
        seen.append(gc.get_threshold()[0])
        return {}

    monkeypatch.setattr("tomli.loads", note)
    monkeypatch.setattr("json.loads", note)
    loads: list[Callable[[str], object]] = [
        *(Policy.from_toml, Policy.from_json, PolicyConfig.from_toml, PolicyConfig.from_json),
        EsmtpListener.from_toml,
    ]
    for load in loads:
        load("")
    assert len(seen) == len(loads)
    assert set(seen).isdisjoint(THRESHOLDS)


def fail_with(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("enabled", [True, False])
def test_then_it_is_as_it_was_before(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    loads: list[tuple[type[BaseException] | None, Callable[[], object]]] = [
        (None, lambda: Policy.from_toml(TEXT, TEXT)),
        (None, lambda: Policy.from_json(json.dumps({"a.com": {}}))),
        (None, lambda: Policy.from_mapping({"a.com": {}})),
        (None, lambda: Policy(CONFIG)),
        (None, lambda: CONFIG.merge(CONFIG)),
        (None, lambda: PolicyConfig(entries={"*": {"a.com": ListenerDomain()}})),
        (None, lambda: EsmtpListener.from_toml(LISTENERS)),
        (ConfigError, lambda: Policy.from_toml(WRONG)),
        (ConfigError, lambda: Policy.from_toml("[")),
        (ConfigError, lambda: Policy.from_json(TEXT)),
        (ConfigError, lambda: Policy.from_mapping(untyped(None))),
        (ConfigError, lambda: Policy.from_toml(TEXT, relay_hosts=["10.0.0.1/8"])),
        (ConfigError, lambda: EsmtpListener.from_toml(LISTENERS + LISTENERS)),
        (ValueError, lambda: PolicyConfig(entries=untyped({"*": {"a b": {}}}))),
        (MemoryError, lambda: load_while(fail_with(MemoryError()))),
        (KeyboardInterrupt, lambda: load_while(fail_with(KeyboardInterrupt()))),
        (RecursionError, lambda: load_while(fail_with(RecursionError()))),
    ]
    for error, load in loads:
        if error is None:
            load()
        else:
            with pytest.raises(error):
                load()
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled() is enabled


def test_a_policy_may_be_loaded_while_one_is_loaded() -> None:
    seen: list[tuple[int, int, int]] = []

    def load() -> None:
        Policy.from_toml(TEXT)
        with pytest.raises(ConfigError):
            Policy.from_toml(WRONG)
        seen.append(gc.get_threshold())

    load_while(lambda: load_while(load))
    assert THRESHOLDS not in seen
    assert gc.get_threshold() == THRESHOLDS


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_the_last_thread_to_end_ends_the_rest(first_to_end: int) -> None:
    """Two threads load at a time, beginning in one order and ending in either."""
    begun, end = [Event(), Event()], [Event(), Event()]

    def load(number: int) -> None:
        def wait() -> None:
            begun[number].set()
            assert end[number].wait(60)

        load_while(wait)

    with ThreadPoolExecutor(2) as threads:
        loading: list[Future[None]] = []
        for number in (0, 1):
            loading.append(threads.submit(load, number))
            assert begun[number].wait(60)
        resting = gc.get_threshold()
        assert resting != THRESHOLDS
        for number in (first_to_end, 1 - first_to_end):
            assert gc.get_threshold() == resting
            end[number].set()
            loading[number].result(60)
    assert gc.get_threshold() == THRESHOLDS


def test_many_threads_leave_it_as_it_was() -> None:
    def load(number: int) -> None:
        for _ in range(20):
            if number % 2:
                Policy.from_toml(TEXT)
            else:
                with pytest.raises(ConfigError):
                    Policy.from_toml(WRONG)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(load, range(16)))
    assert gc.get_threshold() == THRESHOLDS


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("meanwhile", [gc.enable, gc.disable])
def test_what_others_switch_meanwhile_stays(before: bool, meanwhile: Callable[[], None]) -> None:
    (gc.enable if before else gc.disable)()
    load_while(meanwhile)
    assert gc.isenabled() is (meanwhile is gc.enable)
    assert gc.get_threshold() == THRESHOLDS


@pytest.mark.parametrize("meanwhile", [(0, 11, 12), (702, 11, 12), (1, 2, 3)])
def test_thresholds_that_others_set_meanwhile_stay(meanwhile: tuple[int, int, int]) -> None:
    load_while(lambda: gc.set_threshold(*meanwhile))
    assert gc.get_threshold() == meanwhile
    load_while(lambda: load_while(lambda: gc.set_threshold(*THRESHOLDS)))
    assert gc.get_threshold() == THRESHOLDS


def test_to_collect_is_possible_meanwhile() -> None:
    started: list[int] = []
    load_while(lambda: started.append(collections_started(gc.collect)))
    assert started == [1]
