"""CAS: conditional writes, the only primitive that the rest of this world uses.

An object is made if it is not there (``If-None-Match: *``) or replaced if it is still the one that
was read (``If-Match``). botocore's own retries are off: a retried conditional write sees its own
first success as a refusal. Here the same bytes are tried again, and a refusal that follows a try
whose outcome is unknown is *doubtful*: the caller reads, and finds out by the random mark that each
body carries. The same mark keeps two equal bodies from sharing an ETag.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast, final

import aiohttp
import anyio
from botocore.exceptions import (  # type: ignore[import-untyped]  # botocore has no annotations
    BotoCoreError,
    ClientError,
    InvalidConfigError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)

from perdure.errors import (
    NameTooLongError,
    WorldClosedError,
    WorldContractError,
    WorldDeniedError,
    WorldError,
    WorldUnavailableError,
)

__all__ = ("MAX_KEY_BYTES", "UNCHANGED", "Cas", "Client", "Found", "Listed", "Refusal", "Unchanged")

T = TypeVar("T")

_LONGEST_WORDS = 300  # of what is told of an error
_TRIES = 5
_FIRST_PAUSE = 0.05  # seconds, doubled with each try
_PATIENCE = 20.0  # seconds after which nothing is tried again; with one time-out below the guard
MAX_KEY_BYTES = 1024  # S3's
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})  # of an object; a bucket is another thing
_REFUSED = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})
_SLOW = frozenset({"SlowDown", "RequestTimeout"})
_LATER = frozenset({408, 409, 412, 425, 429})  # of the 4xx those that may go well the next time
_DENIED = frozenset(
    {
        "401",
        "403",
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_DENIED_ADVICE = (
    "look at the credentials (AWS environment variables, files and roles), their rights on bucket"
    " and prefix, and this machine's clock"
)
# What the machine's settings must be mended for.
_SETTINGS = (
    PartialCredentialsError,
    ParamValidationError,
    NoRegionError,
    InvalidRegionError,
    InvalidConfigError,
    ProfileNotFound,
    SSOError,
)
# What may have reached the server or not, and may go well the next time.
_TRANSIENT = (BotoCoreError, aiohttp.ClientError, OSError, asyncio.TimeoutError)


Reply: TypeAlias = "Mapping[str, Any]"  # botocore has no annotations


class Client(Protocol):
    """The calls of an S3 client that are used here."""

    def get_object(self, **named: object) -> Awaitable[Reply]:
        """Read an object."""
        ...

    def head_object(self, **named: object) -> Awaitable[Reply]:
        """Look whether an object is there."""
        ...

    def put_object(self, **named: object) -> Awaitable[Reply]:
        """Write an object."""
        ...

    def delete_object(self, **named: object) -> Awaitable[Reply]:
        """Delete an object."""
        ...

    def list_objects_v2(self, **named: object) -> Awaitable[Reply]:
        """List objects."""
        ...


class Refusal(Enum):
    """Why a conditional write did not land, so far as that is known."""

    REFUSED = "refused"  # the condition did not hold; nothing was changed
    DOUBTFUL = "doubtful"  # nor may it have landed after all: read, and look for the mark


class Unchanged(Enum):
    """A read of an object that the reader has already."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was read."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Listed:
    """An object's name, without the world's prefix."""

    key: str
    modified: datetime


class _Transient(Exception):
    """One try failed and its outcome is unknown."""


