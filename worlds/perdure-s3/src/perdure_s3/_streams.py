"""Streams: chunks of a run, read while they are written.

Each stream is one object that is replaced by condition, as a head is: the mark of a repeated write
lies beside the chunks it wrote. Chunks that are many or large lie in immutable parts.
"""

from __future__ import annotations

import random
import secrets
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar, final

import anyio

from perdure.abc import Streams
from perdure.errors import (
    RunNotFoundError,
    StreamClosedError,
    StreamFencedError,
    WorldUnavailableError,
)
from perdure.model import PAGE_BYTES, RunId, StreamCopy, StreamInfo, StreamPage
from perdure.worldkit.pure import copied_writes, fitting, is_system_stream

from ._cas import UNCHANGED, Refusal
from ._handle import Handle
from ._packing import pack, size_of, sized, unpack
from ._schema import Layout, dumps, loads, new_mark, readable
from ._together import each

__all__ = ("S3Streams",)

T = TypeVar("T")
# Of a writer: the stream's length after each of its writes, by attempt and sequence.
_Writer: TypeAlias = dict[int, dict[int, int]]
_TRIES = 60
_DOUBTS = 1  # writes of unknown outcome after which one more is made
_TAIL_CHUNKS = 256
_TAIL_BYTES = 64 << 10


