"""Dead code: each function, class and constant is used by the packages, or by their users."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_parameters import FOR_APPLICATIONS, FOR_WORLDS

ROOT = Path(__file__).parents[1]
# Somebody else calls them, by these names.
CALLED = {
    "bake": "build.py, which runs the file",
    "capture_signals": "uvicorn, which would heed them itself",
    "emit": "logging",
    "evaluate": "tests, which look into a guest with it",
    "running_ministack": "tests of worlds",
    "running_seaweed": "tests of worlds",
    "seek": "cbor2, which takes it for a file",
    "seekable": "cbor2",
    "sweep": "who has an S3 world",
    "teardown": "hypothesis",
    "writable": "cbor2",
}
REGISTERS = ("rule", "initialize", "step", "app.callback")  # these decorators do, so it is used


class _Definition:
    def __init__(self, path: Path, node: ast.AST, name: str) -> None:
        self.where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)} {name}"
        self.name = name
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        called = [ast.unparse(getattr(one, "func", one)) for one in decorators]
        self.is_registered = any(name in REGISTERS for name in called)


def _defined(path: Path, body: list[ast.stmt]) -> Iterator[_Definition]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield _Definition(path, node, node.name)
            case ast.ClassDef():
                yield _Definition(path, node, node.name)
                functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
                yield from _defined(path, [n for n in node.body if isinstance(n, functions)])
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield _Definition(path, node, name)
            case _:
                pass


def _uses(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _public() -> Iterator[str]:
    """The names by which applications, world authors and tests reach what is public."""
    for name in (*FOR_APPLICATIONS, *FOR_WORLDS):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", None) or list(vars(module)):
            yield public
            thing = getattr(module, public)
            yield from vars(thing) if inspect.isclass(thing) else ()


@pytest.mark.slow
def test_everything_is_used() -> None:
    uses, definitions = Counter[str](), list[_Definition]()
    for path in (*ROOT.glob("src/**/*.py"), *ROOT.glob("worlds/*/src/**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        uses.update(_uses(tree))
        definitions += _defined(path, tree.body)
    spared = {*_public(), *CALLED}
    unused = [
        one.where
        for one in definitions
        if not uses[one.name]
        and one.name not in spared
        and not one.is_registered
        and not one.name.startswith("__")
    ]
    assert unused == []
