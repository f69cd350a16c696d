"""Driver: Motor and PyMongo's own asyncio client behind the few calls in which they differ.

Everything else of their APIs is the same, so Motor's objects go by PyMongo's types here. Foreign
exceptions become ours in one place, ``mapped_errors``. A transaction must run in a task that
nobody cancels: Motor's threads go on after a cancelled await.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Any, TypeAlias, cast, final

from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.server_type import SERVER_TYPE
from pymongo.topology_description import TOPOLOGY_TYPE, TopologyDescription
from pymongo.write_concern import WriteConcern

from perdure.errors import (
    UsageError,
    WorldClosedError,
    WorldContractError,
    WorldError,
    WorldUnavailableError,
)

__all__ = (
    "DRIVERS",
    "Collection",
    "Database",
    "Document",
    "Driver",
    "Session",
    "is_duplicate",
    "is_transient",
    "mapped_errors",
    "may_succeed_later",
    "transaction",
)

Document: TypeAlias = dict[str, Any]  # BSON has no static types
Collection: TypeAlias = AsyncCollection[Document]
Database: TypeAlias = AsyncDatabase[Document]
Session: TypeAlias = AsyncClientSession

DUPLICATE = 11000
COMMIT_PATIENCE = 30.0  # seconds in which an unanswered commit is asked for again
WRITE_CONCERN = WriteConcern("majority", j=True, wtimeout=20_000)
READ_CONCERN = ReadConcern("majority")
_UNKNOWN = "UnknownTransactionCommitResult"
_RETRYABLE_LABELS = ("TransientTransactionError", _UNKNOWN, "RetryableWriteError")
_RETRYABLE_CODES = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        24,  # LockTimeout
        50,  # MaxTimeMSExpired
        64,  # WriteConcernFailed
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        112,  # WriteConflict
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        225,  # TransactionTooOld
        246,  # SnapshotUnavailable
        251,  # NoSuchTransaction
        262,  # ExceededTimeLimit
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11601,  # Interrupted
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)


class Driver(ABC):
    """One client of either library, bound to the event loop that first uses it."""

    @abstractmethod
    def database(self, name: str) -> Database:
        """The database, with majority reads and journalled majority writes at the primary."""

    @property
    @abstractmethod
    def admin(self) -> Database:
        """The database that takes commands for the server, without concerns of its own."""

    @abstractmethod
    def term(self) -> object:
        """Which primary the driver knows, and by which election; None if it knows none.

        Behind a router there is no telling: then it is always the same.
        """

    @abstractmethod
    async def session(self) -> Session:
        """A session, to be ended by the caller."""

    @abstractmethod
    async def begin(self, session: Session) -> None:
        """Start a transaction on the session."""

    @abstractmethod
    async def watch(
        self, database: Database, pipeline: list[Document], *, max_await_ms: int
    ) -> AsyncChangeStream[Document]:
        """A change stream. On Motor it holds one of the few threads for *max_await_ms* a look."""

    @abstractmethod
    async def aggregate(
        self, source: Collection | Database, pipeline: list[Document]
    ) -> list[Document]:
        """All that the pipeline gives."""

    @abstractmethod
    async def aclose(self) -> None:
        """Disconnect."""


_TRANSACTION = {
    "read_concern": ReadConcern("snapshot"),
    "write_concern": WRITE_CONCERN,
    "read_preference": ReadPreference.PRIMARY,
}
_CONCERNS = {
    "read_concern": READ_CONCERN,
    "write_concern": WRITE_CONCERN,
    "read_preference": ReadPreference.PRIMARY,
}
_LOCAL = {"read_concern": ReadConcern("local")}


@final
class MotorDriver(Driver):
    """Motor: PyMongo's blocking client in threads."""

    def __init__(self, uri: str, **options: Any) -> None:
        self._client: Any = AsyncIOMotorClient(uri, **options)

    def database(self, name: str) -> Database:
        return cast(Database, self._client.get_database(name, **_CONCERNS))

    @property
    def admin(self) -> Database:
        return cast(Database, self._client.get_database("admin", **_LOCAL))

    def term(self) -> object:
        return _term_of(self._client.topology_description)

    async def session(self) -> Session:
        return cast(Session, await self._client.start_session())

    async def begin(self, session: Session) -> None:
        session.start_transaction(**_TRANSACTION)  # type: ignore[arg-type,unused-coroutine]  # Motor's is a plain call

    async def watch(
        self, database: Database, pipeline: list[Document], *, max_await_ms: int
    ) -> AsyncChangeStream[Document]:
        plain: Any = database.watch(pipeline, max_await_time_ms=max_await_ms)
        return cast("AsyncChangeStream[Document]", plain)

    async def aggregate(
        self, source: Collection | Database, pipeline: list[Document]
    ) -> list[Document]:
        cursor: Any = source.aggregate(pipeline)
        return cast("list[Document]", await cursor.to_list(None))

    async def aclose(self) -> None:
        self._client.close()


