"""What S3 refuses for good: told in words, without secrets, and not tried again."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import cast

import anyio
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # no annotations
from s3_values import RUN, new_run

from perdure.abc import World
from perdure.errors import (
    NameTooLongError,
    WorldContractError,
    WorldDeniedError,
    WorldError,
    WorldUnavailableError,
)
from perdure.model import Digest, RunId
from perdure_s3 import S3World, _cas
from perdure_s3._cas import MAX_KEY_BYTES
from perdure_s3._schema import Layout

pytestmark = pytest.mark.anyio
SECRET = "Geheim7Wort"


@asynccontextmanager
async def refusing_server(status: int, code: str) -> AsyncGenerator[tuple[str, list[str]], None]:
    """A server that answers every request so; and the requests."""
    asked: list[str] = []
    words = f"<Message>{SECRET} is wrong</Message><AWSAccessKeyId>{SECRET}</AWSAccessKeyId>"
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code>{words}</Error>'.encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked.append(line.decode().split()[0])
            length = 0
            while (header := (await reader.readline()).decode().strip().lower()) != "":
                if header.startswith("content-length:"):
                    length = int(header.partition(":")[2])
            await reader.readexactly(length)
            head = f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            writer.write(head if asked[-1] == "HEAD" else head + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "InvalidRequest", WorldContractError),
        (400, "KeyTooLongError", WorldContractError),
        (400, "ExpiredToken", WorldDeniedError),
        (401, "Unauthorized", WorldDeniedError),
        (403, "AccessDenied", WorldDeniedError),
        (403, "InvalidAccessKeyId", WorldDeniedError),
        (403, "RequestTimeTooSkewed", WorldDeniedError),
        (403, "AllAccessDisabled", WorldDeniedError),
        (404, "NoSuchBucket", WorldContractError),
        (405, "MethodNotAllowed", WorldContractError),
        (501, "NotImplemented", WorldContractError),
    ],
)
async def test_what_is_refused_for_good_is_not_asked_again(
    status: int, code: str, expected: type[WorldError]
) -> None:
    async with refusing_server(status, code) as (endpoint, asked):
        with pytest.raises(expected, match=code) as told:
            await S3World(f"s3://b/x?endpoint_url={endpoint}&region=r").open()
    assert type(told.value) is expected
    assert not told.value.retryable
    assert SECRET not in str(told.value)
    assert asked.count("PUT") == 1


async def test_a_server_that_redirects_without_end_is_left() -> None:
    async with refusing_server(301, "PermanentRedirect") as (endpoint, _):
        with pytest.raises(WorldContractError, match="without end") as told:
            await S3World(f"s3://b/x?endpoint_url={endpoint}&region=r").open()
    assert not told.value.retryable


def test_a_redirect_that_nobody_follows_says_where_to_look() -> None:
    cas = _cas.Cas(cast(_cas.Client, None), bucket="b", prefix="", url="s3://b")
    answer = {
        "Error": {"Code": "PermanentRedirect"},
        "ResponseMetadata": {"HTTPStatusCode": 301},
    }
    told = cas._mapped(ClientError(answer, "PutObject"))
    assert isinstance(told, WorldContractError)
    assert "?region=" in str(told)


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")]
)
async def test_what_may_go_well_later_is_asked_again(
    status: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cas, "_FIRST_PAUSE", 0.0)
    async with refusing_server(status, code) as (endpoint, asked):
        with pytest.raises(WorldUnavailableError) as told:
            await S3World(f"s3://b/x?endpoint_url={endpoint}&region=r").open()
    assert told.value.retryable
    assert len(asked) > 1
    assert SECRET not in str(told.value)


async def test_a_bucket_that_is_gone_is_no_missing_run(url: str) -> None:
    async with S3World(url) as world:
        world._handle.cas._bucket = "gone"
        with pytest.raises(WorldContractError, match="bucket is not there"):
            await world.storage.get_run(RUN)
        with pytest.raises(WorldContractError, match="bucket is not there"):
            await world.storage.create_run(new_run())


CALLS: dict[str, Callable[[World, RunId], object]] = {
    "create": lambda world, run_id: world.storage.create_run(new_run(run_id)),
    "get": lambda world, run_id: world.storage.get_run(run_id),
    "wake": lambda world, run_id: world.queue.wake(run_id, due_ms=0),
    "blob": lambda world, run_id: world.blobs.has(Digest("0" * 64), run_id=run_id),
    "stream": lambda world, run_id: world.streams.append(
        run_id, "s", [b""], writer="w", sequence=1
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("run_id", [RunId("r" * 1000), RunId("ä/" * 400)])
async def test_a_run_id_that_is_too_long_for_s3_names_the_limit(
    url: str, call: str, run_id: RunId
) -> None:
    async with S3World(url) as world:
        before = world.statistics()
        with pytest.raises(NameTooLongError, match=f"which allows {MAX_KEY_BYTES}") as told:
            await CALLS[call](world, run_id)  # type: ignore[misc]  # some are coroutines
        assert told.value.key_bytes > MAX_KEY_BYTES
        assert not getattr(told.value, "retryable", False)
        assert world.statistics() == before  # nobody was asked


async def test_the_longest_run_id_can_do_everything_and_one_more_is_refused(url: str) -> None:
    async with S3World(url) as world:
        prefix = len(world._handle.place.prefix)
        most = next(n for n in range(1000, 0, -1) if prefix + longest(n) <= MAX_KEY_BYTES)
        run_id = RunId("r" * most)
        await world.storage.create_run(new_run(run_id))
        data = [bytes(100_000)] * 4  # in parts of their own
        await world.streams.append(run_id, "s" * 5000, data, writer="w" * 2000, sequence=1)
        assert (await world.streams.info(run_id, "s" * 5000)).length == 4
        assert await world.queue.claim_wakes(limit=1, visibility_ms=1000)
        with pytest.raises(NameTooLongError):
            await world.storage.create_run(new_run(RunId("r" * (most + 1))))


def longest(length: int) -> int:
    return len(Layout.longest("r" * length))


async def test_a_prefix_that_is_too_long_names_the_limit(url: str) -> None:
    where, _, options = url.partition("?")
    with anyio.fail_after(10), pytest.raises(NameTooLongError, match="shorter prefix"):
        await S3World(f"{where}/{'p' * 1100}?{options}").open()
