"""Queue: wakes and step messages, claimed under leases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar, final

from ..._core.cancellation import withdraw
from ..._core.leases import Claimable, Mailbox, check_lease
from ..._model.events import Event
from ..._model.ids import RunId
from ..._model.queue import Lease, LeaseEnd, Message, MessageClaim, NewMessage, WakeClaim
from ...abc import Queue
from ...errors import LeaseLostError
from ._store import Handle, Store, StoredMessage

__all__ = (
    "MemoryQueue",
    "check_own",
    "drop_work",
    "end_claim",
    "give_back",
    "send_message",
    "withdraw_messages",
)

ItemT = TypeVar("ItemT", bound=Claimable)


def find_item(store: Store, lease: Lease) -> Claimable | None:
    """The item a lease is on, if it is there."""
    if not lease.is_wake:
        return store.messages.get(lease.item)
    run = store.runs.get(RunId(lease.item))
    return None if run is None else run.wake


def check_live(store: Store, lease: Lease, *, now_ms: int) -> Claimable:
    """The item, for the holder of its live lease.

    Raises:
        LeaseLostError: the lease is no longer live.
    """
    item = find_item(store, lease)
    if item is None:
        raise LeaseLostError(lease.item)
    check_lease(item.lease, lease, now_ms=now_ms)
    return item


def check_own(store: Store, lease: Lease, run_id: RunId, *, now_ms: int) -> Claimable:
    """The item, for the holder of its live lease, if it belongs to this run.

    Raises:
        LeaseLostError: the lease is no longer live, or on another run's item.
    """
    item = check_live(store, lease, now_ms=now_ms)
    owner = item.message.run_id if isinstance(item, StoredMessage) else lease.item
    if owner != run_id:
        raise LeaseLostError(lease.item)
    return item


def end_claim(store: Store, end: LeaseEnd, *, now_ms: int, next_due_ms: int | None = None) -> None:
    """End a live claim; a wake is re-armed, a message is gone.

    Raises:
        LeaseLostError: the lease is no longer live; nothing was changed.
    """
    item = check_live(store, end.lease, now_ms=now_ms)
    if isinstance(item, Mailbox):
        item.end(end, now_ms=now_ms, next_due_ms=next_due_ms)
    else:
        del store.messages[end.lease.item]


def give_back(item: Claimable, *, due_ms: int, ran: bool = True) -> None:
    """Make a claimed item due again; a wake that was woken meanwhile may be due sooner."""
    if isinstance(item, Mailbox):
        item.give_back(due_ms=due_ms, ran=ran)
    else:
        item.lease, item.due_ms = None, due_ms


def send_message(store: Store, new: NewMessage, *, now_ms: int) -> Lease | None:
    """Queue a message unless its id is there. Returns the lease if it is to be sent leased."""
    if new.message_id in store.messages or store.live_run(new.run_id) is None:
        return None
    message = Message(message_id=new.message_id, run_id=new.run_id, topic=new.topic, body=new.body)
    stored = StoredMessage(message=message, due_ms=new.due_ms)
    store.messages[new.message_id] = stored
    if new.lease_ms is None:
        return None
    lease = _new_lease(store, new.message_id, is_wake=False, expires_at_ms=now_ms + new.lease_ms)
    stored.take(lease)
    return lease


def drop_work(store: Store, run_id: RunId) -> None:
    """Drop a run's wake and messages."""
    store.runs[run_id].wake = None
    for message_id in [m for m, s in store.messages.items() if s.message.run_id == run_id]:
        del store.messages[message_id]


def withdraw_messages(store: Store, run_id: RunId, event: Event, *, now_ms: int) -> Event:
    """Drop those of a run's messages that nobody has. Returns the request as it is logged."""
    own = [(m, s, s.returned) for m, s in store.messages.items() if s.message.run_id == run_id]
    event, withdrawn = withdraw(event, own, now_ms=now_ms)
    for message_id in withdrawn:
        del store.messages[message_id]
    return event


def longest_due(
    items: Iterable[tuple[str, ItemT]], *, limit: int, now_ms: int
) -> list[tuple[str, ItemT]]:
    """The claimable ones, longest due first; equals by name."""
    due = [(i.claimable_ms or 0, name, i) for name, i in items if i.is_claimable(now_ms)]
    return [(name, item) for _, name, item in sorted(due, key=lambda d: d[:2])[:limit]]


def _new_lease(store: Store, item: str, *, is_wake: bool, expires_at_ms: int) -> Lease:
    return Lease(item=item, token=store.new_token(), is_wake=is_wake, expires_at_ms=expires_at_ms)


