"""URLs, credentials, and stores that are refused."""

# tests look inside
# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from s3_values import RUN

from perdure.abc import Capability
from perdure.errors import (
    UsageError,
    WorldClosedError,
    WorldContractError,
    WorldDeniedError,
    WorldUnavailableError,
)
from perdure.worldkit.clock import SystemClock
from perdure_s3 import S3World
from perdure_s3._schema import Layout
from perdure_s3.testing import Server, free_ports
from tests.opening import CASES, Case

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_opens_and_closes(url: str, case: Case) -> None:
    await case(lambda: S3World(url))


def test_it_can_do_what_it_says(url: str) -> None:
    able = {Capability.SHARED, Capability.DURABLE, Capability.ATOMIC_QUEUE}
    assert S3World(url).capabilities == able


@pytest.mark.parametrize(
    "wrong",
    [
        "s3://",
        "s3:///prefix",
        "http://bucket/x",
        "s3://key:secret@bucket/x",
        "s3://bucket/x?shards=0",
        "s3://bucket/x?shards=many",
        "s3://bucket/x?poll=0",
        "s3://bucket/x?timeout=90",
        "s3://bucket/x?poll=nan",
        "s3://bucket/x?timeout=nan",
        "s3://bucket/x?colour=secret",
        "s3://bucket/x?shards=1&shards=2",
        "s3://bucket/x#secret",
        "s3://key:secret/bucket",
        "s3:/key:secret@bucket/x",
        "s3://bucket/x?endpoint_url=https://key:secret@host",
        "s3://bucket/x?endpoint_url=host",
        "s3://bucket/x?endpoint_url=http://host:secret",
        "s3://bucket/x?endpoint_url=http://[host",
        "s3://bucket/x?aws_secret_access_key=secret",
    ],
)
def test_a_wrong_url_says_how_to_write_it(wrong: str) -> None:
    with pytest.raises(UsageError) as told:
        S3World(wrong)
    assert "secret" not in str(told.value).replace("aws_secret_access_key", "")


async def test_a_bucket_or_server_that_is_not_there_is_named(ministack: Server) -> None:
    with pytest.raises(WorldContractError, match="not-there"):
        await S3World(ministack.url().replace("s3://tests", "s3://not-there")).open()
    (port,) = free_ports(1)
    with pytest.raises(WorldUnavailableError, match=r"127\.0\.0\.1"):
        await S3World(f"s3://b/x?endpoint_url=http://127.0.0.1:{port}&region=r").open()


async def test_a_wrong_secret_is_an_operators_error(
    seaweed: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(WorldDeniedError, match="SignatureDoesNotMatch") as told:
        await S3World(seaweed.url()).open()
    assert not told.value.retryable


async def test_an_unknown_key_is_an_operators_error(
    seaweed: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobodys")
    with pytest.raises(WorldDeniedError, match="InvalidAccessKeyId") as told:
        await S3World(seaweed.url()).open()
    assert "nobodys" not in str(told.value)


async def test_no_credentials_are_an_operators_error(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(WorldDeniedError, match="no credentials"):
        await S3World(url).open()


@pytest.mark.parametrize(
    ("url", "setting", "value", "reason"),
    [
        ("", "AWS_SECRET_ACCESS_KEY", None, "artial credentials"),
        ("", "AWS_PROFILE", "nobodys", "nobodys"),
        ("s3://bucket/x?region=no_region!", "AWS_REGION", "r", "no_region"),
    ],
)
async def test_settings_that_are_wrong_are_an_operators_error(
    monkeypatch: pytest.MonkeyPatch,
    ministack: Server,
    url: str,
    setting: str,
    value: str | None,
    reason: str,
) -> None:
    if value is None:
        monkeypatch.delenv(setting)
    else:
        monkeypatch.setenv(setting, value)
    with anyio.fail_after(10), pytest.raises(WorldContractError, match=reason) as told:
        await S3World(url or ministack.url()).open()
    assert not told.value.retryable


async def test_a_later_format_asks_for_an_upgrade(url: str) -> None:
    async with S3World(url) as world:
        await world._handle.cas.put(Layout.WORLD, b"\x82\x18\x63\x01")  # [99, 1]
    with pytest.raises(WorldContractError, match="upgrade perdure-s3"):
        await S3World(url).open()


async def test_an_earlier_format_is_refused_with_what_to_do(url: str) -> None:
    async with S3World(url) as world:
        await world._handle.cas.put(Layout.WORLD, b"\x82\x01\x01")  # [1, 1]
    with pytest.raises(WorldContractError, match=r"an earlier version .*use another prefix"):
        await S3World(url).open()


class WrongClock(SystemClock):  # type: ignore[misc]  # a test's
    """A minute ahead."""

    def now_ms(self) -> int:
        return super().now_ms() + 60_000


async def test_a_clock_that_is_wrong_is_warned_of(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with S3World(url):
        assert "differ by" not in caplog.text
    async with S3World(url, clock=WrongClock()):
        assert "differ by" in caplog.text


@asynccontextmanager
async def careless_server(*, heeds_none_match: bool) -> AsyncGenerator[str, None]:
    """A server that takes every PUT but, perhaps, one that must not overwrite."""
    taken: set[str] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            verb, path, _ = line.decode().split()
            headers: dict[str, str] = {}
            while (header := (await reader.readline()).decode().strip()) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            await reader.readexactly(int(headers.get("content-length", "0")))
            refused = heeds_none_match and "if-none-match" in headers and path in taken
            if verb == "PUT":
                taken.add(path)
            status = "412 Precondition Failed" if refused else "200 OK"
            writer.write(f'HTTP/1.1 {status}\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'.encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(("heeds", "ignored"), [(False, "If-None-Match"), (True, "If-Match")])
async def test_a_server_that_ignores_conditions_is_refused(heeds: bool, ignored: str) -> None:
    async with careless_server(heeds_none_match=heeds) as endpoint:
        world = S3World(f"s3://b/x?endpoint_url={endpoint}&region=r")
        with anyio.fail_after(20), pytest.raises(WorldContractError, match=f"ignores {ignored}"):
            await world.open()
        with pytest.raises(WorldClosedError):
            await world.storage.get_run(RUN)
