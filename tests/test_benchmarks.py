"""The benchmarks still measure what they say: same answers, fresh strings, and turns."""

import gc
import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from benchmarks import __main__ as command
from benchmarks import careful, deciding, engines, floor, loading, networks
from benchmarks.checks import DifferentAnswersError, check_deciding, check_same
from benchmarks.context import Context, Settings
from benchmarks.measuring import Candidate, Spread, collecting, compared, fresh, times_of
from benchmarks.report import BEGIN, END, Table, Target, markdown, with_figures
from benchmarks.workload import EVERYONE, OTHER, OWN, Workload, workload
from support import calls

from listener_policy import Policy

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
SMALL = Settings(
    (10,),
    rounds=2,
    count=20,
    loading_sizes=(40,),
    loading_rounds=2,
    checked=500,
    block_counts=(4,),
    analysis_sizes=(10,),
    listener_counts=(3,),
)


# The same answers


@pytest.mark.parametrize(("size", "own"), [(10, 1), (300, 1), (300, 20)])
def test_all_candidates_give_the_same_answers(size: int, own: int) -> None:
    check_deciding(Context(size, SMALL, own))


def another(answer: Callable[..., object]) -> Callable[..., Any]:
    """A function that forgets the identity, and so gives another answer now and then."""

    def answer_wrongly(*question: Any) -> object:
        return answer(*question[:-1], None)

    return answer_wrongly


@pytest.mark.parametrize("name", ["decide", "decide_rcpt", "connection"])
def test_a_floor_with_another_answer_is_not_timed(name: str) -> None:
    context = Context(300, SMALL)
    wrong = {name: another(getattr(context.floor, name))}
    context.__dict__["floor"] = replace(context.floor, **wrong)
    with pytest.raises(DifferentAnswersError, match="floor"):
        check_deciding(context)


@pytest.mark.parametrize("name", ["decide", "decide_rcpt"])
def test_a_careful_version_with_another_answer_is_not_timed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(careful.CarefulPolicy, name)
    monkeypatch.setattr(careful.CarefulPolicy, name, another(right))
    with pytest.raises(DifferentAnswersError, match="careful"):
        check_deciding(Context(300, SMALL))


def test_questions_with_one_answer_are_no_check() -> None:
    with pytest.raises(DifferentAnswersError, match="one answer"):
        check_same(str.isalpha, {"other": str.isalpha}, [("a",), ("b",)])


def test_a_policy_without_memory_answers_alike_and_remembers_nothing() -> None:
    context = Context(300, SMALL)
    asked = context.workload.first_seen(200)
    for policy, remembers in ((context.policy, True), (context.forgetful, False)):
        for question in asked * 2:
            assert policy.decide(*question) == context.policy.decide(*question)
        searched = [
            "Governing.search" in calls(partial(policy.decide, *question)) for question in asked
        ]
        assert any(searched) is not remembers


