"""Streams as the reference has them: rows F1 to F5, and its end-to-end tests of streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest

from perdure import (
    Run,
    RunFailedError,
    Worker,
    Workflow,
    get_run,
    resume_hook,
    run_metadata,
    start,
    step,
    writable,
)
from perdure._protocol.chunks import VALUE
from perdure._protocol.codec import encode
from perdure._runtime.streams.sink import Sink
from perdure.abc import World
from perdure.errors import RunNotFoundError, StreamClosedError
from perdure.values import Stream

pytestmark = pytest.mark.anyio

LINES = [f"line {n}\n".encode() for n in range(10)]


@step(name="ref:put")
async def put(stream: Stream, chunk: bytes | dict[str, str]) -> None:
    await stream.writable().write(chunk)


@step(name="ref:end")
async def end(stream: Stream) -> None:
    await stream.writable().close()


@step(name="ref:inside")
async def inside() -> None:
    async with writable() as out, writable("named") as named:
        await out.write(b"Hello from step!")
        await named.write({"message": "Hello from named!"})
        await out.close()
        await named.close()


@step(name="ref:lines")
async def lines() -> Stream:
    async with writable("lines") as out:
        assert await out.write_from(LINES) == 10
        await out.close()
        return out.stream


@step(name="ref:utf8")
async def utf8(text: str) -> None:
    async with writable() as out:
        await out.write_from(bytes((byte,)) for byte in text.encode())


CHILD = Workflow.from_source("""
import { put, end } from "python:ref";
export async function child(stream: WritableStream, text: Uint8Array) {
  "use workflow";
  await put(stream, text);
  await end(stream);
}
""")


@step(name="ref:spawn")
async def spawn(stream: Stream | None) -> None:
    """Have a child write to a stream of its parent's: a given one, or one of this step's."""
    target = writable("forwarded").stream if stream is None else stream
    await (await start(CHILD, [target, b"from the child"])).result()


OUTPUT = Workflow.from_source("""
import { getWritable } from "workflow";
import { put, end } from "python:ref";
export async function output() {
  "use workflow";
  const out = getWritable(), named = getWritable({ namespace: "named" });
  await put(out, new TextEncoder().encode("Hello, world!"));
  await put(named, { foo: "bar" });
  await put(out, { bytes: "and objects" });
  await put(named, new Uint8Array([0, 255]));
  await Promise.all([end(out), end(named)]);
  return "done";
}
""")


def one_step(call: str) -> Workflow:
    """A workflow that makes one call."""
    name = call.partition("(")[0].removeprefix("return await ").removeprefix("await ")
    return Workflow.from_source(f"""
    import {{ getWritable }} from "workflow";
    import {{ {name} }} from "python:ref";
    export async function flow() {{ "use workflow"; {call} }}
    """)


async def run_through(world: World, flow: Workflow) -> Run:
    async with Worker(world):
        run = await start(flow, world=world)
        await run.result(timeout=30)
    return run


async def test_output_stream_from_any_index(world: World) -> None:
    """outputStreamWorkflow: no, positive and negative start; pages, and the tail's index."""
    run = await run_through(world, OUTPUT)
    whole = [b"Hello, world!", {"bytes": "and objects"}]
    named = [{"foo": "bar"}, b"\x00\xff"]
    for namespace, wanted in ((None, whole), ("named", named)):
        for begin, rest in ((0, wanted), (1, wanted[1:]), (-1, wanted[1:]), (-9, wanted), (2, [])):
            reader = run.readable(namespace, start=begin)
            assert [value async for value in reader] == rest
            assert (reader.index, reader.done) == (2, True)
        assert await run.readable(namespace).tail_index() == 1
    assert await run.readable("never written").tail_index() == -1
    assert [value async for value in run.readable("never written")] == []  # its run has ended
    reader, pages = run.readable(), list[object]()
    while not reader.done:
        pages += await reader.page(limit=1)
    assert pages == whole
    names = [(info.name, info.length, info.closed) for info in await run.streams()]
    assert names == [("out", 2, True), ("out/named", 2, True)]


async def test_output_stream_inside_a_step(world: World) -> None:
    run = await run_through(world, one_step("await inside()"))
    assert [value async for value in run.readable()] == [b"Hello from step!"]
    assert [v async for v in run.readable("named")] == [{"message": "Hello from named!"}]


async def test_a_step_returns_a_stream_and_the_caller_reads_it(world: World) -> None:
    """readableStreamWorkflow."""
    run = await run_through(world, one_step("return await lines()"))
    stream = await run.result()
    assert isinstance(stream, Stream)
    assert [value async for value in stream.readable()] == LINES
    assert b"".join([part async for part in run.readable_bytes("lines")]) == b"".join(LINES)