@final
class Cas:
    """The objects under one prefix of one bucket."""

    def __init__(self, client: Client, *, bucket: str, prefix: str, url: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._url = url
        self._closed = False
        self.date = ""  # the server's clock, as it said with its last answer to a PUT
        self.requests: dict[str, int] = {"PUT": 0, "GET": 0, "DELETE": 0, "LIST": 0}

    def __repr__(self) -> str:
        return f"<Cas {self._bucket}/{self._prefix} {self.requests}>"

    def close(self) -> None:
        """Refuse calls that follow."""
        self._closed = True

    async def get(self, key: str, *, etag: str | None = None) -> Found | Unchanged | None:
        """The object; ``UNCHANGED`` if it still has *etag*, None if it is not there."""
        named = {} if etag is None else {"IfNoneMatch": etag}

        async def read() -> Found:
            answer = await self._client.get_object(**self._named(key, named))
            async with answer["Body"] as stream:
                return Found(await stream.read(), str(answer["ETag"]))

        try:
            return await self._again("GET", key, read)
        except ClientError as exc:
            if _code(exc) in ("304", "NotModified"):
                return UNCHANGED
            if _code(exc) in _MISSING:
                return None
            raise self._mapped(exc) from exc

    async def has(self, key: str) -> bool:
        """Whether the object is there."""
        named = self._named(key, {})
        try:
            await self._again("GET", key, lambda: self._client.head_object(**named))
        except ClientError as exc:
            if _code(exc) in _MISSING:
                return False
            raise self._mapped(exc) from exc
        return True

    async def create(self, key: str, body: bytes) -> str | Refusal:
        """Make the object if it is not there. Returns its ETag."""
        return await self._write(key, body, {"IfNoneMatch": "*"})

    async def replace(self, key: str, body: bytes, etag: str) -> str | Refusal:
        """Replace the object if it still has *etag*. Returns the new one."""
        return await self._write(key, body, {"IfMatch": etag})

    async def put(self, key: str, body: bytes) -> None:
        """Write an object that nobody else writes, or writes alike."""
        named = self._named(key, {"Body": body})
        try:
            await self._again("PUT", key, lambda: self._client.put_object(**named))
        except ClientError as exc:
            raise self._mapped(exc) from exc

    async def remove(self, key: str, *, etag: str | None = None) -> bool:
        """Delete the object, with *etag* only if it still has it; one that is gone is fine.

        Returns:
            Whether it is gone for certain; else look.
        """
        named = self._named(key, {} if etag is None else {"IfMatch": etag})
        try:
            await self._again("DELETE", key, lambda: self._client.delete_object(**named))
        except ClientError as exc:
            if _code(exc) not in _MISSING | _REFUSED:
                raise self._mapped(exc) from exc
            return _code(exc) in _MISSING
        return True

    async def drop(self, key: str, *, etag: str | None = None) -> None:
        """Delete an object of no use any more, if that can be done now; else the sweeper will."""
        with contextlib.suppress(WorldError):
            await self.remove(key, etag=etag)

    async def names(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        """The objects whose names begin with *prefix*, in order, above *after*."""
        token: str | None = None
        while True:
            named: dict[str, object] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
            if token is not None:
                named["ContinuationToken"] = token
            elif after:
                named["StartAfter"] = self._prefix + after
            page = await self._page(prefix, named)
            for entry in page.get("Contents", ()):
                yield Listed(str(entry["Key"])[len(self._prefix) :], entry["LastModified"])
            if not page.get("IsTruncated"):
                return
            token = page["NextContinuationToken"]

    async def _page(self, prefix: str, named: Mapping[str, object]) -> Reply:
        try:
            return await self._again("LIST", prefix, lambda: self._client.list_objects_v2(**named))
        except ClientError as exc:
            raise self._mapped(exc) from exc

    async def _write(self, key: str, body: bytes, condition: Mapping[str, str]) -> str | Refusal:
        named = self._named(key, {"Body": body, **condition})
        unknown = False
        async for _ in _tries():
            try:
                answer = await self._once("PUT", lambda: self._client.put_object(**named))
                headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
                self.date = str(headers.get("date", ""))
                return str(answer["ETag"])
            except ClientError as exc:
                # A 404 to If-Match: the object is gone (SeaweedFS says 412).
                missing = "IfMatch" in condition and _code(exc) == "NoSuchKey"
                if missing or _code(exc) in _REFUSED:
                    return Refusal.DOUBTFUL if unknown else Refusal.REFUSED
                raise self._mapped(exc) from exc
            except _Transient:
                unknown = True
        return Refusal.DOUBTFUL

    async def _again(self, verb: str, key: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that can be repeated, until its outcome is known."""
        cause: BaseException | None = None
        async for _ in _tries():
            try:
                return await self._once(verb, call)
            except _Transient as exc:
                cause = exc.__cause__
        words = _words(cause)
        message = f"world {self._url}: {verb} {key} failed again and again: {words}"
        raise WorldUnavailableError(message) from cause

    async def _once(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if self._closed:
            raise WorldClosedError(self._url)
        self.requests[verb] += 1
        try:
            return await call()
        except ClientError as exc:
            again = _status(exc) >= 500 and _status(exc) != 501
            if again or _status(exc) in (408, 429) or _code(exc) in _SLOW:
                raise _Transient from exc
            raise
        except NoCredentialsError as exc:
            advice = "set AWS_ACCESS_KEY_ID or AWS_PROFILE"
            raise WorldDeniedError(self._url, reason="no credentials", advice=advice) from exc
        except _SETTINGS as exc:
            raise WorldContractError(f"world {self._url}: {exc}") from exc
        except _TRANSIENT as exc:
            raise _Transient from exc
        except RecursionError as exc:  # aiobotocore follows a server that sends it in a circle
            message = f"world {self._url}: the server redirects to another region without end"
            raise WorldContractError(message) from exc

    def check_name(self, name: str, longest_key: str) -> None:
        """Pass only a name whose longest key there is room for below the prefix.

        Raises:
            NameTooLongError: S3 would refuse it, in the middle of a run perhaps.
        """
        size = len(self._prefix.encode()) + len(longest_key.encode())
        if size > MAX_KEY_BYTES:
            raise NameTooLongError(name, key_bytes=size, limit=MAX_KEY_BYTES)

    def _named(self, key: str, named: Mapping[str, object]) -> dict[str, object]:
        self.check_name(key, key)
        return {"Bucket": self._bucket, "Key": self._prefix + key, **named}

    def _mapped(self, exc: Any) -> WorldError:
        """Of a client's errors all but a few come again however often it is asked."""
        code, reason = _code(exc), _words(exc)
        if code in _DENIED or _status(exc) in (401, 403):
            return WorldDeniedError(self._url, reason=reason, advice=_DENIED_ADVICE)
        if code == "NoSuchBucket":
            return WorldContractError(f"world {self._url}: its bucket is not there ({reason})")
        if 300 <= _status(exc) < 400:
            advice = "the bucket is in another region; say which by ?region="
            return WorldContractError(f"world {self._url}: {reason}; {advice}")
        if (_status(exc) < 500 or _status(exc) == 501) and _status(exc) not in _LATER:
            return WorldContractError(f"world {self._url}: {reason}")
        return WorldUnavailableError(f"world {self._url}: {reason}")


async def _tries() -> AsyncIterator[None]:
    """Once for each try, with a pause between them."""
    until = anyio.current_time() + _PATIENCE
    for tried in range(_TRIES):
        yield
        if anyio.current_time() >= until:
            return
        if tried < _TRIES - 1:
            await anyio.sleep(_FIRST_PAUSE * 2**tried * random.uniform(0.5, 1.5))


def _words(exc: object) -> str:
    """The error's name, without the server's own words: they may repeat a key."""
    if isinstance(exc, ClientError):
        operation = getattr(exc, "operation_name", "a request")
        return f"{operation} was refused with {_code(exc)} ({_status(exc)})"
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:_LONGEST_WORDS]


def _code(exc: Any) -> str:
    return str(cast(Reply, exc.response).get("Error", {}).get("Code", ""))


def _status(exc: Any) -> int:
    metadata = cast(Reply, exc.response).get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0))
