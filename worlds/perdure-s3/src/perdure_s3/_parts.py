"""Parts: immutable objects that a head names, for values too large to be written with each change.

A part is written before the head that names it, under a random name, and removed after the first
head that does not. A reader that misses one had an old head.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from dataclasses import replace
from typing import final

from perdure.errors import WorldError
from perdure.model import LoggedEvent, Snapshot
from perdure.worldkit.pure import QueuedMessage

from ._cas import UNCHANGED, Cas
from ._head import Entry, Head, Segment, pack_segment, unpack_segment
from ._packing import pack, sized, unpack
from ._schema import Layout, unpack_event
from ._together import each, together

__all__ = ("MissingPartError", "Parts", "part_names")

TAIL_EVENTS = 128
TAIL_BYTES = 64 << 10
INLINE_IMAGES = 32 << 10  # bytes of snapshots in a head, all together
INLINE_BODY = 8 << 10  # bytes of a message's body in a head


class MissingPartError(WorldError):
    """A part is gone: the head that names it is not the latest, or its run was deleted."""


def part_names(head: Head) -> set[str]:
    """All parts that a version names."""
    names = {*head.images.values(), *head.bodies.values(), *(s.name for s in head.segments)}
    return names if head.keys is None else names | {head.keys}


@final
class Parts:
    """Writing and reading of parts."""

    def __init__(self, cas: Cas) -> None:
        self._cas = cas

    async def spill(self, head: Head) -> Head:
        """The version with large values in parts, which are there once this returns."""
        writes: list[Awaitable[None]] = []
        head = self._spill_log(head, writes)
        head = self._spill_images(head, writes)
        head = self._spill_bodies(head, writes)
        if writes:
            await together(*writes)
        return head

    async def chain(self, head: Head) -> tuple[Snapshot, ...]:
        """The snapshots, whole."""

        async def whole(snapshot: Snapshot) -> Snapshot:
            name = head.images.get(snapshot.turn)
            return (
                snapshot if name is None else replace(snapshot, data=await self._read(head, name))
            )

        return tuple(await each(whole(snapshot) for snapshot in head.chain))

    async def body(self, head: Head, message_id: str) -> bytes | None:
        """A message's body, if it lies in a part."""
        name = head.bodies.get(message_id)
        return None if name is None else await self._read(head, name)

    async def events(self, head: Head, *, after: int, limit: int) -> tuple[LoggedEvent, ...]:
        """Events above *after*, at most *limit*."""
        last = min(after + limit, head.record.position)
        wanted = [s for s in head.segments if s.last > after and s.first <= last]
        events: list[LoggedEvent] = []
        for segment, data in zip(
            wanted, await each(self._read(head, s.name) for s in wanted), strict=True
        ):
            events += (
                LoggedEvent(position=position, event=unpack_event(entry.data))
                for position, entry in enumerate(
                    unpack_segment(data, segment.name), start=segment.first
                )
                if after < position <= last
            )
        if last > head.spilled:
            start = max(after, head.spilled)
            events += head.events(after=start, limit=last - start)
        return tuple(events)

    async def read_keys(self, head: Head) -> list[str]:
        """The keys of all events that lie in segments, by position from 1."""
        if head.keys is None:
            return []
        return unpack(await self._read(head, head.keys), head.keys)

    async def _read(self, head: Head, name: str) -> bytes:
        reply = await self._cas.get(Layout.part(head.record.run_id, head.birth, name))
        if reply is None or reply is UNCHANGED:
            raise MissingPartError(f"run {head.record.run_id}: part {name} is gone")
        return reply.body

    def _put(
        self,
        head: Head,
        kind: str,
        data: bytes,
        writes: list[Awaitable[None]],
        *,
        size: int | None = None,
    ) -> str:
        """Write a part of that kind; *size* is its length unpacked, if it is packed."""
        name = f"{kind}-{secrets.token_hex(8)}"
        if size is not None:
            name = sized(name, size)
        writes.append(self._cas.put(Layout.part(head.record.run_id, head.birth, name), data))
        return name

    def _spill_log(self, head: Head, writes: list[Awaitable[None]]) -> Head:
        size = sum(len(entry.data) + len(entry.key) for entry in head.tail)
        if len(head.tail) <= TAIL_EVENTS and size <= TAIL_BYTES:
            return head
        last = head.spilled + len(head.tail)
        log, log_size = pack_segment(head.tail)
        name = self._put(head, "log", log, writes, size=log_size)
        segment = Segment(head.spilled + 1, last, name)
        packed, keys_size = pack(_keys(head, head.tail, last))
        keys = self._put(head, "keys", packed, writes, size=keys_size)
        return replace(head, segments=(*head.segments, segment), keys=keys, tail=())

    def _spill_images(self, head: Head, writes: list[Awaitable[None]]) -> Head:
        size = sum(len(snapshot.data) for snapshot in head.chain)
        images, chain = dict(head.images), list(head.chain)
        for at in sorted(range(len(chain)), key=lambda at: -len(chain[at].data)):
            if size <= INLINE_IMAGES:
                break
            size -= len(chain[at].data)
            images[chain[at].turn] = self._put(head, "image", chain[at].data, writes)
            chain[at] = replace(chain[at], data=b"")
        return replace(head, images=images, chain=tuple(chain))

    def _spill_bodies(self, head: Head, writes: list[Awaitable[None]]) -> Head:
        bodies, messages = dict(head.bodies), dict[str, QueuedMessage](head.messages)
        for name, queued in head.messages.items():
            body = queued.message.body
            if len(body) > INLINE_BODY:
                bodies[name] = self._put(head, "body", body, writes)
                messages[name] = replace(queued, message=replace(queued.message, body=b""))
        return replace(head, bodies=bodies, messages=messages)


def _keys(head: Head, tail: tuple[Entry, ...], last: int) -> list[str]:
    keys = [""] * last
    for key, position in head.positions.items():
        if position <= last:
            keys[position - 1] = key
    for position, entry in enumerate(tail, start=head.spilled + 1):
        keys[position - 1] = entry.key
    return keys
