"""Head: a run's one object that changes; replacing it is the transaction.

It holds the run's record, wake and messages with their leases, the tokens it holds, its snapshots
and the end of its log. Large values lie in immutable parts beside it, written before the head that
names them: segments of the log, the keys of all events in segments, big snapshots, big message
bodies. ``cover`` is the run's times in the due index: for the wake (``wake_kind``) and each topic a
time not later than the next moment at which something of it can be claimed.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import final

from perdure.errors import WorldContractError
from perdure.model import LEVEL, Append, Committed, HookRecord, LoggedEvent, RunRecord, Snapshot
from perdure.worldkit.pure import Book, Letter, Mailbox, QueuedMessage, outbox_due_ms

from ._family import ALONE, Family
from ._packing import pack, unpack
from ._schema import (
    dumps,
    loads,
    new_mark,
    pack_committed,
    pack_event,
    pack_flat,
    pack_mailbox,
    pack_notice,
    pack_queued,
    readable,
    unpack_committed,
    unpack_event,
    unpack_flat,
    unpack_hook,
    unpack_mailbox,
    unpack_notice,
    unpack_queued,
    unpack_record,
)

__all__ = (
    "OUTBOX",
    "WAKES",
    "Claimed",
    "Entry",
    "Head",
    "Segment",
    "claimable",
    "pack_segment",
    "unpack_segment",
)

RECENT = 32  # marks of the latest writes, this many
COVER_LAG_MS = 5_000  # a busy run's cover may stay earlier than need be until this close


@dataclass(frozen=True, slots=True)
class Segment:
    """Some of the log, in a part of its own."""

    first: int
    last: int
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the log's end, as written."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run's claim of a token's object."""

    claim: bytes  # the mark in the object
    etag: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One version of a run. Never changed once made, but for ``positions``, which only grow."""

    birth: str  # tells this life of the run id from earlier ones; rises
    seq: int  # versions so far
    mark: bytes
    recent: tuple[bytes, ...]  # marks of the versions before, the latest last
    record: RunRecord
    input_digest: bytes
    wake: Mailbox | None
    hooks: Mapping[str, HookRecord]  # by token
    claimed: Mapping[str, Claimed]  # by token
    messages: Mapping[str, QueuedMessage]
    bodies: Mapping[str, str]  # message id -> the part that has its body
    last_commit: tuple[str, Committed] | None
    chain: tuple[Snapshot, ...]
    images: Mapping[int, str]  # a snapshot's turn -> the part that has its data
    cover: Mapping[str, int]
    segments: tuple[Segment, ...] = ()
    keys: str | None = None  # the part that has the keys of what is in segments
    tail: tuple[Entry, ...] = ()
    outbox: tuple[Append, ...] = ()
    family: Family = ALONE
    etag: str = ""
    positions: dict[str, int] = field(default_factory=dict[str, int])  # of the keys that are known

    @property
    def spilled(self) -> int:
        """The last position that lies in a segment."""
        return self.segments[-1].last if self.segments else 0

    @property
    def knows_keys(self) -> bool:
        """Whether ``positions`` has every event of the log."""
        return len(self.positions) >= self.record.position

    def is_due(self, now_ms: int) -> bool:
        """Whether its wake can be claimed here."""
        return self.wake is not None and self.record.is_known and self.wake.is_claimable(now_ms)

    @property
    def letters(self) -> tuple[Letter, ...]:
        """All that the run has for others, in order."""
        return (*self.family.starts, *self.family.watches, *self.outbox)

    def has_mail(self, now_ms: int) -> bool:
        """Whether it is time to look after its letters."""
        due_ms = outbox_due_ms(self.letters)
        return due_ms is not None and due_ms <= now_ms

    def has(self, mark: bytes) -> bool:
        """Whether the write with this mark is in this version, so far as versions remember."""
        return mark == self.mark or mark in self.recent

    def book(self) -> Book:
        """The run, to be changed. New keys go into a map of their own until that has landed."""
        wake = self.wake
        return Book(
            record=self.record,
            input_digest=self.input_digest,
            wake=None if wake is None else replace(wake),
            positions=ChainMap({}, self.positions),
            snapshots=list(self.chain),
            hooks=dict(self.hooks),
            messages={name: replace(queued) for name, queued in self.messages.items()},
            last_commit=self.last_commit,
            outbox=list(self.outbox),
            starts=list(self.family.starts),
            watches=list(self.family.watches),
            watchers=list(self.family.watchers),
            watching=dict(self.family.watching),
        )

    def differs(self, book: Book) -> bool:
        """Whether the book holds anything else than this version."""
        return bool(
            book.written
            or book.record != self.record
            or book.wake != self.wake
            or book.hooks != self.hooks
            or book.messages != self.messages
            or book.last_commit is not self.last_commit
            or len(book.outbox) != len(self.outbox)
            or Family.of(book) != self.family
            or len(book.snapshots) != len(self.chain)
            or any(a is not b for a, b in zip(book.snapshots, self.chain, strict=True))
        )

    def events(self, *, after: int, limit: int) -> tuple[LoggedEvent, ...]:
        """Events above *after* that are in the log's end."""
        start = max(0, after - self.spilled)
        first = self.spilled + start + 1
        return tuple(
            LoggedEvent(position=position, event=unpack_event(entry.data))
            for position, entry in enumerate(self.tail[start : start + limit], start=first)
        )

    def body(self) -> bytes:
        """The object's bytes."""
        chain = [
            [s.turn, s.parent_turn, s.consumed, s.data, self.images.get(s.turn)] for s in self.chain
        ]
        return dumps(
            [
                self.birth,
                self.seq,
                self.mark,
                list(self.recent),
                pack_flat(self.record),
                self.input_digest,
                pack_mailbox(self.wake),
                [pack_flat(hook) for hook in self.hooks.values()],
                {
                    token: [claimed_token.claim, claimed_token.etag]
                    for token, claimed_token in self.claimed.items()
                },
                [[pack_queued(q), self.bodies.get(name)] for name, q in self.messages.items()],
                pack_committed(self.last_commit),
                chain,
                dict(self.cover),
                [[s.first, s.last, s.name] for s in self.segments],
                self.keys,
                [[entry.key, entry.data] for entry in self.tail],
                [pack_notice(notice) for notice in self.outbox],
                *self.family.pack(),
            ]
        )

    @classmethod
    @readable("a run's head")
    def parse(cls, body: bytes, etag: str, sibling: Head | None = None) -> Head:
        """The version that these bytes are.

        Args:
            sibling: another version; of the same life, it tells the positions of keys.
        """
        birth, seq, mark, recent, record, digest, wake, hooks, claimed, *rest = loads(body)
        messages, last_commit, chain, cover, segments, keys, tail, outbox, *family = rest
        entries = tuple(Entry(*parts) for parts in tail)
        ranges = tuple(Segment(*parts) for parts in segments)
        spilled = ranges[-1].last if ranges else 0
        positions = sibling.positions if sibling is not None and sibling.birth == birth else {}
        positions.update(
            (entry.key, position) for position, entry in enumerate(entries, start=spilled + 1)
        )
        queued = [(unpack_queued(parts), part) for parts, part in messages]
        sender = unpack_record(record)
        records = [unpack_hook(parts) for parts in hooks]
        return cls(
            birth=birth,
            seq=seq,
            mark=mark,
            recent=tuple(recent),
            record=sender,
            input_digest=digest,
            wake=unpack_mailbox(wake),
            hooks={hook.token: hook for hook in records},
            claimed={token: Claimed(*parts) for token, parts in claimed.items()},
            messages={q.message.message_id: q for q, _ in queued},
            bodies={q.message.message_id: part for q, part in queued if part is not None},
            last_commit=unpack_committed(last_commit),
            chain=tuple(unpack_flat(Snapshot, parts[:4]) for parts in chain),
            images={parts[0]: parts[4] for parts in chain if parts[4] is not None},
            cover=cover,
            segments=ranges,
            keys=keys,
            tail=entries,
            outbox=tuple(unpack_notice(parts, sender) for parts in outbox),
            family=Family.unpack(family),
            etag=etag,
            positions=positions,
        )

    @classmethod
    def first(cls, book: Book, *, birth: str, now_ms: int) -> Head:
        """The version that creates the run."""
        none = Head(
            birth=birth,
            seq=0,
            mark=b"",
            recent=(),
            record=replace(book.record, position=0),
            input_digest=book.input_digest,
            wake=None,
            hooks={},
            claimed={},
            messages={},
            bodies={},
            last_commit=None,
            chain=(),
            images={},
            cover={},
        )
        return none.after(book, now_ms=now_ms)

    def after(self, book: Book, *, now_ms: int) -> Head:
        """The next version, with the contents of the book; nothing of it is written yet."""
        entries = tuple(
            Entry(logged.event.key, pack_event(logged.event)) for logged in book.written
        )
        same_images = {id(s) for s in book.snapshots} & {id(s) for s in self.chain}
        same = {
            name
            for name, queued in book.messages.items()
            if name in self.bodies and queued.message is self.messages[name].message
        }
        return replace(
            self,
            seq=self.seq + 1,
            mark=new_mark(),
            recent=(*self.recent, self.mark)[-RECENT:] if self.seq else (),
            record=book.record,
            wake=book.wake,
            hooks=book.hooks,
            claimed={t: claim for t, claim in self.claimed.items() if t in book.hooks},
            messages=book.messages,
            bodies={name: part for name, part in self.bodies.items() if name in same},
            last_commit=book.last_commit,
            chain=tuple(book.snapshots),
            images={
                s.turn: self.images[s.turn]
                for s in self.chain
                if id(s) in same_images and s.turn in self.images
            },
            cover=_cover(self.cover, book, now_ms=now_ms),
            tail=(*self.tail, *entries),
            outbox=tuple(book.outbox),
            family=Family.of(book),
            etag="",
        )

    def learn(self) -> None:
        """Know the positions of the events in the log's end, which have landed."""
        for position, entry in enumerate(self.tail, start=self.spilled + 1):
            self.positions[entry.key] = position


