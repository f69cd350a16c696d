"""Streams in steps of each kind, and their readers: what goes wrong is told by name."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast

import anyio
import anyio.to_thread
import pytest

from perdure import (
    Readable,
    Run,
    RunFailedError,
    Worker,
    Workflow,
    Writable,
    get_run,
    start,
    step,
    step_metadata,
    writable,
)
from perdure.abc import World
from perdure.errors import (
    RunMovedError,
    StreamClosedError,
    StreamNotBytesError,
    StreamRewoundError,
    UsageError,
    ValueNotCarriableError,
    WorldContractError,
)
from perdure.model import Departure
from perdure.testing import MemoryWorld
from perdure.values import UNDEFINED, Rewind, Stream
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]

Body = Callable[[], Awaitable[object]]
body: Body  # of the step ``streams:act``


@step(name="streams:act", max_retries=0)
async def act() -> object:
    return await body()


plain_body: Callable[[], object]


@step(name="streams:plain", max_retries=0)
def plain() -> object:
    return plain_body()


@step(name="streams:again", retry_delay=0.001)
async def again() -> object:
    return await body()


@step(name="streams:late", max_retries=0, timeout=timedelta(milliseconds=50))
async def late() -> object:
    return await body()


def flow(name: str) -> Workflow:
    return Workflow.from_source(f"""
    import {{ {name} }} from "python:streams";
    export async function flow() {{ "use workflow"; return await {name}(); }}
    """)


async def run_of(world: World, name: str, what: Body | None = None) -> Run:
    """A run through one step, from its start to its end."""
    global body
    if what is not None:
        body = what
    async with Worker(world):
        run = await start(flow(name), world=world)
        with anyio.fail_after(30):
            await run.result()
    return run


async def values_of(reader: Readable[object]) -> list[object]:
    with anyio.fail_after(30):
        return [value async for value in reader]


async def test_values_of_every_kind_come_back(world: World) -> None:
    wanted = [b"", b"\0\xff", None, UNDEFINED, 1, 2**60, 1.5, "é", [1, {"a": b"x"}], {1, 2}]
    sent = [*wanted, bytearray(b"b"), memoryview(b"m"), "x" * 100_000]

    async def work() -> None:
        async with writable() as out:
            await out.write_from(sent)

    run = await run_of(world, "act", work)
    assert await values_of(run.readable()) == [*wanted, b"b", b"m", "x" * 100_000]


async def test_a_value_that_cannot_cross_is_refused_where_it_is_written(world: World) -> None:
    async def work() -> str:
        out = writable()
        with pytest.raises(ValueNotCarriableError, match=r"a chunk of out\[0\]"):
            await out.write([object()])
        with pytest.raises(ValueNotCarriableError, match="write several"):
            await out.write(bytes((8 << 20) + 1))
        for values in ("text", b"bytes", 5):
            with pytest.raises(UsageError, match="write_from takes"):
                await out.write_from(values)  # type: ignore[arg-type]  # refused
        return "ok"

    run = await run_of(world, "act", work)
    assert await run.result() == "ok"


async def test_a_plain_step_writes_and_waits_for_its_writes(world: World) -> None:
    global plain_body

    def work() -> str:
        with writable() as out:
            out.write("one")
            assert out.write_from([2, b"3"]) == 2
            out.flush()
        with writable("closed") as closed:
            closed.write(1)
            closed.close()
            assert closed.stream.name == "out/closed"
        waiting = writable("no block").__enter__()
        waiting.write("at the end")
        return repr(waiting)

    plain_body = work
    run = await run_of(world, "plain")
    assert await values_of(run.readable()) == ["one", 2, b"3"]
    assert await values_of(run.readable("closed")) == [1]
    assert await values_of(run.readable("no block")) == ["at the end"]
    assert [info.closed for info in await run.streams()] == [False, True, False]


async def test_a_plain_step_hears_of_a_write_that_failed(world: World) -> None:
    global plain_body

    def work() -> list[str]:
        errors: list[str] = []
        with writable() as out:
            out.close()
            out.write("late")
            for call in (out.flush, out.close, lambda: out.write("later")):
                try:
                    call()
                except StreamClosedError as exc:
                    errors.append(type(exc).__name__)
            with pytest.raises(ValueNotCarriableError, match="a chunk of out"):
                out.write(object())
        return errors

    plain_body = work
    async with Worker(world):
        run = await start(flow("plain"), world=world)
        with pytest.raises(RunFailedError, match="closed and takes no more chunks"):
            await run.result(timeout=30)
    assert await values_of(run.readable()) == []


async def test_a_plain_step_writes_more_than_fits_at_once(world: World) -> None:
    global plain_body

    def work() -> int:
        with writable() as out:
            return out.write_from(bytes(100_000) for _ in range(200))

    plain_body = work
    run = await run_of(world, "plain")
    sizes = [len(part) async for part in run.readable_bytes()]
    assert sizes == [100_000] * 200


async def test_a_plain_step_that_fails_has_what_it_wrote_before(world: World) -> None:
    global plain_body

    def work() -> None:
        with writable() as out:
            out.write("before")
            raise ValueError("after")

    plain_body = work
    async with Worker(world):
        run = await start(flow("plain"), world=world)
        with pytest.raises(RunFailedError, match="after"):
            await run.result(timeout=30)
    assert await values_of(run.readable()) == ["before"]


async def test_threads_and_loops_of_a_step_s_own_write_to_its_streams(world: World) -> None:
    async def work() -> None:
        out = writable()
        await out.write(1)

        def in_a_thread() -> None:
            with writable() as plain_out:
                plain_out.write(2)

        await anyio.to_thread.run_sync(in_a_thread)

        async def elsewhere() -> None:
            async with writable() as other:
                await other.write(3)

        await anyio.to_thread.run_sync(lambda: asyncio.run(elsewhere()))
        async with anyio.create_task_group() as group:
            for n in range(4, 8):
                group.start_soon(writable().write, n)

    run = await run_of(world, "act", work)
    assert await values_of(run.readable()) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_block_that_would_wait_for_itself_is_refused(world: World) -> None:
    async def work() -> None:
        with pytest.raises(UsageError, match="async with writable"), writable():
            pass

    await run_of(world, "act", work)
    run = get_run("run_a", world)
    with pytest.raises(UsageError, match="plain step"), run.writable():
        pass


async def test_outside_of_a_step_there_is_no_stream_of_its_run() -> None:
    with pytest.raises(UsageError, match="only within a step"):
        writable()
    for namespace in ("", "x" * 201, "\ud800"):
        with pytest.raises(UsageError, match="namespace"):
            get_run("run_a").readable(namespace)
    with pytest.raises(UsageError, match="start"):
        get_run("run_a").readable(start="1")  # type: ignore[arg-type]  # refused


async def test_a_step_that_fails_has_what_it_wrote_before(world: World) -> None:
    async def work() -> None:
        async with writable() as out:
            await out.write("before")
            raise ValueError("after")

    with pytest.raises(RunFailedError, match="after"):
        await run_of(world, "act", work)


async def test_a_step_that_ignores_that_its_stream_is_closed_fails_all_the_same(
    world: World,
) -> None:
    async def work() -> None:
        out = writable()
        await out.close()
        await out.write("late")  # buffered: nobody waits for it but the end of the step

    with pytest.raises(RunFailedError, match="closed and takes no more chunks"):
        await run_of(world, "act", work)


async def test_a_step_past_its_timeout_writes_no_more(world: World) -> None:
    outs: list[Writable] = []

    async def work() -> None:
        outs.append(writable())
        await outs[0].write("in time")
        await outs[0].flush()
        await anyio.sleep_forever()

    with pytest.raises(RunFailedError, match="timeout"):
        await run_of(world, "late", work)
    with pytest.raises(UsageError, match="is over"):
        await outs[0].write("late")


async def test_an_execution_s_repeated_chunks_are_written_once(world: World) -> None:
    async def work() -> None:
        attempt = step_metadata().attempt
        async with writable() as out, writable("same") as same:
            await out.write_from(["a", "b", f"only {attempt}"])
            await same.write_from(range(100))
            if attempt < 3:
                raise ValueError("again")

    run = await run_of(world, "again", work)
    assert await values_of(run.readable()) == [
        *("a", "b", "only 1"),
        *(Rewind(attempt=2, void=((2, 3),)), "only 2"),
        *(Rewind(attempt=3, void=((4, 5),)), "only 3"),
    ]
    assert await values_of(run.readable("same")) == list(range(100))
    with pytest.raises(StreamRewoundError, match="from chunk 2 on") as caught:
        await values_of(run.readable_bytes())
    assert caught.value.index == 2


async def test_bytes_are_asked_of_values_that_are_none(world: World) -> None:
    async def work() -> None:
        async with writable() as out:
            await out.write_from([b"x", "é", {"a": 1}])

    run = await run_of(world, "act", work)
    reader = run.readable_bytes()
    assert [await anext(reader), await anext(reader)] == [b"x", "é".encode()]
    with pytest.raises(StreamNotBytesError, match="chunk 2 is a value of type dict"):
        await anext(reader)


async def test_readers_go_on_from_where_they_were(world: World) -> None:
    async def work() -> None:
        async with writable() as out:
            await out.write_from(range(2500))

    run = await run_of(world, "act", work)
    reader, seen = run.readable(start=-2400), list[object]()
    assert reader.index == -2400
    while not reader.done:
        async for value in reader:
            seen.append(value)
            if len(seen) % 700 == 0:
                break
        reader = run.readable(start=reader.index)  # another connection
        if len(seen) == 2400:
            break
    assert seen == list(range(100, 2500))
    assert await run.readable().tail_index() == 2499
    pages = run.readable()
    assert len(await pages.page(limit=30)) == 30
    assert (pages.index, pages.done) == (30, False)


async def test_a_negative_start_is_settled_when_the_reader_comes(world: World) -> None:
    run = await run_of(world, "act", _nothing)
    out = get_run(run.id, world).writable("later")
    await out.write_from([0, 1, 2])
    reader = run.readable("later", start=-1)
    assert await anext(reader) == 2
    await out.write(3)
    assert await anext(reader) == 3


async def _nothing() -> None:
    pass


async def test_a_reader_that_waits_hears_of_chunks_of_the_close_and_of_the_run_s_end(
    world: World,
) -> None:
    global body
    release = asyncio.Event()

    async def work() -> None:
        await release.wait()

    body = work
    async with Worker(world):
        run = await start(flow("act"), world=world)
        seen: dict[str, list[object]] = {}
        live = run.readable("open", start=1)

        async def read(namespace: str) -> None:
            seen[namespace] = await values_of(run.readable(namespace))

        async with anyio.create_task_group() as group:
            for namespace in ("closed", "open"):
                group.start_soon(read, namespace)
            await anyio.sleep(0.02)  # they wait
            for namespace in ("closed", "open"):
                await run.writable(namespace).write("chunk")
            await run.writable("closed").close()
            assert await run.readable("open").page() == ("chunk",)
            assert (await live.page(), live.done) == ((), False)
            release.set()
        assert seen == {"closed": ["chunk"], "open": ["chunk"]}
        await run.result(timeout=30)
        assert (await live.page(), live.done) == ((), True)


async def test_a_reader_that_goes_away_leaves_nothing(world: World) -> None:
    global body
    release = asyncio.Event()

    async def work() -> None:
        await release.wait()

    body = work
    async with Worker(world):
        run = await start(flow("act"), world=world)
        await anyio.sleep(0.05)
        before = len(asyncio.all_tasks())
        for _ in range(20):
            with anyio.move_on_after(0.001):
                await anext(run.readable())
        gc.collect()
        assert len(asyncio.all_tasks()) == before
        release.set()
        await run.result(timeout=30)


async def test_a_stream_of_a_run_that_moved_is_elsewhere() -> None:
    async with MemoryWorld() as world:
        run = await start(flow("act"), world=world)
        await world.transfer.depart(Departure(run_id=run.id, to="memory://there"))
        with pytest.raises(RunMovedError):
            await values_of(run.readable())


async def test_chunks_of_another_program_are_refused_by_name(world: World) -> None:
    run = await run_of(world, "act", _nothing)
    await world.streams.append(run.id, "out", [b""], writer="w", sequence=0)
    with pytest.raises(WorldContractError, match="chunk cannot be read"):
        await values_of(run.readable())


async def test_a_stream_is_a_value_for_starts_and_hooks(world: World) -> None:
    target = Workflow.from_source("""
    import { pour } from "python:streams";
    export async function flow(into: WritableStream) {
      "use workflow";
      return await pour({ into });
    }
    """)
    other = await run_of(world, "act", _nothing)
    async with Worker(world):
        stream = Stream(other.id, "out/poured")
        run = await start(target, [stream], world=world)
        assert await run.result(timeout=30) == [stream]
    assert await values_of(stream_of(stream)) == ["poured"]


def stream_of(stream: Stream) -> Readable[object]:
    reader = stream.readable()
    assert isinstance(reader, Readable)
    return cast("Readable[object]", reader)


@step(name="streams:pour", max_retries=0)
async def pour(where: dict[str, Stream]) -> list[Stream]:
    out = where["into"].writable()
    await out.write("poured")
    await out.close()
    return [where["into"]]
