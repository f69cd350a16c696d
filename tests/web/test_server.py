"""The server of ``perdure serve`` over real sockets: clients that send too slowly or too much."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import anyio
import anyio.abc
import httpx
import pytest

from perdure.abc import World
from perdure.errors import UsageError
from perdure.web import HttpLimits, app
from perdure.web.server import PatientProtocol, Server, listen
from tests.web.clients import anyone
from tests.web.waiting import requests_of, waiting_run, webhook_path
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]
LIMITS = HttpLimits(body_bytes=100_000, body_seconds=0.5)
GIGABYTE = 1 << 30


@pytest.fixture
async def port(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Where a server listens."""
    monkeypatch.setattr(PatientProtocol, "head_seconds", 0.2)
    server, listener = Server(app(world, authorize=anyone, limits=LIMITS)), listen("127.0.0.1", 0)
    number: int = listener.getsockname()[1]
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listener])
        yield number
        server.stop()


async def _answer_to(stream: anyio.abc.SocketStream) -> bytes:
    """All that comes until the other side closes."""
    data = b""
    with anyio.fail_after(20):
        try:
            while True:
                data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return data


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"G",
        b"GET /api/runs HTTP/1.1\r\nhost: a\r\nx-slow: ",
    ],
)
@pytest.mark.slow
async def test_a_head_that_does_not_come_ends_the_connection(port: int, beginning: bytes) -> None:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(beginning)
        assert await _answer_to(stream) == b""


@pytest.mark.slow
async def test_nor_may_a_second_head_on_a_connection_be_late(port: int) -> None:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"HEAD /.well-known/workflow/v1/health HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        with anyio.fail_after(3):  # sooner than a connection is closed that is idle
            await stream.send(b"GET /api")
            assert await _answer_to(stream) == b""


@pytest.mark.slow
async def test_a_body_that_does_not_come_is_refused(port: int) -> None:
    head = b"POST /api/runs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(head + b"content-length: 50\r\n\r\n{")
        answer = await _answer_to(stream)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
@pytest.mark.parametrize("how", [b"content-length: %d" % GIGABYTE, b"transfer-encoding: chunked"])
@pytest.mark.parametrize(("path", "status"), [("/api/runs", b"413"), (webhook_path("t1"), b"404")])
async def test_a_gigabyte_is_refused_before_it_was_sent(
    world: World, port: int, how: bytes, path: str, status: bytes
) -> None:
    run = await waiting_run(world, "t1")
    head = b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n%s\r\n\r\n"
    part = b"%x\r\n%s\r\n" % (65536, b" " * 65536) if b"chunked" in how else b" " * 65536
    count = 0
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(head % (path.encode(), how))
        answers: list[bytes] = []
        async with anyio.create_task_group() as group:

            async def read() -> None:
                answers.append(await _answer_to(stream))
                group.cancel_scope.cancel()

            group.start_soon(read)
            try:
                while count < GIGABYTE:
                    await stream.send(part)
                    count += 65536
            except anyio.BrokenResourceError:
                await anyio.sleep_forever()  # until the answer was read
    assert count < GIGABYTE / 10
    assert answers[0].startswith(b"HTTP/1.1 %s " % status)
    assert await requests_of(run) == []


async def test_a_request_that_is_answered_slowly_is_not_timed(world: World, port: int) -> None:
    """The time is for the head alone: a wait for a run's end goes on."""
    run = await waiting_run(world, "t1")
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        path = f"http://127.0.0.1:{port}/api/runs/{run.id}"
        answer = await client.get(path, params={"wait": 0.5})
        assert (answer.status_code, answer.json()["status"]) == (200, "running")


def test_a_port_that_is_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen at 127.0.0.1 port {port}"):
            listen("127.0.0.1", port)
    with pytest.raises(UsageError, match="cannot listen"):
        listen("127.0.0.1", 70_000)
