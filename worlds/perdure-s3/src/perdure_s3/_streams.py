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
from typing import TypeVar, final

import anyio

from perdure.abc import Streams
from perdure.errors import RunNotFoundError, StreamClosedError, WorldUnavailableError
from perdure.model import RunId, StreamCopy, StreamInfo, StreamPage, StreamWrite

from ._cas import UNCHANGED, Refusal
from ._handle import Handle
from ._packing import pack, sized, unpack
from ._schema import Layout, dumps, loads, new_mark, readable
from ._together import each

__all__ = ("S3Streams",)

T = TypeVar("T")
_TRIES = 60
_DOUBTS = 1  # writes of unknown outcome after which one more is made
_TAIL_CHUNKS = 256
_TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """One version of a stream."""

    name: str
    etag: str | None = None  # None: nobody wrote it yet
    closed: bool = False
    parts: tuple[tuple[int, int, str], ...] = ()  # first index, index after the last, name
    tail: tuple[bytes, ...] = ()
    writes: dict[str, dict[int, int]] = field(default_factory=dict[str, dict[int, int]])

    @property
    def spilled(self) -> int:
        return self.parts[-1][1] if self.parts else 0

    @property
    def length(self) -> int:
        return self.spilled + len(self.tail)

    def body(self) -> bytes:
        parts = [list(part) for part in self.parts]
        writes = {writer: [*lengths.items()] for writer, lengths in self.writes.items()}
        return dumps([new_mark(), self.name, self.closed, parts, list(self.tail), writes])

    @classmethod
    @readable("a stream")
    def parse(cls, body: bytes, etag: str) -> _Stream:
        _, name, closed, parts, tail, writes = loads(body)
        return cls(
            name=name,
            etag=etag,
            closed=closed,
            parts=tuple((first, end, part) for first, end, part in parts),
            tail=tuple(tail),
            writes={writer: dict(lengths) for writer, lengths in writes.items()},
        )


@final
class S3Streams(Streams):
    """The streams of an S3 world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._locks = [anyio.Lock() for _ in range(64)]  # writers here need not race each other

    async def append(
        self, run_id: RunId, name: str, chunks: Sequence[bytes], *, writer: str, sequence: int
    ) -> int:
        added = tuple(bytes(chunk) for chunk in chunks)

        def add(stream: _Stream) -> tuple[_Stream, int]:
            length = stream.writes.get(writer, {}).get(sequence)
            if length is not None:
                return stream, length
            if stream.closed:
                raise StreamClosedError(run_id, name)
            length = stream.length + len(added)
            writes = {**stream.writes, writer: {**stream.writes.get(writer, {}), sequence: length}}
            return replace(stream, tail=(*stream.tail, *added), writes=writes), length

        return await self._change(run_id, name, add)

    async def read(
        self, run_id: RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> StreamPage:
        if start < 0:
            start = max(0, (await self.info(run_id, name)).length + start)
        page = StreamPage(start=start, chunks=(), done=False)
        async for _ in self._handle.looks(f"{run_id}/streams", wait_ms):
            birth = await self._birth(run_id)
            stream = await self._find(run_id, birth, name)
            chunks = await self._chunks(run_id, birth, stream, start, start + max(limit, 0))
            is_last = stream.closed and start + len(chunks) >= stream.length
            page = StreamPage(start=start, chunks=chunks, done=is_last)
            if chunks or stream.closed or limit < 1:
                break
        return page

    async def close(self, run_id: RunId, name: str) -> None:
        await self._change(run_id, name, lambda stream: (replace(stream, closed=True), None))

    async def info(self, run_id: RunId, name: str) -> StreamInfo:
        return _info(await self._find(run_id, await self._birth(run_id), name))

    async def list_streams(self, run_id: RunId) -> tuple[StreamInfo, ...]:
        streams = await self._all(run_id, await self._birth(run_id))
        return tuple(_info(stream) for stream in streams)

    async def copied(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        """The answer of ``Transfer.read_streams``."""
        birth = await self._birth(run_id)
        streams = await self._all(run_id, birth)
        chunks = await each(self._chunks(run_id, birth, s, 0, s.length) for s in streams)
        return tuple(map(_copied, streams, chunks))

    async def put(self, run_id: RunId, birth: str, copy: StreamCopy) -> None:
        """Write a stream whole, of a life of the run that has not begun."""
        writes: dict[str, dict[int, int]] = {}
        for write in copy.writes:
            writes.setdefault(write.writer, {})[write.sequence] = write.length
        key = Layout.stream(run_id, birth, copy.name)
        stream = _Stream(name=copy.name, closed=copy.closed, tail=copy.chunks, writes=writes)
        await self._handle.cas.put(key, (await self._spilled(key, stream)).body())

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
        return sorted(streams, key=lambda stream: stream.name)

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
                raise RunNotFoundError(run_id)  # deleted meanwhile
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
    writes = sorted(
        (length, writer, sequence)
        for writer, lengths in stream.writes.items()
        for sequence, length in lengths.items()
    )
    return StreamCopy(
        name=stream.name,
        chunks=chunks,
        closed=stream.closed,
        writes=tuple(
            StreamWrite(writer=writer, sequence=sequence, length=length)
            for length, writer, sequence in writes
        ),
    )
