"""Notices: the events that a run has for others, as fields of its document."""

from __future__ import annotations

from collections.abc import Sequence

import cbor2

from perdure.model import Append, EntityId, Event, EventType, RunId
from perdure.worldkit.pure import load_plain, outbox_due_ms

from ._driver import Document

__all__ = ("notices_of", "outbox_fields")


def outbox_fields(outbox: Sequence[Append]) -> Document:
    """An outbox as fields of its run."""
    return {
        "outbox": [{"run": one.run_id, "event": _pack(one.event)} for one in outbox],
        "outbox_at_ms": outbox_due_ms(outbox),
    }


def notices_of(document: Document) -> list[Append]:
    """The outbox of a run."""
    return [
        Append(run_id=RunId(entry["run"]), event=_unpack(entry["event"]))
        for entry in document["outbox"]
    ]


def _pack(event: Event) -> bytes:
    facts, payload = dict(event.facts), event.payload
    data: bytes = cbor2.dumps(
        [event.type.value, event.key, event.at_ms, event.entity, payload, facts]
    )
    return data


def _unpack(data: bytes) -> Event:
    kind, key, at_ms, entity, payload, facts = load_plain(data, depth=2)
    return Event(
        type=EventType(kind),
        key=key,
        at_ms=at_ms,
        entity=None if entity is None else EntityId(entity),
        payload=payload,
        facts=facts,
    )
