"""Freezing: a heap that is frozen in a VM thread while the steps of its run are running.

Nobody else may touch the heap until ``wait`` or ``leave``. The loop is not woken for the snapshot:
it is fetched when the run goes on, and has mostly been made by then.
"""

from __future__ import annotations

import threading
from typing import final

from ..._model.snapshot import Snapshot
from ..._vm.pool import VmPool
from ..._vm.reply import Reply
from .heap import Heap

__all__ = ("Freezing",)


@final
class Freezing:
    """The snapshot of a turn that has landed, in the making. End it by ``wait`` or ``leave``."""

    def __init__(self, heap: Heap, pool: VmPool, *, commit_id: str, key: bytes | None) -> None:
        self._heap = heap
        self._commit_id = commit_id
        self._key = key
        self._lock = threading.Lock()
        self._outcome: Snapshot | BaseException | None = None
        self._reply: Reply[Snapshot] | None = None  # of the task that waits for it
        self._is_left = False
        pool.hand_over(self._work)

    def __repr__(self) -> str:
        return f"<Freezing of {self._heap!r}>"

    async def wait(self) -> Snapshot:
        """The snapshot. However this ends, the heap is free again."""
        with self._lock:
            outcome = self._outcome
            reply: Reply[Snapshot] = Reply()
            reply.begin()
            self._reply = reply
        if isinstance(outcome, Snapshot):
            return outcome
        if outcome is not None:
            raise outcome
        return await reply.wait()

    def leave(self) -> None:
        """Have the heap closed as soon as it is free; the snapshot is of no use."""
        with self._lock:
            self._is_left, outcome = True, self._outcome
        if outcome is not None:
            self._heap.close()

    def _work(self) -> None:
        heap = self._heap
        outcome: Snapshot | BaseException
        try:
            outcome = heap.freeze(commit_id=self._commit_id, key=self._key)
        except BaseException as exc:  # handed on
            outcome = exc
        with self._lock:
            self._outcome, reply, is_left = outcome, self._reply, self._is_left
        if is_left:
            heap.close()
        elif reply is None:
            pass
        elif isinstance(outcome, Snapshot):
            reply.give(outcome)
        else:
            reply.fail(outcome)
