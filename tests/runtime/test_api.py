"""The names that users write, as they are bound."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import perdure
from perdure import Run, Worker, Workflow, get_run, open_world, start, step, workflow
from perdure.errors import UsageError
from perdure.testing.memory import MemoryWorld


def parameters(function: Callable[..., Any]) -> dict[str, object]:
    """Names and defaults; those that are only taken by name begin with a star."""
    found = inspect.signature(function).parameters.values()
    return {("*" if p.kind is p.KEYWORD_ONLY else "") + p.name: p.default for p in found}


NEEDED = inspect.Parameter.empty


def test_start_takes_what_it_says() -> None:
    assert parameters(start) == {
        "workflow": NEEDED,
        "args": (),
        "*world": None,
        "*run_id": None,
        "*idempotency_key": None,
        "*attributes": None,
        "*allow_reserved_attributes": False,
        "*hook": None,
        "*base_url": None,
    }


def test_step_takes_what_it_says() -> None:
    assert parameters(step) == {
        "function": None,
        "*name": None,
        "*max_retries": 3,
        "*retry_delay": 1.0,
        "*backoff": 1.0,
        "*max_delay": None,
        "*jitter": 0.0,
        "*retry_on": None,
        "*fatal_on": (),
        "*timeout": None,
        "*queue": "default",
        "*cancellable": False,
    }


def test_worker_takes_what_it_says() -> None:
    found = parameters(Worker)
    assert {"world", "*steps", "*max_turns", "*max_steps", "*snapshot_key"} <= set(found)
    assert found["*steps"] is found["*snapshot_key"] is None


def test_a_run_has_what_it_says() -> None:
    assert parameters(get_run) == {"run_id": NEEDED, "world": None}
    assert parameters(Run.result) == {"self": NEEDED, "timeout": None}
    cancel = {"self": NEEDED, "reason": None, "*graceful": None, "*children": "leave"}
    assert parameters(Run.cancel) == cancel
    assert inspect.iscoroutinefunction(Run.status)
    assert inspect.iscoroutinefunction(Run.info)
    assert inspect.isasyncgenfunction(Run.events)
    assert parameters(Workflow.from_source) == {
        "text": NEEDED,
        "*filename": "workflow.ts",
        "*name": None,
    }
    assert parameters(workflow) == {"where": NEEDED, "*root": None}
    assert parameters(open_world)["url"] is None


def test_every_name_of_the_guide_is_exported() -> None:
    names = {
        "FatalError", "RetryableError", "Run", "Step", "UNDEFINED", "Worker", "Workflow", "get_run",
        "open_world", "run_metadata", "start", "step", "step_metadata", "workflow",
    }  # fmt: skip
    assert names <= set(vars(perdure)["__all__"])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"run_id": "a", "idempotency_key": "b"}, "not both"),
        ({"run_id": ""}, "1 to 200 characters"),
        ({"run_id": "a/b"}, "without '/' or blanks"),
        ({"workflow": "flow.ts"}, r"make one with workflow\("),
        ({"args": "one"}, r"write \['one'\]"),
    ],
)
async def test_start_refuses_what_it_cannot_mean(named: dict[str, Any], says: str) -> None:
    made = Workflow.from_source('export async function w() { "use workflow"; }')
    async with MemoryWorld() as world:
        given: dict[str, Any] = {"workflow": made, "world": world, **named}
        with pytest.raises(UsageError, match=says):
            await start(**given)


@pytest.mark.anyio
async def test_attributes_and_ids_are_kept() -> None:
    flow = Workflow.from_source('export async function w() { "use workflow"; return 1 }')
    async with MemoryWorld() as world:
        run = await start(flow, run_id="order-7", attributes={"tier": "gold"}, world=world)
        record = await get_run("order-7", world).info()
        again = await start(flow, run_id="order-7", world=world)
    assert (run.id, again.id) == ("order-7", "order-7")
    assert dict(record.attributes) == {"tier": "gold"}
    assert record.workflow == "w"
