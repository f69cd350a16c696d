"""Which module may import which, and what the pure ones may not touch."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src/perdure"
LAYERS = (
    "_lazy",
    "_duration",
    "_value_class",
    "_stream_value",
    "_names",
    "_platform",
    "display",
    "errors",
    "_abort",
    "_fetch",
    "values",
    "_model",
    "abc",
    "_core",
    "_protocol",
    "worldkit",
    "_compiler",
    "_types",
    "_vm",
    "_steps",
    "_runtime",
)
# What stands above or beside them: these may import any layer.
OTHERS = {
    *("__init__", "__main__", "_ending", "_guest", "_logs", "_opened"),
    *("cli", "model", "testing", "web", "worlds"),
}
ROOMS = {"carrier", "inspect", "streams", "worker"}  # of _runtime
PURE = ("_model", "_core", "_protocol", "_compiler", "_types")
IMPURE = {"anyio", "asyncio", "threading", "time", "random", "secrets", "os", "logging", "socket"}
# The one look outside: a traceback shows the lines of the files it names.
WORLDS_MAY = {"abc", "display", "errors", "model", "worldkit"}  # and their ``testing`` the kit


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Absolute names of what a module imports."""
    package = path.relative_to(ROOT / "src").with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join((*base, *(node.module or "").split("."))).strip(".")


def layer_of(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "perdure" or len(parts) == 1:
        return None
    return parts[1] if parts[1] in LAYERS else None


def test_every_module_has_its_place() -> None:
    names = {path.relative_to(CORE).with_suffix("").parts[0] for path in modules(CORE)}
    assert names == {*LAYERS, *OTHERS}
    assert {path.name for path in (CORE / "_runtime").iterdir() if path.is_dir()} - {
        "__pycache__"
    } == ROOMS


@pytest.mark.parametrize(
    "path",
    [path for path in modules(CORE) if path.relative_to(CORE).parts[0] not in ("testing", "cli")],
    ids=lambda p: str(p.relative_to(CORE)),
)
def test_what_runs_in_production_imports_nothing_for_tests(path: Path) -> None:
    assert not any(name.startswith("perdure.testing") for name in imports(path))


@pytest.mark.parametrize("path", modules(CORE), ids=lambda p: str(p.relative_to(CORE)))
def test_a_layer_imports_only_layers_to_its_left(path: Path) -> None:
    mine = layer_of(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))
    if mine is None:
        return
    for name in imports(path):
        other = layer_of(name)
        assert other is None or LAYERS.index(other) <= LAYERS.index(mine), name
        if mine in ("_core", "_protocol"):
            assert other != "abc", name


@pytest.mark.parametrize(
    "path",
    [path for layer in PURE for path in modules(CORE / layer)],
    ids=lambda p: str(p.relative_to(CORE)),
)
def test_the_pure_layers_touch_no_clock_thread_or_file(path: Path) -> None:
    assert not IMPURE & {name.partition(".")[0] for name in imports(path)}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree))


@pytest.mark.parametrize(
    "path",
    [path for world in sorted((ROOT / "worlds").glob("*/src")) for path in modules(world)],
    ids=lambda p: "/".join(p.parts[-2:]),
)
def test_a_world_uses_public_names_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("perdure."):
            is_test = path.name == "testing.py" and str(node.module).startswith("perdure.testing")
            assert is_test or str(node.module).split(".")[1] in WORLDS_MAY, node.module


WORLDS = [*sorted((ROOT / "worlds").glob("*/src/*")), CORE / "testing/memory"]


@pytest.mark.parametrize(
    "path",
    [
        path
        for world in WORLDS
        for path in modules(world)
        if path.stem not in ("__init__", "testing")
    ],
    ids=lambda p: "/".join(p.parts[-2:]),
)
def test_a_module_of_a_world_is_named_after_its_noun(path: Path) -> None:
    """So one name is one thing in every world."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert doc.partition(":")[0].lower() == path.stem.strip("_").replace("_", " ")


@pytest.mark.slow  # all sources are parsed
def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even for types, but for these: the list may only get shorter."""
    rooms = runpy.run_path(str(ROOT / "benchmarks/rooms.py"))
    names = rooms["modules"](CORE)
    assert rooms["circles"](rooms["graph_of"](names, with_types=False)) == []
    assert {name for circle in rooms["circles"](rooms["graph_of"](names)) for name in circle} <= {
        *("perdure._opened", "perdure.abc", "perdure.abc._world"),
        *(f"perdure._runtime.{name}" for name in ("contained", "metadata", "own_tasks")),
        *("perdure._runtime.streams.outputs", "perdure._runtime.streams.sink"),
    }


@pytest.mark.parametrize("path", modules(CORE), ids=lambda p: str(p.relative_to(CORE)))
def test_modules_and_functions_keep_to_their_size(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 600
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name
