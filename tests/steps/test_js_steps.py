"""Steps in JavaScript, on real workers: results, errors, retries, timers, console, facts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from perdure import StepLimits, Worker, start
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from perdure.model import EventType
from tests.steps.by_hand import PREFIX, flow_of
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]


async def result_of(world: World, body: str, steps: str, *args: object, **options: Any) -> Any:
    """What a workflow with these steps returns, on one worker."""
    async with Worker(world, steps=[], **options):
        run = await start(flow_of(body, steps), args, world=world)
        return await run.result(timeout=20)


async def failure_of(world: World, body: str, steps: str, **options: Any) -> GuestError:
    """The error that such a workflow fails with."""
    with pytest.raises(RunFailedError) as failure:
        await result_of(world, body, steps, **options)
    assert isinstance(failure.value.error, GuestError)
    return failure.value.error


async def test_a_step_takes_arguments_and_returns_a_value(world: World) -> None:
    steps = 'step("add", async (a, b) => ({ sum: a + b, at: new Date(5), big: 2n ** 70n }));'
    result = await result_of(world, "return await add(...args);", steps, 1, 2)
    assert result["sum"] == 3
    assert result["at"] == datetime.fromtimestamp(0.005, UTC)
    assert result["big"] == 2**70


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1", 1),
        ("return await Promise.all([1, Promise.resolve(2)])", [1, 2]),
        (
            "const t = Date.now(); await new Promise((r) => setTimeout(r, 20));"
            "return Date.now() - t > 15",
            True,
        ),
        ("return typeof crypto.randomUUID()", "string"),
        ("return [typeof gc, typeof require, typeof Deno, typeof Bun]", ["undefined"] * 4),
        ("return import.meta.url", "file:///steps.js"),
        ("const a = performance.now(); return a >= 0 && a < 60000", True),
        ("return (await import('./steps.js')) === (await import('./steps.js'))", True),
        ("try { await import('node:fs') } catch (e) { return e.name }", "ModuleNotAvailableError"),
        (
            "const hex = (b) => Array.from(new Uint8Array(b), (n) => n.toString(16)).join(' ');"
            "return hex(await crypto.subtle.digest('SHA-1', new TextEncoder().encode('abc')))",
            "a9 99 3e 36 47 6 81 6a ba 3e 25 71 78 50 c2 6c 9c d0 d8 9d",
        ),
        (
            "const hash = 'SHA-256', k = await crypto.subtle.importKey('raw', new Uint8Array(4),"
            " { name: 'HMAC', hash }, true, ['sign', 'verify']), d = new Uint8Array([1]);"
            "const s = await crypto.subtle.sign('HMAC', k, d);"
            "return [s.byteLength, await crypto.subtle.verify('HMAC', k, s, d),"
            " await crypto.subtle.verify('HMAC', k, s.slice(1), d)]",
            [32, True, False],
        ),
        ("try { await crypto.subtle.encrypt() } catch (e) { return e.name }", "NotSupportedError"),
        ("return structuredClone(new Map([[1, 2]])).get(1)", 2),
        ("globalThis.kept = (globalThis.kept ?? 0) + 1; return [kept, ++count]", [1, 1]),
    ],
)
async def test_what_a_step_has(world: World, body: str, expected: object) -> None:
    """Twice, so that nothing of one execution is there in the next."""
    steps = f'let count = 0; step("f", async () => {{ {body} }});'
    assert await result_of(world, "return [await f(), await f()];", steps) == [expected, expected]


async def test_timers_run_in_the_order_of_their_times(world: World) -> None:
    steps = """step("f", () => new Promise((resolve) => {
      const log = [], note = (name) => () => log.push(name);
      setTimeout(note("late"), 30);
      setTimeout(note("soon"), 5);
      setTimeout(note("soon too"), 5);
      clearTimeout(setTimeout(note("never"), 1));
      clearInterval(+setInterval(note("never"), 1));
      setImmediate(note("immediate"));
      clearImmediate(setImmediate(note("never")));
      queueMicrotask(note("microtask"));
      process.nextTick(note("tick"), 1);
      const every = setInterval((word) => {
        log.push(word);
        if (log.filter((each) => each === word).length < 2) return;
        clearInterval(every);
        resolve(log);
      }, 40, "interval");
    }));"""
    expected = [
        "microtask",
        "tick",
        "immediate",
        "soon",
        "soon too",
        "late",
        "interval",
        "interval",
    ]
    assert await result_of(world, "return await f();", steps) == expected


async def test_an_error_of_a_callback_fails_the_step(world: World) -> None:
    steps = """const f = step("f", () => new Promise(() => {
      setTimeout(() => { throw new TypeError("in a callback"); }, 1);
    })); f.maxRetries = 0;"""
    error = await failure_of(world, "return await f();", steps)
    assert isinstance(error.cause, GuestError)
    assert error.cause.name == "TypeError"


async def test_a_step_is_tried_again_and_fails_with_the_last_error_as_cause(world: World) -> None:
    steps = """
