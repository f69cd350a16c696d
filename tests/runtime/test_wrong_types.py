"""Every public callable, given what it does not take, says so with a UsageError."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    Limits,
    Worker,
    Workflow,
    cancel_runs,
    check_health,
    get_hook,
    get_run,
    hook_type,
    list_runs,
    move_run,
    open_world,
    resume_hook,
    start,
    step,
    workflow,
)
from perdure._core.urls import parse_url
from perdure.abc import Capability, World
from perdure.errors import UsageError, WorldContractError
from perdure.testing.faults import Fault, FaultyWorld
from perdure.testing.memory import MemoryWorld
from perdure.worlds import make_world

pytestmark = pytest.mark.anyio

FLOW = Workflow.from_source('export async function flow() { "use workflow"; return 1 }')
CODE = 'export async function flow() { "use workflow" }'
NO_TEXT: dict[str, Any] = {
    "a number": 5,
    "bytes": b"x",
    "an object": object(),
    "a list": ["x"],
    "a class": MemoryWorld,
    "a truth": True,
}
HALF = {"half a character": "a\ud800"}
NONE: dict[str, Any] = {"None": None}
_COUNT: dict[str, Any] = {"a text": "1", "a float": 1.5, "NaN": math.nan, "a truth": True}
NO_COUNT = _COUNT | {"below 0": -1, "a list": [1], "None": None, "an object": object()}
_SPAN: dict[str, Any] = {"a text": "5s", "NaN": math.nan, "infinite": math.inf, "a truth": True}
NO_SPAN = _SPAN | {"beyond what there is": 1e300, "a list": [5], "an object": object()}
_MAPPING: dict[str, Any] = {"a number": 5, "a text": "ab", "pairs": [("a", "b")]}
NO_MAPPING = _MAPPING | {
    "a number in it": {"a": 5},
    "a number as name": {5: "a"},
    "half": {"a": "\ud800"},
}
_WORLD: dict[str, Any] = {"a url": "memory://x", "a number": 5, "a class": MemoryWorld}
NO_WORLD = _WORLD | {"an object": object(), "a block": open_world("memory://x")}
NO_PATH: dict[str, Any] = {"a number": 5, "bytes": b"a.ts", "a class": Path, "NUL": "a\0b"}


async def enter(block: Any) -> None:
    async with block:
        pass


async def first(items: Any) -> None:
    async for _ in items:
        break


Call = Callable[[World, Any], Any]
CALLS: dict[str, tuple[Call, dict[str, Any]]] = {
    "open_world": (lambda w, v: enter(open_world(v)), NO_TEXT | {"empty": ""}),
    "make_world": (lambda w, v: make_world(v), NO_TEXT),
    "a world": (lambda w, v: MemoryWorld(v), NO_TEXT | NONE),
    "parse_url": (
        lambda w, v: parse_url(v, scheme="s", options=None, example="s://x"),
        NO_TEXT | NONE,
    ),
    "Worker": (lambda w, v: Worker(v), NO_WORLD | NONE),
    "Worker(steps=)": (lambda w, v: Worker(w, steps=v), NO_TEXT | {"text": "shop:charge"}),
    "Worker(queues=)": (lambda w, v: Worker(w, queues=v), {"a number": 5, "a text": "gpu"} | NONE),
    "Worker(max_turns=)": (lambda w, v: Worker(w, max_turns=v), NO_COUNT | {"0": 0}),
    "Worker(max_steps=)": (lambda w, v: Worker(w, max_steps=v), NO_COUNT | {"0": 0}),
    "Worker(snapshot_lag=)": (lambda w, v: Worker(w, snapshot_lag=v), NO_COUNT),
    "Worker(warm_bytes=)": (lambda w, v: Worker(w, warm_bytes=v), NO_COUNT),
    "Worker(turn_deadline=)": (
        lambda w, v: Worker(w, turn_deadline=v),
        {"0": 0, "below 0": -1.0, "infinite": math.inf, "NaN": math.nan, "a text": "5s"}
        | {"a timedelta": timedelta(seconds=1), "a truth": True}
        | NONE,
    ),
    "Worker(snapshot_key=)": (
        lambda w, v: Worker(w, snapshot_key=v),
        {"a number": 5, "a list": [b"x" * 32], "an object": object(), "short": b"x"},
    ),
    "Worker(limits=)": (
        lambda w, v: Worker(w, limits=v),
        # Wrong on purpose.
        {"a number": 5, "a dict": {}, "a text in it": Limits(heap_bytes="1")},  # type: ignore[arg-type]
    ),
    "start": (lambda w, v: start(v, world=w), NO_TEXT | NONE | {"a path": "flow.ts"}),
    "start(args)": (
        lambda w, v: start(FLOW, v, world=w),
        {"a number": 5, "None": None, "o": object()},
    ),
    "start(world=)": (lambda w, v: start(FLOW, world=v), NO_WORLD),
    "start(run_id=)": (
        lambda w, v: start(FLOW, world=w, run_id=v),
        NO_TEXT | HALF | {"empty": "", "a slash": "a/b", "long": "x" * 201},
    ),
    "start(idempotency_key=)": (
        lambda w, v: start(FLOW, world=w, idempotency_key=v),
        NO_TEXT | HALF | {"empty": ""},
    ),
    "start(attributes=)": (lambda w, v: start(FLOW, world=w, attributes=v), NO_MAPPING),
    "start(hook=)": (
        lambda w, v: start(FLOW, world=w, hook=v),
        NO_TEXT | HALF | {"empty": "", "long": "x" * 501},
    ),
    "check_health": (lambda w, v: check_health(v, world=w), NO_SPAN),
    "check_health(world=)": (lambda w, v: check_health(1, world=v), NO_WORLD),
    "get_run": (lambda w, v: get_run(v, w), NO_TEXT | NONE | HALF),
    "get_run(world)": (lambda w, v: get_run("x", v), NO_WORLD),
    "result": (lambda w, v: get_run("x", w).result(v), NO_SPAN),
    "cancel": (lambda w, v: get_run("x", w).cancel(v), NO_TEXT | HALF),
    "wake": (lambda w, v: get_run("x", w).wake(v), {"a text": "wait_1", "a number": 5}),
    "cancel_runs": (lambda w, v: cancel_runs(v, world=w), {"a text": "run_1", "a number": 5}),
    "cancel_runs(world=)": (lambda w, v: cancel_runs(["x"], world=v), NO_WORLD),
    "resume_hook": (lambda w, v: resume_hook(v, 1, world=w), NO_TEXT | NONE | HALF),
    "resume_hook(resume_id=)": (
        lambda w, v: resume_hook("t", 1, resume_id=v, world=w),
        NO_TEXT | HALF | {"empty": "", "NUL": "\0", "long": "x" * 201},
    ),
    "resume_hook(world=)": (lambda w, v: resume_hook("t", 1, world=v), NO_WORLD),
    "get_hook": (lambda w, v: get_hook(v, w), NO_TEXT | NONE | HALF),
    "get_hook(world)": (lambda w, v: get_hook("t", v), NO_WORLD),
    "hook_type": (lambda w, v: hook_type(v, int), NO_TEXT | NONE | HALF),
    "hook_type(schema)": (lambda w, v: hook_type("n", v), {"a number": 5, "a text": "x"} | NONE),
    "events": (
        lambda w, v: first(get_run("x", w).events(after=v)),
        {"a text": "1", "a float": 1.5, "None": None},
    ),
    "log_lines": (
        lambda w, v: get_run("x", w).log_lines(start=v),
        {"a text": "1", "a float": 1.5, "None": None},
    ),
    "list_runs(status=)": (lambda w, v: list_runs(world=w, status=v), NO_TEXT),
    "list_runs(workflow=)": (lambda w, v: list_runs(world=w, workflow=v), NO_TEXT | HALF),
    "list_runs(error=)": (lambda w, v: list_runs(world=w, error=v), NO_TEXT | HALF),
    "list_runs(cursor=)": (lambda w, v: list_runs(world=w, cursor=v), NO_TEXT | HALF),
    "list_runs(attributes=)": (lambda w, v: list_runs(world=w, attributes=v), NO_MAPPING),
    "list_runs(limit=)": (lambda w, v: list_runs(world=w, limit=v), NO_COUNT | {"0": 0}),
    "list_runs(world=)": (lambda w, v: list_runs(world=v), NO_WORLD),
    "move_run": (lambda w, v: move_run(v, w, w), NO_TEXT | NONE | HALF),
    "move_run(source)": (lambda w, v: move_run("x", v, w), NO_WORLD | NONE),
    "move_run(target)": (lambda w, v: move_run("x", w, v), NO_WORLD | NONE),
    "move_run(timeout=)": (lambda w, v: move_run("x", w, w, timeout=v), NO_SPAN | NONE),
    "workflow": (lambda w, v: workflow(v), NO_PATH | NONE | {"empty": ""}),
    "workflow(root=)": (lambda w, v: workflow("a.ts", root=v), NO_PATH),
    "from_source": (lambda w, v: Workflow.from_source(v), NO_TEXT | NONE | HALF),
    "from_source(filename=)": (
        lambda w, v: Workflow.from_source(CODE, filename=v),
        NO_TEXT | NONE | HALF,
    ),
    "from_source(name=)": (lambda w, v: Workflow.from_source(CODE, name=v), NO_TEXT | HALF),
    "step": (lambda w, v: step(v), NO_TEXT),
    "step(name=)": (lambda w, v: step(name=v), NO_TEXT | HALF | {"empty": ""}),
    "step(queue=)": (lambda w, v: step(queue=v), NO_TEXT | HALF | {"a slash": "a/b"}),
}
TABLE = [(name, kind) for name, (_, values) in CALLS.items() for kind in values]


@pytest.mark.parametrize(("name", "kind"), TABLE)
async def test_what_it_does_not_take_is_named(name: str, kind: str) -> None:
    call, values = CALLS[name]
    async with MemoryWorld("memory://here") as world:
        with pytest.raises(UsageError):
            await answer_of(call, world, values[kind])


async def answer_of(call: Call, world: World, value: object) -> object:
    answer = call(world, value)
    return await answer if inspect.isawaitable(answer) else answer


def test_what_may_be_a_secret_is_not_repeated() -> None:
    with pytest.raises(UsageError) as told:
        make_world(b"mongodb://me:hunter2@host/db")  # type: ignore[arg-type]  # wrong on purpose
    assert "hunter2" not in str(told.value)
    with pytest.raises(UsageError) as told:
        # Wrong on purpose.
        Worker(MemoryWorld("memory://x"), snapshot_key=["hunter2"])  # type: ignore[arg-type]
    assert "hunter2" not in str(told.value)


async def test_a_timeout_that_is_over_is_none() -> None:
    async with MemoryWorld("memory://here") as world, Worker(world):
        run = await start(FLOW, world=world)
        assert await run.result(60) == 1
        assert await run.result(-5) == 1
        assert await run.result(timedelta(seconds=-5)) == 1


def test_a_world_that_promises_what_its_storage_is_not_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    direct = frozenset({Capability.DIRECT_COMMIT})
    monkeypatch.setattr(FaultyWorld, "capabilities", property(lambda _: direct))
    world = FaultyWorld(MemoryWorld("memory://x"), lambda number, call: Fault.NONE)
    with pytest.raises(WorldContractError, match=r"DIRECT_COMMIT, but its storage, .* is no"):
        Worker(world)
