"""The wire of the kit's processes: values of the contracts come back, and nothing else is made."""

from __future__ import annotations

import base64
import pickle
from typing import Any

import cbor2
import pytest

from perdure.errors import RunNotFoundError, WorldError, WorldUnavailableError
from perdure.model import EventType, RunId, RunStatus
from perdure.testing.conformance._calls import Call, comparable
from perdure.testing.conformance._case import append_of, commit_of, event_of, new_run
from perdure.testing.conformance._linear import Operation
from perdure.testing.conformance._wire import decode, encode

CALL = Call(3, "storage.commit", (commit_of(0),), {"after": 2})


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, (2, "three", b"four", [5.5, True])],
        {"path": ["a"], 7: (1,), "status": RunStatus.RUNNING},
        new_run("run_a"),
        append_of("step_1/end", RunId("run_a")),
        [Operation(1, CALL, 2, 3, (event_of("a/created", EventType.STEP_CREATED), True))],
    ],
)
def test_a_value_comes_back(value: object) -> None:
    line = encode(value)
    assert decode(line) == value
    assert repr(decode(line)) == repr(value)
    assert line.count(b"\n") == 1


class BrokenPipe(WorldUnavailableError):
    """A world's own."""


@pytest.mark.parametrize(
    "error",
    [RunNotFoundError("run_a"), BrokenPipe("gone"), TimeoutError("late"), ValueError()],
)
def test_of_an_error_comes_what_is_compared_of_it(error: Exception) -> None:
    again = decode(encode(error))
    assert comparable(again) == comparable(error)
    assert str(again) == str(error)
    assert isinstance(again, WorldError) == isinstance(error, WorldError)
    assert getattr(again, "retryable", False) == getattr(error, "retryable", False)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


@pytest.mark.parametrize(
    "line",
    [
        base64.b64encode(pickle.dumps(Evil())),
        base64.b64encode(cbor2.dumps(["value", "Popen", ["true"]])),
        base64.b64encode(cbor2.dumps(["enum", "EventType", "other"])),
        base64.b64encode(cbor2.dumps(["value", "Lease", 1])),
        base64.b64encode(cbor2.dumps(cbor2.CBORTag(35, "(a+)+"))),
    ],
)
def test_a_line_makes_nothing_else(line: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        decode(line)
