"""A12: a workflow starts others and waits for them; their ends are deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from perdure import (
    Run,
    RunFailedError,
    Worker,
    Workflow,
    get_hook,
    get_run,
    resume_hook,
    start,
    step,
)
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.inspect.inspection import inspect_run
from perdure.abc import World
from perdure.errors import HookNotFoundError, RunCancelledError
from perdure.model import EventType, RunId, RunRecord
from perdure.values import RunRef
from tests.reference.waiting import until

pytestmark = pytest.mark.anyio

SOURCE = """
import { createHook, sleep } from "workflow";
import { Run, start } from "workflow/api";
import { begin, kind, wait, watched } from "python:children";

export async function double(n: number) {
  "use workflow";
  return 2 * n;
}

export async function parent(n: number) {
  "use workflow";
  const run = await start(double, [n], { attributes: { kind: "doubling" } });
  return [run instanceof Run, run.runId, await run.returnValue, await run.returnValue];
}

export async function fibonacci(n: number): Promise<number> {
  "use workflow";
  if (n < 2) return n;
  const runs = [await start(fibonacci, [n - 1]), await start(fibonacci, [n - 2])];
  const [a, b] = await Promise.all(runs.map((run) => run.returnValue));
  return a + b;
}

export async function inlined(n: number) {
  "use workflow";
  return await double(n);
}

export async function throwing() {
  "use workflow";
  throw new RangeError("out of stock");
}

export async function failing() {
  "use workflow";
  const run = await start(throwing);
  try {
    await run.returnValue;
  } catch (error) {
    const { name, runId, errorCode, cause } = error;
    const isOurs = runId === run.runId && error.stack.includes("failing");
    return [name, isOurs, errorCode, cause.name, cause.message];
  }
}

export async function waiting(token: string) {
  "use workflow";
  return await createHook({ token });
}

export async function outcomes(id: string) {
  "use workflow";
  try {
    return await new Run(id).returnValue;
  } catch (error) {
    return error.name;
  }
}

export async function hands(token: string) {
  "use workflow";
  const run = await start(waiting, [token]);
  await watched(run);
  try {
    return await run.returnValue;
  } catch (error) {
    return error.name;
  }
}

export async function leaves() {
  "use workflow";
  await start(double, [21], { runId: "left" });
  start(double, [22], { runId: "left at the last moment".replaceAll(" ", "-") });
}

export async function keyed(token: string) {
  "use workflow";
  const first = await start(waiting, [token], { hook: token });
  const again = await start(waiting, [token], { runId: first.runId });
  const errors: unknown[] = [];
  for (const options of [{ hook: token }, { runId: first.runId }]) {
    try {
      await start(waiting, ["other"], options);
    } catch (error) {
      errors.push(error.name, error.conflictingRunId === first.runId);
    }
  }
  return [first.runId === again.runId, errors];
}

export async function refused() {
  "use workflow";
  const names: string[] = [];
  const tries: (() => unknown)[] = [
    () => start(() => 1),
    () => start(double, [1], { runId: "a/b" }),
    () => start(double, [1], { hook: "" }),
    () => start(double, [() => 1]),
    () => start(double, [1], { attributes: { $own: "x" } }),
    () => new Run("").returnValue,
    () => new Run("run_1").status,
    () => new Run("run_1").wakeUp(),
  ];
  for (const attempt of tries) {
    try {
      await attempt();
    } catch (error) {
      names.push(error.name);
    }
  }
  return names;
}

export async function through() {
  "use workflow";
  const run = await begin(3);
  return [run.runId, await run.returnValue, await kind(run)];
}

export async function over(token: string) {
  "use workflow";
  return await (await start(waiting, [token])).returnValue;
}

