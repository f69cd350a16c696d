"""Streams over HTTP: events with indexes, bytes, reconnection, and clients that go."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest
from starlette.types import Message, Scope

from perdure import Run, start
from perdure.abc import World
from perdure.web import HttpLimits, app
from tests.web.clients import anyone, client_of
from tests.web.flows import WORKFLOWS
from tests.web.waiting import waiting_run
from tests.worlds import IN_MEMORY

pytestmark = pytest.mark.anyio
EVENTS = {"accept": "text/event-stream"}
BYTES = {"accept": "application/octet-stream"}


@pytest.fixture
async def run(world: World) -> Run:
    """A run that goes on."""
    return await start(WORKFLOWS["sleep"], world=world)


@pytest.fixture
def client(world: World) -> httpx.AsyncClient:
    """A client that may do everything."""
    return client_of(app(world, authorize=anyone))


def _parsed(text: str) -> list[tuple[str, str | None, Any]]:
    """Kind, id and data of each event."""
    events: list[tuple[str, str | None, Any]] = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if "data" in fields:
            events.append((fields.get("event", ""), fields.get("id"), json.loads(fields["data"])))
    return events


async def _write(run: Run, *values: object, namespace: str | None = None) -> None:
    async with run.writable(namespace) as out:
        for value in values:
            await out.write(value)
        await out.close()


def _path(run: Run, name: str = "out") -> str:
    return f"/api/runs/{run.id}/streams/{name}"


def _scope(run: Run) -> Scope:
    path = _path(run)
    return {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}


async def test_values_are_events_with_their_indexes(run: Run, client: httpx.AsyncClient) -> None:
    await _write(run, "tok\nen", {"a": [1, None]}, b"\0\xff", 2**60)
    answer = await client.get(_path(run), headers=EVENTS)
    assert answer.headers["content-type"] == "text/event-stream"
    assert _parsed(answer.text) == [
        ("", "0", "tok\nen"),
        ("", "1", {"a": [1, None]}),
        ("bytes", "2", "AP8="),
        ("", "3", 2**60),
        ("end", None, {"index": 4}),
    ]


async def test_a_client_goes_on_where_it_was(run: Run, client: httpx.AsyncClient) -> None:
    await _write(run, *range(5), namespace="n")
    last = {"last-event-id": "2"}
    for name in ("out/n", "n"):
        answer = await client.get(_path(run, name), headers=EVENTS | last)
        assert [event[1:] for event in _parsed(answer.text)][:-1] == [("3", 3), ("4", 4)]
    query = await client.get(_path(run, "n"), params={"start": -1})
    assert _parsed(query.text)[0] == ("", "4", 4)
    over = await client.get(_path(run, "n"), headers=EVENTS | {"last-event-id": "4"})
    assert (over.status_code, over.content) == (204, b"")  # a browser stops asking


async def test_bytes_are_one_body(run: Run, client: httpx.AsyncClient) -> None:
    await _write(run, b"\0\xff", "ä", b"")
    answer = await client.get(_path(run), headers=BYTES)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content == b"\0\xff" + "ä".encode()
    answer = await client.get(_path(run), headers=BYTES, params={"start": 1})
    assert answer.content == "ä".encode()


async def test_values_are_not_bytes(run: Run, client: httpx.AsyncClient) -> None:
    await _write(run, {"a": 1})
    answer = await client.get(_path(run), headers=BYTES)
    assert (answer.status_code, answer.json()["code"]) == (422, "stream_not_bytes")


async def test_streams_are_listed_without_the_system_s(
    run: Run, client: httpx.AsyncClient, world: World
) -> None:
    await _write(run, 1, namespace="n")
    await world.streams.append(run.id, "$reply/a", [b"secret"], writer="w", sequence=0)
    answer = await client.get(f"/api/runs/{run.id}/streams")
    assert answer.json() == {"streams": [{"name": "out/n", "length": 1, "closed": True}]}
    await run.cancel()
    for name in ("$reply/a", "out/$reply/a"):
        assert "secret" not in (await client.get(_path(run, name), headers=EVENTS)).text


async def test_an_event_comes_as_soon_as_it_is_written(
    run: Run, client: httpx.AsyncClient, world: World
) -> None:
    """Each chunk is sent before the next one is written, by an app that never buffers."""
    texts: list[bytes] = []
    send, sent = anyio.create_memory_object_stream[bytes](100)
    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def take(message: Message) -> None:
        await send.send(message.get("body", b""))

    with anyio.fail_after(20), send, sent:
        async with anyio.create_task_group() as group:
            group.start_soon(app(world, authorize=anyone), _scope(run), receive, take)
            out = run.writable()
            for n in range(3):
                await out.write(n)
                await out.flush()
                while f"data: {n}\n".encode() not in b"".join(texts):
                    texts.append(await sent.receive())
            await out.close()
            while b"event: end" not in b"".join(texts):
                texts.append(await sent.receive())


async def test_a_client_that_goes_ends_its_reading(run: Run, world: World) -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    begun = anyio.Event()

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        begun.set()

    with anyio.fail_after(20):
        await app(world, authorize=anyone)(_scope(run), receive, send)


@IN_MEMORY
async def test_a_silent_stream_shows_signs_of_life_and_ends_in_time(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.web._streams._PAUSE", 0.01)
    site = app(world, authorize=anyone, limits=HttpLimits(stream_seconds=0.1))
    async with client_of(site) as client:
        answer = await client.get(_path(run), headers=EVENTS)
        assert answer.text.count(": alive\n\n") > 1
        assert "event: end" not in answer.text  # so that the client comes again
        with pytest.raises(TimeoutError):
            await client.get(_path(run), headers=BYTES)


async def test_an_error_on_the_way_is_an_event(
    world: World, run: Run, client: httpx.AsyncClient
) -> None:
    await _write(run, 1)
    await world.streams.append(run.id, "out/bad", [b"\xff\0\0"], writer="w", sequence=0)
    answer = await client.get(_path(run, "bad"), headers=EVENTS)
    (event,) = _parsed(answer.text)
    assert (event[0], event[2]["code"]) == ("error", "world_contract")
    assert "damaged" not in answer.text


@pytest.mark.parametrize(
    ("run_id", "name", "headers", "status", "code"),
    [
        ("run_nobody", "out", {}, 404, "run_not_found"),
        (None, "x" * 201, {}, 422, "usage"),
        (None, "out/", {}, 422, "usage"),
        (None, "out", {"last-event-id": "x"}, 422, "invalid_request"),
        (None, "out", {"last-event-id": "-1"}, 422, "invalid_request"),
        (None, "out", {"last-event-id": "9" * 99}, 422, "invalid_request"),
        (None, "out?start=x", {}, 422, "invalid_request"),
    ],
)
@IN_MEMORY
async def test_refusals(
    world: World,
    client: httpx.AsyncClient,
    run_id: str | None,
    name: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    run = await waiting_run(world, "t")
    path = f"/api/runs/{run_id or run.id}/streams/{name}"
    answer = await client.get(path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
