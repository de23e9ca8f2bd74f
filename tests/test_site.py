"""What the builder of the site does to the pages. That they build at all, `mkdocs` says."""

import logging
import re
import runpy
from collections.abc import Callable
from typing import Any, Final, cast

import pytest
from pages import DOCS

HOOKS: Final[dict[str, Any]] = runpy.run_path(str(DOCS / "builder" / "hooks.py"))
with_rules_linked = cast("Callable[[str, str], str]", HOOKS["with_rules_linked"])
with_rules_anchored = cast("Callable[[str], str]", HOOKS["with_rules_anchored"])
without_links_outside = cast("Callable[[str], str]", HOOKS["without_links_outside"])
without_marks = cast("Callable[[str], str]", HOOKS["without_marks"])
loaded_from_outside = cast("Callable[[str], list[str]]", HOOKS["loaded_from_outside"])


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("as rule 2.5 says", "as rule [2.5](s.md#rule-2.5) says"),
        ("(rules 1.5, 2.7)", "(rules [1.5](s.md#rule-1.5), [2.7](s.md#rule-2.7))"),
        ("(S2)", "([S2](s.md#rule-S2))"),
        ("Postfix 3.7", "Postfix 3.7"),
        ("`(2.5)` and ``rule 2.5``", "`(2.5)` and ``rule 2.5``"),
        ("# The rule 2.5", "# The rule 2.5"),
        ("[see rule 2.5](a.md)", "[see rule 2.5](a.md)"),
        (
            "```text\n|- governed (2.3)\n```\n(2.3)",
            "```text\n|- governed (2.3)\n```\n([2.3](s.md#rule-2.3))",
        ),
    ],
)
def test_rules_that_are_cited_are_links(written: str, shown: str) -> None:
    assert with_rules_linked(written, "s.md") == shown


def test_every_rule_has_an_anchor_and_every_anchor_is_a_rule() -> None:
    page = (DOCS / "specification.md").read_text(encoding="utf-8")
    rules = with_rules_anchored(page[: page.index("## Readings")])
    anchors = re.findall(r"\{ #rule-(\S+) \}", rules)
    assert anchors == [
        *(f"S{n}" for n in range(1, 5)),
        *re.findall(r"^\*\*(\d\.\d)\*\*", page, re.MULTILINE),
    ]
    assert len(anchors) == 4 + 7 + 8 + 4 + 5 + 6


def test_files_that_are_not_on_the_site_are_named(caplog: pytest.LogCaptureFixture) -> None:
    assert without_links_outside("see [`a.py`](../tests/pages.py)") == "see `tests/pages.py`"
    assert without_links_outside("[the start](../README.md)") == "the start (`README.md`)"
    assert without_links_outside("[files](examples)") == "files (`docs/examples`)"
    for link in ("[the rules](specification.md)", "[it](https://example.com/)", "![it](a.svg)"):
        assert without_links_outside(link) == link
    assert caplog.records == []
    without_links_outside("[gone](../gone.py)")
    (record,) = caplog.records
    assert (record.levelno, record.name.split(".")[0]) == (logging.WARNING, "mkdocs")


def test_code_that_is_marked_for_tests_is_code() -> None:
    assert without_marks("```text failed\na\n```\n") == "```text\na\n```\n"
    assert without_marks('```toml title="a.toml"\n```\n') == '```toml title="a.toml"\n```\n'


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://example.com/a.js"></script>',
        '<link rel="stylesheet" href="//example.com/a.css">',
        '<img srcset="a.png 1x, https://example.com/b.png 2x">',
        '<p style="background: url(https://example.com/a.png)"></p>',
        "<style>@import 'https://example.com/a.css';</style>",
    ],
)
def test_what_is_loaded_from_outside_is_found(page: str) -> None:
    assert len(loaded_from_outside(page)) == 1


def test_links_to_follow_load_nothing() -> None:
    page = '<a href="https://example.com/">a</a><script src="a.js"></script><style>a{}</style>'
    assert loaded_from_outside(page) == []
