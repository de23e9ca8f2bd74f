"""What CONTRIBUTING and SECURITY say can be done, can be done: their commands are right."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from benchmarks.__main__ import main as benchmarks
from fuzz.__main__ import TARGETS
from packaging.requirements import Requirement

import listener_policy

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CI: Final = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT: Final[Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: Final[dict[str, list[str]]] = PROJECT["project"]["optional-dependencies"]
COMMANDS: Final = tuple(
    command
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    for command in line.split(" && ")
)
"""Each command by itself."""

BROUGHT_BY: Final = {"mutmut": "mutation"}
"""The extra that brings a program that is not there when the tests run."""


def installs(words: list[str]) -> None:
    """`pip install` of this package, with extras that there are."""
    *options, target = words[2:]
    assert set(options) <= {"--quiet", "-e"}
    match = re.fullmatch(r"\.\[([\w,]+)\]", target)
    assert match is not None
    assert set(match[1].split(",")) <= set(EXTRAS)


def collects(words: list[str]) -> None:
    """`python -m pytest`, whose options and paths are right if it finds tests."""
    command = [sys.executable, *words[1:], "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, encoding="utf-8")
    assert ended.returncode == 0, ended.stdout
    # and a path or an option that is wrong is seen
    wrong = subprocess.run([*command, "tests/absent"], cwd=ROOT, capture_output=True, check=False)
    assert wrong.returncode != 0


def measures(words: list[str]) -> None:
    """`python -m benchmarks`, which stops at a group that there is not."""
    with pytest.raises(SystemExit) as ended:
        benchmarks([*words[3:], "no such group"])
    assert ended.value.code == 2


def fuzzes(words: list[str]) -> None:
    """`python -m fuzz`, with a target that there is and options of libFuzzer's."""
    target, *options = words[3:]
    assert target in TARGETS
    assert all(re.fullmatch(r"-(max_total_time)=\d+", option) for option in options)


def is_brought_by_an_extra(words: list[str]) -> None:
    """A program of which no more can be checked without it."""
    (program, *_) = words
    extra = EXTRAS[BROUGHT_BY[program]]
    assert program in {requirement.name for requirement in map(Requirement, extra)}


def tags(words: list[str]) -> None:
    """`git tag`, with a name that the command inside gives it."""
    assert (words[2], words[4:5]) == ("--annotate", ["--message"])
    (version,) = re.findall(r"^v\$\(\.venv/bin/python -c '(.*?)'\)$", words[3])
    command = [sys.executable, "-c", version]
    environment = {**os.environ, "PYTHONPATH": str(Path(listener_policy.__file__).parent.parent)}
    printed = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    assert printed.stdout == f"{listener_policy.__version__}\n"


PYTEST: Final = ".venv/bin/python -m pytest"
CHECKS: Final[dict[str, Callable[[list[str]], None]]] = {
    ".venv/bin/pip install": installs,
    "build/mutation/bin/pip install": installs,
    PYTEST: collects,
    ".venv/bin/python -m benchmarks": measures,
    ".venv/bin/python -m fuzz": fuzzes,
    "mutmut": is_brought_by_an_extra,
    "git tag": tags,
}
PLAIN: Final = {
    *("bash .ci/run", "rm -rf dist", ". build/mutation/bin/activate"),
    *("python3 -m venv .venv", "python3 -m venv build/mutation"),
}
"""Commands with nothing in them that could become wrong."""
RUN_BY_CI: Final = {
    *(re.sub(r" (# .*|\"\$root\" .*)$", "", line.strip()) for line in CI.splitlines()),
    *(command for line in README.splitlines() for command in line.split(" && ")),
}
"""Commands of which each run of CI shows whether they are right, word for word."""


def check(command: str) -> None:
    """Fail unless a command is run by CI word for word, or can be seen to be right."""
    if command in PLAIN or command in RUN_BY_CI:
        return
    bare = re.sub(r"^([A-Z_]+=\S+ )*", "", command)
    (right,) = {check for beginning, check in CHECKS.items() if bare.startswith(f"{beginning} ")}
    right(shlex.split(bare))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_right(command: str) -> None:
    check(command)


@pytest.mark.parametrize(
    "command",
    [
        ".venv/bin/ruff chekc",
        ".venv/bin/pip install --quiet -e '.[devel]'",
        f"{PYTEST} tests/test_absent.py",
        f"{PYTEST} --hypothesis-profile=absent tests/test_layers.py",
        f"{PYTEST} --absent tests/test_layers.py",
        ".venv/bin/python -m fuzz absent",
        ".venv/bin/python -m fuzz loaders --max-time 60",
        "mkdocs build",
        "git tag 'v1'",
    ],
)
def test_a_command_that_is_wrong_is_told(command: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(command)


def test_benchmarks_with_an_option_that_there_is_not_are_told() -> None:
    with pytest.raises(SystemExit):
        benchmarks(["--absent", "loading"])


def test_a_warning_of_mkdocs_is_an_error() -> None:
    """As long as it is not quiet: then it counts no warnings, and all is well."""
    (command,) = [line for line in RUN_BY_CI if "mkdocs" in line]
    assert shlex.split(command)[1:] == ["build", "--strict"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("script", [CI, "\n".join(COMMANDS)], ids=["CI", "CONTRIBUTING"])
def test_a_shell_can_read_them(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)


@pytest.mark.parametrize("page", ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^):]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_file_and_name_that_a_change_needs_is_there() -> None:
    for path in re.findall(r"`((?:tests|listener_policy|docs)/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists() or path == "listener_policy/__init__.py", path
    for name, path in re.findall(r"`([A-Z]+)` in `(tests/\w+\.py)`", PAGE):
        assert f"\n{name}: Final" in (ROOT / path).read_text(encoding="utf-8")