class _MissingPartError(Exception):
    """A stream's part is gone: the stream was deleted since it was looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """One version of a stream."""

    name: str
    etag: str | None = None  # None: nobody wrote it yet
    closed: bool = False
    parts: tuple[tuple[int, int, str], ...] = ()  # first index, index after the last, name
    tail: tuple[bytes, ...] = ()
    writes: dict[str, _Writer] = field(default_factory=dict[str, "_Writer"])
    is_deleted: bool = False  # it is as one that nobody wrote

    @property
    def spilled(self) -> int:
        return self.parts[-1][1] if self.parts else 0

    @property
    def length(self) -> int:
        return self.spilled + len(self.tail)

    def page_end(self, start: int, end: int) -> int:
        """An index up to *end* behind which a page from *start* ends by its bytes.

        A part's name tells its length. The first one may be cut by *start*, so it does not count.
        """
        size = -1
        for first, after, part in self.parts:
            if after <= start or first >= end:
                continue
            # What stands between the chunks of a part is no more than this.
            between = 9 * (after - first + 1)
            size = 0 if size < 0 else size + max(0, size_of(part) - between)
            if size > PAGE_BYTES:
                return min(end, after)
        return end

    def body(self) -> bytes:
        parts = [list(part) for part in self.parts]
        writes = {
            writer: [[attempt, [*lengths.items()]] for attempt, lengths in attempts.items()]
            for writer, attempts in self.writes.items()
        }
        tail = None if self.is_deleted else list(self.tail)
        return dumps([new_mark(), self.name, self.closed, parts, tail, writes])

    @classmethod
    @readable("a stream")
    def parse(cls, body: bytes, etag: str) -> _Stream:
        _, name, closed, parts, tail, writes = loads(body)
        return cls(
            name=name,
            etag=etag,
            closed=closed,
            parts=tuple((first, end, part) for first, end, part in parts),
            tail=tuple(tail or ()),
            writes={
                writer: {attempt: dict(lengths) for attempt, lengths in attempts}
                for writer, attempts in writes.items()
            },
            is_deleted=tail is None,
        )

    def check_fence(self, run_id: RunId, writer: str, attempt: int) -> None:
        """Refuse an attempt if a later one of the writer has written."""
        latest = max(self.writes.get(writer, {0: {}}))
        if attempt < latest:
            raise StreamFencedError(
                run_id, self.name, writer=writer, attempt=attempt, latest=latest
            )


@final
class S3Streams(Streams):
    """The streams of an S3 world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._locks = [anyio.Lock() for _ in range(64)]  # writers here need not race each other

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
        added = tuple(bytes(chunk) for chunk in chunks)

        def add(stream: _Stream) -> tuple[_Stream, int]:
            stream.check_fence(run_id, writer, attempt)
            attempts = stream.writes.get(writer, {})
            lengths = attempts.get(attempt, {})
            if sequence in lengths:
                return stream, lengths[sequence]
            if stream.closed and added:
                raise StreamClosedError(run_id, name)
            length = stream.length + len(added)
            own = {**attempts, attempt: {**lengths, sequence: length}}
            return (
                replace(
                    stream,
                    tail=(*stream.tail, *added),
                    writes={**stream.writes, writer: own},
                    is_deleted=False,
                ),
                length,
            )

        return await self._change(run_id, name, add)

    async def read(
        self, run_id: RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> StreamPage:
        if start < 0:
            start = max(0, (await self.info(run_id, name)).length + start)
        page = StreamPage(start=start, chunks=(), done=False)
        async for _ in self._handle.looks(f"{run_id}/streams", wait_ms):
            stream, chunks = await self._look(run_id, name, start, start + max(limit, 0))
            is_last = stream.closed and start + len(chunks) >= stream.length
            page = StreamPage(start=start, chunks=chunks, done=is_last)
            if chunks or stream.closed or limit < 1:
                break
        return page

    async def close(
        self, run_id: RunId, name: str, *, writer: str | None = None, attempt: int = 1
    ) -> None:
        def close(stream: _Stream) -> tuple[_Stream, None]:
            if writer is not None:
                stream.check_fence(run_id, writer, attempt)
            return replace(stream, closed=True, is_deleted=False), None

        await self._change(run_id, name, close)

    async def delete(self, run_id: RunId, name: str) -> None:
        def clear(stream: _Stream) -> tuple[_Stream, tuple[str, ...]]:
            if stream.etag is None:
                return stream, ()
            parts = tuple(part for _, _, part in stream.parts)
            return _Stream(name=name, etag=stream.etag, is_deleted=True), parts

        base = Layout.stream(run_id, await self._birth(run_id), name)
        parts = await self._change(run_id, name, clear)
        await each(self._handle.cas.drop(f"{base}-{part}") for part in parts)

    async def info(self, run_id: RunId, name: str) -> StreamInfo:
        return _info(await self._find(run_id, await self._birth(run_id), name))

    async def list_streams(self, run_id: RunId) -> tuple[StreamInfo, ...]:
        streams = await self._all(run_id, await self._birth(run_id))
        return tuple(_info(stream) for stream in streams if not is_system_stream(stream.name))

    async def copied(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        """The answer of ``Transfer.read_streams``."""
        for _ in range(_TRIES):
            birth = await self._birth(run_id)
            streams = await self._all(run_id, birth)
            try:
                chunks = await each(self._chunks(run_id, birth, s, 0, s.length) for s in streams)
            except _MissingPartError:
                continue
            return tuple(map(_copied, streams, chunks))
        raise RunNotFoundError(run_id)

    async def put(self, run_id: RunId, birth: str, copy: StreamCopy) -> None:
        """Write a stream whole, of a life of the run that has not begun."""
        writes: dict[str, _Writer] = {}
        for write in copy.writes:
            lengths = writes.setdefault(write.writer, {}).setdefault(write.attempt, {})
            lengths[write.sequence] = write.length
        key = Layout.stream(run_id, birth, copy.name)
        stream = _Stream(name=copy.name, closed=copy.closed, tail=copy.chunks, writes=writes)
        await self._handle.cas.put(key, (await self._spilled(key, stream)).body())

    async def _look(
        self, run_id: RunId, name: str, start: int, end: int
    ) -> tuple[_Stream, tuple[bytes, ...]]:
        """A stream, and a page of its chunks from *start* up to *end*."""
        for _ in range(_TRIES):
            birth = await self._birth(run_id)
            stream = await self._find(run_id, birth, name)
            try:
                until = stream.page_end(start, end)
                return stream, fitting(await self._chunks(run_id, birth, stream, start, until))
            except _MissingPartError:  # the stream or the run was deleted meanwhile
                continue
        raise RunNotFoundError(run_id)

    async def _all(self, run_id: RunId, birth: str) -> list[_Stream]:
        """The run's streams by name."""
        cas, folder = self._handle.cas, Layout.streams(run_id, birth)
        keys = [listed.key async for listed in cas.names(folder)]
        heads = await each(cas.get(key) for key in keys if "-" not in key[len(folder) :])
        streams = [
            _Stream.parse(reply.body, reply.etag)
            for reply in heads
            if reply is not None and reply is not UNCHANGED
        ]
        there = (stream for stream in streams if not stream.is_deleted)
        return sorted(there, key=lambda stream: stream.name)

    async def _birth(self, run_id: RunId) -> str:
        return (await self._handle.runs.get(run_id)).birth

    async def _find(self, run_id: RunId, birth: str, name: str) -> _Stream:
        reply = await self._handle.cas.get(Layout.stream(run_id, birth, name))
        if reply is None or reply is UNCHANGED:
            return _Stream(name=name)
        return _Stream.parse(reply.body, reply.etag)

    async def _chunks(
        self, run_id: RunId, birth: str, stream: _Stream, start: int, end: int
    ) -> tuple[bytes, ...]:
        base = Layout.stream(run_id, birth, stream.name)
        wanted = [part for part in stream.parts if part[1] > start and part[0] < end]
        result: list[bytes] = []
        for (first, _, name), part in zip(
            wanted,
            await each(self._handle.cas.get(f"{base}-{name}") for _, _, name in wanted),
            strict=True,
        ):
            if part is None or part is UNCHANGED:
                raise _MissingPartError(name)
            chunks = unpack(part.body, name)
            result += chunks[max(0, start - first) : end - first]
        if end > stream.spilled:
            result += stream.tail[max(0, start - stream.spilled) : end - stream.spilled]
        return tuple(result)

    async def _change(
        self, run_id: RunId, name: str, change: Callable[[_Stream], tuple[_Stream, T]]
    ) -> T:
        birth, doubts = await self._birth(run_id), 0
        key, cas = Layout.stream(run_id, birth, name), self._handle.cas
        async with self._locks[zlib.crc32(key.encode()) % len(self._locks)]:
            for tried in range(_TRIES):
                stream = await self._find(run_id, birth, name)
                after, answer = change(stream)
                if after is stream or (after == stream and stream.etag is not None):
                    return answer
                body = (await self._spilled(key, after)).body()
                if stream.etag is None:
                    landed = await cas.create(key, body)
                else:
                    landed = await cas.replace(key, body, stream.etag)
                if not isinstance(landed, Refusal):
                    self._handle.bells.ring(f"{run_id}/streams")
                    return answer
                # In either outcome the same again has the same answer.
                doubts += landed is Refusal.DOUBTFUL
                if doubts > _DOUBTS:
                    break
                await anyio.sleep(random.uniform(0, min(0.5, 0.005 * 2 ** min(tried, 8))))
        raise WorldUnavailableError(f"stream {name!r} of run {run_id}: try again")

    async def _spilled(self, key: str, stream: _Stream) -> _Stream:
        size = sum(len(chunk) for chunk in stream.tail)
        if len(stream.tail) <= _TAIL_CHUNKS and size <= _TAIL_BYTES:
            return stream
        data, unpacked = pack(list(stream.tail))
        part = sized(secrets.token_hex(8), unpacked)
        await self._handle.cas.put(f"{key}-{part}", data)
        return replace(
            stream, parts=(*stream.parts, (stream.spilled, stream.length, part)), tail=()
        )


def _info(stream: _Stream) -> StreamInfo:
    return StreamInfo(name=stream.name, length=stream.length, closed=stream.closed)


def _copied(stream: _Stream, chunks: tuple[bytes, ...]) -> StreamCopy:
    writes = copied_writes(
        (writer, attempt, sequence, length)
        for writer, attempts in stream.writes.items()
        for attempt, lengths in attempts.items()
        for sequence, length in lengths.items()
    )
    return StreamCopy(name=stream.name, chunks=chunks, closed=stream.closed, writes=writes)
