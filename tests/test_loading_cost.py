"""What loading costs, counted and not timed: validations, calls, bytes (rules 2.8 and 3.4).

A count that grows with the number of entries is a cost of each of them; one that does not, is none.
"""

import gc
import json
import pickle
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Fields, mapping_problems, options, toml_problems, words

from listener_policy import Dialect, ListenerDomain, Policy, PolicyConfig, canonical_domain
from listener_policy.domains import is_ordinary_pattern

SETS: Final[list[Fields]] = [
    {"relay_to": True},
    {"relay_from": ["10.0.0.0/24", "192.0.2.7"], "log_oob": True},
    {"relay_from_authz": ["ann", "bob"], "log_arf": "LogThenRelay", "ttl": "5 minutes"},
]
"""The few sets of options that the entries of a large policy repeat."""


def names(count: int) -> list[str]:
    """Patterns of 20 characters, every tenth a wildcard."""
    return [
        f"*.{number:06}.example.net" if number % 10 == 0 else f"{number:08}.example.net"
        for number in range(count)
    ]


def document(count: int, *, listener: str | None = None) -> Fields:
    """A document with so many entries."""
    table: Fields = {name: dict(SETS[n % len(SETS)]) for n, name in enumerate(names(count))}
    return table if listener is None else {"listener": {listener: table}}


def as_toml(written: Fields) -> str:
    """A document without listeners, as TOML; JSON writes our values as TOML does."""
    return "\n".join(
        f'["{name}"]\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
        for name, entry in written.items()
    )


def load_toml(written: Fields) -> PolicyConfig:
    return PolicyConfig.from_toml(as_toml(written))


def load_json(written: Fields) -> PolicyConfig:
    return PolicyConfig.from_json(json.dumps(written))


LOADERS: Final[list[Callable[[Fields], PolicyConfig]]] = [
    load_toml,
    load_json,
    PolicyConfig.from_mapping,
    lambda written: PolicyConfig(entries={"*": written}),
    lambda written: Policy.from_toml(as_toml(written)).config,
]


def models(config: PolicyConfig) -> list[ListenerDomain]:
    """The options of all entries."""
    return [entry for table in config.entries.values() for entry in table.values()]


