"""Conditional writes: the only primitive that the rest of this world uses.

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
from typing import Any, Final, Protocol, TypeVar, cast, final

import aiohttp
import anyio
from botocore.exceptions import (  # type: ignore[import-untyped]  # botocore has no annotations
    BotoCoreError,
    ClientError,
    NoCredentialsError,
)

from perdure.errors import (
    WorldClosedError,
    WorldContractError,
    WorldError,
    WorldUnavailableError,
)

__all__ = ("UNCHANGED", "Cas", "Client", "Found", "Listed", "Refusal", "Unchanged")

T = TypeVar("T")

_TRIES = 5
_FIRST_PAUSE = 0.05  # seconds, doubled with each try
_PATIENCE = 20.0  # seconds after which nothing is tried again; with one time-out below the guard
_MISSING = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchBucket"})
_REFUSED = frozenset({"412", "409", "PreconditionFailed", "ConditionalRequestConflict"})
_SLOW = frozenset({"SlowDown", "RequestTimeout"})
_DENIED = frozenset(
    {
        "401",
        "403",
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    }
)
# What may have reached the server or not, and may go well the next time.
_TRANSIENT = (BotoCoreError, aiohttp.ClientError, OSError, asyncio.TimeoutError)


class Client(Protocol):
    """What is used of an S3 client."""

    def get_object(self, **named: Any) -> Awaitable[Mapping[str, Any]]:
        """Read an object."""
        ...

    def head_object(self, **named: Any) -> Awaitable[Mapping[str, Any]]:
        """Look whether an object is there."""
        ...

    def put_object(self, **named: Any) -> Awaitable[Mapping[str, Any]]:
        """Write an object."""
        ...

    def delete_object(self, **named: Any) -> Awaitable[Mapping[str, Any]]:
        """Delete an object."""
        ...

    def list_objects_v2(self, **named: Any) -> Awaitable[Mapping[str, Any]]:
        """List objects."""
        ...


class Refusal(Enum):
    """Why a conditional write did not land, so far as that is known."""

    REFUSED = "refused"  # the condition did not hold; nothing was changed
    DOUBTFUL = "doubtful"  # nor may it have landed after all: read, and look for the mark


class Unchanged(Enum):
    """A read that found what the reader has already."""

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
        """Refuse what follows."""
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
        """Make the object if it is not there; gives its ETag."""
        return await self._write(key, body, {"IfNoneMatch": "*"})

    async def replace(self, key: str, body: bytes, etag: str) -> str | Refusal:
        """Replace the object if it still has *etag*; gives the new one."""
        return await self._write(key, body, {"IfMatch": etag})

    async def put(self, key: str, body: bytes) -> None:
        """Write an object that nobody else writes, or writes alike."""
        named = self._named(key, {"Body": body})
        try:
            await self._again("PUT", key, lambda: self._client.put_object(**named))
        except ClientError as exc:
            raise self._mapped(exc) from exc

    async def remove(self, key: str, *, etag: str | None = None) -> None:
        """Delete the object, with *etag* only if it still has it; one that is gone is fine."""
        named = self._named(key, {} if etag is None else {"IfMatch": etag})
        try:
            await self._again("DELETE", key, lambda: self._client.delete_object(**named))
        except ClientError as exc:
            if _code(exc) not in _MISSING | _REFUSED:
                raise self._mapped(exc) from exc

    async def drop(self, key: str, *, etag: str | None = None) -> None:
        """Delete what nobody needs any more, if that can be done now; else the sweeper will."""
        with contextlib.suppress(WorldError):
            await self.remove(key, etag=etag)

    async def names(self, prefix: str, *, after: str = "") -> AsyncIterator[Listed]:
        """The objects whose names begin with *prefix*, in order, above *after*."""
        token: str | None = None
        while True:
            named: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
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

    async def _page(self, prefix: str, named: Mapping[str, Any]) -> Mapping[str, Any]:
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
        """Do what can be done again, until its outcome is known."""
        cause: BaseException | None = None
        async for _ in _tries():
            try:
                return await self._once(verb, call)
            except _Transient as exc:
                cause = exc.__cause__
        message = f"world {self._url}: {verb} {key} failed again and again: {cause}"
        raise WorldUnavailableError(message) from cause

    async def _once(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if self._closed:
            raise WorldClosedError(self._url)
        self.requests[verb] += 1
        try:
            return await call()
        except ClientError as exc:
            if (_status(exc) >= 500 and _status(exc) != 501) or _code(exc) in (
                "SlowDown",
                "RequestTimeout",
            ):
                raise _Transient from exc
            raise
        except NoCredentialsError as exc:
            message = f"world {self._url}: no credentials; set AWS_ACCESS_KEY_ID or AWS_PROFILE"
            raise WorldContractError(message) from exc
        except _TRANSIENT as exc:
            raise _Transient from exc

    def _named(self, key: str, named: Mapping[str, Any]) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key, **named}

    def _mapped(self, exc: Any) -> WorldContractError | WorldUnavailableError:
        message = f"world {self._url}: {exc}"
        if _code(exc) in _DENIED or _code(exc) in _MISSING:
            return WorldContractError(message)
        return WorldUnavailableError(message)


async def _tries() -> AsyncIterator[None]:
    """Once for each try, with a pause between them."""
    until = anyio.current_time() + _PATIENCE
    for tried in range(_TRIES):
        yield
        if anyio.current_time() >= until:
            return
        if tried < _TRIES - 1:
            await anyio.sleep(_FIRST_PAUSE * 2**tried * random.uniform(0.5, 1.5))


def _code(exc: Any) -> str:
    return str(cast(Mapping[str, Any], exc.response).get("Error", {}).get("Code", ""))


def _status(exc: Any) -> int:
    metadata = cast(Mapping[str, Any], exc.response).get("ResponseMetadata", {})
    return int(metadata.get("HTTPStatusCode", 0))
