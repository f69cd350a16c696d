"""Store: the contents of a memory world, as mutable records behind one lock.

Only this package touches them, and only while it holds ``Store.lock``. Everything visible leaves
as frozen values.
"""

from __future__ import annotations

import copy
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import final

import anyio
import anyio.lowlevel

from ..._core.leases import Claimable, Mailbox
from ..._core.stream_log import StreamLog
from ..._ending import ends_waiting
from ..._model.children import Watcher
from ..._model.commit import Committed
from ..._model.events import Event, LoggedEvent
from ..._model.hooks import HookRecord
from ..._model.ids import Digest, RunId
from ..._model.queue import Message
from ..._model.runs import RunRecord
from ..._model.snapshot import Snapshot
from ...errors import RunNotFoundError, WorldClosedError
from ...worldkit.clock import Bell, Clock
from ...worldkit.waiting import Home

__all__ = ("Handle", "Store", "StoredMessage", "StoredRun", "write_event")


@dataclass(slots=True, kw_only=True)
class StoredMessage(Claimable):
    """A step message and its counters."""

    message: Message
    losses: int = 0
    returned: int = 0


@dataclass(slots=True, kw_only=True)
class StoredRun:
    """A run and all that goes away with it, but for hooks, messages and blobs."""

    record: RunRecord
    wake: Mailbox | None
    events: list[LoggedEvent] = field(default_factory=list[LoggedEvent])
    positions: dict[str, int] = field(default_factory=dict[str, int])  # by event key
    snapshots: list[Snapshot] = field(default_factory=list[Snapshot])
    streams: dict[str, StreamLog] = field(default_factory=dict[str, StreamLog])
    last_commit: tuple[str, Committed] | None = None

    @property
    def claimable_wake(self) -> Mailbox | None:
        """Its wake, if it has one and we know how to carry it."""
        return self.wake if self.record.is_known else None

    def copied(self) -> StoredRun:
        """The same, of its own."""
        return replace(
            self,
            wake=copy.copy(self.wake),
            events=list(self.events),
            positions=dict(self.positions),
            snapshots=list(self.snapshots),
            streams={
                name: replace(
                    stream,
                    chunks=list(stream.chunks),
                    writes=dict(stream.writes),
                    latest=dict(stream.latest),
                )
                for name, stream in self.streams.items()
            },
        )


def write_event(run: StoredRun, event: Event) -> bool:
    """Put *event* at the log's next position, unless its key is there."""
    if event.key in run.positions:
        return False
    position = run.record.position + 1
    event = replace(event, facts=dict(event.facts))
    run.events.append(LoggedEvent(position=position, event=event))
    run.positions[event.key] = position
    run.record = replace(run.record, position=position)
    return True


def _random_token() -> str:
    return secrets.token_hex(8)


@final
class Store:
    """One storage, shared by the worlds that are open on it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = Bell()
        self.runs: dict[RunId, StoredRun] = {}
        self.messages: dict[str, StoredMessage] = {}
        self.hooks: dict[str, HookRecord] = {}  # by token
        self.watchers: dict[RunId, list[Watcher]] = {}  # by the run whose end they are told
        self.blobs: dict[tuple[RunId | None, Digest], bytes] = {}
        self.new_token: Callable[[], str] = _random_token

    def copied(self) -> Store:
        """The same, of its own."""
        store = Store()
        with self.lock:
            store.runs = {run_id: run.copied() for run_id, run in self.runs.items()}
            store.messages = {k: copy.copy(message) for k, message in self.messages.items()}
            store.watchers = {run_id: list(ones) for run_id, ones in self.watchers.items()}
            store.hooks, store.blobs = dict(self.hooks), dict(self.blobs)
        return store

    def run(self, run_id: RunId) -> StoredRun:
        """The run.

        Raises:
            RunNotFoundError: no such run.
        """
        try:
            return self.runs[run_id]
        except KeyError:
            raise RunNotFoundError(run_id) from None

    def live_run(self, run_id: RunId) -> StoredRun | None:
        """The run, if it is there and has not ended."""
        run = self.runs.get(run_id)
        return None if run is None or run.record.status.is_ended else run


@final
class Handle:
    """One open world on a store: its clock, its counters, and whether it is open."""

    def __init__(self, url: str, store: Store, clock: Clock) -> None:
        self.url = url
        self.clock = clock
        self.is_open = False
        self.counters = {"commits": 0, "appends": 0, "claims": 0}
        self._home = Home(url)
        self._store = store

    @property
    def store(self) -> Store:
        """The store.

        Raises:
            WorldClosedError: the world is not open.
        """
        if not self.is_open:
            raise WorldClosedError(self.url)
        return self._store

    def open(self) -> None:
        """Be open in the running event loop.

        Raises:
            UsageError: it is open in another one, or none runs here.
        """
        if self.is_open and not self._home.is_gone:
            self._home.check()
            return
        self._home.enter()
        self.is_open = True

    def replace(self, store: Store) -> Store:
        """Be open on another store."""
        self._store, self.is_open = store, True
        return store

    def now_ms(self) -> int:
        """The world's clock."""
        return self.clock.now_ms()

    async def enter(self) -> Store:
        """The store, after other tasks had their turn, as with a real one.

        Raises:
            UsageError: the world was opened in another event loop.
            WorldClosedError: the world is not open.
        """
        self._home.check()
        await anyio.lowlevel.checkpoint()
        return self.store

    async def looks(self, wait_ms: int) -> AsyncIterator[None]:
        """Yield once, then again after every change, until *wait_ms* have passed.

        Or until the caller's ``Ending`` has come. By the world's clock, or by the machine's if
        that is sooner: a clock that stands still must not hang its callers.
        """
        self._home.check()
        until_ms = self.now_ms() + wait_ms
        until = anyio.current_time() + wait_ms / 1000
        changed = self.store.changed
        with ends_waiting(changed) as has_ended:
            while True:
                rings = changed.rings
                yield
                rest = until - anyio.current_time()
                if rest <= 0 or self.now_ms() >= until_ms or has_ended():
                    return
                with anyio.move_on_after(rest):
                    next_ms = min(until_ms, self._next_due_ms(until_ms))
                    await changed.wait(rings, clock=self.clock, until_ms=next_ms)
                if has_ended():
                    return

    def _next_due_ms(self, default: int) -> int:
        store, now = self.store, self.now_ms()
        with store.lock:
            wakes = [run.claimable_wake for run in store.runs.values()]
            items = [*(wake for wake in wakes if wake is not None), *store.messages.values()]
            times = [item.claimable_ms for item in items]
        return min((t for t in times if t is not None and t > now), default=default)
