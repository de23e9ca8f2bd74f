"""docs/lint.md: every code is there, and its examples show what they are said to show."""

import re
from typing import Any, Final

import pytest
from test_docs import DOCS

from listener_policy import Dialect, EsmtpListener, Policy
from listener_policy.analysis import LINT_CODES, Finding, LintCode, lint

PAGE: Final = (DOCS / "lint.md").read_text(encoding="utf-8")
SECTIONS: Final = dict(
    re.findall(r"^## `([a-z-]+)`\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
)


def findings_of(toml: str) -> tuple[Finding, ...]:
    """What is found in an example, its first comments read as the page says."""
    arguments: dict[str, Any] = {"listeners": []}
    routes: dict[str, str] = {}
    for name, words in re.findall(r"^# (\w+): (.*)$", toml, re.MULTILINE):
        first, *others = words.split()
        if name == "dialect":
            arguments["dialect"] = Dialect(first)
        elif name == "relay_hosts":
            arguments["relay_hosts"] = [first, *others]
        elif name == "listener":
            listener = {"listen": first, "relay_hosts": others or None}
            arguments["listeners"].append(EsmtpListener.model_validate(listener))
        else:
            assert name == "route"
            (routes[first],) = others
    return lint(Policy.from_toml(toml, **arguments), routing_domains=routes or None)


def blocks(code: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[code], re.DOTALL)


def test_every_code_has_a_section() -> None:
    assert list(SECTIONS) == list(LINT_CODES) == list(LintCode)


@pytest.mark.parametrize("code", LintCode)
def test_the_page_says_what_the_table_says(code: LintCode) -> None:
    severity, proved, description = LINT_CODES[code]
    said = f"*{severity}, {'proved' if proved else 'suspicion'}*: {description}."
    assert " ".join(said.split()) in " ".join(SECTIONS[code].split())


@pytest.mark.parametrize("code", [code for code in LintCode if code != "unreachable-entry"])
def test_the_first_example_has_the_finding_and_the_second_has_not(code: LintCode) -> None:
    with_it, without_it = blocks(code, "toml")
    (shown,) = blocks(code, "text")
    findings = [finding for finding in findings_of(with_it) if finding.code == code]
    assert str(findings[0]) == shown.rstrip("\n")
    assert [finding for finding in findings_of(without_it) if finding.code == code] == []


def test_the_example_of_an_entry_that_governs_nothing() -> None:
    (code,) = blocks("unreachable-entry", "python")
    exec(code, {})