def wake_kind(level: int) -> str:
    """The name in the index of the wakes of a level's runs; those who know it ask for it."""
    return "" if level <= 1 else f"\0{level}"  # no topic has a NUL


OUTBOX = "\0out"  # of runs that have something for others, which its writer did not bring there
WAKES = frozenset(wake_kind(level) for level in range(1, LEVEL + 1))


def claimable(book: Book | Head) -> dict[str, int]:
    """For the wake and each topic, from when something of it can be claimed."""
    times: dict[str, int] = {}
    if book.wake is not None and (at := book.wake.claimable_ms) is not None:
        times[wake_kind(book.record.level)] = at
    if (at := outbox_due_ms(book.letters)) is not None:
        times[OUTBOX] = at
    for queued in book.messages.values():
        at = queued.claimable_ms
        if at is not None:
            topic = queued.message.topic
            times[topic] = min(at, times.get(topic, at))
    return times


def is_busy(book: Book | Head, *, now_ms: int) -> bool:
    """Whether a worker holds a lease of the run."""
    items = [*book.messages.values(), *([book.wake] if book.wake is not None else [])]
    return any(i.lease is not None and i.lease.is_live(now_ms=now_ms) for i in items)


def _cover(before: Mapping[str, int], book: Book, *, now_ms: int) -> dict[str, int]:
    """The cover after this write.

    Lowering a time costs a write to the index, raising one does not. So while a worker is busy with
    the run, times that are earlier than need be are kept until they come near.
    """
    times, busy = claimable(book), is_busy(book, now_ms=now_ms)
    after: dict[str, int] = {}
    for kind in {*before, *times}:
        old, at = before.get(kind), times.get(kind)
        lags = busy and old is not None and old > now_ms + COVER_LAG_MS
        if old is not None and lags and (at is None or at >= old):
            after[kind] = old
        elif at is not None:
            after[kind] = at
    return after


def pack_segment(entries: tuple[Entry, ...]) -> tuple[bytes, int]:
    """A segment's bytes, and their length unpacked."""
    return pack([[entry.key, entry.data] for entry in entries])


def unpack_segment(data: bytes, name: str) -> Iterator[Entry]:
    """A segment's events.

    Raises:
        WorldContractError: it is damaged.
    """
    try:
        return iter([Entry(*parts) for parts in unpack(data, name)])
    except TypeError as exc:
        raise WorldContractError(f"part {name} holds something else than events") from exc
