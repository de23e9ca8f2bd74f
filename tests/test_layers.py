"""The shape of the package: who imports whom, what is public, and what is not used to decide."""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final

import pytest
from pydantic import BaseModel

import listener_policy
import listener_policy.analysis
from listener_policy import Dialect, EsmtpListener, ListenerDomain, Policy, PolicyConfig

PACKAGE: Final = Path(listener_policy.__file__).parent
FACADE: Final = "__init__"
LAYERS: Final = (
    ("errors", "_collector", "_intervals", "_frozen", "_display", "_memory"),
    ("_problems", "_tree"),
    ("addresses", "_documents", "_tables"),
    ("decision", "domains", "listeners", "networks"),
    ("_domain_map", "options", "questions"),
    ("checks", "entries", "relay_hosts", "_reader"),
    ("config", "connection", "explanation"),
    ("explain", "rules"),
    ("policy",),
    ("hook", "analysis._expectation_tables"),
    (
        *("analysis.changes", "analysis.classes", "analysis._expectation_reader"),
        *(f"analysis.linting.{FACADE}", "analysis.linting.findings", "analysis.linting.internet"),
    ),
    ("analysis.cells", "analysis.diff", "analysis.expectations", "analysis.linting.removal"),
    ("analysis.recipients", "analysis.linting.subject"),
    (
        *("analysis.linting.entry_checks", "analysis.linting.grant_checks"),
        "analysis.linting.shadow_checks",
    ),
    ("analysis.linting.lint",),
    (FACADE, f"analysis.{FACADE}"),
    ("reports", "messages"),
    (f"adapters.{FACADE}", "adapters.aiosmtpd", "adapters.postfix"),
    ("strategies", "_command_line.terminal", f"_command_line.{FACADE}"),
    ("_command_line.outcome",),
    ("_command_line.inputs",),
    ("_command_line.arguments",),
    ("_command_line.check", "_command_line.diff", "_command_line.explain"),
    ("_command_line.test",),
    ("__main__",),
)
"""Each module imports from layers above its own, and from nothing else of the package."""

ORDER: Final = {module: depth for depth, layer in enumerate(LAYERS) for module in layer}
MODULES: Final = tuple(
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    for path in sorted(PACKAGE.rglob("*.py"))
)


def imports_of(module: str) -> set[str]:
    """The modules of the package that a module imports, wherever in it the statement stands."""
    imported: set[str] = set()
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "listener_policy":
            names = [f"listener_policy.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "listener_policy":
                candidates = (rest, f"{rest}.{FACADE}", FACADE)
                imported.add(next(one for one in candidates if one in MODULES))
    return imported


def test_every_module_has_a_layer() -> None:
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_to_earlier_layers_only(module: str) -> None:
    wrong = {name for name in imports_of(module) if ORDER[name] >= ORDER[module]}
    assert not wrong


def is_of_the_command_line(module: str) -> bool:
    return module == "__main__" or module.startswith("_command_line.")


@pytest.mark.parametrize("module", MODULES)
def test_nobody_imports_the_command_line(module: str) -> None:
    imported = set(filter(is_of_the_command_line, imports_of(module)))
    assert "__main__" not in imported
    assert is_of_the_command_line(module) or not imported


def test_imports_are_found_where_there_are_some() -> None:
    assert imports_of("errors") == set()
    assert imports_of("networks") == {"_display", "_intervals", "_problems", "addresses"}
    assert {"policy", "hook", "config"} <= imports_of(FACADE)
    assert {f"analysis.{FACADE}", "_command_line.inputs"} <= imports_of("_command_line.diff")


FACADES: Final[tuple[ModuleType, ...]] = (listener_policy, listener_policy.analysis)
PUBLIC: Final[dict[str, Any]] = {
    name: getattr(facade, name) for facade in FACADES for name in facade.__all__
}


@pytest.mark.parametrize("facade", FACADES)
def test_all_is_sorted_and_without_repetition(facade: ModuleType) -> None:
    kinds = [(not name.isupper(), not name[0].isupper(), name) for name in facade.__all__]
    assert kinds == sorted(set(kinds))  # constants, classes, functions


@pytest.mark.parametrize("facade", FACADES)
def test_dir_and_a_star_import_show_all(facade: ModuleType) -> None:
    assert dir(facade) == sorted(facade.__all__)
    found: dict[str, Any] = {}
    exec(f"from {facade.__name__} import *", found)
    assert set(found) - {"__builtins__"} == set(facade.__all__)
    assert all(found[name] is PUBLIC[name] for name in facade.__all__)


def test_what_is_public_comes_from_this_package() -> None:
    for name, value in PUBLIC.items():
        assert type(value).__module__.startswith("listener_policy.") or (
            value.__module__.startswith("listener_policy.") and value.__name__ == name
        )


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"__main__"}))
def test_the_all_of_each_module_resolves(module: str) -> None:
    loaded = importlib.import_module(f"listener_policy.{module}".removesuffix(f".{FACADE}"))
    names: list[str] = getattr(loaded, "__all__", [])
    assert [name for name in names if not hasattr(loaded, name)] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    source = (PACKAGE / f"{module.replace('.', '/')}.py").read_bytes()
    assert ast.get_docstring(ast.parse(source))


