"""How chunks get from a step to its world: when, how many together, and after a retry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from perdure._protocol.chunks import BYTES, REWIND, VALUE, parse_chunk
from perdure._runtime.streams import sink as sinks
from perdure._runtime.streams.outputs import Outputs
from perdure._runtime.streams.sink import Sink
from perdure.abc import World
from perdure.errors import (
    StreamClosedError,
    StreamFencedError,
    StreamNotWrittenError,
    UsageError,
    WorldUnavailableError,
)
from perdure.model import Digest, NewRun, RunId
from perdure.testing import MemoryWorld
from perdure.values import Rewind

pytestmark = pytest.mark.anyio

RUN = RunId("run_a")
NEW = NewRun(
    run_id=RUN,
    workflow="w",
    bundle=Digest("b" * 64),
    engine=Digest("e" * 64),
    input=b"",
    created_at_ms=0,
)


@pytest.fixture
async def memory() -> AsyncIterator[World]:
    async with MemoryWorld() as world:
        await world.storage.create_run(NEW)
        yield world


def watched(world: World, monkeypatch: pytest.MonkeyPatch, *, gate: Any = None) -> list[int]:
    """How many chunks each append has from now on; with a gate each waits for that."""
    counts: list[int] = []
    append = world.streams.append

    async def noted(run_id: RunId, name: str, chunks: Sequence[bytes], **asked: Any) -> int:
        counts.append(len(chunks))
        if gate is not None:
            await gate()
        return await append(run_id, name, chunks, **asked)

    monkeypatch.setattr(world.streams, "append", noted)
    return counts


def sink_of(world: World, *, attempt: int = 1, writer: str = "run_a/step_1") -> Sink:
    return Sink(world, RUN, "out", writer=writer, attempt=attempt)


async def contents(world: World) -> list[object]:
    """The stream's chunks, rewinds as values."""
    page = await world.streams.read(RUN, "out")
    chunks = [parse_chunk(data) for data in page.chunks]
    return [chunk.rewind() if chunk.kind == REWIND else chunk.content for chunk in chunks]


