"""Counting what becomes of a log's rows: as `decide_rcpt` says it, however the rows are split."""

import random
from collections import Counter
from itertools import islice, pairwise
from typing import Any

import pytest
from generate_log import Traffic
from hypothesis import given
from hypothesis import strategies as st
from replay_log import Batch, Question
from replay_tally import NOT_VALID, Outcome, Place, Policies, Tally, Wanted, count_batch
from replaying import CHANGE, example_policy
from support import BAD_AUTHS, BAD_DOMAINS, BAD_LISTENERS, BAD_PEERS, INVALID_DOMAINS, LISTENER

from listener_policy import (
    Dialect,
    Policy,
    RcptDecision,
    Report,
    RequestError,
    envelope_domain,
    strategies,
)

ALL = Wanted(names=True, examples=5)
BEFORE, AFTER = example_policy(), example_policy(CHANGE)
BOTH = Policies(BEFORE, AFTER)


def batch(questions: list[Any], first: int = 1) -> Batch:
    return Batch(questions, range(first, first + len(questions)), (), 0)


def traffic(rows: int) -> list[Question]:
    return list(islice(Traffic(7).rows(), rows))


def outcome(decision: RcptDecision) -> Outcome:
    """What is made of a decision, in other words than the example's."""

    def said(report: Report) -> str:
        after = decision.after_data(report)
        if not after.log:
            return ""
        return "relayed" if after.relay else "dropped"

    arf, oob = said(Report.ARF), said(Report.OOB)
    return Outcome(decision.accept, decision.relay, arf, oob, decision.reason)


def hostile() -> list[Any]:
    """Questions of which any part is out of the ordinary."""
    peer, address = "203.0.113.9", "ann@example.com"
    return [
        *((listener, peer, address, address, None) for listener in BAD_LISTENERS),
        *((LISTENER, bad, address, address, None) for bad in BAD_PEERS),
        *((LISTENER, peer, bad, address, None) for bad in BAD_DOMAINS),
        *((LISTENER, peer, address, bad, "ann") for bad in BAD_DOMAINS),
        *((LISTENER, peer, address, address, bad) for bad in BAD_AUTHS),
        *((LISTENER, peer, f"a@{name}", f"b@{name}", "\ud800") for name in INVALID_DOMAINS),
        *((LISTENER, peer, name, name, "") for name in INVALID_DOMAINS),
        (LISTENER, peer, "", "<>", None),
        (LISTENER, peer, "<a@EXAMPLE.com>", "postmaster", None),
    ]


@pytest.mark.parametrize("dialect", Dialect)
def test_every_row_is_decided_as_decide_rcpt_decides(dialect: Dialect) -> None:
    after = Policy(AFTER.config, listeners=AFTER.listeners, dialect=dialect)
    questions = [*traffic(3000), *hostile(), *traffic(10)]
    random.Random(1).shuffle(questions)
    groups: Counter[tuple[Outcome, Outcome]] = Counter()
    refused: dict[Place, str] = {}
    authenticated = 0
    for line, question in enumerate(questions, 1):
        try:
            old, new = (policy.decide_rcpt(*question) for policy in (BEFORE, after))
        except RequestError as error:
            refused[Place(3, line)] = str(error)
        else:
            groups[outcome(old), outcome(new)] += 1
            authenticated += question[4] is not None
    tally = count_batch(3, batch(questions), Policies(BEFORE, after), Wanted(True, 10_000))
    assert {pair: group.rows for pair, group in tally.groups.items()} == groups
    assert (tally.rows, tally.unusable) == (groups.total(), len(refused))
    assert len(refused) > 50
    assert tally.reasons == refused
    assert tally.authenticated == authenticated
    assert tally.lines == {3: len(questions)}


