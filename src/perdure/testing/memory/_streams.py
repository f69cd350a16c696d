"""Streams: chunks of a run, read while they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ..._core.stream_log import StreamLog
from ..._model.ids import RunId
from ..._model.streams import StreamInfo, StreamPage, is_system_stream
from ...abc import Streams
from ._store import Handle, Store

__all__ = ("MemoryStreams",)


@final
class MemoryStreams(Streams):
    """The streams of a memory world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def append(
        self,
        run_id: RunId,
        name: str,
        chunks: Sequence[bytes],
        *,
        writer: str,
        sequence: int,
        attempt: int = 1,
    ) -> int:
        store = await self._handle.enter()
        with store.lock:
            stream = store.run(run_id).streams.setdefault(name, StreamLog())
            length = stream.append(
                chunks,
                writer=writer,
                sequence=sequence,
                attempt=attempt,
                run_id=run_id,
                name=name,
            )
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
                page = stream.read(start=start, limit=limit)
                if page.chunks or stream.closed or limit < 1:
                    break
        return page

    async def close(
        self, run_id: RunId, name: str, *, writer: str | None = None, attempt: int = 1
    ) -> None:
        store = await self._handle.enter()
        with store.lock:
            stream = store.run(run_id).streams.setdefault(name, StreamLog())
            stream.close(writer=writer, attempt=attempt, run_id=run_id, name=name)
        store.changed.ring()

    async def delete(self, run_id: RunId, name: str) -> None:
        store = await self._handle.enter()
        with store.lock:
            store.run(run_id).streams.pop(name, None)

    async def info(self, run_id: RunId, name: str) -> StreamInfo:
        store = await self._handle.enter()
        with store.lock:
            return _stream(store, run_id, name).info(name)

    async def list_streams(self, run_id: RunId) -> tuple[StreamInfo, ...]:
        store = await self._handle.enter()
        with store.lock:
            streams = store.run(run_id).streams
            names = [name for name in sorted(streams) if not is_system_stream(name)]
            return tuple(streams[name].info(name) for name in names)


def _stream(store: Store, run_id: RunId, name: str) -> StreamLog:
    return store.run(run_id).streams.get(name) or StreamLog()