async def test_the_first_chunk_goes_at_once_and_the_rest_together(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()
    counts = watched(memory, monkeypatch, gate=released.wait)
    sink = sink_of(memory)
    for n in range(2500):
        await sink.put(BYTES, b"%d" % n)
    assert counts == [1]  # it is under way, and nobody waits for it
    released.set()
    await sink.flush()
    assert counts == [1, 1000, 1000, 499]
    page = await memory.streams.read(RUN, "out", limit=3000)
    assert [parse_chunk(c).content for c in page.chunks] == [b"%d" % n for n in range(2500)]


async def test_an_append_has_bytes_up_to_its_limit(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()
    counts = watched(memory, monkeypatch, gate=released.wait)
    sink = sink_of(memory)
    for size in (1, 600_000, 600_000, 1, sinks.MAX_BATCH_BYTES + 1, 1):
        await sink.put(BYTES, bytes(size))
    released.set()
    await sink.flush()
    assert counts == [1, 1, 2, 1, 1]


async def test_a_writer_waits_while_too_many_bytes_are_under_way(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()
    watched(memory, monkeypatch, gate=released.wait)
    sink = sink_of(memory)
    half = bytes(sinks.MAX_BUFFER_BYTES // 2)
    await sink.put(BYTES, half)
    writing = asyncio.create_task(sink.put(BYTES, half))
    done, _ = await asyncio.wait({writing}, timeout=0.05)
    assert not done
    released.set()
    await writing
    await sink.flush()
    assert sink.unsent == 0


async def test_a_world_that_is_away_for_a_while_loses_and_doubles_nothing(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True, False, True, True, False, *[False] * 9])
    append = memory.streams.append

    async def shaky(*given: Any, **asked: Any) -> int:
        fail = next(fails)
        length = await append(*given, **asked)  # it took effect, and nobody heard of it
        if fail:
            raise WorldUnavailableError("away")
        return length

    monkeypatch.setattr(memory.streams, "append", shaky)
    monkeypatch.setattr(sinks, "_PAUSE", 0.0001)
    sink = sink_of(memory)
    for n in range(3):
        await sink.put(BYTES, b"%d" % n)
    await sink.flush()
    assert await contents(memory) == [b"0", b"1", b"2"]


async def test_a_world_that_stays_away_fails_the_writer_where_it_writes_next(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise WorldUnavailableError("away")

    watched(memory, monkeypatch, gate=away)
    monkeypatch.setattr(sinks, "PATIENCE", 0.0)
    monkeypatch.setattr(sinks, "_PAUSE", 0.0001)
    sink = sink_of(memory)
    await sink.put(BYTES, b"1")
    for call in (sink.flush(), sink.put(BYTES, b"2"), sink.finish(), sink.close()):
        with pytest.raises(WorldUnavailableError):
            await call


async def test_an_execution_that_is_over_takes_no_more(memory: World) -> None:
    outputs = outputs_of(memory)
    sink = outputs.sink(None, RUN, "out")
    assert outputs.sink(memory, RUN, "out") is sink
    await sink.put(BYTES, b"1")
    await outputs.finish()
    with pytest.raises(UsageError, match="is over"):
        await sink.put(BYTES, b"2")


def outputs_of(world: World, *, attempt: int = 1) -> Outputs:
    loop = asyncio.get_running_loop()
    return Outputs(world, writer="run_a/step_1", attempt=attempt, loop=loop)


async def test_a_step_fails_by_name_when_its_chunks_take_too_long(
    memory: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(memory, monkeypatch, gate=asyncio.Event().wait)
    monkeypatch.setattr("perdure._runtime.streams.outputs.FINISH_S", 0.01)
    outputs = outputs_of(memory)
    await outputs.sink(None, RUN, "out").put(BYTES, b"1")
    with pytest.raises(StreamNotWrittenError, match="1 chunks") as caught:
        await outputs.finish()
    assert (caught.value.name, caught.value.chunks) == ("out", 1)
    await outputs_of(memory).settle()  # nothing to wait for


async def test_a_step_that_failed_has_its_chunks_written_if_that_can_be(
    memory: World, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = outputs_of(memory)
    await outputs.sink(None, RUN, "out").put(BYTES, b"1")
    await memory.streams.close(RUN, "closed")
    await outputs.sink(None, RUN, "closed").put(BYTES, b"1")
    await outputs.settle()
    assert await contents(memory) == [b"1"]
    assert "failed, and so did its writing to stream closed" in caplog.text


async def test_an_attempt_bars_the_ones_before(memory: World) -> None:
    zombie, sink = sink_of(memory), sink_of(memory, attempt=2)
    await zombie.put(BYTES, b"1")
    await zombie.flush()
    await sink.put(BYTES, b"1")
    await zombie.put(BYTES, b"2")
    with pytest.raises(StreamFencedError):
        await zombie.flush()
    await sink.finish()
    assert await contents(memory) == [b"1"]


async def test_a_closed_stream_may_be_closed_again_by_who_wrote_the_same(memory: World) -> None:
    first = sink_of(memory)
    await first.put(BYTES, b"1")
    await first.close()
    again = sink_of(memory, attempt=2)
    await again.put(BYTES, b"1")
    await again.close()
    other = sink_of(memory, attempt=3)
    await other.put(BYTES, b"2")
    with pytest.raises(StreamClosedError):
        await other.close()
    assert await contents(memory) == [b"1"]


async def test_what_an_attempt_leaves_out_is_void_at_its_end(memory: World) -> None:
    first = sink_of(memory)
    for chunk in (b"1", b"2", b"3"):
        await first.put(BYTES, chunk)
    await first.finish()
    second = sink_of(memory, attempt=2)
    await second.put(BYTES, b"1")
    await second.finish()
    third = sink_of(memory, attempt=3)  # opened, and nothing written
    await third.finish()
    assert await contents(memory) == [
        b"1",
        b"2",
        b"3",
        Rewind(attempt=2, void=((1, 3),)),
        Rewind(attempt=3, void=((0, 1),)),
    ]


CHUNKS = st.lists(
    st.tuples(st.sampled_from([BYTES, VALUE]), st.sampled_from([b"\x01", b"\x02"])), max_size=4
)


@settings(max_examples=60)
@given(attempts=st.lists(CHUNKS, min_size=1, max_size=4), others=st.booleans())
async def test_readers_that_heed_rewinds_have_what_the_last_attempt_wrote(
    attempts: list[list[tuple[int, bytes]]], others: bool
) -> None:
    """And indexes never change; chunks of other writers between stay."""
    async with MemoryWorld() as world:
        await world.storage.create_run(NEW)
        foreign, before = 0, list[bytes]()
        for number, chunks in enumerate(attempts, start=1):
            sink = sink_of(world, attempt=number)
            for kind, content in chunks:
                await sink.put(kind, content)
                if others:
                    await sink.flush()
                    await sink_of(world, writer=f"client/{foreign}").put(BYTES, b"f")
                    foreign += 1
                    await asyncio.sleep(0)
            await sink.finish()
            page = await world.streams.read(RUN, "out")
            assert list(page.chunks[: len(before)]) == before
            before = list(page.chunks)
        counting: dict[int, tuple[str, int, bytes]] = {}
        for index, data in enumerate(before):
            chunk = parse_chunk(data)
            if chunk.kind == REWIND:
                for first, end in chunk.rewind().void:
                    for gone in range(first, end):
                        assert counting.pop(gone)[0] == "step_1"
            else:
                counting[index] = chunk.writer, chunk.kind, chunk.content
        own = [(kind, content) for who, kind, content in counting.values() if who == "step_1"]
        assert own == attempts[-1]
        assert len(counting) - len(own) == foreign
