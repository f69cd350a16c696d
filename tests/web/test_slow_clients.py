"""Clients that send by the byte, or without an end, to each server that the app may be under."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import anyio
import anyio.abc
import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from perdure.abc import World
from perdure.web import HttpLimits, app
from perdure.web.server import PatientProtocol, Server
from tests.web.clients import anyone
from tests.web.waiting import requests_of, waiting_run, webhook_path
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, pytest.mark.slow, IN_MEMORY]
LIMITS = HttpLimits(body_bytes=100_000, body_seconds=0.4)
HEALTH = "/.well-known/workflow/v1/health"
HEAD = b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
CROWD = 200
LARGE = 20_000_000  # far above what buffers between client and server hold


class Plain(uvicorn.Server):
    """uvicorn as it is, beside whatever else runs in the event loop."""

    def __init__(self, site: ASGIApp, http: str) -> None:
        super().__init__(uvicorn.Config(site, http=http, lifespan="off", log_config=None))

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Heed none."""
        yield

    def stop(self) -> None:
        """Let ``serve`` return soon."""
        self.should_exit = True


@pytest.fixture(params=["ours", "h11", "httptools"])
async def port(
    world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[int]:
    """Where a server listens: that of ``perdure serve``, or uvicorn's own."""
    monkeypatch.setattr(PatientProtocol, "head_seconds", 0.3)
    site = app(world, authorize=anyone, limits=LIMITS)
    server = Server(site) if request.param == "ours" else Plain(site, request.param)
    with socket.create_server(("127.0.0.1", 0), backlog=2 * CROWD) as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            yield listener.getsockname()[1]
            server.stop()


async def dribble(stream: anyio.abc.SocketStream, part: bytes) -> None:
    """Send the part again and again, never resting for long, until the other side closes."""
    while True:
        try:
            await stream.send(part)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        await anyio.sleep(0.05)


async def answer_to(port: int, beginning: bytes, part: bytes) -> bytes:
    """All that comes back until the server closes, while the part is sent on and on."""
    data = b""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(beginning)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(dribble, stream, part)
                try:
                    while True:
                        data += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    group.cancel_scope.cancel()
    return data


@pytest.mark.parametrize("how", [b"content-length: 50", b"transfer-encoding: chunked"])
@pytest.mark.parametrize(("path", "status"), [("/api/runs", b"408"), (webhook_path("t1"), b"404")])
async def test_a_body_by_the_byte_is_refused_in_time(
    world: World, port: int, path: str, status: bytes, how: bytes
) -> None:
    run = await waiting_run(world, "t1")
    beginning = HEAD % path.encode() + how + b"\r\n\r\n"
    answer = await answer_to(port, beginning, b"1\r\n \r\n" if b"chunked" in how else b" ")
    assert answer.startswith(b"HTTP/1.1 %s " % status)
    assert await requests_of(run) == []


@pytest.mark.parametrize("port", ["ours"], indirect=True)  # uvicorn itself waits for ever
async def test_a_head_by_the_byte_ends_the_connection(port: int) -> None:
    assert await answer_to(port, b"GET /api/runs HTTP/1.1\r\nx-slow: ", b"a") == b""


async def test_a_crowd_of_slow_clients_keeps_nobody_waiting(port: int) -> None:
    """As many as two hundred, half of them in heads and half in bodies."""
    async with anyio.create_task_group() as group:
        for number in range(CROWD):
            head = HEAD % b"/api/runs"
            beginning = head + b"content-length: 50\r\n\r\n" if number % 2 else head[:-9]
            group.start_soon(answer_to, port, beginning, b" ")
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for _ in range(5):
                answer = await client.get(f"http://127.0.0.1:{port}/api/runs")
                assert answer.status_code == 200
        group.cancel_scope.cancel()


@pytest.mark.parametrize("how", [b"content-length: %d" % (1 << 30), b"transfer-encoding: chunked"])
@pytest.mark.parametrize(("path", "status"), [("/api/runs", b"413"), (webhook_path("t1"), b"404")])
async def test_a_gigabyte_is_refused_under_each_server(
    world: World, port: int, path: str, status: bytes, how: bytes
) -> None:
    run, count, answers = await waiting_run(world, "t1"), 0, b""
    size = 65_536
    part = b"%x\r\n%s\r\n" % (size, b" " * size) if b"chunked" in how else b" " * size
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(HEAD % path.encode() + how + b"\r\n\r\n")
        with anyio.fail_after(20):
            try:
                while count < LARGE:
                    await stream.send(part)
                    count += size
            except anyio.BrokenResourceError:
                pass
            try:
                while not answers.startswith(b"HTTP/1.1 "):
                    answers += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
    assert count < LARGE
    assert not answers or answers.startswith(b"HTTP/1.1 %s " % status)  # a reset may overtake it
    assert await requests_of(run) == []