import { getStepMetadata, RetryableError } from "workflow";
const f = step("f", async () => {
  throw new RangeError("attempt " + getStepMetadata().attempt);
});
f.maxRetries = 1;"""
    error = await failure_of(world, "return await f();", steps)
    assert error.name == "FatalError"
    assert error.text == f"step {PREFIX}f failed after 1 retry: attempt 2"
    assert isinstance(error.cause, GuestError)
    assert (error.cause.name, error.cause.text) == ("RangeError", "attempt 2")
    assert "steps.js:4:" in error.cause.stack
    assert "perdure:" not in error.cause.stack


@pytest.mark.parametrize(
    "thrown",
    [
        'new FatalError("no")',
        'Object.assign(new Error("no"), { name: "FatalError" })',
        'Object.assign(new Error("no"), { fatal: true })',
        'new DOMException("no", "AbortError")',
    ],
)
async def test_a_fatal_error_fails_at_once(world: World, thrown: str) -> None:
    steps = f'import {{ FatalError }} from "workflow"; step("f", () => {{ throw {thrown}; }});'
    error = await failure_of(world, "return await f();", steps)
    assert error.text == "no"
    assert error.cause is None


async def test_a_value_that_is_no_error_is_a_cause_as_it_is(world: World) -> None:
    steps = 'step("f", () => { throw { code: 7 }; }).maxRetries = 0;'
    error = await failure_of(world, "return await f();", steps)
    assert (error.name, error.cause) == ("FatalError", {"code": 7})


async def test_an_error_says_when_to_try_again(world: World) -> None:
    steps = """
import { RetryableError, getStepMetadata } from "workflow";
step("f", async () => {
  if (getStepMetadata().attempt === 1) throw new RetryableError("busy", { retryAfter: "1s" });
  return "done";
});"""
    async with Worker(world, steps=[]):
        run = await start(flow_of("return await f();", steps), [], world=world)
        assert await run.result(timeout=20) == "done"
        events = [logged.event async for logged in run.events()]
    retrying = next(event for event in events if event.type is EventType.STEP_RETRYING)
    assert retrying.facts["attempt"] == 1


async def test_facts_of_step_and_run(world: World) -> None:
    steps = """
