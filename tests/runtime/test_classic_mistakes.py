"""What implementations of durable workflows get wrong, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from perdure import Run, Worker, Workflow, start, step, workflow
from perdure._runtime.inspect.audit import verify_run
from perdure._runtime.steps import AnyStep
from perdure.abc import World
from perdure.errors import GuestError, RunEndedError, RunFailedError
from perdure.model import EventType, RunStatus
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = pytest.mark.anyio

IMPORTS = (
    'import { sleep, FatalError, getWorkflowMetadata } from "workflow";\n'
    'import { echo, gated, grouped, implied, fatal } from "python:classic";\n'
)


@step(name="classic:echo")
async def echo(value: object) -> object:
    return value


gates: dict[str, anyio.Event] = {}


@step(name="classic:gated")
async def gated(name: str) -> str:
    await gates[name].wait()
    return name


@step(name="classic:grouped", max_retries=0)
async def grouped() -> None:
    first = ValueError("one")
    first.add_note("look here")
    raise ExceptionGroup("several", [first, KeyError("two")])


@step(name="classic:implied", max_retries=0)
async def implied() -> None:
    try:
        raise KeyError("before")
    except KeyError:
        raise LookupError("after")  # noqa: B904 # without "from", as much code has it


class LocalError(Exception):
    """One that no pickle could carry, and that other code could not import."""

    def __init__(self) -> None:
        super().__init__("mine", lambda: None)


@step(name="classic:fatal", max_retries=0)
async def fatal() -> None:
    raise LocalError


STEPS: list[AnyStep] = [echo, gated, grouped, implied, fatal]


@pytest.fixture(autouse=True)
def _gates() -> None:
    gates.clear()
    gates.update({name: anyio.Event() for name in ("slow", "fast", "third")})


def flow(body: str) -> Workflow:
    return Workflow.from_source(
        f'{IMPORTS}export async function w(n: any): Promise<any> {{ "use workflow"; {body} }}\n'
    )


async def result_of(world: World, body: str, argument: object = None) -> object:
    async with Worker(world, steps=STEPS):
        run = await start(flow(body), [argument])
        value = await run.result(timeout=10)
    assert (await verify_run(world, run.id)).problems == []
    return value


async def turned(run: Run, turns: int = 1) -> None:
    with anyio.fail_after(10):
        while (await run.info()).turn < turns:
            await anyio.lowlevel.checkpoint()


@EVERY_WORLD
async def test_putting_a_run_away_runs_no_finally_block(world: World) -> None:
    body = """
      class Lock { [Symbol.dispose]() { console.log("disposed") } }
      try { await echo(1); await sleep(150); } catch { console.log("caught"); }
      finally { console.log("finally"); }
      return "end";
    """
    async with Worker(world, steps=STEPS):
        run = await start(flow(body))
        await turned(run, 2)
    assert await run.log_lines() == ()
    async with Worker(world, steps=STEPS):
        assert await run.result(timeout=10) == "end"
    assert await run.log_lines() == ("finally",)


@EVERY_WORLD
async def test_the_loser_of_a_race_comes_late_and_does_no_harm(world: World) -> None:
    body = """
      const first = await Promise.race([gated("slow"), gated("fast")]);
      const then = await gated("third");
      return [first, then, await echo("more")];
    """
    async with Worker(world, steps=STEPS):
        run = await start(flow(body))
        gates["fast"].set()
        await turned(run, 2)
        gates["slow"].set()  # its result comes while the run waits for something else
        with anyio.fail_after(10):
            while [e.event.type async for e in run.events()].count(EventType.STEP_COMPLETED) < 2:
                await anyio.lowlevel.checkpoint()
        gates["third"].set()
        assert await run.result(timeout=10) == ["fast", "third", "more"]
    assert (await verify_run(world, run.id)).problems == []


@EVERY_WORLD
async def test_a_loser_that_never_ends_keeps_no_run_open(world: World) -> None:
    async with Worker(world, steps=STEPS):
        run = await start(flow('return await Promise.race([gated("slow"), echo(1)])'))
        assert await run.result(timeout=10) == 1
        gates["slow"].set()  # too late: the run has ended, its result goes nowhere
    ends = [e.event.type async for e in run.events()]
    assert ends[-1] is EventType.RUN_COMPLETED
    assert ends.count(EventType.RUN_COMPLETED) == 1
    with pytest.raises(RunEndedError):
        await run.cancel()


@IN_MEMORY
async def test_members_notes_and_causes_of_exceptions_cross(world: World) -> None:
    found = await result_of(
        world,
        """
      const seen: any[] = [];
      try { await grouped() } catch (e: any) {
        seen.push(e.cause instanceof AggregateError, e.cause.errors.map((x: any) => x.name),
          e.cause.errors[0].stack.includes("look here"));
      }
      try { await implied() } catch (e: any) { seen.push(e.cause.name, e.cause.cause.name) }
      try { await fatal() } catch (e: any) { seen.push(e.cause.name, e.cause.message) }
      return seen;
    """,
    )
    assert isinstance(found, list)
    assert found[:3] == [True, ["ValueError", "KeyError"], True]
    assert found[3:6] == ["LookupError", "KeyError", "LocalError"]
    seen: Any = cast("Any", found)
    assert "mine" in str(seen[6])


@EVERY_WORLD
async def test_a_run_goes_on_with_the_code_it_began_with(tmp_path: Path, world: World) -> None:
    path = tmp_path / "w.ts"
    text = flow('await gated("slow"); return "old"')
    path.write_text(text._sources["workflow.ts"])
    made = workflow(path)
    async with Worker(world, steps=[echo]):
        run = await start(made)
        await turned(run)
    path.write_text(path.read_text().replace('"old"', '"new"').replace("await gated", "await echo"))
    gates["slow"].set()
    async with Worker(world, steps=STEPS):
        assert await (await start(made)).result(timeout=10) == "new"
        path.unlink()
        assert await run.result(timeout=10) == "old"


@IN_MEMORY
@pytest.mark.parametrize(
    "value",
    ["\0", "a\0b", "é€😀", {"": "\0"}, -0.5, 2**53, -(2**64), b"\0\xff", [None, True], {"a": []}],
)
async def test_awkward_values_cross_both_ways(world: World, value: object) -> None:
    assert await result_of(world, "return await echo(n)", value) == value


@IN_MEMORY
async def test_time_and_chance_are_the_runs_own(world: World) -> None:
    found = await result_of(
        world,
        """
      const t0 = Date.now(), r0 = Math.random();
      for (let i = 0; i < 1e5; i++);
      const still = Date.now() === t0;
      await echo(1);
      const t1 = Date.now();
      await sleep(30);
      return [still, t1 >= t0, Date.now() - t1 >= 30, Math.random() !== r0, typeof Date(),
        new Date(0).getTimezoneOffset(), new Date().getTime() === Date.now(),
        getWorkflowMetadata().workflowStartedAt.getTime() === t0];
    """,
    )
    assert found == [True, True, True, True, "string", 0, True, True]


@IN_MEMORY
@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('throw new FatalError("no")', "FatalError"),
        ('throw Object.assign(new Error("no"), { name: "Mine", code: 7 })', "Mine"),
        ("return () => 1", "SerializationError"),
        ("return { a: { b: new (class Point {})() } }", "SerializationError"),
    ],
)
async def test_how_a_run_may_fail(world: World, body: str, name: str) -> None:
    with pytest.raises(RunFailedError) as caught:
        await result_of(world, body)
    error = caught.value.error
    assert isinstance(error, GuestError)
    assert error.name == name
    if name == "Mine":
        assert error.props == {"code": 7}
    if "Point" in body:
        assert "result.a.b" in error.text
        assert "Point" in error.text


@EVERY_WORLD
async def test_steps_settle_in_the_order_of_the_log(world: World) -> None:
    body = """
      const order: string[] = [];
      await Promise.all(["slow", "fast", "third"].map((x) => gated(x).then((v) => order.push(v))));
      return order;
    """
    async with Worker(world, steps=STEPS):
        run = await start(flow(body))
        for count, name in enumerate(("third", "slow", "fast"), start=1):
            gates[name].set()
            with anyio.fail_after(10):
                while (await run.info()).turn < count + 1 and (
                    await run.status()
                ) is RunStatus.RUNNING:
                    await anyio.lowlevel.checkpoint()
        assert await run.result(timeout=10) == ["third", "slow", "fast"]
    assert (await verify_run(world, run.id)).problems == []
