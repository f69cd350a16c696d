"""Public names: they are there, documented, and what they say they are."""

from __future__ import annotations

import importlib
import inspect
import pickle

import pytest

import perdure
from perdure import abc, errors

PUBLIC = ("perdure", "perdure.abc", "perdure.model", "perdure.lowlevel", "perdure.worlds")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for key, value in vars(module).items():
        if key.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__.startswith("perdure"):
            assert value.__doc__, key


def test_what_the_readme_imports_is_there() -> None:
    for name in ("start", "step", "workflow", "Worker", "open_world", "Run", "get_run", "Workflow"):
        assert hasattr(perdure, name)


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