@final
class MemoryQueue(Queue):
    """The queue of a memory world."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def wake(self, run_id: RunId, *, due_ms: int) -> None:
        store = await self._handle.enter()
        with store.lock:
            run = store.live_run(run_id)
            if run is not None and run.wake is not None:
                run.wake.arm(due_ms)
        store.changed.ring()

    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[WakeClaim, ...]:
        claims: tuple[WakeClaim, ...] = ()
        await self._handle.enter()
        if limit < 1:
            return claims
        async for _ in self._handle.looks(wait_ms):
            claims = self._take_wakes(limit, visibility_ms)
            if claims:
                break
        return claims

    async def send(self, messages: Sequence[NewMessage]) -> None:
        store = await self._handle.enter()
        with store.lock:
            for new in messages:
                send_message(store, replace(new, lease_ms=None), now_ms=self._handle.now_ms())
        store.changed.ring()

    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[MessageClaim, ...]:
        claims: tuple[MessageClaim, ...] = ()
        await self._handle.enter()
        if limit < 1:
            return claims
        async for _ in self._handle.looks(wait_ms):
            claims = self._take_messages(frozenset(topics), limit, visibility_ms)
            if claims:
                break
        return claims

    async def extend(self, leases: Sequence[Lease], *, visibility_ms: int) -> tuple[Lease, ...]:
        store = await self._handle.enter()
        now, renewed = self._handle.now_ms(), list[Lease]()
        with store.lock:
            for lease in leases:
                try:
                    item = check_live(store, lease, now_ms=now)
                except LeaseLostError:
                    continue
                item.lease = replace(lease, expires_at_ms=now + visibility_ms)
                renewed.append(item.lease)
        return tuple(renewed)

    async def finish(self, end: LeaseEnd) -> None:
        store = await self._handle.enter()
        with store.lock:
            end_claim(store, end, now_ms=self._handle.now_ms())
        store.changed.ring()

    async def release(self, lease: Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
        store = await self._handle.enter()
        now = self._handle.now_ms()
        with store.lock:
            item = check_live(store, lease, now_ms=now)
            give_back(item, due_ms=now + delay_ms, ran=ran)
            if isinstance(item, StoredMessage) and not ran:
                item.returned += 1
        store.changed.ring()

    async def count_waiting(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        store = await self._handle.enter()
        now, counts = self._handle.now_ms(), dict[str, int]()
        with store.lock:
            wakes = [run.claimable_wake for run in store.runs.values()]
            counts[""] = sum(wake.is_claimable(now) for wake in wakes if wake is not None)
            for stored in store.messages.values():
                topic = stored.message.topic
                if stored.is_claimable(now) and (topics is None or topic in topics):
                    counts[topic] = counts.get(topic, 0) + 1
        return counts

    def _take_wakes(self, limit: int, visibility_ms: int) -> tuple[WakeClaim, ...]:
        store, now, claims = self._handle.store, self._handle.now_ms(), list[WakeClaim]()
        with store.lock:
            runs = [(k, run.claimable_wake) for k, run in store.runs.items()]
            wakes = [(k, wake) for k, wake in runs if wake is not None]
            for name, wake in longest_due(wakes, limit=limit, now_ms=now):
                lease = _new_lease(store, name, is_wake=True, expires_at_ms=now + visibility_ms)
                wake.take(lease)
                claims.append(
                    WakeClaim(
                        run_id=RunId(name),
                        lease=lease,
                        generation=wake.generation,
                        fruitless_claims=wake.claims,
                    )
                )
        self._handle.counters["claims"] += len(claims)
        return tuple(claims)

    def _take_messages(
        self, topics: frozenset[str], limit: int, visibility_ms: int
    ) -> tuple[MessageClaim, ...]:
        store, now, claims = self._handle.store, self._handle.now_ms(), list[MessageClaim]()
        with store.lock:
            items = ((k, s) for k, s in store.messages.items() if s.message.topic in topics)
            for name, stored in longest_due(items, limit=limit, now_ms=now):
                stored.losses += stored.lease is not None
                lease = _new_lease(store, name, is_wake=False, expires_at_ms=now + visibility_ms)
                stored.take(lease)
                claims.append(
                    MessageClaim(
                        message=stored.message,
                        lease=lease,
                        claims=stored.claims,
                        losses=stored.losses,
                        returned=stored.returned,
                    )
                )
        self._handle.counters["claims"] += len(claims)
        return tuple(claims)