async def test_text_of_several_bytes_a_character_is_whole(world: World) -> None:
    """utf8StreamWorkflow."""
    run = await run_through(world, one_step("await utf8('naïve 日本 🎈')"))
    parts = [part async for part in run.readable_bytes()]
    assert b"".join(parts).decode() == "naïve 日本 🎈"


@pytest.mark.parametrize(
    ("call", "namespace"),
    [("await spawn(getWritable())", None), ("await spawn(null)", "forwarded")],
    ids=["from the workflow", "from a step"],
)
async def test_a_child_writes_to_a_stream_that_was_forwarded(
    world: World, call: str, namespace: str | None
) -> None:
    """writableForwardedFromWorkflow and FromStep: one chunk, then closed."""
    run = await run_through(world, one_step(call))
    assert [value async for value in run.readable(namespace)] == [b"from the child"]
    assert [(info.length, info.closed) for info in await run.streams()] == [(1, True)]


async def test_anyone_may_write_to_a_run_s_stream(world: World) -> None:
    """F5: an append that is there when it returns; an unknown run fails at the write."""
    run = await run_through(world, one_step("await inside()"))
    out = get_run(run.id, world).writable("foreign")
    await out.write(b"one")
    assert await run.readable("foreign").tail_index() == 0
    async with out:
        assert await out.write_from(_numbers()) == 3
    await out.close()
    with pytest.raises(StreamClosedError):
        await out.write(4)
    assert [value async for value in run.readable("foreign")] == [b"one", 1, 2, 3]
    nowhere = get_run("run_nowhere", world)
    with pytest.raises(RunNotFoundError):
        await nowhere.writable().write(1)
    with pytest.raises(RunNotFoundError):
        await anext(nowhere.readable())


async def _numbers() -> AsyncIterator[int]:
    for number in (1, 2, 3):
        yield number


gate: asyncio.Event
SEEN: list[object] = []


@step(name="ref:slow")
async def slow() -> str:
    async with writable() as out:
        for n in range(4):
            await out.write(n)
            await gate.wait()
            gate.clear()
    return run_metadata().run_id


async def test_a_reader_is_live(world: World) -> None:
    """F3: a chunk arrives while the step that wrote it goes on; the run's end is the stream's."""
    global gate
    gate = asyncio.Event()
    async with Worker(world):
        run = await start(one_step("return await slow()"), world=world)
        seen: list[object] = []
        with anyio.fail_after(30):
            async for value in run.readable():
                seen.append(value)
                gate.set()  # only now the step goes on
        assert seen == [0, 1, 2, 3]
        assert await run.result(timeout=30) == run.id


async def test_a_hook_s_payload_may_hold_a_stream(world: World) -> None:
    """F4: a name crosses, and the run writes to the stream of another run."""
    waits = Workflow.from_source("""
    import { createHook } from "workflow";
    import { put } from "python:ref";
    export async function waits(token: string) {
      "use workflow";
      const { into } = await createHook<{ into: WritableStream }>({ token });
      await put(into, new Uint8Array([1]));
    }
    """)
    async with Worker(world):
        other = await start(one_step("await inside()"), world=world)
        run = await start(waits, ["streams/hook"], world=world)
        with anyio.fail_after(30):
            while not await run.hooks():  # noqa: ASYNC110  # no event tells that it waits
                await anyio.sleep(0.01)
        payload = {"into": Stream(other.id, "out/by hook")}
        await resume_hook("streams/hook", payload, world=world)
        await run.result(timeout=30)
    assert [value async for value in other.readable("by hook")] == [b"\x01"]


async def test_an_execution_that_lost_its_claim_writes_no_more(world: World) -> None:
    """F2, and beyond it: a zombie is barred; what both wrote equally is there once."""
    global gate
    gate = asyncio.Event()
    ZOMBIES.clear()
    async with Worker(world):
        run = await start(one_step("return await twice()"), world=world)
        with anyio.fail_after(30):
            await anext(run.readable())
            (claimed,) = ZOMBIES  # its worker thinks that it has the step
            again = Sink(world, run.id, "out", writer=f"{run.id}/step_1", attempt=2)
            await again.put(VALUE, encode("equal", where="chunk"))
            await again.put(VALUE, encode("later", where="chunk"))
            await again.finish()
            gate.set()
            with pytest.raises(RunFailedError, match=r"attempt 1 of .* is refused"):
                await run.result()
    assert claimed == run.id
    assert [value async for value in run.readable()] == ["equal", "later"]


ZOMBIES: list[str] = []


@step(name="ref:twice", max_retries=0)
async def twice() -> None:
    out = writable()
    await out.write("equal")
    await out.flush()
    ZOMBIES.append(run_metadata().run_id)
    await gate.wait()
    await out.write("of a zombie")