export async function raced() {
  "use workflow";
  const run = await start(waiting, ["raced"]);
  const first = await Promise.race([run.returnValue, sleep(1)]);
  await wait();
  return first === undefined;
}
"""


@step(name="children:watched")
async def watched(run: RunRef) -> None:
    """Ends the run that is handed to it."""
    await get_run(run.run_id).cancel("no more of it")


@step(name="children:begin")
async def begin(n: int) -> Run:
    """Starts a run, and hands it on."""
    return await start(flow("double"), [n], attributes={"own": "text"})


@step(name="children:kind")
async def kind(run: RunRef) -> str:
    """Whether it is a run that has ended."""
    assert get_run(run).id == run.run_id
    return "run" if (await get_run(run).info()).status.is_ended else "a live run"


@step(name="children:wait")
async def wait() -> None:
    """Nothing."""


def flow(name: str) -> Workflow:
    return Workflow.from_source(SOURCE, name=name)


@pytest.fixture
async def worker(world: World) -> AsyncIterator[Worker]:
    """One that carries one run at a time."""
    async with Worker(world, steps=[begin, kind, watched, wait], max_turns=1) as worker:
        yield worker


async def values_of(run: Run) -> Any:
    return await run.result(timeout=10)


async def record(world: World, run_id: str) -> RunRecord:
    return await world.storage.get_run(RunId(run_id))


async def passes(world: World, run: Run) -> None:
    """The run's log, told again, brings the same."""
    report = await verify_run(world, run.id)
    assert report.passed, report.problems


async def test_a_child_is_a_run_whose_end_its_parent_is_told(world: World, worker: Worker) -> None:
    run = await start(flow("parent"), [4], world=world)
    is_run, child_id, *results = await values_of(run)
    assert (is_run, results) == (True, [8, 8])
    child = await record(world, child_id)
    assert (child.workflow, child.attributes) == (
        "double",
        {"kind": "doubling", "$parentRunId": run.id, "$rootRunId": run.id},
    )
    kinds = [e.event.type for e in await world.storage.read_events(RunId(run.id))]
    assert kinds == [
        EventType.RUN_CREATED,
        EventType.CHILD_CREATED,
        EventType.WATCH_CREATED,
        EventType.CHILD_ENDED,
        EventType.RUN_COMPLETED,
    ]
    await passes(world, run)


async def test_recursive_parents_do_not_stop_a_small_pool(world: World, worker: Worker) -> None:
    run = await start(flow("fibonacci"), [6], world=world)
    assert await run.result(timeout=20) == 8
    await passes(world, run)


async def test_lineage_names_parent_and_root(world: World, worker: Worker) -> None:
    run = await start(flow("fibonacci"), [3], world=world)
    assert await run.result(timeout=10) == 2
    events = await world.storage.read_events(RunId(run.id))
    child = next(str(e.event.facts["run_id"]) for e in events if "entry" in e.event.facts)
    events = await world.storage.read_events(RunId(child))
    grandchild = next(
        str(e.event.facts["run_id"])
        for e in events
        if "workflow" in e.event.facts and e.event.entity
    )
    assert (await record(world, run.id)).attributes == {}
    assert (await record(world, grandchild)).attributes == {
        "$parentRunId": child,
        "$rootRunId": run.id,
    }


async def test_a_workflow_that_is_called_is_no_child(world: World, worker: Worker) -> None:
    run = await start(flow("inlined"), [4], world=world)
    assert await run.result(timeout=10) == 8
    kinds = [e.event.type for e in await world.storage.read_events(RunId(run.id))]
    assert kinds == [EventType.RUN_CREATED, EventType.RUN_COMPLETED]


async def test_a_child_that_fails_is_told_with_its_cause(world: World, worker: Worker) -> None:
    run = await start(flow("failing"), world=world)
    assert await run.result(timeout=10) == [
        *("WorkflowRunFailedError", True, "USER_ERROR"),
        *("RangeError", "out of stock"),
    ]
    await passes(world, run)


async def test_any_run_can_be_waited_for(world: World, worker: Worker) -> None:
    completed = await start(flow("double"), [1], world=world)
    assert await completed.result(timeout=10) == 2
    failed = await start(flow("throwing"), world=world)
    with pytest.raises(RunFailedError):
        await failed.result(timeout=10)
    ends: list[object] = []
    for run_id in (completed.id, failed.id, "nobody"):
        run = await start(flow("outcomes"), [run_id], world=world)
        ends.append(await run.result(timeout=10))
        await passes(world, run)
    assert ends == [2, "WorkflowRunFailedError", "WorkflowRunNotFoundError"]


