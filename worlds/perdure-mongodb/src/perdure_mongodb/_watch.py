"""Watch: one change stream for each connection, as a hint that others wrote.

It rings bells and does nothing else: it may be late, broken or not allowed, and a waiting call
looks by itself every now and then. Writes through this connection have rung already and are left
out by the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Set
from typing import final

import anyio
from pymongo.errors import PyMongoError

from perdure.model import RunStatus
from perdure.worldkit.waiting import Bells

from ._driver import Database, Document, Driver

__all__ = ("Watcher",)

MAX_AWAIT_MS = 250  # of one look; on Motor a thread is held, and closing waits for it
AGAIN_AFTER = 1.0  # seconds after a failure
_log = logging.getLogger("perdure")
_ENDED = frozenset(status.value for status in RunStatus if status.is_ended)


@final
class Watcher:
    """The change stream of one connection; it begins with the first that waits.

    Args:
        worlds: the bells of each that is open; more may open, others close.
        mark: the beginning of this connection's versions.
    """

    def __init__(self, driver: Driver, database: Database, worlds: Set[Bells], mark: str) -> None:
        self.is_live = False
        self._driver = driver
        self._database = database
        self._worlds = worlds
        self._pipeline = _pipeline(mark)
        self._task: asyncio.Task[None] | None = None
        self._closing = anyio.Event()

    def __repr__(self) -> str:
        return f"<Watcher {'live' if self.is_live else 'not live'}>"

    def begin(self) -> None:
        """Watch from now on. Idempotent."""
        if self._task is None and not self._closing.is_set():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Stop watching. Idempotent."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._closing.is_set():
            try:
                await self._follow()
            except PyMongoError as exc:
                _log.debug("the change stream broke, looking goes on without it: %s", exc)
                with anyio.move_on_after(AGAIN_AFTER):
                    await self._closing.wait()
            finally:
                self.is_live = False

    async def _follow(self) -> None:
        stream = await self._driver.watch(self._database, self._pipeline, max_await_ms=MAX_AWAIT_MS)
        try:
            while not self._closing.is_set():
                change = await stream.try_next()
                if not self.is_live:
                    self.is_live = True
                    for bells in self._worlds:
                        bells.ring_all()  # for what was written before it was there
                if change is not None:
                    rung = bells_of(change)
                    for bells in self._worlds:
                        bells.ring(*rung)
        finally:
            with contextlib.suppress(PyMongoError):
                await stream.close()


def bells_of(change: Document) -> list[str]:
    """Whom a change concerns: bells by name."""
    where, key = change["ns"]["coll"], change["documentKey"]["_id"]
    whole: Document = change.get("fullDocument") or {}
    if where == "streams":
        return [whole["run"]] if "run" in whole else []
    update: Document = change.get("updateDescription") or {}
    changed: Document = update.get("updatedFields") or whole
    claimed = (changed.get("wake_token") or changed.get("token")) is not None
    if where == "messages":
        return [] if claimed else ["messages"]
    rings: list[str] = []
    if change["operationType"] == "delete" or changed.get("status") in _ENDED:
        rings.append(key)
    if changed.get("wake_at_ms") is not None and not claimed:
        rings.append("wakes")
    return rings


def _pipeline(mark: str) -> list[Document]:
    ours = re.compile(f"^{mark}/")
    return [
        {
            "$match": {
                "ns.coll": {"$in": ["runs", "messages", "streams"]},
                "operationType": {"$in": ["insert", "update", "delete"]},
                "updateDescription.updatedFields.v": {"$not": ours},
                "fullDocument.v": {"$not": ours},
                "$or": [{"ns.coll": "runs"}, {"operationType": {"$ne": "delete"}}],
            }
        },
        {
            "$project": {
                "ns.coll": 1,
                "operationType": 1,
                "documentKey": 1,
                "fullDocument.run": 1,
                "fullDocument.token": 1,
                "fullDocument.wake_at_ms": 1,
                "updateDescription.updatedFields.status": 1,
                "updateDescription.updatedFields.token": 1,
                "updateDescription.updatedFields.wake_at_ms": 1,
                "updateDescription.updatedFields.wake_token": 1,
            }
        },
    ]
