"""Streams in workflow code: values that are passed on, whatever the code does to its globals."""

from __future__ import annotations

from typing import cast

import anyio
import pytest

from perdure import RunFailedError, Worker, Workflow, start
from perdure.testing import ManualClock, MemoryWorld
from perdure.values import Stream

pytestmark = pytest.mark.anyio

HEAD = 'import { getWritable } from "workflow";\n'


async def result_of(body: str, args: list[object] | None = None) -> tuple[str, object]:
    """The id and the result of a run of a workflow with this body."""
    flow = Workflow.from_source(
        f'{HEAD}export async function flow(given: any) {{ "use workflow"; {body} }}'
    )
    async with MemoryWorld() as world, Worker(world):
        run = await start(flow, args or [], world=world)
        return run.id, await run.result(timeout=30)


async def test_a_writable_is_a_handle_on_a_stream_of_the_run() -> None:
    run_id, result = await result_of(
        "const a = getWritable(), b = getWritable({ namespace: 'é' });"
        "return [a, b, { deep: [a] }, new Map([['k', b]]), getWritable({ namespace: undefined })];"
    )
    out, named = Stream(run_id, "out"), Stream(run_id, "out/é")
    assert result == [out, named, {"deep": [out]}, {"k": named}, out]


async def test_a_handle_is_a_stream_of_both_kinds_and_nothing_else_is() -> None:
    _, result = await result_of(
        "const kinds = [WritableStream, ReadableStream, TransformStream];"
        "const of = (v: any) => kinds.map((kind) => v instanceof kind);"
        "return [of(getWritable()), of(given), of({}), of(null), of(Object.create("
        "  WritableStream.prototype)), typeof WritableStream, Object.isFrozen(getWritable())];",
        [Stream("run_x", "out")],
    )
    both, none = [True, True, False], [False, False, False]
    assert result == [both, both, none, none, none, "function", True]


@pytest.mark.parametrize(
    "use",
    [
        *("getWritable().getWriter()", "getWritable().close()", "getWritable().abort()"),
        *("getWritable().locked", "given.getReader()", "given.pipeTo(getWritable())"),
        *("given.tee()", "given.values()", "given.cancel()", "given.pipeThrough({})"),
        *("new WritableStream()", "new ReadableStream({})", "new TransformStream()"),
        "await (async () => { for await (const x of given) return x; })()",
    ],
)
async def test_reading_and_writing_are_refused_by_name(use: str) -> None:
    _, result = await result_of(
        f"try {{ {use}; return 'done'; }} catch (e: any) {{ return [e.name, e.message]; }}",
        [Stream("run_x", "out")],
    )
    name, message = cast("list[str]", result)
    assert name == "StreamNotUsableError"
    assert "a workflow passes a stream on" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("5", "an object of options"),
        ("null", "an object of options"),
        ("{ namespace: '' }", "1 to 200 characters"),
        ("{ namespace: 'x'.repeat(201) }", "1 to 200 characters"),
        ("{ namespace: 7 }", "1 to 200 characters"),
        ("{ namespace: '\\ud800' }", "lone surrogate"),
    ],
)
async def test_other_options_are_refused(options: str, message: str) -> None:
    with pytest.raises(RunFailedError, match=message):
        await result_of(f"return getWritable({options} as any);")


async def test_workflow_code_cannot_forge_a_handle_or_see_into_one() -> None:
    """Nor do globals that it replaces reach into the handles it is given."""
    run_id, result = await result_of(
        "WeakMap.prototype.get = () => ['run_evil', 'out'];"
        "Object.defineProperty(Object.prototype, '0', { value: 'run_evil', configurable: true });"
        "(globalThis as any).WritableStream = class {};"
        "const handle = getWritable();"
        "return [handle, Object.keys(handle), JSON.stringify(handle)];"
    )
    assert result == [Stream(run_id, "out"), [], "{}"]
    with pytest.raises(RunFailedError, match="is not data"):
        await result_of("return Object.create(WritableStream.prototype);")


async def test_the_module_s_top_has_no_run_to_write_to() -> None:
    flow = Workflow.from_source(
        f'{HEAD}const out = getWritable();\nexport async function flow() {{ "use workflow"; }}'
    )
    async with MemoryWorld() as world, Worker(world):
        with pytest.raises(RunFailedError, match="while a workflow runs"):
            await (await start(flow, world=world)).result(timeout=30)


async def test_a_handle_outlives_its_run_s_freezing() -> None:
    flow = Workflow.from_source("""
    import { getWritable, sleep } from "workflow";
    export async function flow() {
      "use workflow";
      const out = getWritable({ namespace: "n" });
      await sleep("1 hour");
      return [out, out instanceof WritableStream];
    }
    """)
    clock = ManualClock()
    async with MemoryWorld(clock=clock) as world:
        async with Worker(world):
            run = await start(flow, world=world)
            while not await world.snapshots.load(run.id):  # noqa: ASYNC110  # no event tells of it
                await anyio.sleep(0.005)
        clock.advance(3_600_000)
        async with Worker(world):  # thaws it
            assert await run.result(timeout=30) == [Stream(run.id, "out/n"), True]
