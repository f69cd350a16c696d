"""What the log says of failures: each end once with its traceback, each retry with its next try."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import anyio
import pytest

from perdure import FatalError, Worker, Workflow, start, step
from perdure._runtime import steps as registry
from perdure._runtime.log_fields import first_line, of_task
from perdure._runtime.worker import attempt
from perdure.abc import World
from perdure.errors import RunFailedError
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def calling(call: str) -> Workflow:
    return Workflow.from_source(
        'import { body } from "python:steps";\n'
        f'export async function w(): Promise<any> {{ "use workflow"; {call} }}\n'
    )


async def records_of(
    world: World, body: Any, call: str, caplog: pytest.LogCaptureFixture
) -> tuple[str, list[logging.LogRecord]]:
    """The run's id, and the records about its life."""
    async with Worker(world, steps=[body]):
        run = await start(calling(call))
        with contextlib.suppress(RunFailedError):
            await run.result(timeout=20)
    known: list[Any] = caplog.records
    return run.id, [record for record in known if record.event is not None]


async def test_retries_and_the_end_are_told_each_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @step(name="steps:body", max_retries=2, retry_delay=0.001)
    async def body() -> None:
        nothing: Any = None
        nothing.upper()

    run_id, records = await records_of(world, body, "await body()", caplog)
    known: list[Any] = records
    assert [record.event for record in known] == [
        "step_retrying",
        "step_retrying",
        "step_failed",
        "run_failed",
    ]
    assert {record.run_id for record in known} == {run_id}
    assert [record.step_id for record in known] == [f"{run_id}/step_1"] * 3 + [None]
    assert [record.attempt for record in known] == [1, 2, 3, None]
    assert [record.step for record in known] == ["steps:body"] * 3 + [None]
    for record in known[:3]:
        assert "AttributeError: 'NoneType' object has no attribute 'upper'" in record.getMessage()
        assert "\n" not in record.getMessage()
        assert record.getMessage().startswith(f"step steps:body ({run_id}/step_1) failed ")
    assert "runs again in 0.0 s, at 2" in known[0].getMessage()
    assert (known[0].levelname, known[0].exc_info) == ("WARNING", None)
    assert "nothing.upper()" in known[2].exc_text
    assert known[3].getMessage().startswith(f"run {run_id} failed: ")
    assert "workflow.ts:2" in known[3].exc_text
    assert "nothing.upper()" in known[3].exc_text


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_failure_that_the_workflow_catches_is_told_too(
    world: World, caplog: pytest.LogCaptureFixture, is_async: bool
) -> None:
    async def waits() -> None:
        raise FatalError("no\nmore")

    def works() -> None:
        raise FatalError("no\nmore")

    body = step(name="steps:body")(waits if is_async else works)
    caught = "try { await body() } catch { return 1 }"
    run_id, (record,) = await records_of(world, body, caught, caplog)
    told = f"step steps:body ({run_id}/step_1) failed for good at attempt 1: FatalError: no"
    assert record.getMessage() == told
    assert record.exc_info is not None


async def test_a_timeout_is_told_in_a_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It was raised by no line of the step's: there is no traceback."""

    @step(name="steps:body", max_retries=0, timeout=0.01)
    async def body() -> None:
        await anyio.sleep_forever()

    caught = "try { await body() } catch { return 1 }"
    _, (record,) = await records_of(world, body, caught, caplog)
    assert "StepTimeoutError: step 'steps:body' ran longer than its timeout" in record.getMessage()
    assert (record.exc_info, record.exc_text) == (None, None)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("throw new TypeError('mine')", "TypeError: mine"),
        ("throw [1, { a: 2 }]", "failed: [1"),
        ("throw null", "failed: None"),
        ("await new Promise(() => {})", "RunStalledError"),
    ],
)
async def test_a_run_that_fails_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture, code: str, told: str
) -> None:
    @step(name="steps:body")
    async def body() -> None: ...

    run_id, records = await records_of(world, body, f"{code}; await body()", caplog)
    (record,) = records
    assert told in record.getMessage()
    assert record.__dict__["run_id"] == run_id
    assert record.levelno == logging.ERROR


async def test_what_goes_well_or_is_cancelled_is_not_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @step(name="steps:body")
    async def body() -> None: ...

    _, records = await records_of(world, body, "await body()", caplog)
    assert records == []


class Hostile(Exception):
    def __str__(self) -> str:
        raise BaseException("no")


def test_a_first_line_is_short_whatever_the_error() -> None:
    assert first_line(ValueError("a\nb")) == "ValueError: a"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(Hostile()) == "Hostile"
    assert len(first_line(ValueError("x" * 10_000))) < 400


def test_the_fields_of_a_task_are_in_its_name() -> None:
    assert of_task("Task-1") == of_task("a callback") == {}
    fields = of_task("m:f (run_1/step_2)")
    assert (fields["run_id"], fields["step_id"], fields["step"]) == ("run_1", "run_1/step_2", "m:f")


@pytest.mark.parametrize("error", [OSError, OverflowError, ValueError])
def test_a_time_that_a_system_cannot_tell_is_no_failure(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what lies past its calendar's end each system says something else."""

    class Calendar:
        @staticmethod
        def fromtimestamp(*_: object) -> None:
            raise error("past the end")

    monkeypatch.setattr(attempt, "datetime", Calendar)
    assert attempt._clock(1 << 62) == "a time past the calendar's end"