import { getStepMetadata, getWorkflowMetadata } from "workflow";
step("f", async () => ({ step: getStepMetadata(), run: getWorkflowMetadata() }));"""
    async with Worker(world, steps=[]):
        run = await start(
            flow_of("return [await f(), getWorkflowMetadata()];", steps), [], world=world
        )
        result: Any = await run.result(timeout=20)
        facts, own = result
    assert facts["run"] == own
    assert facts["run"]["workflowRunId"] == run.id
    assert facts["step"]["stepName"] == PREFIX + "f"
    assert facts["step"]["stepId"] == f"{run.id}/step_1"
    assert facts["step"]["attempt"] == 1


async def test_console_lines_are_in_the_log_marked_with_the_step(world: World) -> None:
    steps = 'step("f", async () => { console.log("one %d", 1); console.warn({ two: 2 }); });'
    async with Worker(world, steps=[]):
        run = await start(flow_of("await f();", steps), [], world=world)
        await run.result(timeout=20)
        lines = await run.log_lines()
    assert list(lines) == ["[f step_1] one 1", "[f step_1] [warn] { two: 2 }"]


async def test_a_step_that_is_not_in_the_bundle_fails_at_once(world: World) -> None:
    workflow = flow_of("return await g();", 'step("f", () => 1);', names=["g"])
    async with Worker(world, steps=[]):
        run = await start(workflow, [], world=world)
        with pytest.raises(RunFailedError, match="has not registered step") as failure:
            await run.result(timeout=20)
    assert failure.value.error.name == "StepNotRegisteredError"  # type: ignore[attr-defined]  # of any type


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("return () => 1", "SerializationError"),
        ("return new (class Own {})()", "SerializationError"),
    ],
)
async def test_a_result_that_does_not_cross_fails_at_once(
    world: World, body: str, name: str
) -> None:
    error = await failure_of(world, "return await f();", f'step("f", () => {{ {body} }});')
    assert error.name == name
    assert error.cause is None


async def test_a_promise_that_nothing_settles_fails_the_step(world: World) -> None:
    steps = 'step("f", () => new Promise(() => {})).maxRetries = 0;'
    error = await failure_of(world, "return await f();", steps)
    assert "there is no timer, request or stream that could settle it" in error.text


SMALL = StepLimits(
    instructions=50_000_000, heap_bytes=8 << 20, seconds=0.3, output_bytes=1000, operations=3
)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("for (;;) {}", "InstructionLimitError"),
        ("const all = []; for (;;) all.push(new Uint8Array(100000));", "HeapLimitError"),
        ("await new Promise((r) => setTimeout(r, 60000))", "StepLimitError"),
        ("console.log('x'.repeat(2000))", "StepLimitError"),
        (
            "for (let k = 0; k < 9; k++) void crypto.subtle.digest('SHA-256', new Uint8Array(1));"
            " await new Promise((r) => setTimeout(r, 100))",
            "StepLimitError",
        ),
    ],
)
async def test_a_limit_fails_the_step_by_name_and_at_once(
    world: World, body: str, name: str
) -> None:
    steps = f'step("f", async () => {{ {body} }});'
    error = await failure_of(world, "return await f();", steps, js_steps=SMALL)
    assert error.name == name


async def test_a_step_gets_the_environment_that_is_allowed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_TEST_KEY", "a key")
    steps = """step("f", () => {
      try { process.env.OTHER = "1"; } catch {}
      try { process.env = {}; } catch {}
      return { ...process.env };
    });"""
    body = "return await f();"
    assert await result_of(world, body, steps, env=["PERDURE_TEST_KEY"]) == {
        "PERDURE_TEST_KEY": "a key"
    }


async def test_a_step_in_a_function_gets_its_closure_and_this(world: World) -> None:
    steps = 'step("f", ([x]) => async function (y) { return [this.z, x, y]; });'
    use = 'globalThis[Symbol.for("WORKFLOW_USE_STEP")]("step//./steps//f", () => [2])'
    body = f"return await {use}.call({{ z: 3 }}, 1);"
    async with Worker(world, steps=[]):
        run = await start(flow_of(body, steps, nested=["f"]), [], world=world)
        assert await run.result(timeout=20) == [3, 2, 1]


async def test_a_step_in_a_step_runs_inline(world: World) -> None:
    steps = """const g = step("g", async (x) => x * 2);
      step("f", async (x) => (await g(x)) + (await globalThis[Symbol.for("WORKFLOW_USE_STEP")]
        ("step//./steps//g")(x)));"""
    async with Worker(world, steps=[]):
        run = await start(flow_of("return await f(3);", steps), [], world=world)
        assert await run.result(timeout=20) == 12
        kinds = [logged.event.type async for logged in run.events()]
    assert kinds.count(EventType.STEP_COMPLETED) == 1


async def test_a_worker_that_does_not_serve_the_queue_leaves_steps_to_others(world: World) -> None:
    steps = 'step("f", () => 7);'
    async with Worker(world, steps=[], queues=["other"]):
        run = await start(flow_of("return await f();", steps), [], world=world)
        async with Worker(world, steps=[]):
            assert await run.result(timeout=20) == 7


async def test_what_belongs_to_workflows_says_so(world: World) -> None:
    steps = """import { sleep, createHook } from "workflow";
      step("f", () => { const names = [];
        for (const call of [() => sleep(1), () => createHook()])
          try { call(); } catch (e) { names.push(e.name); }
        return names; });"""
    names = await result_of(world, "return await f();", steps)
    assert names == ["NotInWorkflowContextError"] * 2