def test_one_policy_is_compared_with_nothing() -> None:
    questions = traffic(2000)
    tally = count_batch(0, batch(questions), Policies(BEFORE, None), ALL)
    same = count_batch(0, batch(questions), Policies(BEFORE, BEFORE), ALL)
    assert all(old == new for old, new in tally.groups)
    assert {pair: group.rows for pair, group in tally.groups.items()} == {
        pair: group.rows for pair, group in same.groups.items()
    }
    assert all(group.examples for group in tally.groups.values())
    assert not any(group.examples for group in same.groups.values())


def test_examples_are_the_first_rows_and_are_decided_as_their_group_says() -> None:
    tally = count_batch(0, batch(traffic(5000)), BOTH, ALL)
    changed = {pair: group for pair, group in tally.groups.items() if group.examples}
    assert len(changed) == 2
    for (old, new), group in changed.items():
        assert old.effect != new.effect
        assert len(group.examples) == min(5, group.rows)
        for question in group.examples.values():
            assert outcome(BEFORE.decide_rcpt(*question)) == old
            assert outcome(AFTER.decide_rcpt(*question)) == new


def test_names_are_counted_in_canonical_form() -> None:
    questions: list[Question] = [
        ("192.0.2.25:25", "203.0.113.9", "", "a@BERLIN.example.com", None),
        ("192.0.2.25:25", "::ffff:203.0.113.9", "<>", "<a@berlin.example.com>", None),
        ("192.0.2.25:25", "203.0.113.9:36316", "a@ex ample.com", "a@berlin.example.com.", None),
    ]
    tally = count_batch(0, batch(questions), BOTH, ALL)
    (group,) = tally.groups.values()
    assert group.who["peer"] == {"203.0.113.9": 3}
    assert group.who["recipient"] == {"berlin.example.com": 3}
    assert group.who["sender"] == {"<>": 2, NOT_VALID: 1}
    assert group.who["listener"] == {"192.0.2.25:25": 3}
    nameless = count_batch(0, batch(questions), BOTH, Wanted(names=False, examples=0))
    (group,) = nameless.groups.values()
    assert (group.rows, any(group.who.values()), group.examples) == (3, False, {})


def test_domains_are_told_apart_as_the_policy_does() -> None:
    names = [name for name in INVALID_DOMAINS if len(name) < 300]
    names += ["Example.COM.", "例え.example", "[10.0.0.1]"]
    questions: list[Question] = [
        ("mx", "203.0.113.9", f"a@{name}", f"a@{name}", None) for name in names
    ]
    tally = count_batch(0, batch(questions), Policies(BEFORE, None), Wanted(True, 0))
    counted = sum((group.who["sender"] for group in tally.groups.values()), Counter[str]())
    assert counted == Counter(envelope_domain(f"a@{name}") or NOT_VALID for name in names)


def merged(tallies: list[Tally]) -> Tally:
    total = Tally(ALL)
    for tally in tallies:
        total.add(tally)
    return total


@given(
    cuts=st.lists(st.integers(0, 400), max_size=8),
    order=st.randoms(use_true_random=False),
    split=st.integers(0, 9),
)
def test_merging_is_associative_and_commutative(
    cuts: list[int], order: random.Random, split: int
) -> None:
    questions = [*traffic(380), *hostile()[:20]]
    bounds = [0, *sorted(cuts), len(questions)]
    tallies = [
        count_batch(0, batch(questions[start:stop], start + 1), BOTH, ALL)
        for start, stop in pairwise(bounds)
    ]
    whole = count_batch(0, batch(questions), BOTH, ALL)
    order.shuffle(tallies)
    assert merged(tallies) == whole
    assert merged([merged(tallies[:split]), merged(tallies[split:])]) == whole
    assert merged([merged([]), *tallies]) == whole


@given(policy=st.from_type(Policy), questions=st.data())
def test_any_policy_and_any_question(policy: Policy, questions: st.DataObject) -> None:
    asked = questions.draw(st.lists(strategies.rcpt_requests(policy), max_size=5))
    tally = count_batch(0, batch(asked), Policies(policy, None), ALL)
    expected = Counter(outcome(policy.decide_rcpt(*question)) for question in asked)
    assert {pair[0]: group.rows for pair, group in tally.groups.items()} == expected