async def test_a_run_is_a_value_and_its_cancel_is_told(world: World, worker: Worker) -> None:
    run = await start(flow("hands"), ["handed"], world=world)
    assert await run.result(timeout=10) == "WorkflowRunCancelledError"
    await passes(world, run)


async def test_a_start_without_an_await_lands_with_the_end(world: World, worker: Worker) -> None:
    run = await start(flow("leaves"), world=world)
    await run.result(timeout=10)
    for child_id, result in (("left", 42), ("left-at-the-last-moment", 44)):
        await until(get_run(child_id, world=world).exists)  # stores with outboxes bring it after
        assert await get_run(child_id, world=world).result(timeout=10) == result


async def test_a_key_that_is_taken_is_a_conflict(world: World, worker: Worker) -> None:
    run = await start(flow("keyed"), ["key"], world=world)
    assert await run.result(timeout=10) == [
        True,
        ["HookConflictError", True, "EntityConflictError", False],
    ]
    await passes(world, run)


async def test_what_cannot_be_is_refused_by_name(world: World, worker: Worker) -> None:
    run = await start(flow("refused"), world=world)
    assert await run.result(timeout=10) == [
        *("WorkflowNotExportedError", "TypeError", "TypeError", "SerializationError", "FatalError"),
        *("TypeError", "UnavailableInWorkflowContextError", "UnavailableInWorkflowContextError"),
    ]


async def test_a_child_outlives_a_parent_that_does_not_wait(world: World, worker: Worker) -> None:
    run = await start(flow("raced"), world=world)
    assert await run.result(timeout=10) is True
    events = await world.storage.read_events(RunId(run.id))
    child = next(str(e.event.facts["run_id"]) for e in events if "entry" in e.event.facts)
    await get_run(child, world=world).cancel("nobody waits")
    with pytest.raises(RunCancelledError):
        await get_run(child, world=world).result(timeout=10)
    assert (await record(world, run.id)).position == events[-1].position


async def test_a_run_that_a_step_starts_has_a_lineage_too(world: World, worker: Worker) -> None:
    run = await start(flow("through"), world=world)
    child_id, result, value = await values_of(run)
    assert (result, value) == (6, "run")
    assert (await record(world, child_id)).attributes == {
        "own": "text",
        "$parentRunId": run.id,
        "$rootRunId": run.id,
    }
    await passes(world, run)


async def test_a_root_has_no_lineage(world: World, worker: Worker) -> None:
    run = await start(flow("double"), [1], world=world)
    assert (await record(world, run.id)).attributes == {}


@pytest.mark.parametrize("is_frozen", [True, False])
async def test_a_parent_is_told_by_another_worker(world: World, is_frozen: bool) -> None:
    """Its open watch is in its snapshot; without one the log says what it waits for."""
    async with Worker(world):
        run = await start(flow("over"), ["over"], world=world)

        async def hook() -> bool:
            with suppress(HookNotFoundError):
                return bool(await get_hook("over", world=world))
            return False

        await until(hook)
    if not is_frozen:
        await world.snapshots.delete(RunId(run.id))
    async with Worker(world) as worker:
        await resume_hook("over", "done", world=world)
        assert await values_of(run) == "done"
        assert worker.statistics()["rebuilt"] == (not is_frozen)
    await passes(world, run)


async def test_an_inspection_shows_children_and_watches(world: World, worker: Worker) -> None:
    run = await start(flow("parent"), [4], world=world)
    _, child_id, *_ = await values_of(run)
    fields = (await inspect_run(world, run.id)).as_json()
    shown = [(one["id"], one["status"], one["run_id"]) for one in fields["children"]]
    assert shown == [("child_1", "started", child_id)]
    shown = [(one["id"], one["status"], one["run_id"]) for one in fields["watches"]]
    assert shown == [("watch_2", "ended", child_id)]
