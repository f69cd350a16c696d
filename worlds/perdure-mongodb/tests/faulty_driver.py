"""A driver whose commands fail as they are told, as if the connection was lost."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.errors import AutoReconnect

from perdure.abc import World
from perdure.testing.faults import Fault
from perdure_mongodb import MongoWorld
from perdure_mongodb._driver import Collection, Database, Document, Driver, Session

__all__ = ("fail_commands",)

Strike = Callable[[str], Fault]
UNKNOWN = "UnknownTransactionCommitResult"
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

        async def command(*args: Any, session: Transaction | None = None, **named: Any) -> Any:
            if session is None:
                return await struck(self._strike, name, partial(found, *args, **named), "")
            call = partial(found, *args, session=session.inner, **named)
            return await struck(self._strike, name, call, TRANSIENT)

        return cursor if method in CURSORS else command


class Transaction:
    """A session whose commit fails as it is told."""

    def __init__(self, inner: Session, strike: Strike) -> None:
        self.inner = inner
        self._strike = strike

    async def commit_transaction(self) -> None:
        await struck(self._strike, "commit", self.inner.commit_transaction, UNKNOWN)

    def __getattr__(self, method: str) -> Any:
        return getattr(self.inner, method)


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

    async def session(self) -> Session:
        return cast("Session", Transaction(await self._inner.session(), self._strike))

    async def begin(self, session: Session) -> None:
        await self._inner.begin(cast("Any", session).inner)

    async def watch(
        self, database: Database, pipeline: list[Document], *, max_await_ms: int
    ) -> AsyncChangeStream[Document]:
        real = cast("Any", database).inner
        return await self._inner.watch(real, pipeline, max_await_ms=max_await_ms)

    async def aggregate(
        self, source: Collection | Database, pipeline: list[Document]
    ) -> list[Document]:
        real = source._inner if isinstance(source, Commands) else cast("Any", source).inner
        call = partial(self._inner.aggregate, real, pipeline)
        found: list[Document] = await struck(self._strike, "aggregate", call, "")
        return found

    async def aclose(self) -> None:
        await self._inner.aclose()


async def struck(strike: Strike, name: str, call: Callable[[], Awaitable[Any]], label: str) -> Any:
    """Do it, or fail before or after it; the error has the label that the driver gives it."""
    fault = strike(name)
    if fault is Fault.BEFORE:
        raise _lost(name, label)
    answer = await call()
    if fault is Fault.AFTER:
        raise _lost(name, label)
    return answer


def _lost(name: str, label: str) -> AutoReconnect:
    lost = AutoReconnect(f"{name}: connection lost, as planned")
    if label:
        lost._add_error_label(label)
    return lost
