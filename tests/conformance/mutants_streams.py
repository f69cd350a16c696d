"""Mutants of streams: attempts that are not told apart, pages without a bound, remains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutants import mutant, swap

from perdure.errors import StreamClosedError
from perdure.model import RunCopy, RunId, RunRecord, StreamCopy, StreamInfo, StreamPage
from perdure.testing.memory import MemoryWorld

__all__ = ()


@mutant
def a_zombie_writes(world: MemoryWorld) -> None:
    """A lower attempt may still append: writers are told apart, their attempts are not fenced."""

    def make(inner: Any) -> Any:
        async def append(run_id: RunId, name: str, chunks: Any, **asked: Any) -> Any:
            attempt = asked.pop("attempt", 1)
            asked["writer"] = f"{asked['writer']}/{attempt}"
            return await inner(run_id, name, chunks, **asked)

        return append

    swap(world.streams, "append", make)


@mutant
def attempts_share_their_sequences(world: MemoryWorld) -> None:
    """The first write of a later attempt is taken for that of the one before."""

    def make(inner: Any) -> Any:
        async def append(
            run_id: RunId, name: str, chunks: Any, *, writer: str, sequence: int, **asked: Any
        ) -> Any:
            run = world._store.runs.get(run_id)
            stream = run.streams.get(name) if run else None
            if stream is not None and not stream.closed:
                for (who, _, number), length in stream.writes.items():
                    if (who, number) == (writer, sequence):
                        return length
            return await inner(run_id, name, chunks, writer=writer, sequence=sequence, **asked)

        return append

    swap(world.streams, "append", make)


@mutant
def no_chunks_fence_nothing(world: MemoryWorld) -> None:
    """An append without chunks is passed over."""

    def make(inner: Any) -> Any:
        async def append(run_id: RunId, name: str, chunks: Any, **asked: Any) -> Any:
            if not chunks:
                return (await world.streams.info(run_id, name)).length
            return await inner(run_id, name, chunks, **asked)

        return append

    swap(world.streams, "append", make)


@mutant
def a_closed_stream_takes_no_fence(world: MemoryWorld) -> None:
    """A closed stream refuses an append without chunks, too."""

    def make(inner: Any) -> Any:
        async def append(run_id: RunId, name: str, chunks: Any, **asked: Any) -> Any:
            run = world._store.runs.get(run_id)
            if not chunks and run and name in run.streams and run.streams[name].closed:
                raise StreamClosedError(run_id, name)
            return await inner(run_id, name, chunks, **asked)

        return append

    swap(world.streams, "append", make)


@mutant
def a_zombie_closes(world: MemoryWorld) -> None:
    """A lower attempt may still close the stream."""

    def make(inner: Any) -> Any:
        async def close(run_id: RunId, name: str, **asked: Any) -> None:
            await inner(run_id, name)

        return close

    swap(world.streams, "close", make)


@mutant
def fences_do_not_travel(world: MemoryWorld) -> None:
    """Of a stream that arrives the writers' attempts are forgotten."""

    def first(stream: StreamCopy) -> StreamCopy:
        return replace(stream, writes=tuple(replace(one, attempt=1) for one in stream.writes))

    def make(arrive: Any) -> Any:
        async def changed(copy: RunCopy) -> RunRecord:
            record: RunRecord = await arrive(replace(copy, streams=tuple(map(first, copy.streams))))
            return record

        return changed

    swap(world.transfer, "arrive", make)


@mutant
def system_streams_are_listed(world: MemoryWorld) -> None:
    """Streams of the runtime's own are in the list."""

    def make(inner: Any) -> Any:
        async def list_streams(run_id: RunId) -> tuple[StreamInfo, ...]:
            await inner(run_id)
            streams = world._store.run(run_id).streams
            return tuple(streams[name].info(name) for name in sorted(streams))

        return list_streams

    swap(world.streams, "list_streams", make)


@mutant
def system_streams_stay_behind(world: MemoryWorld) -> None:
    """A run leaves without the streams that are in no list."""

    def make(inner: Any) -> Any:
        async def read_streams(run_id: RunId) -> tuple[StreamCopy, ...]:
            return tuple(s for s in await inner(run_id) if not s.name.startswith("$"))

        return read_streams

    swap(world.transfer, "read_streams", make)


@mutant
def a_page_has_no_bound(world: MemoryWorld) -> None:
    """A page has all chunks that it may by their number, however long they are."""

    def make(inner: Any) -> Any:
        async def read(run_id: RunId, name: str, *, limit: int = 1000, **asked: Any) -> Any:
            page: StreamPage = await inner(run_id, name, limit=limit, **asked)
            run = world._store.runs.get(run_id)
            if run is None or name not in run.streams:
                return page
            stream = run.streams[name]
            chunks = tuple(stream.chunks[page.start : page.start + max(limit, 0)])
            done = stream.closed and page.start + len(chunks) >= len(stream.chunks)
            return replace(page, chunks=chunks, done=done)

        return read

    swap(world.streams, "read", make)


@mutant
def a_deleted_stream_remembers_its_writers(world: MemoryWorld) -> None:
    """A deletion takes the chunks alone."""

    def make(inner: Any) -> Any:
        async def delete(run_id: RunId, name: str) -> None:
            stream = world._store.run(run_id).streams.get(name)
            if stream is not None:
                stream.chunks.clear()

        return delete

    swap(world.streams, "delete", make)


@mutant
def a_deletion_leaves_a_stream_open(world: MemoryWorld) -> None:
    """A deleted stream is one that is open and empty, and stays in the list."""

    def make(inner: Any) -> Any:
        async def delete(run_id: RunId, name: str) -> None:
            was_there = name in world._store.run(run_id).streams
            await inner(run_id, name)
            if was_there:
                await world.streams.append(run_id, name, [], writer="none", sequence=0)

        return delete

    swap(world.streams, "delete", make)