@final
class PymongoDriver(Driver):
    """PyMongo's own asyncio client."""

    def __init__(self, uri: str, **options: Any) -> None:
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(uri, **options)

    def database(self, name: str) -> Database:
        return self._client.get_database(
            name,
            read_concern=READ_CONCERN,
            write_concern=WRITE_CONCERN,
            read_preference=ReadPreference.PRIMARY,
        )

    @property
    def admin(self) -> Database:
        return self._client.get_database("admin", read_concern=_LOCAL["read_concern"])

    def term(self) -> object:
        return _term_of(self._client.topology_description)

    async def session(self) -> Session:
        return self._client.start_session()

    async def begin(self, session: Session) -> None:
        await session.start_transaction(**_TRANSACTION)  # type: ignore[arg-type]  # a dict of mixed values

    async def watch(
        self, database: Database, pipeline: list[Document], *, max_await_ms: int
    ) -> AsyncChangeStream[Document]:
        return await database.watch(pipeline, max_await_time_ms=max_await_ms)

    async def aggregate(
        self, source: Collection | Database, pipeline: list[Document]
    ) -> list[Document]:
        return await (await source.aggregate(pipeline)).to_list()

    async def aclose(self) -> None:
        await self._client.close()


def _term_of(topology: TopologyDescription) -> object:
    if topology.topology_type == TOPOLOGY_TYPE.Sharded:
        return "sharded"
    for address, server in topology.server_descriptions().items():
        if server.server_type == SERVER_TYPE.RSPrimary:
            return address, server.election_id
    return None


DRIVERS: dict[str, type[MotorDriver | PymongoDriver]] = {
    "motor": MotorDriver,
    "pymongo": PymongoDriver,
}


@contextlib.asynccontextmanager
async def transaction(driver: Driver) -> AsyncGenerator[Session, None]:
    """A transaction: what the block writes lands when it ends, or not at all if it raises.

    Raises:
        PyMongoError: labelled ``UnknownTransactionCommitResult`` if it may have landed.
    """
    session = await driver.session()
    try:
        await driver.begin(session)
        try:
            yield session
        except BaseException:
            with contextlib.suppress(PyMongoError):  # the server forgets it by itself
                await session.abort_transaction()
            raise
        await _commit(session.commit_transaction)
    finally:
        await session.end_session()


async def _commit(commit: Any) -> None:
    until = time.monotonic() + COMMIT_PATIENCE
    while True:
        answer: Awaitable[None] = commit()
        try:
            return await answer
        except PyMongoError as exc:
            if not exc.has_error_label(_UNKNOWN) or time.monotonic() > until:
                raise


def is_duplicate(exc: PyMongoError) -> bool:
    """Whether a unique index refused the write."""
    if isinstance(exc, BulkWriteError):
        errors = exc.details.get("writeErrors") or ()
        return bool(errors) and all(error.get("code") == DUPLICATE for error in errors)
    return isinstance(exc, DuplicateKeyError)


def is_transient(exc: PyMongoError) -> bool:
    """Whether a transaction that raised this did surely not land, and may be tried again."""
    if exc.has_error_label(_UNKNOWN):
        return False
    if isinstance(exc, BulkWriteError):
        errors = exc.details.get("writeErrors") or ()
        if any(error.get("code") == 112 for error in errors):
            return True
    return exc.has_error_label("TransientTransactionError")


@contextlib.contextmanager
def mapped_errors(url: str) -> Generator[None, None, None]:
    """Turn what the driver raises into our errors."""
    try:
        yield
    except BSONError as exc:
        raise WorldContractError(f"{url}: what is to be written is not a document: {exc}") from exc
    except PyMongoError as exc:
        raise _mapped(exc, url) from exc


def _mapped(exc: PyMongoError, url: str) -> WorldError | UsageError:
    if isinstance(exc, InvalidURI | ConfigurationError):
        return UsageError(f"{url}: {exc}")
    if isinstance(exc, InvalidOperation):
        return WorldClosedError(url)
    if may_succeed_later(exc):
        return WorldUnavailableError(f"{url}: {exc}")
    return WorldContractError(f"{url} refused: {exc}")


def may_succeed_later(exc: PyMongoError) -> bool:
    """Whether the server may take the same call another time."""
    # ServerSelectionTimeoutError, NetworkTimeout and NotPrimaryError are AutoReconnect.
    if isinstance(exc, AutoReconnect | ExecutionTimeout | WTimeoutError) or exc.timeout:
        return True
    if any(exc.has_error_label(label) for label in _RETRYABLE_LABELS):
        return True
    return isinstance(exc, OperationFailure) and exc.code in _RETRYABLE_CODES