BLOCKS = ["0.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "255.255.255.254/31", "::/16", "ffff::/16"]
ADDRESSES = {
    **dict.fromkeys(["0.0.0.0", "0.255.255.255", "10.0.0.0", "10.128.0.0", "10.255.255.255"], True),
    **dict.fromkeys(["1.0.0.0", "9.255.255.255", "11.0.0.0", "255.255.255.253"], False),
    **dict.fromkeys(["255.255.255.254", "255.255.255.255", "::", "::1", "ffff::"], True),
    **dict.fromkeys(["1::", "fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], False),
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": True,
}


def installed(make: Callable[[], Any]) -> Any:
    """What `make` makes, if all that it imports is there."""
    try:
        return make()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_floor_knows_the_ends_of_the_address_space(address: str) -> None:
    assert floor.in_blocks(BLOCKS)(address) is ADDRESSES[address]
    assert floor.in_blocks(["0.0.0.0/0", "::/0"])(address)
    assert not floor.in_blocks([])(address)


@pytest.mark.parametrize("name", networks.CANDIDATES)
def test_sets_of_blocks_give_the_same_answers(name: str) -> None:
    make, _, most = networks.CANDIDATES[name]
    for size in (4, 200):
        assert size <= most
        asked = Workload(2, size)
        contains = installed(partial(make, asked.blocks.written()))
        peers = [(question.peer,) for question in asked.first_seen(500)]
        check_same(floor.in_blocks(asked.blocks.written()), {name: contains}, peers)
    contains = make(BLOCKS)
    assert {address: contains(address) for address in ADDRESSES} == ADDRESSES


@pytest.mark.parametrize("name", engines.ENGINES)
def test_engines_give_the_same_answers(name: str) -> None:
    asked = workload(40)
    ask = installed(lambda: engines.ENGINES[name][0](asked))
    policy = asked.policy()

    def may(*question: Any) -> tuple[bool, bool]:
        decision = policy.decide(*question)
        return decision.may_send, decision.may_receive

    assert check_same(may, {name: ask}, asked.first_seen(300)) == 4


# What is asked


@pytest.mark.parametrize("size", [10, 1000])
def test_a_policy_is_what_the_page_says(size: int) -> None:
    asked = workload(size)
    patterns = [pattern for table in asked.entries.values() for pattern in table]
    assert len(patterns) == size
    wildcards = [pattern for pattern in patterns if pattern.startswith("*.")]
    assert len(wildcards) == size // 10
    assert {len(pattern.removeprefix("*.")) for pattern in patterns} == {1, 20}
    assert max(pattern.removeprefix("*.").count(".") + 1 for pattern in wildcards) == 5
    assert set(asked.entries) == {OWN, EVERYONE}
    loaded = Policy.from_toml(
        asked.toml(), relay_hosts=asked.blocks.written(), listeners=asked.policy().listeners
    )
    assert loaded == asked.policy()
    assert {block.version for block in loaded.relay_hosts} == {4, 6}
    assert len(list(loaded.relay_hosts)) == asked.block_count


def test_questions_hit_and_miss_everything() -> None:
    asked = workload(1000)
    policy = asked.policy()
    questions = asked.first_seen(2000)
    assert {question.listener for question in questions} == {OWN, OTHER}
    decisions = [policy.decide(*question) for question in questions]
    for name in ("relay_hosts", "relay_from", "relay_from_authz", "relay_to"):
        assert {getattr(decision, name) for decision in decisions} == {False, True}
    kinds = [
        "wild" if entry.pattern.startswith("*.") else "miss" if entry.pattern == "*" else "exact"
        for entry in (decision.entry for decision in decisions)
        if entry is not None
    ]
    assert [kinds.count(kind) for kind in ("exact", "wild", "miss")] == [700, 400, 900]
    assert sum(decision.relay_hosts for decision in decisions) > 900
    assert {":" in question.peer for question in questions} == {False, True}


def test_all_of_many_listeners_but_one_have_entries_of_their_own_and_are_asked() -> None:
    asked = workload(1000, 19)
    assert len(asked.entries) == 20
    assert sum(map(len, asked.entries.values())) == 1000
    own = [table for listener, table in asked.entries.items() if listener != EVERYONE]
    assert {len(table) for table in own} == {10, 11}
    questions = asked.first_seen(2000)
    assert {question.listener for question in questions} == {*asked.listeners}
    policy = asked.policy()
    entries = {policy.decide(*question).entry for question in questions}
    governing = {entry.listener for entry in entries if entry is not None}
    assert EVERYONE in governing
    assert 5 < len(governing) <= len(asked.entries)
    assert set(asked.listeners) - set(asked.entries) == {OTHER}


def test_every_string_is_new() -> None:
    asked = workload(100)
    makers: list[Callable[[int], Any]] = [asked.first_seen, asked.misses, asked.zipf(50)]
    for make in [*makers, *map(asked.to_recipients, makers)]:
        texts = [
            text for _ in range(3) for question in make(40) for text in question if text
        ]  # all of them alive, so that no two have one place
        assert len({id(text) for text in texts}) == len(texts)
        keys = {id(key) for table in asked.entries.values() for key in table}
        assert keys.isdisjoint(map(id, texts))


def test_names_that_are_seen_first_were_not_asked_before() -> None:
    asked = workload(100)
    known = {pattern for table in asked.entries.values() for pattern in table}
    names = [question.domain for question in asked.first_seen(3000)]
    new = [name for name in names if name not in known]
    assert len(set(new)) == len(new) > 1500
    missed = [question.domain for question in asked.misses(1000)]
    assert len(set(missed) - set(names)) == 1000


def test_most_questions_of_traffic_repeat_a_name() -> None:
    make = workload(100).zipf()
    before = {question.domain for question in make(20_000)}
    again = [question.domain in before for question in make(1000)]
    assert sum(again) > 600
    peers = [question.peer for question in make(1000)]
    assert len(set(peers)) > 500


# How it is measured


def test_candidates_take_turns_with_questions_of_their_own() -> None:
    asked: list[tuple[str, str]] = []

    def candidate(name: str, share: float) -> Candidate:
        def make(count: int) -> list[tuple[str]]:
            return [(fresh(f"{name} {number}"),) for number in range(count)]

        def ask(text: str) -> None:
            asked.append((name, text))

        return Candidate(ask, make, share)

    measured = compared({"a": candidate("a", 1), "b": candidate("b", 0.5)}, "a", count=4, rounds=9)
    assert measured["a"].ratio == Spread(1, 1, 1)
    assert measured["b"].nanoseconds.low > 0
    rounds = [asked[start : start + 6] for start in range(0, len(asked), 6)]
    assert len(rounds) == 10  # one of them is for nothing
    for turn in rounds:
        assert sorted(name for name, _ in turn) == ["a"] * 4 + ["b"] * 2
    assert {turn[0][0] for turn in rounds} == {"a", "b"}


def test_the_collector_is_off_for_decisions_and_on_for_loading() -> None:
    seen: list[bool] = []

    def look(_question: str = "") -> None:
        seen.append(gc.isenabled())

    compared({"a": Candidate(look, lambda _: [("a",)])}, "a", count=1, rounds=1)
    times_of({"a": look}, 1)
    assert seen == [False, False, True]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.set_threshold(701)
    with collecting():
        assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_threshold()[0] == 701
    gc.set_threshold(700)


def test_spread_is_median_and_quartiles() -> None:
    assert Spread.of([5, 1, 2, 4, 3]) == Spread(3, 2, 4)
    assert Spread.of([2]) == Spread(2, 2, 2)


def test_a_name_of_127_labels_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def only_make(
        candidates: dict[str, Candidate], base: str, *, count: int, rounds: int
    ) -> dict[str, Any]:
        assert base == deciding.ORDINARY
        assert rounds
        if "127 labels" in candidates:
            asked.extend(candidates["127 labels"].questions(count))
        return {}

    monkeypatch.setattr(deciding, "compared", only_make)
    context = Context(100, SMALL)
    deciding.limits(context, Table("limits", "", ""))
    names = [question[2] for question in asked]
    assert {name.count(".") + 1 for name in names} >= {127}
    assert min(name.count(".") for name in names) > 100
    assert max(map(len, names)) <= 253
    entries = [context.policy.decide(*question).entry for question in asked]
    assert any(entry is not None and entry.pattern.startswith("*.") for entry in entries)


def test_a_document_with_three_mistakes_has_three() -> None:
    text = workload(40).toml()
    assert loading.problems_of(text) == 0
    assert loading.problems_of(loading.with_mistakes(text)) == 3


# What is told


def test_a_target_is_met_or_not() -> None:
    target = Target(1.6, 1.3)
    assert [target.met_by(value) for value in (1.3, 1.6, 1.61)] == ["aim", "pass", "miss"]
    assert Target(2.0).met_by(0.1) == "pass"
    assert [str(target), str(Target(2.0))] == ["at most 1.60, aim 1.30", "at most 2.00"]


def test_a_table_shows_figures_beside_their_targets() -> None:
    table = Table("deciding", "Deciding", "entries")
    table.add("decide", "10", Spread(1.5, 1.4, 1.72), Target(1.6))
    table.add("decide", "1,000", Spread(1.7, 1.7, 1.7), Target(1.6))
    table.add("floor", "10", Spread(1, 1, 1))
    assert markdown([table], ["x: absent"], {"cpu_count": "2"}).splitlines() == [
        "### Deciding",
        "",
        "| entries | target | 10 | 1,000 |",
        "| --- | --- | --- | --- |",
        "| decide | at most 1.60 | 1.50 (1.40 to 1.72) pass | 1.70 miss |",
        "| floor |  | 1.00 |  |",
        "",
        "### Measured on",
        "",
        "cpu count 2.",
        "",
        "Left out:",
        "",
        "- x: absent",
    ]


def rows(report: str) -> dict[str, set[str]]:
    """The cases of each table, by its title."""
    found: dict[str, set[str]] = {}
    for title, table in re.findall(r"^### (.+)\n\n\|.*\n\|.*\n((?:\|.*\n)+)", report, re.MULTILINE):
        found[title] = {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()}
    return found


def told_by_the_command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(command, "FULL", SMALL)
    monkeypatch.setattr(command, "about_the_machine", lambda: {"cpu_count": "2"})
    monkeypatch.setattr(deciding, "GARBAGE", 1000)
    command.main(arguments)
    return capsys.readouterr().out


def test_the_command_measures_everything_and_the_page_shows_what_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    report = told_by_the_command(["--write", str(page)], monkeypatch, capsys)
    told = rows(report)
    assert len(told) >= 10
    before, _, after = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    shown, _, after = after.partition(END)
    written = page.read_text(encoding="utf-8")
    assert written.startswith(before + BEGIN)
    assert written.endswith(END + after)
    assert rows(written) == {**rows(shown), **told}
    absent = {"analysis", "networks", "engines"}  # what is not installed is not told
    for title, cases in rows(shown).items():
        if title in told:
            assert {case for case in cases if case in told[title]}
        else:
            assert any(word in title.lower() for word in absent)


@pytest.mark.parametrize("group", [*deciding.GROUPS, "loading"])
def test_a_group_can_be_measured_alone(
    group: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = told_by_the_command([group, "--size", "20", "--json"], monkeypatch, capsys)
    assert set(re.findall(r'"group": "(\w+)"', report)) == {group}
    assert set(re.findall(r'"column": "(\w+)"', report)) == {"20"}


def test_a_group_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["speed"])
    assert "no such group: speed" in capsys.readouterr().err


def test_a_page_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="figures: begin"):
        with_figures("# Page\n", "### Figures")


def test_figures_that_are_not_measured_again_stay() -> None:
    page = f"# Page\n\n{BEGIN}{END}\nText\n"
    machine = "### Measured on\n\nx."
    page = with_figures(page, f"### A\n\n| 1 |\n\n### B\n\n| 2 |\n\n{machine}\n")
    page = with_figures(page, f"### C\n\n| 4 |\n\n### A\n\n| 3 |\n\n{machine}\n")
    assert page == (
        f"# Page\n\n{BEGIN}\n### A\n\n| 3 |\n\n### B\n\n| 2 |\n\n### C\n\n| 4 |\n\n"
        f"{machine}\n\n{END}\nText\n"
    )


@pytest.mark.parametrize(
    ("measure", "name"),
    [
        *((engines.measure, name) for name in ("cedarpy", "casbin", "regorus")),
        *((networks.measure, name) for name in ("pytricia", "radix", "netaddr")),
    ],
)
def test_what_is_not_installed_is_left_out_with_the_reason(
    measure: Callable[[Settings, list[str]], Table], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_module = importlib.import_module

    def without(module: str) -> Any:
        if module == name:
            raise ModuleNotFoundError(f"No module named '{module}'")
        return import_module(module)

    monkeypatch.setattr(importlib, "import_module", without)
    skipped: list[str] = []
    table = measure(replace(SMALL, rounds=1, count=5, checked=40), skipped)
    assert table.figures
    assert any(f"No module named '{name}'" in reason for reason in skipped)
