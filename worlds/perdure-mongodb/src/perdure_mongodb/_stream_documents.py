"""Stream documents: a stream's writes as documents, and a whole stream from and to them. Pure.

A deletion is a write, too, a cut: the stream begins anew there. All writes since have its place as
their ``base``; those before it have another, and go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import cbor2
from bson import ObjectId

from perdure.model import PAGE_BYTES, RunId, StreamCopy
from perdure.worldkit.pure import copied_writes, load_plain

from ._driver import Document
from ._schema import unreadable
from ._values import Pending, Values

__all__ = (
    "CLOSE",
    "CUT",
    "copied_stream",
    "is_without_gap",
    "one_page",
    "stream_documents",
    "write_after",
    "written_chunks",
)

CLOSE: Document = {
    "closed": True,
    "writer": None,
    "attempt": 0,
    "sequence": 0,
    "data": None,
}
CUT: Document = {"cut": True, "writer": None, "attempt": 0, "sequence": -1, "data": None}


def write_after(
    last: Document | None, n: ObjectId, run_id: RunId, name: str, *, chunks: Sequence[bytes] = ()
) -> Document:
    """The next write's document, without its chunks."""
    place = 0 if last is None else last["_id"]["o"] + 1
    start = 0 if last is None else last["end"]
    size = 0 if last is None else last["size"]
    return {
        "_id": {"n": n, "name": name, "o": place},
        "run": run_id,
        "base": 0 if last is None else last["base"],
        "start": start,
        "end": start + len(chunks),
        "size": size + sum(map(len, chunks)),  # of the stream after it, in bytes
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
        last = write_after(last, n, run_id, stream.name, chunks=chunks)
        last |= {"writer": write.writer, "attempt": write.attempt, "sequence": write.sequence}
        last["data"] = pending.pack(cbor2.dumps(list(chunks))) if chunks else None
        start = write.length
        yield last
    if stream.closed:
        yield write_after(last, n, run_id, stream.name) | CLOSE


def is_without_gap(writes: Sequence[Document], start: int) -> bool:
    """Whether chunks from index *start* on are all there; else they are being deleted."""
    for write in writes:
        if write["start"] > start:
            return False
        start = write["end"]
    return True


def one_page(writes: Sequence[Document]) -> list[Document]:
    """The first of *writes* that a page which begins in the first of them has chunks of.

    A page ends within the write with which it would be too large, so that is needed, too. Of the
    first one it may have but the last chunks, so that does not count.
    """
    page: list[Document] = []
    for write in writes:
        if page and page[-1]["size"] - page[0]["size"] > PAGE_BYTES:
            break
        page.append(write)
    return page


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


def copied_stream(name: str, documents: list[Document], values: Values) -> StreamCopy | None:
    """A stream, whole, from its documents in their order; None if it was deleted."""
    last = documents[-1]
    if "cut" in last:
        return None
    chunks: list[bytes] = []
    writes: list[tuple[str, int, int, int]] = []
    for write in documents:
        if write["base"] != last["base"] or "cut" in write:
            continue
        if write["data"] is not None:
            chunks += written_chunks(write, values)
        if write["writer"] is not None:
            writes.append((write["writer"], write["attempt"], write["sequence"], write["end"]))
    return StreamCopy(
        name=name,
        chunks=tuple(chunks),
        closed=bool(last["closed"]),
        writes=copied_writes(writes),
    )
