"""Nothing that we ship makes code, or any object it likes, of data that it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "worlds", "examples", "benchmarks", "docs")
BARRED = {
    *("pickle", "cPickle", "_pickle", "pickletools", "copyreg", "dill", "cloudpickle"),
    *("marshal", "shelve", "dbm", "jsonpickle", "joblib", "yaml", "multiprocessing"),
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
ALLOWED = {("src/perdure/_value_class.py", "exec")}  # of the names and defaults of our own classes


def shipped() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    mine = [path for path in found if "tests" not in path.relative_to(ROOT).parts]
    return sorted([*mine, ROOT / "hatch_build.py", ROOT / "noxfile.py"])


def named(source: str) -> Iterator[str]:
    """What of these it imports or calls."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node.value in BARRED else []  # for import_module
        elif isinstance(node, ast.Name) and node.id in BUILTINS:
            yield node.id
        yield from (name for name in names if name.partition(".")[0] in BARRED)
        yield from (name for name in names if name.startswith("concurrent.futures.process"))


@pytest.mark.parametrize("path", shipped(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_loads_code_from_data(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    found = {(name, what) for what in named(path.read_text(encoding="utf-8"))}
    assert not found - ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, marshal as m",
        "from shelve import open",
        "import concurrent.futures.process",
        "from multiprocessing.shared_memory import SharedMemory",
        "importlib.import_module('pickle')",
        "x = eval",
        "def f():\n    exec('1')",
        "__import__('x')",
    ],
)
def test_each_way_of_doing_so_is_told(source: str) -> None:
    assert list(named(source))


@pytest.mark.parametrize("source", ["re.compile('x')", "from .pickle import x", "guest.evaluate"])
def test_what_only_looks_like_it_is_not(source: str) -> None:
    assert not list(named(source))
