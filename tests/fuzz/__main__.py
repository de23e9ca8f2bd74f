"""Fuzz one target: `PYTHONPATH=tests python -m fuzz loaders`, or `decide`, or `postfix`.

What follows the name is libFuzzer's: options, and files to replay. Without files, new inputs are
kept in `build/fuzz`, and so is an input for which the target fails.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parent.parent / "build" / "fuzz"
TARGETS = ("loaders", "decide", "postfix")


def main(arguments: list[str]) -> None:
    """Run libFuzzer on the target that is named first, until it fails or is stopped."""
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"expected one of {', '.join(TARGETS)}; options and files may follow")
    name, *rest = arguments
    found = KEPT / name
    found.mkdir(parents=True, exist_ok=True)
    if all(argument.startswith("-") for argument in rest):
        rest += [str(found), str(HERE / "corpus" / name)]
    atheris = importlib.import_module("atheris")  # an extra, and not for every Python
    with atheris.instrument_imports(include=["listener_policy"]):
        target = importlib.import_module(f"fuzz.fuzz_{name}")
    command = f"{sys.executable} -m fuzz {name}"  # with which libFuzzer calls itself
    atheris.Setup([command, "-timeout=20", f"-artifact_prefix={found}-", *rest], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
