"""Public names: they are there, documented, and what they say they are."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import os
import pickle
import pkgutil
import subprocess
import sys

import pytest

import perdure
from perdure import abc, errors

PUBLIC = (
    *("perdure", "perdure.abc", "perdure.model", "perdure.web", "perdure.worldkit.pure"),
    "perdure.worlds",
)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for key in dir(module):
        value = getattr(module, key)
        if key.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__.startswith("perdure"):
            assert value.__doc__, key


@pytest.mark.parametrize("name", ["perdure", "perdure.worldkit.pure"])
def test_a_name_that_is_imported_late_is_where_type_checkers_look(name: str) -> None:
    """Its home is written twice: as an import for type checkers, and in a table."""
    module = importlib.import_module(name)
    tree = ast.parse(inspect.getsource(module))
    branch = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.name: f"{'.' * node.level}{node.module}"
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == module._HOMES
    assert {*homes, "__doc__"} <= set(dir(module))
    assert set(homes) <= set(module.__all__)
    for key in (*module.__all__, *dir(module)):
        assert getattr(module, key, None) is not None or key == "__file__", key
    space: dict[str, object] = {}
    exec(f"from {name} import *", space)
    assert set(module.__all__) <= set(space)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nope'"):
        module.nope  # noqa: B018  # not there


@pytest.mark.parametrize(
    "name", ["abc", "display", "errors", "model", "values", "worldkit", "worlds"]
)
def test_a_public_module_is_there_with_the_package(name: str) -> None:
    code = f"import perdure; assert perdure.{name}.__name__ == 'perdure.{name}'"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, env=_importable())


def test_what_the_readme_imports_is_there() -> None:
    for name in ("start", "step", "workflow", "Worker", "open_world", "Run", "get_run", "Workflow"):
        assert hasattr(perdure, name)


def test_names_that_every_user_needs_are_at_the_top() -> None:
    """So that who handles a run's end, or gives limits, looks for no module."""
    for name in ("PerdureError", "RunFailedError", "RunCancelledError", "StepTimeoutError"):
        assert getattr(perdure, name) is getattr(errors, name)
    assert perdure.Limits(heap_bytes=1 << 20).heap_bytes == 1 << 20
    assert inspect.iscoroutinefunction(perdure.list_runs)


def test_a_worker_has_no_more_than_its_users_need() -> None:
    public = {name for name in vars(perdure.Worker) if not name.startswith("_")}
    assert public == {"start", "aclose", "drain", "statistics"}


def test_the_version_is_that_of_the_package() -> None:
    assert perdure.__version__ == importlib.metadata.version("perdure")
    with pytest.raises(AttributeError, match="nope"):
        perdure.nope  # type: ignore[attr-defined]  # noqa: B018  # not there


def test_importing_the_package_imports_no_more_than_it_needs() -> None:
    """Looking for the version takes milliseconds of each start, and JSON is for the program."""
    code = "import perdure, sys; assert not {'importlib.metadata', 'json'} & set(sys.modules)"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, env=_importable())


def _importable() -> dict[str, str]:
    paths = [path for path in sys.path if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def test_all_names_every_error() -> None:
    """What is left out is not found by ``from perdure.errors import *``, nor by other tests."""
    modules = [
        importlib.import_module(f"{errors.__name__}.{info.name}")
        for info in pkgutil.iter_modules(errors.__path__)
    ]
    public = {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, BaseException)
        and value.__module__.startswith(errors.__name__)
        and not name.startswith("_")
    }
    assert len(modules) > 1
    assert sorted(public) == sorted(errors.__all__)
    assert len(set(errors.__all__)) == len(errors.__all__)
    for name in errors.__all__:
        assert getattr(errors, name).__doc__, name
        assert getattr(errors, name).__module__ == errors.__name__, name


@pytest.mark.parametrize(
    "contract", [abc.Storage, abc.Catalogue, abc.Queue, abc.Snapshots, abc.Streams, abc.Blobs]
)
def test_a_contract_has_at_most_eight_methods_each_with_a_promise(contract: type) -> None:
    methods = [m for m in vars(contract).values() if getattr(m, "__isabstractmethod__", False)]
    assert 0 < len(methods) <= 8
    assert all(inspect.getdoc(method) for method in methods)


@pytest.mark.parametrize(
    "error",
    [
        errors.RunNotFoundError("run_a"),
        errors.StaleTurnError("run_a", reason="late"),
        errors.LeaseLostError("m"),
        errors.RunFailedError("run_a", error=errors.GuestError(name="E", message="m"), stack="s"),
        errors.WorldNotFoundError("redis", installed=("sqlite",)),
        errors.WorldUnavailableError("gone"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_errors_survive_pickling(error: errors.PerdureError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again).keys() == vars(error).keys()


def test_every_error_belongs_to_one_family() -> None:
    families = (
        errors.UserCodeError,
        errors.WorldError,
        errors.ProtocolError,
        errors.UsageError,
    )
    for name in errors.__all__:
        error = getattr(errors, name)
        if error is not errors.PerdureError:
            assert sum(issubclass(error, family) for family in families) == 1, name