def objects(config: PolicyConfig) -> int:
    """How many objects hold the options of all entries."""
    return len({id(model) for model in models(config)})


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What pydantic is asked to validate, from now on."""
    asked: list[object] = []
    validate = ListenerDomain.model_validate

    def note(value: object) -> ListenerDomain:
        asked.append(value)
        return validate(value)

    monkeypatch.setattr(ListenerDomain, "model_validate", note)
    return asked


@pytest.mark.parametrize("load", LOADERS)
def test_each_set_of_options_is_validated_once(
    load: Callable[[Fields], PolicyConfig], validated: list[object]
) -> None:
    config = load(document(300))
    assert sum(map(len, config.entries.values())) == 300
    assert validated == SETS
    assert objects(config) == len(SETS)


def test_each_set_of_options_is_validated_once_for_all_listeners_and_documents(
    validated: list[object],
) -> None:
    documents = [document(20), document(20, listener="mx"), document(20), document(20)]
    config = PolicyConfig.from_mapping(*documents)
    assert validated == SETS
    assert objects(config) == len(SETS)


def test_each_model_that_is_given_is_validated_once(validated: list[object]) -> None:
    given_models = [options(**written) for written in SETS]
    validated.clear()
    entries = {name: given_models[n % len(SETS)] for n, name in enumerate(names(300))}
    assert objects(PolicyConfig.from_mapping(entries)) == len(SETS)
    assert len(validated) == len(SETS)


def test_2_8_equal_options_are_one_object() -> None:
    later = {name: {"relay_to": False} for name in names(300)}
    one, two = PolicyConfig.from_mapping(document(300)), PolicyConfig.from_mapping(later)
    for config in (
        PolicyConfig.from_mapping(document(300), later),
        PolicyConfig.merge(one, two),
        one.merge(two, PolicyConfig.from_mapping(later)),
    ):
        assert objects(config) == len(SETS)
    same = PolicyConfig.from_mapping(document(300))
    assert objects(PolicyConfig.merge(one, same)) == len(SETS)
    assert objects(Policy(one).config) == objects(Policy.from_toml(as_toml(document(300))).config)
    assert objects(pickle.loads(pickle.dumps(one))) == len(SETS)


def test_2_8_equal_options_are_one_object_however_they_are_spelled() -> None:
    config = PolicyConfig.from_toml(
        """
        [a]
        relay_from = ["10.0.0.0/8", "::1"]
        log_arf = true
        [b]
        log_fbl = true
        relay_from = ["::1/128", "10.0.0.0/9", "10.128.0.0/9"]
        """,
        '[listener.mx."a"]\nlog_arf = true\nrelay_from = ["10.0.0.0/8", "::1"]',
    )
    assert len(models(config)) == 3
    assert objects(config) == 1


@pytest.mark.parametrize(
    "written",
    [
        [{}, {"relay_to": False}, {"log_oob": False}, {"log_oob": "Ignore"}, {"log_arf": False}],
        [{"ttl": 1}, {"ttl": True}, {"ttl": 1.0}, {"ttl": "1"}, {}],
        [{"ttl": 0}, {"ttl": False}, {"ttl": 0.0}, {"ttl": -0.0}],
        [{"ttl": None}, {}],
        [{"relay_from": ["10.0.0.0/8"]}, {"relay_from": ["10.0.0.0/8", "10.1.2.3"]}],
    ],
)
def test_2_8_options_that_are_written_otherwise_stay_as_they_are_written(
    written: list[Fields],
) -> None:
    entries = dict(zip(names(len(written)), written, strict=True))
    config = PolicyConfig.from_mapping(entries)
    for read in (config, PolicyConfig.merge(config, config), PolicyConfig.from_mapping(entries)):
        assert objects(read) == len(written)
        for model, fields in zip(models(read), written, strict=True):
            assert model.model_fields_set == set(fields)
            assert repr(model.ttl) == repr(fields.get("ttl"))


@pytest.mark.parametrize("dialect", Dialect)
def test_a_name_is_held_once(dialect: Dialect) -> None:
    policy = Policy.from_toml(as_toml(document(50)), dialect=dialect)
    for pattern in policy.config.entries["*"]:
        if not pattern.startswith("*"):
            entry = policy.decide("mx", "::1", pattern).entry
            assert entry is not None
            assert entry.pattern is pattern


def held(make: Callable[[], object]) -> int:
    """The bytes that `make` leaves behind, in what it returns."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = make()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    del kept
    return after - before


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("documents", [1, 2])
def test_an_entry_is_held_in_600_bytes(dialect: Dialect, documents: int) -> None:
    texts = [as_toml(document(5000))] * documents
    small = [as_toml(document(10))] * documents
    Policy.from_toml(*small, dialect=dialect)  # what is made once for all is no entry's
    assert held(lambda: Policy.from_toml(*texts, dialect=dialect)) <= 600 * 5000


def test_what_is_held_is_seen() -> None:
    assert held(lambda: [bytes(600) for _ in range(5000)]) > 600 * 5000


