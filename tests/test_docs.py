"""What the pages say is so: their code is run, and shows what they show."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from listener_policy import Dialect, EsmtpListener, ListenerDomain, Policy
from listener_policy.__main__ import main
from listener_policy.analysis import expectations_json_schema, run_expectations

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = DOCS / "examples"


def blocks(page: str, language: str) -> list[str]:
    """The fenced code of one language on a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run_tests(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "test_policy.py").write_text(code, encoding="utf-8")
    (folder / "conftest.py").write_text(
        "from hypothesis import settings\n"
        "settings.register_profile('page', derandomize=True, deadline=None)\n"
        "settings.load_profile('page')\n",
        encoding="utf-8",
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_policy.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_page_on_property_tests_shows_what_happens(tmp_path: Path) -> None:
    (code,) = blocks("property-testing.md", "python")
    (shown,) = blocks("property-testing.md", "text")
    (mended,) = blocks("property-testing.md", "toml")
    first = run_tests(code, tmp_path)
    assert "1 failed, 2 passed" in first.stdout
    output = re.sub(r"^E\s+", "", first.stdout, flags=re.MULTILINE)
    counterexample = [line.strip() for line in shown.splitlines()[1:]]
    assert counterexample[0].startswith("request=RcptRequest(")
    for line in counterexample:
        assert line in output

    wrong = '["bounces.example.com"]\nlog_oob = true\n'
    assert wrong in code
    for dialect in Dialect:
        other = code.replace(wrong, mended).replace("Dialect.KUMOMTA", f"Dialect.{dialect.name}")
        assert "3 passed" in run_tests(other, tmp_path).stdout


def test_the_server_on_the_page_on_performance_does_what_the_page_says() -> None:
    (code,) = blocks("performance.md", "python")
    assert code.count("assert ") > 5
    exec(compile(code, "performance.md", "exec"), {"__name__": "server"})


@pytest.mark.parametrize("dialect", Dialect)
def test_the_example_policy_uses_every_option(dialect: Dialect) -> None:
    text = (EXAMPLES / "listener_domains.toml").read_bytes()
    listeners = EsmtpListener.from_toml((EXAMPLES / "listeners.toml").read_bytes())
    policy = Policy.from_toml(text, listeners=listeners, dialect=dialect)
    entries = [entry for table in policy.config.entries.values() for entry in table.values()]
    written = {option for entry in entries for option in entry.model_fields_set}
    assert written == set(ListenerDomain.model_fields)
    assert b"log_fbl" in text
    patterns = set(policy.config.entries["*"])
    assert {"*", "*.example.com", "*.labs.example.com", "xn--r8jz45g.example"} <= patterns
    networks = {str(block.version) for entry in entries for block in entry.relay_from}
    assert networks == {"4", "6"}
    assert len(listeners) > 1


def test_the_page_on_explanations_shows_what_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DOCS.parent)
    commands = blocks("explanations.md", "sh")
    for command, shown in zip(commands, blocks("explanations.md", "text"), strict=True):
        python, dash_m, package, *arguments = shlex.split(command)
        assert (python, dash_m, package) == ("python", "-m", "listener_policy")
        assert main(arguments) == 0
        assert capsys.readouterr().out == shown


SESSIONS = [page for page in sorted(DOCS.glob("*.md")) if blocks(page.name, "pycon")]


@pytest.mark.parametrize("page", SESSIONS, ids=[page.name for page in SESSIONS])
def test_every_session_on_a_page_goes_as_it_is_shown(page: Path) -> None:
    results = doctest.testfile(
        str(page), module_relative=False, encoding="utf-8", optionflags=doctest.ELLIPSIS
    )
    assert results.attempted > 5
    assert results.failed == 0


TOML_ON_PAGES = [
    (page.name, number, code)
    for page in sorted(DOCS.glob("*.md"))
    for number, code in enumerate(blocks(page.name, "toml"))
]


@pytest.mark.parametrize(
    "code", [code for *_, code in TOML_ON_PAGES], ids=[f"{p}-{n}" for p, n, _ in TOML_ON_PAGES]
)
def test_every_policy_on_a_page_can_be_loaded(code: str) -> None:
    Policy.from_toml(code)


def test_the_page_on_expectations_shows_what_happens() -> None:
    policy, change = blocks("expectations.md", "toml")
    (expectations,) = blocks("expectations.md", "toml expectations")
    (passed,) = blocks("expectations.md", "text")
    (failed,) = blocks("expectations.md", "text failed")
    assert f"{run_expectations(Policy.from_toml(policy), expectations)}\n" == passed
    beginning, end = failed.split("...\n")
    changed = f"{run_expectations(Policy.from_toml(policy, change), expectations)}\n"
    assert changed.startswith(beginning)
    assert changed.endswith(f"\n\n{end}")


def test_the_code_on_the_page_on_expectations_does_what_it_shows() -> None:
    page = str(DOCS / "expectations.md")
    results = doctest.testfile(page, module_relative=False, encoding="utf-8")
    assert results.attempted > 5
    assert results.failed == 0


def test_the_reference_of_expectations_has_every_key_and_every_value() -> None:
    schema: Any = expectations_json_schema()
    page = (DOCS / "expectations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", page, re.MULTILINE)
    described = [(key, values) for keys, values in rows for key in re.findall(r"`(\w+)`", keys)]
    written: dict[str, Any] = schema["properties"]["expect"]["items"]["properties"]
    assert {key for key, _ in described} == set(written) - {"name"}
    for key, values in described:
        if "enum" in written[key] and values != "as above":
            assert set(re.findall(r'`"(.*?)"`', values)) == set(written[key]["enum"])


def test_the_links_of_the_page_on_expectations_lead_somewhere() -> None:
    page = (DOCS / "expectations.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^):]+)\)", page)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
