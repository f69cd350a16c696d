"""Errors: one root, facts as attributes, and every one survives pickling."""

from __future__ import annotations

import inspect
import pickle
import traceback
from datetime import timedelta
from typing import Any

import pytest

from perdure import errors
from perdure.errors import PerdureError

LEAVES = [value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)]
FAMILIES = {"UserCodeError", "WorldError", "ProtocolError", "UsageError"}
FACTS: dict[str, Any] = {
    "timeout": timedelta(seconds=5),
    "diagnostics": ["a.ts:1:1: no"],
    "known": ["m:f"],
    "installed": ["memory"],
    "errors": (1,),
    "props": {"a": 1},
    "issues": [("payload.a", "is odd")],
    "lost": 2,
    "fatal": True,
    "retry_after": 3.5,
}


def made(kind: type[PerdureError]) -> PerdureError:
    signature = inspect.signature(kind)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        fact = FACTS.get(name, f"the {name}")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            named[name] = fact
        else:
            positional.append(fact)
    return kind(*positional, **named)


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_an_error_belongs_to_one_family_and_survives_pickling(kind: type[PerdureError]) -> None:
    error = made(kind)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))
    families = [base.__name__ for base in kind.__mro__ if base.__name__ in FAMILIES]
    assert len(families) == (0 if kind is PerdureError else 1)


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_the_facts_are_in_the_message_and_stay_as_attributes(kind: type[PerdureError]) -> None:
    error = made(kind)
    for name in inspect.signature(kind).parameters:
        if name in {"message", "hint"}:
            continue
        assert hasattr(error, name), name
    for name, value in vars(error).items():
        if isinstance(value, str) and name in {"run_id", "item", "digest", "token", "path", "step"}:
            assert value in str(error)


def test_a_world_scheme_we_know_says_what_to_install() -> None:
    error = errors.WorldNotFoundError("mongodb", installed=[])
    assert "pip install perdure-mongodb" in str(error)
    assert "installed: none" in str(error)


def test_a_hint_and_a_reason_are_told_where_they_are() -> None:
    hinted = errors.RunTimeoutError("run_1", timeout=timedelta(seconds=1), hint="start a worker")
    assert str(hinted).endswith("it goes on. start a worker")
    assert isinstance(hinted, TimeoutError)
    assert str(errors.RunCancelledError("run_1", reason=None)) == "run run_1 was cancelled"
    assert str(errors.GuestError(name="E", message="")) == "E"


def test_a_thrown_value_that_unfolds_without_end_is_told_by_its_beginning() -> None:
    value: object = ["x"]
    for _ in range(90):
        value = [value, value]
    assert len(str(errors.RunFailedError("run_1", error=value))) < 10_000
    cyclic: list[object] = []
    cyclic.append(cyclic)
    assert "..." in str(errors.RunFailedError("run_1", error=cyclic))
    assert "int" in str(errors.RunFailedError("run_1", error=10**5000))
    assert str(errors.RunFailedError("run_1", error="all of it " * 50)).endswith("all of it " * 50)


@pytest.mark.parametrize(
    ("error", "text", "notes"),
    [
        (errors.GuestError(name="E", message="m"), "E: m", ["    at w.ts:1\n    at w.ts:2"]),
        (
            errors.GuestError(name="E", message="one\ntwo"),
            "E: one",
            ["two\n    at w.ts:1\n    at w.ts:2"],
        ),
        ("a\nb\n\n", "a", ["b\n\n\n    at w.ts:1\n    at w.ts:2"]),
        (["a\nb"], "['a\\nb']", ["    at w.ts:1\n    at w.ts:2"]),
    ],
)
def test_a_failed_run_is_told_in_a_line_and_its_stack_in_a_note(
    error: object, text: str, notes: list[str]
) -> None:
    failed = errors.RunFailedError("run_1", error=error, stack="    at w.ts:1\n    at w.ts:2")
    assert str(failed) == f"run run_1 failed: {text}"
    assert failed.__notes__ == notes
    assert pickle.loads(pickle.dumps(failed)).__notes__ == notes
    assert "".join(traceback.format_exception(failed)).endswith(f"{text}\n{notes[0]}\n")


def test_a_failed_run_without_a_stack_has_no_note() -> None:
    assert not hasattr(errors.RunFailedError("run_1", error="x"), "__notes__")


@pytest.mark.parametrize(("lost", "text"), [(1, "lost 1 time, "), (2, "lost 2 times, ")])
def test_one_of_a_kind_is_told_as_one(lost: int, text: str) -> None:
    assert text in str(errors.StepLostError("m:f", lost=lost))
