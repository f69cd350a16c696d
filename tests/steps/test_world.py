"""What a step in JavaScript reaches: streams, hooks, other runs, attributes, signals, webhooks."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Worker, start
from perdure.abc import World
from tests.steps.by_hand import flow_of
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

BYTES = """const all = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};"""


async def test_what_a_step_writes_is_in_the_stream_in_order(world: World) -> None:
    steps = """
import { getWritable } from "workflow";
step("f", async () => {
  const writer = getWritable().getWriter();
  for (let k = 0; k < 50; k++) writer.write({ k });
  await writer.write(new Uint8Array([1, 2]));
  writer.releaseLock();
  const other = getWritable({ namespace: "log" }).getWriter();
  await other.write("text");
  await other.close();
});"""
    async with Worker(world, steps=[]):
        run = await start(flow_of("await f();", steps), [], world=world)
        await run.result(timeout=20)
        values = [value async for value in run.readable()]
        assert values == [*({"k": k} for k in range(50)), b"\x01\x02"]
        assert [value async for value in run.readable("log")] == ["text"]


async def test_a_failed_execution_s_chunks_do_not_count(world: World) -> None:
    steps = """
import { getWritable, getStepMetadata, RetryableError } from "workflow";
step("f", async () => {
  const writer = getWritable().getWriter(), { attempt } = getStepMetadata();
  await writer.write("same");
  await writer.write("attempt " + attempt);
  if (attempt === 1) throw new RetryableError("again");
});"""
    async with Worker(world, steps=[]):
        run = await start(flow_of("await f();", steps), [], world=world)
        await run.result(timeout=20)
        seen: list[object] = []
        async for value in run.readable():
            seen.append(value)
    assert seen[0] == "same"
    assert seen[-1] == "attempt 2"


async def test_a_stream_is_passed_on_and_read(world: World) -> None:
    steps = """
step("put", async (stream) => {
  const writer = stream.getWriter();
  await writer.write("a");
  await writer.close();
});
step("read", async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return [parts, stream instanceof ReadableStream, stream instanceof WritableStream];
});"""
    body = 'const s = getWritable({ namespace: "x" }); await put(s); return await read(s);'
    async with Worker(world, steps=[]):
        run = await start(flow_of(body, steps), [], world=world)
        assert await run.result(timeout=20) == [["a"], True, True]


async def test_a_step_resumes_a_hook(world: World) -> None:
    steps = """
import { resumeHook, getHookByToken } from "workflow/api";
import { defineHook } from "workflow";
const schema = { "~standard": { validate: (v) => v > 0 ? { value: v + 1 }
  : { issues: [{ message: "too small", path: ["n"] }] } } };
step("f", async (token) => {
  const found = await getHookByToken(token);
  const hook = await resumeHook(token, { n: 1 });
  await defineHook({ schema }).resume(token, 1);
  let bad = "";
  try { await defineHook({ schema }).resume(token, -1); } catch (e) { bad = e.message; }
  let none = [];
  try { await resumeHook("nobody", 1); } catch (e) { none = [e.name, e.token]; }
  return [hook.token, await found.metadata, bad, none];
});"""
    body = """const hook = createHook({ token: "tok", metadata: { m: 1 } });
      const [facts, first, second] = await Promise.all([f("tok"), hook, hook]);
      return [facts, first, second];"""
    async with Worker(world, steps=[]):
        run = await start(flow_of(body, steps), [], world=world)
        facts, first, second = await result(run)
    assert facts == [
        "tok",
        {"m": 1},
        "Hook payload did not match the defined schema:\n  at n: too small",
        ["HookNotFoundError", "nobody"],
    ]
    assert (first, second) == ({"n": 1}, 2)


async def result(run: Any) -> Any:
    return await run.result(timeout=20)


async def test_a_step_sets_attributes(world: World) -> None:
    steps = """
import { setAttributes } from "workflow";
step("f", async () => {
  await setAttributes({ a: "1", n: 2 });
  try { await setAttributes({ $x: "1" }); } catch (e) { return e.name; }
});"""
    async with Worker(world, steps=[]):
        run = await start(flow_of("return await f();", steps), [], world=world)
        assert await run.result(timeout=20) == "FatalError"
        record = await run.info()
    assert dict(record.attributes) == {"a": "1", "n": "2"}


async def test_a_step_looks_at_runs_and_ends_them(world: World) -> None:
    steps = """
import { getRun, Run } from "workflow/api";
step("f", async (id) => {
  const run = getRun(id), before = [await run.exists, await run.status, await run.workflowName];
  await run.cancel();
  let end;
  try { await run.returnValue; } catch (e) { end = [e.name, e.runId === id]; }
  return [...before, await run.status, end, await getRun("none").exists, run];
});"""
    body = """if (args[0] === "wait") return await createHook({ token: "never" });
      return await f(args[0]);"""
    async with Worker(world, steps=[]):
        flow = flow_of(body, steps)
        other = await start(flow, ["wait"], world=world)
        run = await start(flow, [other.id], world=world)
        *facts, ref = await result(run)
        assert ref.run_id == other.id
        assert facts[0] is True
        assert facts[2:] == ["flow", "cancelled", ["WorkflowRunCancelledError", True], False]


async def test_a_signal_that_the_workflow_aborts_is_aborted_in_the_step(world: World) -> None:
    steps = """step("f", (signal) => new Promise((resolve) => {
      if (signal.aborted) resolve("before");
      signal.addEventListener("abort", () => resolve(String(signal.reason)));
    }));"""
    body = """const c = new AbortController(), running = f(c.signal);
      await sleep(50); c.abort("enough"); return await running;"""
    async with Worker(world, steps=[]):
        run = await start(flow_of(body, steps), [], world=world)
        assert await run.result(timeout=20) == "enough"


async def test_a_step_aborts_a_signal_of_the_workflow(world: World) -> None:
    steps = 'step("f", async (controller) => { controller.abort("by the step"); });'
    body = """const c = new AbortController(); await f(c);
      return [c.signal.aborted, c.signal.reason];"""
    async with Worker(world, steps=[]):
        run = await start(flow_of(body, steps), [], world=world)
        assert await run.result(timeout=20) == [True, "by the step"]
