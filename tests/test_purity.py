"""The library does nothing but compute: no I/O, and no imports once it is imported (rule 5.2)."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from purity_probe import CONTROLS, EXEMPT
from purity_steps import STEPS

import listener_policy

TESTS: Final = Path(__file__).parent
PACKAGE: Final = Path(listener_policy.__file__).parent
MODULES: Final = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_bytes(), str(path))
    for path in sorted(PACKAGE.rglob("*.py"))
}
DOORS: Final = {
    "__main__.py",
    "strategies.py",
    *(name for name in MODULES if name.startswith("_command_line/")),
}
"""The modules that may import what they like: the command line, and what is for tests."""
IMPORTED: Final = frozenset(
    """
    __future__ abc binascii bisect codecs collections copy dataclasses datetime difflib email
    encodings enum functools gc hashlib idna ipaddress itertools json marshal math operator
    pydantic pydantic_core re shlex socket textwrap threading tomli types typing unicodedata weakref
    """.split()  # noqa: SIM905 - forty strings in quotes are harder to read
)
"""All that the package imports: computation, and the three libraries that it depends on."""
ADAPTED: Final[dict[str, frozenset[str]]] = {
    "adapters/aiosmtpd.py": frozenset({"aiosmtpd", "asyncio"}),
}
"""What an adapter imports besides: the software that it is for, and what that is made of."""

FOREIGN: Final = frozenset(
    {
        *(
            "aiosmtpd",
            "argparse",
            "asyncio",
            "concurrent",
            "ctypes",
            "getpass",
            "http",
            "hypothesis",
        ),
        *("logging", "multiprocessing", "pytest", "select", "selectors", "smtplib", "socket"),
        *("sqlite3", "ssl", "subprocess", "tempfile"),
    }
)
"""Nothing of this is imported because the package is."""


def run(*arguments: str) -> str:
    """The output of a fresh interpreter, which must say nothing else."""
    path = os.pathsep.join([str(PACKAGE.parent), str(TESTS)])
    ended = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def done() -> dict[str, list[str]]:
    """What each step and each control has done."""
    found: dict[str, list[str]] = json.loads(run(str(TESTS / "purity_probe.py")))
    return found


@pytest.mark.parametrize("step", STEPS)
def test_5_2_nothing_is_done_but_computing(done: dict[str, list[str]], step: str) -> None:
    assert done[step] == []


@pytest.mark.parametrize("control", CONTROLS)
def test_what_is_done_to_the_world_is_seen(done: dict[str, list[str]], control: str) -> None:
    beginning, _ = CONTROLS[control]
    assert [record for record in done[control] if record.startswith(beginning)]


def test_no_event_of_files_sockets_processes_or_imports_is_exempt() -> None:
    assert set(EXEMPT) == {"builtins.id", "marshal.dumps", "pickle.find_class"}


LOADED_BY_IMPORT: Final = """
import json, sys
{prelude}
before = set(sys.modules)
import listener_policy
print(json.dumps([name for name in sys.modules if name not in before]))
"""
ANY_MODEL: Final = """
import idna, pydantic, socket, tomli
class Model(pydantic.BaseModel):
    field: int
"""
"""What it takes to use the libraries that the package depends on, and to read an address."""


def loaded_by_import(prelude: str) -> set[str]:
    """The names of what the package, its parts and whatever they import are called."""
    loaded: list[str] = json.loads(run("-c", LOADED_BY_IMPORT.format(prelude=prelude)))
    assert "listener_policy.policy" in loaded
    doors = {"__main__", "_command_line", "strategies"}
    assert {f"listener_policy.{door}" for door in doors} & set(loaded) == set()
    return {name.partition(".")[0] for name in loaded}


def test_importing_the_package_imports_nothing_that_it_does_not_need() -> None:
    assert loaded_by_import("") & {"argparse", "asyncio", "hypothesis"} == set()
    assert loaded_by_import(ANY_MODEL) & FOREIGN == set()


def imports_of(module: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def imported_names(statement: ast.Import | ast.ImportFrom) -> list[str]:
    """The top-level packages that a statement imports; a relative import has none."""
    if isinstance(statement, ast.Import):
        return [alias.name.partition(".")[0] for alias in statement.names]
    return [] if statement.level else [str(statement.module).partition(".")[0]]


@pytest.mark.parametrize("name", MODULES)
def test_all_imports_are_absolute_and_none_is_inside_a_function(name: str) -> None:
    for statement in imports_of(MODULES[name]):
        assert imported_names(statement), ast.unparse(statement)
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert not list(imports_of(node)), node.name


@pytest.mark.parametrize("name", sorted(set(MODULES) - DOORS))
def test_only_what_computes_is_imported(name: str) -> None:
    for statement in imports_of(MODULES[name]):
        assert statement in MODULES[name].body, ast.unparse(statement)  # without any condition
        allowed = IMPORTED | ADAPTED.get(name, frozenset()) | {"listener_policy"}
        foreign = set(imported_names(statement)) - allowed
        assert not foreign, ast.unparse(statement)


def test_all_that_may_be_imported_is() -> None:
    imported = {
        imported_name
        for name in set(MODULES) - DOORS
        for statement in imports_of(MODULES[name])
        for imported_name in imported_names(statement)
    }
    assert imported == IMPORTED.union({"listener_policy"}, *ADAPTED.values())


def test_of_asyncio_an_adapter_has_nothing_but_the_loop_that_runs() -> None:
    names = {
        alias.name
        for name in ADAPTED
        for statement in imports_of(MODULES[name])
        if imported_names(statement) == ["asyncio"]
        for alias in statement.names
    }
    assert names == {"get_running_loop"}


def test_sockets_are_imported_only_to_read_addresses() -> None:
    names = {
        alias.name
        for name in set(MODULES) - DOORS
        for statement in imports_of(MODULES[name])
        if imported_names(statement) == ["socket"]
        for alias in statement.names
    }
    assert names == {"AF_INET", "AF_INET6", "inet_pton"}


def names_called(module: ast.AST) -> set[str]:
    return {
        node.func.id
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


@pytest.mark.parametrize("name", sorted(set(MODULES) - DOORS))
def test_no_builtin_is_called_that_reads_prints_or_imports(name: str) -> None:
    worldly = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
    assert names_called(MODULES[name]) & worldly == set()
