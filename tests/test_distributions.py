"""What is released: a wheel with the package and nothing else, and all that its tests need."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from listener_policy import __version__

ROOT: Final = Path(__file__).parent.parent
PROJECT: Final[Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME: Final = "listener_policy"
METADATA: Final = f"{NAME}-{__version__}.dist-info"
FOLDERS: Final = (NAME, "tests", "docs", ".ci")
PAGES: Final = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md")
BUILD: Final = "import sys; from hatchling import build; getattr(build, sys.argv[1])(sys.argv[2])"
BESIDE: Final = (".gitignore", "LICENSE", "PKG-INFO", "mkdocs.yml", "pyproject.toml")

tree_only: Final = pytest.mark.skipif(
    not (ROOT / NAME).exists(), reason="the package is installed: there is no tree to build it from"
)


def built(what: str, tree: Path, folder: Path) -> Path:
    """A distribution, made as pip makes it: `what` is "sdist" or "wheel"."""
    arguments = [sys.executable, "-c", BUILD, f"build_{what}", str(folder)]
    ended = subprocess.run(arguments, cwd=tree, capture_output=True, check=False, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that is in the source distribution."""
    path = built("sdist", ROOT, tmp_path_factory.mktemp("sdist"))
    tree = tmp_path_factory.mktemp("tree")
    with tarfile.open(path) as archive:
        archive.extractall(tree, filter="data")
    return tree / f"{NAME}-{__version__}"


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return BytesParser().parsebytes(archive.read(f"{METADATA}/METADATA"))


def files(tree: Path, *folders: str) -> set[str]:
    """The files of a tree, without what Python and tools leave behind."""
    return {
        path.relative_to(tree).as_posix()
        for folder in folders
        for path in (tree / folder).rglob("*")
        if path.is_file() and not re.search(r"/(__pycache__|\.\w+_cache)/", path.as_posix())
    }


@tree_only
def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    about = {name for name in names if name.startswith(f"{METADATA}/")}
    of_package = set(names) - about
    assert len(names) == len(set(names))
    assert of_package == files(ROOT, NAME)
    assert {name for name in of_package if not name.endswith(".py")} == {f"{NAME}/py.typed"}
    assert {name.removeprefix(f"{METADATA}/") for name in about} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }


@tree_only
def test_the_sources_have_all_that_their_tests_need(sources: Path) -> None:
    assert files(sources, *FOLDERS) == files(ROOT, *FOLDERS)
    beside = {path.name for path in sources.iterdir() if path.is_file()}
    assert beside == {*PAGES, *BESIDE}


@tree_only
def test_a_wheel_from_the_sources_is_the_wheel_from_the_tree(
    wheel: Path, sources: Path, tmp_path: Path
) -> None:
    assert built("wheel", sources, tmp_path).read_bytes() == wheel.read_bytes()


@tree_only
def test_the_metadata_say_what_is_so(metadata: Message) -> None:
    assert metadata["Version"] == __version__ == str(Version(__version__))
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_versions_of_python_are_those_from_the_lowest_on() -> None:
    classifiers = "\n".join(PROJECT["project"]["classifiers"])
    versions = re.findall(
        r"^Programming Language :: Python :: (3\.\d+)$", classifiers, re.MULTILINE
    )
    lowest = int(versions[0].removeprefix("3."))
    assert versions == [f"3.{minor}" for minor in range(lowest, lowest + len(versions))]
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{versions[0].replace('.', '')}"


def test_the_oldest_dependencies_are_the_lower_bounds() -> None:
    pinned = (ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8")
    exactly = dict(re.findall(r"^([\w-]+)==(\S+)$", pinned, re.MULTILINE))
    needed = [*PROJECT["project"]["dependencies"], *optional("aiosmtpd")]
    bounds = {one.name: one.specifier for one in map(Requirement, needed)}
    assert set(bounds) == set(exactly)
    for name, version in exactly.items():
        (bound,) = bounds[name]
        assert (bound.operator, Version(bound.version)) == (">=", Version(version))


def optional(extra: str) -> list[str]:
    requirements: list[str] = PROJECT["project"]["optional-dependencies"][extra]
    return requirements


def test_what_builds_the_package_is_what_its_tests_build_it_with() -> None:
    (backend,) = map(Requirement, PROJECT["build-system"]["requires"])
    of_tests = {one.name: one.specifier for one in map(Requirement, optional("test"))}
    assert of_tests[backend.name] == backend.specifier == SpecifierSet(">=1.27")
