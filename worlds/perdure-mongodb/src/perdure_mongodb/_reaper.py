"""Reaper: ends the transactions that dead processes have left open.

A process that is killed within a transaction leaves its locks with the server, which keeps them for
a minute (``transactionLifetimeLimitSeconds``); until then nobody can write to that run, and claims
wait behind it. Every client that waits for work, or for a write, looks for such transactions of
this database and ends them. That is safe even if the owner lives: a transaction ended from outside
has not landed, and is made again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import final

import anyio
from pymongo.errors import OperationFailure, PyMongoError

from ._driver import Document, Driver

__all__ = ("IDLE_SECONDS", "Reaper", "app_name")

EVERY = 1.0  # seconds between looks
IDLE_SECONDS = 3.0  # a transaction of ours waits for its client for milliseconds
UNAUTHORISED = 13
_log = logging.getLogger("perdure")


def app_name(database: str) -> str:
    """The name by which the server knows the clients of the world in this database."""
    return f"perdure/{database}"[:100]


@final
class Reaper:
    """One open world's looks for transactions of the dead."""

    def __init__(self, driver: Driver, database: str) -> None:
        self.reaped = 0
        self._driver = driver
        self._name = app_name(database)
        self._task: asyncio.Task[None] | None = None
        self._closing = anyio.Event()
        self._refused = False

    def __repr__(self) -> str:
        return f"<Reaper {self.reaped} reaped>"

    def begin(self) -> None:
        """Look from now on. Idempotent."""
        if self._task is None and not self._closing.is_set():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Look no more. Idempotent."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def look(self) -> None:
        """End the transactions that have waited for their client for too long."""
        if self._refused:
            return
        try:
            admin = self._driver.admin
            operations = await self._driver.aggregate(admin, _idle_transactions(self._name))
            if operations:
                sessions = [{"id": operation["lsid"]["id"]} for operation in operations]
                await admin.command({"killSessions": sessions})
                self.reaped += len(operations)
                _log.info("ended %d transactions that their clients had left open", len(operations))
        except PyMongoError as exc:
            if not (isinstance(exc, OperationFailure) and exc.code == UNAUTHORISED):
                _log.info("the look for transactions left open failed: %s", exc)
                return
            self._refused = True
            _log.warning(
                "this user may not see or end transactions that dead workers leave open, so a"
                " run of theirs may be locked for a minute: %s",
                exc,
            )

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self.look()
            with anyio.move_on_after(EVERY):
                await self._closing.wait()


def _idle_transactions(name: str) -> list[Document]:
    return [
        {"$currentOp": {"allUsers": False, "idleSessions": True, "idleConnections": False}},
        {
            "$match": {
                "type": "idleSession",
                "appName": name,
                "transaction.timeInactiveMicros": {"$gt": int(IDLE_SECONDS * 1e6)},
            }
        },
        {"$project": {"lsid": 1}},
    ]
