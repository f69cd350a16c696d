"""A driver whose commands fail as they are told, as if the connection was lost."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.errors import AutoReconnect

from perdure.abc import World
from perdure.testing.faults import Fault
from perdure_mongodb import MongoWorld
from perdure_mongodb._driver import Collection, Database, Document, Driver
from perdure_mongodb._transaction import UNKNOWN_COMMIT, Conversation, advance

__all__ = ("fail_commands",)

Strike = Callable[[str], Fault]
TRANSIENT = "TransientTransactionError"
CURSORS = ("find", "sort", "limit")  # no commands yet: fetching the batches is


def fail_commands(world: World, strike: Strike) -> None:
    """Fail commands as the conformance kit says."""
    assert isinstance(world, MongoWorld)
    handle = world._handle
    made: Any = handle._make

    def faulty(uri: str, **options: Any) -> Faulty:
        return Faulty(made(uri, **options), strike)

    handle._make = cast("Any", faulty)


class Commands:
    """A collection, or a cursor on one, whose commands fail as they are told."""

    def __init__(self, inner: Any, name: str, strike: Strike) -> None:
        self._inner = inner
        self._name = name
        self._strike = strike

    def __getattr__(self, method: str) -> Any:
        found, name = getattr(self._inner, method), f"{self._name}.{method}"

        def cursor(*args: Any, **named: Any) -> Commands:
            return Commands(found(*args, **named), name, self._strike)

        async def command(*args: Any, **named: Any) -> Any:
            fault = self._strike(name)
            if fault is Fault.BEFORE:
                raise lost(name)
            answer = await found(*args, **named)
            if fault is Fault.AFTER:
                raise lost(name)
            return answer

        return cursor if method in CURSORS else command


class Collections:
    """A database of such collections."""

    def __init__(self, inner: Database, strike: Strike) -> None:
        self.inner = inner
        self._strike = strike

    def __getitem__(self, name: str) -> Commands:
        return Commands(self.inner[name], name, self._strike)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Faulty(Driver):
    """A driver between the world and the real one."""

    def __init__(self, inner: Driver, strike: Strike) -> None:
        self._inner = inner
        self._strike = strike

    def database(self, name: str) -> Database:
        return cast("Database", Collections(self._inner.database(name), self._strike))

    @property
    def admin(self) -> Database:
        return self._inner.admin

    def term(self) -> object:
        return self._inner.term()

    @property
    def client(self) -> Any:
        return self._inner.client

    def bare(self, database: Database) -> Any:
        return self._inner.bare(cast("Any", database).inner)

    async def converse(self, talk: Conversation) -> None:
        await self._inner.converse(struck(self._strike, talk))

    async def watch(
        self, database: Database, pipeline: list[Document], *, max_await_ms: int
    ) -> AsyncChangeStream[Document]:
        real = cast("Any", database).inner
        return await self._inner.watch(real, pipeline, max_await_ms=max_await_ms)

    async def aggregate(
        self, source: Collection | Database, pipeline: list[Document]
    ) -> list[Document]:
        real = source._inner if isinstance(source, Commands) else cast("Any", source).inner
        found = Commands(self._inner, "driver", self._strike).aggregate(real, pipeline)
        return cast("list[Document]", await found)

    async def aclose(self) -> None:
        await self._inner.aclose()


def struck(strike: Strike, talk: Conversation) -> Conversation:
    """A transaction whose commands and commit fail before or after they took effect."""
    call = advance(talk, None, None)
    while call is not None:
        label = UNKNOWN_COMMIT if call.what == "commit" else TRANSIENT
        answer: Any = None
        error: BaseException | None = None
        fault = Fault.NONE
        try:
            if call.what not in ("begin", "abort", "end"):
                fault = strike(call.what)
        except Exception as exc:  # the server would end the transaction: see the reaper
            error = exc
        if error is not None:
            pass
        elif fault is Fault.BEFORE:
            error = lost(call.what, label)
        else:
            try:
                answer = yield call
            except BaseException as exc:  # handed on
                error = exc
            if fault is Fault.AFTER and error is None:
                error = lost(call.what, label)
        call = advance(talk, answer, error)


def lost(name: str, label: str = "") -> AutoReconnect:
    """What a driver raises when it loses its connection."""
    made = AutoReconnect(f"{name}: connection lost, as planned")
    if label:
        made._add_error_label(label)
    return made
