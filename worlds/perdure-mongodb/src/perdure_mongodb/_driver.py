"""Driver: Motor and PyMongo's own asyncio client behind the few calls in which they differ.

Everything else of their APIs is the same, so Motor's objects go by PyMongo's types here. Foreign
exceptions become ours in one place, ``mapped_errors``. A transaction must run in a task that nobody
cancels: Motor's threads go on after a cancelled await. On Motor it is one call in one thread, from
its first command to its commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, cast, final

from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.asynchronous.change_stream import AsyncChangeStream
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
    WorldDeniedError,
    WorldError,
    WorldUnavailableError,
)

from ._transaction import (
    UNKNOWN_COMMIT,
    Command,
    Conversation,
    Document,
    advance,
    conversation,
)
from ._uri import words_of

__all__ = (
    "DRIVERS",
    "Collection",
    "Database",
    "Document",
    "Driver",
    "is_denied",
    "is_duplicate",
    "is_transient",
    "mapped_errors",
    "may_succeed_later",
)

Collection: TypeAlias = AsyncCollection[Document]
Database: TypeAlias = AsyncDatabase[Document]

DUPLICATE = 11000
TRANSACTIONS = 8  # at once; more of them take longer each, and no more land
WRITE_CONCERN = WriteConcern("majority", j=True, wtimeout=20_000)
READ_CONCERN = ReadConcern("majority")
_RETRYABLE_LABELS = ("TransientTransactionError", UNKNOWN_COMMIT, "RetryableWriteError")
_DENIED_CODES = frozenset(
    {
        11,  # UserNotFound
        13,  # Unauthorized
        18,  # AuthenticationFailed
        31,  # RoleNotFound
        33,  # CannotAuthenticate
        334,  # MechanismUnavailable
        8000,  # AtlasError: its authentication
    }
)
_DENIED = "look at user, password, authSource and authMechanism of the URL, and at the user's roles"
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

    @property
    @abstractmethod
    def client(self) -> Any:
        """PyMongo's own client, blocking or not; its calls are for ``converse`` to make."""

    @abstractmethod
    def bare(self, database: Database) -> Any:
        """The database as that client has it."""

    @abstractmethod
    async def converse(self, talk: Conversation) -> None:
        """Make the calls of a conversation, one after another."""

    async def transact(self, database: Database, commands: Sequence[Command]) -> None:
        """Write all of this, or nothing.

        Raises:
            MovedError: a command found too little; nothing was written.
            PyMongoError: labelled ``UnknownTransactionCommitResult`` if it may have landed.
        """
        talk = conversation(self.client, self.bare(database), commands, _TRANSACTION)
        await self.converse(talk)

    @abstractmethod
    async def watch(
        self, database: Database, pipeline: list[Document], *, max_await_ms: int
    ) -> AsyncChangeStream[Document]:
        """A change stream. On Motor it holds one of the few threads for *max_await_ms* a look."""

    @abstractmethod
    async def aggregate(
        self, source: Collection | Database, pipeline: list[Document]
    ) -> list[Document]:
        """All documents that the pipeline returns."""

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
        self._threads = ThreadPoolExecutor(TRANSACTIONS, thread_name_prefix="perdure-mongodb")

    def database(self, name: str) -> Database:
        return cast(Database, self._client.get_database(name, **_CONCERNS))

    @property
    def admin(self) -> Database:
        return cast(Database, self._client.get_database("admin", **_LOCAL))

    def term(self) -> object:
        return _term_of(self._client.topology_description)

    @property
    def client(self) -> Any:
        return self._client.delegate

    def bare(self, database: Database) -> Any:
        return cast(Any, database).delegate

    async def converse(self, talk: Conversation) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, _converse, talk)

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
        self._threads.shutdown(wait=False)
        self._client.close()


