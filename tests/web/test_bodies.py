"""Bodies and callers that take too much: refused by name, and nothing is held for who has gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from starlette.types import Message, Scope

from perdure import start
from perdure.abc import World
from perdure.errors import UsageError, WorldUnavailableError
from perdure.model import RunRecord
from perdure.web import HttpLimits, app
from tests.web.clients import anyone, client_of
from tests.web.flows import WORKFLOWS
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]
SMALL = HttpLimits(body_bytes=100, body_seconds=0.1)
JSON = {"content-type": "application/json"}


async def _chunks(count: int, *, pause: float = 0) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 10
        await anyio.sleep(pause)


@pytest.mark.parametrize(
    ("size", "headers", "status"),
    [
        (10, {}, 413),  # told without a length: counted
        (1, {"content-length": "101"}, 413),
        (1, {"content-length": "9" * 5000}, 413),
    ],
)
async def test_a_large_body_is_refused(
    world: World, size: int, headers: dict[str, str], status: int
) -> None:
    async with client_of(app(world, authorize=anyone, limits=SMALL)) as client:
        answer = await client.post(
            "/api/runs", content=_chunks(size + 1), headers={**JSON, **headers}
        )
    assert (answer.status_code, answer.json()["code"]) == (status, "body_too_large")
    assert answer.headers["connection"] == "close"


async def test_a_slow_body_is_refused(world: World) -> None:
    async with client_of(app(world, authorize=anyone, limits=SMALL)) as client:
        answer = await client.post("/api/runs", content=_chunks(9, pause=1), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")


async def test_a_body_that_is_cut_off_begins_nothing(world: World) -> None:
    site = app(world, authorize=anyone, workflows=WORKFLOWS)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await site(_scope("POST", "/api/runs", [(b"content-type", b"application/json")]), receive, send)
    assert sent[0]["status"] == 400


async def test_nothing_waits_for_a_client_that_has_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for the run's end is cancelled when the connection is."""
    run = await start(WORKFLOWS["sleep"], world=world)
    waiting, over = anyio.Event(), anyio.Event()

    async def wait_ended(run_id: str, *, wait_ms: int) -> RunRecord:
        waiting.set()
        try:
            await anyio.sleep_forever()
        finally:
            over.set()
        raise AssertionError

    monkeypatch.setattr(world.storage, "wait_ended", wait_ended)
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await waiting.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        del message

    with anyio.fail_after(20):
        await app(world, authorize=anyone)(
            _scope("GET", f"/api/runs/{run.id}", [], b"wait=60"), receive, send
        )
    assert over.is_set()


async def test_a_store_that_is_away_is_told_without_its_secrets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(run_id: str) -> RunRecord:
        raise WorldUnavailableError("postgres://admin:secret@db is away")

    async def broken(run_id: str) -> RunRecord:
        raise ZeroDivisionError("secret")

    async with client_of(app(world, authorize=anyone)) as client:
        monkeypatch.setattr(world.storage, "get_run", away)
        answer = await client.get("/api/runs/r")
        assert (answer.status_code, answer.json()["code"]) == (503, "world_unavailable")
        assert "secret" not in answer.text
        assert answer.headers["retry-after"] == "5"
        monkeypatch.setattr(world.storage, "get_run", broken)
        answer = await client.get("/api/runs/r")
        assert (answer.status_code, answer.json()["code"]) == (500, "defect")
        assert "secret" not in answer.text


def _scope(method: str, path: str, headers: list[tuple[bytes, bytes]], query: bytes = b"") -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": headers,
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"world": "memory://"}, "world is a world"),
        ({"base_url": "shop.example"}, "public URL"),
        ({"base_url": "https://a/?b=1"}, "public URL"),
        ({"base_url": 5}, "base_url is a text"),
        ({"authorize": "me"}, "authorize is a function"),
        ({"workflows": ["a.ts"]}, "dict of workflows"),
        ({"workflows": {"a": "a.ts"}}, "is a workflow"),
        ({"workflows": {1: WORKFLOWS["sum"]}}, "a name in workflows is a text"),
        ({"api_path": "api"}, "begins with a slash"),
        ({"api_path": "/api/"}, "begins with a slash"),
        ({"limits": 5}, "HttpLimits"),
        ({"limits": HttpLimits(body_bytes=-1)}, "body_bytes"),
        ({"limits": HttpLimits(reply_seconds=float("inf"))}, "reply_seconds"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        app(**options)  # type: ignore[arg-type]  # wrong on purpose
