"""A misspelt step is an error where its module is imported, and imports nothing to find out."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType

import pytest

from perdure import Workflow, start
from perdure._runtime import steps as registry
from perdure._runtime.python_modules import python_module
from perdure._runtime.step_options import StepOptions
from perdure.errors import CompileError
from perdure.testing.memory import MemoryWorld

SHOP = """
from perdure import step

@step
async def charge(card: str) -> str:
    return card

@step(name="shop:pay_back")
def refund() -> None: ...

def helper() -> None: ...

TABLE = {}
"""
Import = Callable[..., ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Import, None, None]:
    """Write a module and import it, as if for the first time."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    monkeypatch.setattr(registry, "_registered", {})
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def loaded(name: str, text: str = SHOP, **others: str) -> ModuleType:
        for other, content in others.items():
            write(other.replace("__", "."), content)
        write(name, text)
        name = name.removesuffix(".__init__")
        __import__(name)
        for new in set(sys.modules) - before:
            monkeypatch.setitem(sys.modules, new, sys.modules[new])  # gone after the test
        return sys.modules[name]

    yield loaded
    monkeypatch.undo()
    for new in set(sys.modules) - before:
        if (getattr(sys.modules[new], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[new]


def flow(names: str, module: str = "shop") -> Workflow:
    return Workflow.from_source(
        f'import {{ {names} }} from "python:{module}";\n'
        f'export async function w() {{ "use workflow"; return [{names}]; }}',
        filename="flow.ts",
    )


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("chrage", "flow.ts:1:10: Python module 'shop' has no step 'chrage'"),
        ("chrage", "did you mean charge?"),
        ("charge, nope", "flow.ts:1:18: Python module 'shop' has no step 'nope'"),
        ("nope", "there is: charge, pay_back"),
        ("helper", "shop.helper is no step"),
        ("helper", "decorate the function with @step"),
        ("refund", 'write import { pay_back } from "python:shop"'),
        ("TABLE", "has no step 'TABLE'"),
    ],
)
def test_a_misspelt_step_of_an_imported_module_is_an_error(
    load: Import, names: str, says: str
) -> None:
    load("shop")
    with pytest.raises(CompileError) as told:
        flow(names).compile()
    assert says in str(told.value)


def test_steps_that_are_there_compile(load: Import) -> None:
    load("shop")
    assert flow("charge, pay_back").compile().step_ids == {"shop:charge", "shop:pay_back"}


@pytest.mark.anyio
async def test_start_refuses_it_and_stores_nothing(load: Import) -> None:
    load("shop")
    async with MemoryWorld() as world:
        with pytest.raises(CompileError, match="did you mean charge"):
            await start(flow("chrage"), world=world)
        assert not world._store.runs


def test_a_step_of_another_module_names_that(load: Import) -> None:
    sums = SHOP.replace("charge", "add").replace("shop:", "sums:")
    load("shop", "from sums import add\n", sums=sums)
    with pytest.raises(CompileError, match=r'write import \{ add \} from "python:sums"'):
        flow("add").compile()


def test_a_module_that_is_not_imported_is_not_imported_to_see(load: Import, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise SystemExit('imported')")
    assert flow("chrage").compile().step_ids == {"shop:chrage"}
    assert "shop" not in sys.modules


def test_what_is_imported_later_is_seen_when_it_is_compiled_then(load: Import) -> None:
    load("shop", "")
    target = flow("charge")
    with pytest.raises(CompileError, match="it has no steps"):
        target.compile()
    registry._register(lambda_named("charge"), "shop:charge", StepOptions())
    assert target.compile().step_ids == {"shop:charge"}


def lambda_named(name: str) -> Callable[[], None]:
    def function() -> None: ...

    function.__name__ = function.__qualname__ = name
    return function


def test_a_package_may_get_steps_from_modules_that_are_not_seen(load: Import) -> None:
    load("shop.__init__", "def helper(): ...\n")
    assert flow("charge").compile().step_ids == {"shop:charge"}
    with pytest.raises(CompileError, match="helper is no step"):
        flow("helper").compile()


def test_a_module_that_is_just_being_imported_is_not_known(load: Import) -> None:
    text = "from perdure._runtime.python_modules import python_module\nSEEN = python_module('shop')"
    assert load("shop", text).SEEN is None
    assert python_module("shop") is not None
    assert python_module("perdure_nothing") is None


PROGRAM = """
import asyncio
from perdure import Workflow, step

TEXT = 'import { NAME } from "python:program";'
TEXT += 'export async function w() { "use workflow"; return NAME; }'

def compiled(name):
    try:
        return sorted(Workflow.from_source(TEXT.replace("NAME", name)).compile().step_ids)
    except Exception as exc:
        return str(exc).splitlines()[-1].strip()

early = compiled("charge")

@step
async def charge(): ...

print(early, compiled("charge"), compiled("chrage"), sep="; ")
"""


@pytest.mark.slow
def test_a_program_is_a_module_too_once_it_has_steps(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    expected = "['program:charge']; ['program:charge']; did you mean charge?"
    assert done.stdout.strip() == expected, done.stderr
