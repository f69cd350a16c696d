"""Stream documents: a stream's writes as documents, and a whole stream from and to them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import cbor2
from bson import ObjectId

from perdure.model import RunId, StreamCopy, StreamWrite
from perdure.worldkit.pure import load_plain

from ._driver import Document
from ._schema import unreadable
from ._values import Pending, Values

__all__ = ("copied_stream", "stream_documents", "write_after", "written_chunks")


def write_after(
    last: Document | None, n: ObjectId, run_id: RunId, name: str, *, count: int
) -> Document:
    """The next write's document, without its chunks."""
    place = 0 if last is None else last["_id"]["o"] + 1
    start = 0 if last is None else last["end"]
    return {
        "_id": {"n": n, "name": name, "o": place},
        "run": run_id,
        "start": start,
        "end": start + count,
        "closed": False,
    }


def stream_documents(
    stream: StreamCopy, n: ObjectId, run_id: RunId, pending: Pending
) -> Iterator[Document]:
    """The documents of a stream that comes from another world."""
    last: Document | None = None
    start = 0
    for write in stream.writes:
        chunks = stream.chunks[start : write.length]
        last = write_after(last, n, run_id, stream.name, count=len(chunks))
        last |= {"writer": write.writer, "sequence": write.sequence}
        last["data"] = pending.pack(cbor2.dumps(list(chunks))) if chunks else None
        start = write.length
        yield last
    if stream.closed:
        last = write_after(last, n, run_id, stream.name, count=0)
        yield last | {"closed": True, "writer": None, "sequence": None, "data": None}


def written_chunks(write: Document, values: Values) -> list[bytes]:
    """The chunks of a write.

    Raises:
        WorldContractError: the document is damaged, or of a later version.
    """
    try:
        chunks: object = load_plain(values.unpack(write["data"]) or b"", depth=1)
        if not isinstance(chunks, list):
            raise ValueError("it is no list")
    except (TypeError, ValueError) as exc:
        raise unreadable(f"a write of stream {write['_id']}", exc) from exc
    return cast("list[bytes]", chunks)


def copied_stream(name: str, documents: list[Document], values: Values) -> StreamCopy:
    """A stream, whole, from its documents in their order."""
    chunks: list[bytes] = []
    writes: list[tuple[int, str, int]] = []
    for write in documents:
        if write["data"] is not None:
            chunks += written_chunks(write, values)
        if not write["closed"]:
            writes.append((write["end"], write["writer"], write["sequence"]))
    return StreamCopy(
        name=name,
        chunks=tuple(chunks),
        closed=bool(documents[-1]["closed"]),
        writes=tuple(
            StreamWrite(writer=writer, sequence=sequence, length=length)
            for length, writer, sequence in sorted(writes)
        ),
    )
