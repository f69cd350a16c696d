"""Messages: a document of ``messages`` as a queued message, and the filters of its claims.

``at_ms`` says from when it can be claimed: when it is due, or when its lease runs out.
"""

from __future__ import annotations

from dataclasses import replace

from bson import ObjectId

from perdure.model import Lease, Message, MessageClaim, RunId
from perdure.worldkit.pure import QueuedMessage

from ._driver import Document
from ._values import Pending, Values

__all__ = ("assumed_message", "claim_of", "lease_fields", "live", "message_document", "message_of")

FOREVER_MS = 1 << 62


def live(lease: Lease, *, now_ms: int, n: ObjectId | None = None) -> Document:
    """The filter that finds the message for the holder of its live lease only."""
    query: Document = {"_id": lease.item, "token": lease.token, "until_ms": {"$gt": now_ms}}
    return query if n is None else {**query, "n": n}


def lease_fields(queued: QueuedMessage) -> Document:
    """The fields that claims and releases change."""
    lease = queued.lease
    return {
        "due_ms": queued.due_ms,
        "token": None if lease is None else lease.token,
        "until_ms": None if lease is None else lease.expires_at_ms,
        "at_ms": queued.claimable_ms,
        "attempt": queued.claims,
        "lost": queued.losses,
        "returned": queued.returned,
    }


def message_document(
    queued: QueuedMessage, n: ObjectId, pending: Pending, *, version: str
) -> Document:
    """The document of a message."""
    message = queued.message
    return {
        "_id": message.message_id,
        "n": n,
        "run": message.run_id,
        "topic": message.topic,
        "body": pending.pack(message.body),
        "v": version,
        **lease_fields(queued),
    }


def message_of(document: Document) -> QueuedMessage:
    """The message in a document, without its body."""
    token = document["token"]
    return QueuedMessage(
        message=Message(
            message_id=document["_id"],
            run_id=RunId(document["run"]),
            topic=document["topic"],
            body=b"",
        ),
        due_ms=int(document["due_ms"]),
        lease=None if token is None else _lease(document),
        claims=document["attempt"],
        losses=document["lost"],
        returned=document["returned"],
    )


def assumed_message(lease: Lease, run_id: RunId) -> QueuedMessage:
    """A message that was not read: it is taken to be there and held under *lease*."""
    return QueuedMessage(
        message=Message(message_id=lease.item, run_id=run_id, topic="", body=b""),
        due_ms=0,
        lease=replace(lease, expires_at_ms=FOREVER_MS),
    )


def claim_of(document: Document, values: Values) -> MessageClaim:
    """The claim whose lease is in the document."""
    return MessageClaim(
        message=Message(
            message_id=document["_id"],
            run_id=RunId(document["run"]),
            topic=document["topic"],
            body=values.unpack(document["body"]) or b"",
        ),
        lease=_lease(document),
        claims=document["attempt"],
        losses=document["lost"],
        returned=document["returned"],
    )


def _lease(document: Document) -> Lease:
    return Lease(
        item=document["_id"],
        token=document["token"],
        is_wake=False,
        expires_at_ms=int(document["until_ms"]),
    )
