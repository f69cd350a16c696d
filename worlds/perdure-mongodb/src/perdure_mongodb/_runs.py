"""Runs: a document of ``runs`` as a record, a wake and a snapshot chain, and back.

Fields that a commit may change are written together by ``run_fields``. ``v`` is replaced by every
write of the document: the next writer says which ``v`` it has read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from perdure.model import (
    Committed,
    Digest,
    EntityId,
    Lease,
    RunId,
    RunRecord,
    RunStatus,
    Snapshot,
)
from perdure.worldkit.pure import Book, Mailbox

from ._driver import Document
from ._mail import mail_fields, read_mail
from ._values import Pending, Values

__all__ = (
    "book_of",
    "chain_fields",
    "is_ended",
    "new_fields",
    "record_of",
    "run_fields",
    "snapshot_of",
    "wake_fields",
    "wake_of",
)

SNAPSHOT_INLINE_BYTES = 32 << 10  # a run's document is written again at every claim


def is_ended(document: Document) -> bool:
    """Whether the run has ended."""
    return document["ended_at_ms"] is not None


def record_of(document: Document, values: Values | None) -> RunRecord:
    """The record of a run; without *values* it lacks the payload that it ended with."""
    return RunRecord(
        run_id=RunId(document["_id"]),
        workflow=document["workflow"],
        bundle=Digest(document["bundle"]),
        engine=Digest(document["engine"]),
        status=RunStatus(document["status"]),
        turn=document["turn"],
        position=document["position"],
        consumed=document["consumed"],
        log_digest=bytes(document["log_digest"]),
        created_at_ms=int(document["created_at_ms"]),
        started_at_ms=_plain(document["started_at_ms"]),
        ended_at_ms=_plain(document["ended_at_ms"]),
        payload=None if values is None else values.unpack(document.get("payload")),
        idempotency_key=document.get("idempotency_key"),
        attributes={pair["k"]: pair["v"] for pair in document["attributes"]},
        level=document["level"],
        secret=bytes(document["secret"]),
        base_url=document["base_url"],
        code=document.get("code"),
        cancel_at_ms=_plain(document.get("cancel_at_ms")),
    )


def _plain(number: int | None) -> int | None:
    """An integer of Python's own kind, not BSON's: values travel to other worlds."""
    return None if number is None else int(number)


def book_of(document: Document) -> Book:
    """The run as a book that knows nothing of its keys, hooks and messages yet.

    Its snapshots lack their bytes: they are where they are.
    """
    committed = document.get("commit")
    book = Book(
        record=record_of(document, None),
        input_digest=bytes(document["input_digest"]),
        wake=None if is_ended(document) else wake_of(document),
        snapshots=[_snapshot_of(entry, b"") for entry in document["snapshots"]],
        last_commit=None if committed is None else (committed["id"], _committed_of(committed)),
    )
    read_mail(book, document)
    return book


def new_fields(book: Book, n: ObjectId, pending: Pending) -> Document:
    """The document of a run that is not there yet, without its ``v``."""
    record = book.record
    return {
        "_id": record.run_id,
        "n": n,
        "workflow": record.workflow,
        "bundle": record.bundle,
        "engine": record.engine,
        "created_at_ms": record.created_at_ms,
        "idempotency_key": record.idempotency_key,
        "level": record.level,
        "secret": record.secret,
        "base_url": record.base_url,
        "input_digest": book.input_digest,
        "snapshots": [_entry(snapshot, pending) for snapshot in book.snapshots],
        **run_fields(book, pending),
    }


def run_fields(book: Book, pending: Pending) -> Document:
    """The fields of a run that a write may change, but for its snapshots."""
    record = book.record
    fields: Document = {
        "status": record.status.value,
        "turn": record.turn,
        "position": record.position,
        "consumed": record.consumed,
        "log_digest": record.log_digest,
        "started_at_ms": record.started_at_ms,
        "ended_at_ms": record.ended_at_ms,
        "attributes": [{"k": k, "v": v} for k, v in sorted(record.attributes.items())],
        **wake_fields(book.wake),
        **mail_fields(book),
    }
    if record.code is not None:
        fields["code"] = record.code
    if record.cancel_at_ms is not None:
        fields["cancel_at_ms"] = record.cancel_at_ms
    if record.payload is not None:
        fields["payload"] = pending.pack(record.payload)
    if book.last_commit is not None:
        fields["commit"] = _commit_entry(*book.last_commit)
    return fields


def wake_fields(wake: Mailbox | None) -> Document:
    """A wake as fields; ``wake_at_ms`` says from when it can be claimed."""
    lease = None if wake is None else wake.lease
    return {
        "wake_due_ms": None if wake is None else wake.due_ms,
        "wake_generation": 0 if wake is None else wake.generation,
        "wake_attempt": 0 if wake is None else wake.claims,
        "wake_token": None if lease is None else lease.token,
        "wake_until_ms": None if lease is None else lease.expires_at_ms,
        "wake_at_ms": None if wake is None else wake.claimable_ms,
    }


def wake_of(document: Document) -> Mailbox:
    """The wake of a run that has not ended."""
    token = document["wake_token"]
    lease = None
    if token is not None:
        lease = Lease(
            item=document["_id"],
            token=token,
            is_wake=True,
            expires_at_ms=int(document["wake_until_ms"]),
        )
    return Mailbox(
        due_ms=_plain(document["wake_due_ms"]),
        generation=document["wake_generation"],
        claims=document["wake_attempt"],
        lease=lease,
    )


def snapshot_of(entry: Document, values: Values) -> Snapshot:
    """A snapshot of a run's chain."""
    return _snapshot_of(entry, values.unpack(entry["data"]) or b"")


def chain_fields(
    snapshots: Sequence[Snapshot],
    entries: Mapping[int, tuple[Snapshot, Document]],
    pending: Pending,
) -> Document:
    """The chain as it is to be stored.

    Args:
        entries: the stored entries of those that were read, by identity: their bytes stay where
            they are.
    """
    return {
        "snapshots": [
            entries[id(snapshot)][1] if id(snapshot) in entries else _entry(snapshot, pending)
            for snapshot in snapshots
        ]
    }


def _entry(snapshot: Snapshot, pending: Pending) -> Document:
    data = pending.pack(
        snapshot.data, prefix=f"snapshot/{snapshot.turn}/", inline_bytes=SNAPSHOT_INLINE_BYTES
    )
    return {
        "turn": snapshot.turn,
        "parent": snapshot.parent_turn,
        "consumed": snapshot.consumed,
        "data": data,
    }


def _snapshot_of(entry: Document, data: bytes) -> Snapshot:
    return Snapshot(
        turn=entry["turn"], parent_turn=entry["parent"], consumed=entry["consumed"], data=data
    )


def _commit_entry(commit_id: str, committed: Committed) -> Document:
    return {
        "id": commit_id,
        "turn": committed.turn,
        "position": committed.position,
        "first": committed.first_position,
        "leases": [[lease.item, lease.token, lease.expires_at_ms] for lease in committed.leases],
        "conflicts": list(committed.conflicts),
    }


def _committed_of(entry: Document) -> Committed:
    leases: list[list[Any]] = entry["leases"]
    return Committed(
        turn=entry["turn"],
        position=entry["position"],
        first_position=entry["first"],
        leases=tuple(
            Lease(item=item, token=token, is_wake=False, expires_at_ms=until)
            for item, token, until in leases
        ),
        conflicts=tuple(EntityId(hook) for hook in entry["conflicts"]),
    )