def own_calls(load: Callable[[], object]) -> int:
    """How many calls of Python functions of the package are made by `load`."""
    seen = 0

    def count(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal seen
        module = str(frame.f_globals.get("__name__"))
        seen += event == "call" and module.partition(".")[0] == "listener_policy"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        load()
    finally:
        sys.setprofile(before)
    return seen


def calls_of_entries(load: Callable[[Any], object], form: Callable[[Fields], Any]) -> float:
    """How many calls each further entry costs."""
    few, many = form(document(300)), form(document(1300))
    return (own_calls(lambda: load(many)) - own_calls(lambda: load(few))) / 1000


def test_no_function_is_called_for_an_entry_of_a_toml_document() -> None:
    assert calls_of_entries(PolicyConfig.from_toml, as_toml) == 0
    assert calls_of_entries(lambda text: PolicyConfig.from_toml(text, text), as_toml) <= 1


def test_one_function_is_called_for_an_entry_of_json_or_of_a_mapping() -> None:
    assert calls_of_entries(PolicyConfig.from_json, json.dumps) == 1  # was a key written twice?
    assert calls_of_entries(PolicyConfig.from_mapping, dict) == 1  # is all of it plain?


@pytest.mark.parametrize("dialect", Dialect)
def test_few_functions_are_called_to_compile_an_entry(dialect: Dialect) -> None:
    config = PolicyConfig.from_mapping
    assert calls_of_entries(lambda read: Policy(read, dialect=dialect), config) <= 8


def with_mistakes(count: int) -> Fields:
    """A document of so many entries with three mistakes."""
    written = document(count)
    written["00000011.example.net"] = {"relay_too": True}
    written[f"{count - 9:08}.example.net"] = {"relay_from": ["10.0.0.0/24", "10.0.0.1/24"]}
    written["-.example"] = {}
    return written


@pytest.mark.parametrize("load", [toml_problems, mapping_problems])
def test_3_4_three_mistakes_are_told_at_the_price_of_three(
    load: Callable[[Any], list[Any]], validated: list[object]
) -> None:
    def form(written: Fields) -> Any:
        return as_toml(written) if load is toml_problems else written

    problems = load(form(with_mistakes(1300)))
    assert [problem.path for problem in problems] == [
        '"00000011.example.net".relay_too',
        '"00001291.example.net".relay_from[1]',
        '"-.example"',
    ]
    assert len(validated) <= len(SETS) + 2 * 3
    few, many = form(with_mistakes(300)), form(with_mistakes(1300))
    each = 0 if load is toml_problems else 1
    assert own_calls(lambda: load(many)) - own_calls(lambda: load(few)) == 1000 * each


@pytest.mark.parametrize(
    "entry",
    ["relay_too = true", "relay_to = 1", 'relay_from = ["10.0.0.1/8"]', "log_oob = 1\nx.y = 1"],
)
def test_3_4_mistakes_everywhere_are_told_at_a_price_that_grows_with_their_number(
    entry: str,
) -> None:
    def wrong(count: int) -> str:
        return "\n".join(f'["{name}"]\n{entry}\n' for name in names(count))

    def cost(count: int) -> int:
        text = wrong(count)
        return own_calls(lambda: toml_problems(text))

    assert len(toml_problems(wrong(300))) >= 300
    assert cost(900) - cost(600) == cost(600) - cost(300)


ALPHABET: Final = [*words("a b z 0 9 _ - . * *. a. .a -- xn-- A \u00fc \u3002"), "\n", "x" * 30]


@given(st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=12).map("".join))
def test_1_5_a_key_that_passes_for_canonical_is(key: str) -> None:
    name = key.removeprefix("*.")
    canonical = canonical_domain(name)
    if is_ordinary_pattern(key):
        assert canonical == name
    elif len(key) < 64 and "--" not in key:
        assert canonical != name or "*" in name or not name


SPELLINGS: Final = st.sampled_from(
    words("a.example A.example a.example. b.example B.Example *.b *.B")
)
ENTRIES: Final[dict[str, Fields]] = {
    "nothing": {},
    "right": {"relay_to": True},
    "wrong, and yet equal": {"relay_to": 1},
    "unknown": {"x": 1},
}


@given(st.dictionaries(SPELLINGS, st.sampled_from(sorted(ENTRIES))))
def test_1_5_two_spellings_are_found_among_good_and_bad_entries_in_any_order(
    written: dict[str, str],
) -> None:
    """Whether the keys are canonical, and whether their options are right, must not matter."""
    forms = [canonical_domain(key.removeprefix("*.")) for key in written]
    expected = len(forms) - len(set(forms))
    wrong = sum(entry not in {"nothing", "right"} for entry in written.values())
    document = {key: ENTRIES[entry] for key, entry in written.items()}
    problems = mapping_problems(document, {"": {}})[:-1]
    assert sum("are two spellings of one key" in one.message for one in problems) == expected
    assert len(problems) == expected + wrong