def public_members(owner: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties of a class that this package has written."""
    for base in owner.__mro__:
        if base.__module__.startswith("listener_policy."):
            for name, member in vars(base).items():
                is_code = inspect.isfunction(member) or isinstance(
                    member, property | classmethod | staticmethod
                )
                if is_code and not name.startswith("_"):
                    yield f"{owner.__name__}.{name}", member


def documented() -> Iterator[tuple[str, object]]:
    """Everything public that has room for a docstring, by name."""
    for name, value in PUBLIC.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value
        if inspect.isclass(value):
            yield from public_members(value)


DOCUMENTED: Final = dict(documented())


def test_what_must_be_documented_is_found() -> None:
    some = {"Policy.decide", "CidrSet.parse", "Decision.may_send", "PolicyConfig.merge", "combine"}
    assert some <= set(DOCUMENTED)
    assert {"ListenerDomain.model_dump", "EntryRef.count", "Reason.upper"}.isdisjoint(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_is_public_has_a_docstring(name: str) -> None:
    value = DOCUMENTED[name]
    text = value.__doc__ or ""
    assert text.strip()
    if isinstance(value, type):
        inherited = [base.__doc__ for base in value.__mro__[1:]]
        assert text not in inherited
        assert not text.startswith(f"{value.__name__}(")  # what dataclasses and NamedTuple write


@pytest.mark.parametrize("model", [ListenerDomain, EsmtpListener, PolicyConfig])
def test_every_option_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@contextmanager
def calls_of(package: str) -> Generator[list[str]]:
    """Collects the calls of functions that belong to a package, Python's and C's."""
    called: list[str] = []

    def watch(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            module = str(frame.f_globals.get("__name__"))
        elif event == "c_call":
            owner = getattr(function, "__self__", None)
            module = str(function.__module__ or type(owner).__module__)
        else:
            return
        if module.partition(".")[0].removesuffix("_core") == package:
            called.append(module)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield called
    finally:
        sys.setprofile(before)


TOML: Final = """
["*"]
log_oob = true
["*.example.com"]
relay_to = true
relay_from = ["10.0.0.0/8"]
relay_from_authz = ["ann"]
[listener."10.1.2.3:25"."b\u00fccher.example"]
log_arf = "LogThenRelay"
"""
DOMAINS: Final = (
    "",
    "a.example.com",
    "x.B\u00dcCHER.example",
    "[10.0.0.1]",
    "*",
    "\ud800",
    "a" * 999,
)


def ask_everything(policy: Policy) -> None:
    for listener in ("10.1.2.3:25", ("::1", 25, 0, 0), "mx"):
        for auth in (None, "ann"):
            connection = policy.connection(listener, ("10.0.0.7", 4711), auth)
            for domain in DOMAINS:
                policy.decide(listener, "10.0.0.7", domain, auth)
                policy.decide_rcpt(listener, "::1", domain, f"b@{domain}", auth).after_data(None)
                connection.decide(domain)
                connection.decide_rcpt(f"<a@{domain}>", domain)


def ask_elsewhere(policy: Policy) -> None:
    match = policy.resolve("mx", "a.example.com")
    assert match is not None
    match.options.model_dump()


def load_anew() -> None:
    Policy.from_toml(TOML)


@pytest.mark.parametrize("dialect", Dialect)
def test_deciding_calls_nothing_of_pydantic(dialect: Dialect) -> None:
    policy = Policy.from_toml(TOML, dialect=dialect)
    with calls_of("pydantic") as called:
        ask_everything(policy)
    assert called == []


@pytest.mark.parametrize("use", [lambda: ListenerDomain(relay_to=True), load_anew])
def test_calls_of_pydantic_are_seen(use: Callable[[], object]) -> None:
    with calls_of("pydantic") as called:
        use()
    assert called


@pytest.mark.parametrize("dialect", Dialect)
def test_deciding_reads_no_model(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy.from_toml(TOML, dialect=dialect)

    def refuse(_model: BaseModel, name: str) -> object:
        raise AssertionError(f"{name} was read")

    with monkeypatch.context() as patched:
        for model in (ListenerDomain, EsmtpListener, PolicyConfig):
            patched.setattr(model, "__getattribute__", refuse)
        ask_everything(policy)
        with pytest.raises(AssertionError, match="was read"):
            ask_elsewhere(policy)
    ask_elsewhere(policy)
