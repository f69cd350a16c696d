"""A client that counts what is asked of it, and fails where it is told to."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from typing import Any, cast

from botocore.exceptions import (  # type: ignore[import-untyped]  # botocore has no annotations
    ClientError,
    ReadTimeoutError,
)

from perdure.abc import World
from perdure.testing import faults
from perdure_s3 import S3World
from perdure_s3._cas import Client

VERBS = {
    "get_object": "GET",
    "head_object": "GET",
    "put_object": "PUT",
    "delete_object": "DELETE",
    "list_objects_v2": "LIST",
}


class Fault(Enum):
    """What happens to a request."""

    NONE = "none"
    ERROR_500 = "500 before"
    ERROR_500_AFTER = "500 after it took effect"
    ERROR_503 = "503 before"
    TIMEOUT = "timeout before"
    TIMEOUT_AFTER = "timeout after it took effect"
    SLOW = "slow"
    LATE = "timeout, and it takes effect later"


def _timeout(name: str) -> Exception:
    timeout: Exception = ReadTimeoutError(endpoint_url=name)
    return timeout


def _failed(name: str) -> Exception:
    failed: Exception = _error(500, "InternalError", name)
    return failed


AFTER = {Fault.TIMEOUT_AFTER: _timeout, Fault.ERROR_500_AFTER: _failed}


class Wrapped:
    """An S3 client between the world and the real one."""

    def __init__(self, inner: Client, plan: Callable[[int, str, str], Fault]) -> None:
        self._inner = inner
        self._plan = plan
        self.requests: Counter[str] = Counter()
        self.log: list[tuple[str, str]] = []
        self.late: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        call, verb = getattr(self._inner, name), VERBS[name]

        async def wrapped(**named: Any) -> Any:
            key = str(named.get("Key", named.get("Prefix", "")))
            number = len(self.log)
            self.requests[verb] += 1
            self.log.append((verb, key.partition("/")[2]))
            fault = self._plan(number, verb, key)
            if fault is Fault.ERROR_500:
                raise _error(500, "InternalError", name)
            if fault is Fault.ERROR_503:
                raise _error(503, "SlowDown", name)
            if fault is Fault.TIMEOUT:
                raise ReadTimeoutError(endpoint_url="test")
            if fault is Fault.LATE:
                self.late.add(asyncio.create_task(_late(call, named)))
                raise ReadTimeoutError(endpoint_url="test")
            if fault is Fault.SLOW:
                await asyncio.sleep(0.1)
            after = AFTER.get(fault)
            if after is None:
                return await call(**named)
            await _unheard(call, named)
            raise after(name)

        return wrapped


async def _late(call: Any, named: Any) -> None:
    await asyncio.sleep(0.08)
    await _unheard(call, named)


async def _unheard(call: Any, named: Any) -> None:
    """Do it; nobody hears the answer."""
    with contextlib.suppress(ClientError):
        answer = await call(**named)
        if "Body" in answer:
            async with answer["Body"] as stream:
                await stream.read()


def _error(status: int, code: str, name: str) -> ClientError:
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, name)


_STRUCK = {
    faults.Fault.NONE: Fault.NONE,
    faults.Fault.BEFORE: Fault.TIMEOUT,
    faults.Fault.AFTER: Fault.TIMEOUT_AFTER,
}


def fail_requests(world: World, strike: Callable[[str], faults.Fault]) -> None:
    """Fail requests as the conformance kit says."""
    assert isinstance(world, S3World)

    def plan(number: int, verb: str, key: str) -> Fault:
        return _STRUCK[strike(f"{verb} {key}")]

    world._handle.wrap = lambda client: cast("Client", Wrapped(client, plan))  # by __getattr__


def no_faults(number: int, verb: str, key: str) -> Fault:
    """Everything goes well."""
    return Fault.NONE


@asynccontextmanager
async def wrapped_world(
    url: str, plan: Callable[[int, str, str], Fault] = no_faults, **options: Any
) -> AsyncGenerator[tuple[S3World, Wrapped], None]:
    """An open world, and the client that it speaks through."""
    world = S3World(url, **options)
    made: list[Wrapped] = []

    def wrap(client: Client) -> Client:
        made.append(Wrapped(client, plan))
        return cast("Client", made[0])  # by __getattr__

    world._handle.wrap = wrap
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world)
        yield world, made[0]
