"""Mail: a run's letters for others, and those it waits for, as fields of its document.

A child's end carries the payload that the run itself ended with, so that is left out here. Starts
are not kept at all: see ``_births``.
"""

from __future__ import annotations

import cbor2

from perdure.model import Append, EntityId, Event, EventType, RunId, Watch, Watcher
from perdure.worldkit.pure import Book, load_plain, outbox_due_ms

from ._driver import Document

__all__ = ("mail_fields", "read_mail")

_NOTHING: Document = {"outbox": [], "outbox_at_ms": None, "family": None}


def mail_fields(book: Book) -> Document:
    """All of it as fields."""
    if not (book.outbox or book.watches or book.watchers or book.watching):
        return _NOTHING
    family = {
        "watches": [[one.entity, one.run_id, one.at_ms] for one in book.watches],
        "watchers": [[one.run_id, one.entity, one.fence] for one in book.watchers],
        "watching": [[entity, run_id] for entity, run_id in book.watching.items()],
    }
    return {
        "outbox": [{"run": one.run_id, "event": _pack(one.event)} for one in book.outbox],
        "outbox_at_ms": outbox_due_ms(book.letters),
        "family": family if any(family.values()) else None,
    }


def read_mail(book: Book, document: Document) -> None:
    """Read it into the run's book."""
    if document["outbox"]:
        book.outbox = [
            Append(run_id=RunId(entry["run"]), event=_unpack(entry["event"]))
            for entry in document["outbox"]
        ]
    family = document.get("family")  # a run of an earlier version has none
    if family is None:
        return
    book.watches = [
        Watch(entity=EntityId(entity), run_id=RunId(run_id), at_ms=int(at_ms))
        for entity, run_id, at_ms in family["watches"]
    ]
    book.watchers = [
        Watcher(run_id=RunId(run_id), entity=EntityId(entity), fence=fence)
        for run_id, entity, fence in family["watchers"]
    ]
    book.watching = {EntityId(entity): RunId(run_id) for entity, run_id in family["watching"]}


def _pack(event: Event) -> bytes:
    payload = None if event.type is EventType.CHILD_ENDED else event.payload
    facts = dict(event.facts)
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
