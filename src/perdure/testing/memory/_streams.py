"""Streams: chunks of a run, read while they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ..._model.ids import RunId
from ..._model.streams import StreamInfo, StreamPage
from ...abc import Streams
from ...errors import StreamClosedError
from ._store import Handle, Store, StoredStream

__all__ = ("MemoryStreams",)


@final
class MemoryStreams(Streams):
    """The streams of a memory world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def append(
        self, run_id: RunId, name: str, chunks: Sequence[bytes], *, writer: str, sequence: int
    ) -> int:
        store = await self._handle.enter()
        with store.lock:
            run = store.run(run_id)
            stream = run.streams.get(name, StoredStream())
            if (writer, sequence) in stream.writes:
                return stream.writes[writer, sequence]
            if stream.closed:
                raise StreamClosedError(run_id, name)
            run.streams[name] = stream
            stream.chunks.extend(bytes(chunk) for chunk in chunks)
            stream.writes[writer, sequence] = length = len(stream.chunks)
        store.changed.ring()
        return length

    async def read(
        self, run_id: RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> StreamPage:
        store = await self._handle.enter()
        if start < 0:
            start = max(0, len(_stream(store, run_id, name).chunks) + start)
        page = StreamPage(start=start, chunks=(), done=False)
        async for _ in self._handle.looks(wait_ms):
            with store.lock:
                stream = _stream(store, run_id, name)
                chunks = tuple(stream.chunks[start : start + max(limit, 0)])
                is_last = stream.closed and start + len(chunks) >= len(stream.chunks)
            page = StreamPage(start=start, chunks=chunks, done=is_last)
            if chunks or stream.closed or limit < 1:
                break
        return page

    async def close(self, run_id: RunId, name: str) -> None:
        store = await self._handle.enter()
        with store.lock:
            store.run(run_id).streams.setdefault(name, StoredStream()).closed = True
        store.changed.ring()

    async def info(self, run_id: RunId, name: str) -> StreamInfo:
        store = await self._handle.enter()
        with store.lock:
            return _info(name, _stream(store, run_id, name))

    async def list_streams(self, run_id: RunId) -> tuple[StreamInfo, ...]:
        store = await self._handle.enter()
        with store.lock:
            streams = store.run(run_id).streams
            return tuple(_info(name, streams[name]) for name in sorted(streams))


def _stream(store: Store, run_id: RunId, name: str) -> StoredStream:
    return store.run(run_id).streams.get(name) or StoredStream()


def _info(name: str, stream: StoredStream) -> StreamInfo:
    return StreamInfo(name=name, length=len(stream.chunks), closed=stream.closed)