@final
class PymongoDriver(Driver):
    """PyMongo's own asyncio client."""

    def __init__(self, uri: str, **options: Any) -> None:
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(uri, **options)
        self._room = asyncio.Semaphore(TRANSACTIONS)

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

    @property
    def client(self) -> Any:
        return self._client

    def bare(self, database: Database) -> Any:
        return database

    async def converse(self, talk: Conversation) -> None:
        async with self._room:
            await self._converse(talk)

    async def _converse(self, talk: Conversation) -> None:
        call = advance(talk, None, None)
        while call is not None:
            answer: Any = None
            error: BaseException | None = None
            try:
                answer = await call.make()
            except BaseException as exc:  # the conversation's to handle, cancellation too
                error = exc
            call = advance(talk, answer, error)

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


def _converse(talk: Conversation) -> None:
    call = advance(talk, None, None)
    while call is not None:
        answer: Any = None
        error: BaseException | None = None
        try:
            answer = call.make()
        except BaseException as exc:  # the conversation's to handle
            error = exc
        call = advance(talk, answer, error)


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


def is_duplicate(exc: PyMongoError) -> bool:
    """Whether a unique index refused the write."""
    if isinstance(exc, BulkWriteError):
        errors = exc.details.get("writeErrors") or ()
        return bool(errors) and all(error.get("code") == DUPLICATE for error in errors)
    return isinstance(exc, DuplicateKeyError)


def is_denied(exc: PyMongoError) -> bool:
    """Whether the server refuses the user, rather than the call."""
    return isinstance(exc, OperationFailure) and exc.code in _DENIED_CODES


def is_transient(exc: PyMongoError) -> bool:
    """Whether a transaction that raised this did surely not land, and may be tried again."""
    if exc.has_error_label(UNKNOWN_COMMIT):
        return False
    if isinstance(exc, BulkWriteError):
        errors = exc.details.get("writeErrors") or ()
        if any(error.get("code") == 112 for error in errors):
            return True
    return exc.has_error_label("TransientTransactionError")


@contextlib.contextmanager
def mapped_errors(url: str) -> Generator[None, None, None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except BSONError as exc:
        raise WorldContractError(f"{url}: what is to be written is not a document: {exc}") from exc
    except PyMongoError as exc:
        raise _mapped(exc, url) from exc


def _mapped(exc: PyMongoError, url: str) -> WorldError | UsageError:
    words = _words(exc)
    if isinstance(exc, InvalidURI | ConfigurationError):
        return UsageError(f"{url}: {words}")
    if isinstance(exc, InvalidOperation):
        return WorldClosedError(url)
    if is_denied(exc):
        return WorldDeniedError(url, reason=words, advice=_DENIED)
    if may_succeed_later(exc):
        return WorldUnavailableError(f"{url}: {words}")
    return WorldContractError(f"{url} refused: {words}")


def _words(exc: PyMongoError) -> str:
    """The server's message, without the document that it comes in."""
    if isinstance(exc, BulkWriteError):
        errors = exc.details.get("writeErrors") or exc.details.get("writeConcernErrors") or ()
        words = "; ".join(dict.fromkeys(str(error.get("errmsg", "")) for error in errors))
        return words_of(words or str(exc))
    if not isinstance(exc, OperationFailure) or not exc.details:
        return words_of(str(exc))
    name = exc.details.get("codeName") or f"code {exc.code}"
    return f"{words_of(str(exc.details.get('errmsg') or exc))} ({name})"


def may_succeed_later(exc: PyMongoError) -> bool:
    """Whether the server may take the same call another time."""
    # ServerSelectionTimeoutError, NetworkTimeout and NotPrimaryError are AutoReconnect.
    if isinstance(exc, AutoReconnect | ExecutionTimeout | WTimeoutError) or exc.timeout:
        return True
    if any(exc.has_error_label(label) for label in _RETRYABLE_LABELS):
        return True
    return isinstance(exc, OperationFailure) and exc.code in _RETRYABLE_CODES
