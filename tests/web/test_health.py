"""Health: open to everyone, true only while the world answers, and no burden to it."""

from __future__ import annotations

import httpx
import pytest

from perdure.abc import World
from perdure.errors import HookNotFoundError, WorldUnavailableError
from perdure.model import HookRecord
from perdure.testing.memory import MemoryWorld
from perdure.web import app
from tests.web.clients import client_of

pytestmark = pytest.mark.anyio
PATHS = ("/.well-known/workflow/v1/health", "/.well-known/workflow/v1/flow?__health")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_service_is_healthy(world: World, path: str, method: str) -> None:
    async with client_of(app(world)) as client:
        answer = await client.request(method, path)
    assert answer.status_code == 200
    if method != "HEAD":
        assert answer.json() == {"healthy": True, "endpoint": path.partition("?")[0]}


async def test_a_closed_world_is_unhealthy() -> None:
    async with client_of(app(MemoryWorld("memory://"))) as client:
        answer = await client.get(PATHS[0])
    assert (answer.status_code, answer.json()["healthy"]) == (503, False)


async def test_a_store_that_is_away_is_unhealthy_and_asked_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with MemoryWorld("memory://") as world, client_of(app(world)) as client:
        asked: list[str] = []

        async def away(token: str) -> HookRecord:
            asked.append(token)
            raise WorldUnavailableError("postgres://admin:secret@db is away")

        monkeypatch.setattr(world.storage, "get_hook", away)
        answers: list[httpx.Response] = []
        for _ in range(50):
            answers.append(await client.get(PATHS[0]))
        assert {answer.status_code for answer in answers} == {503}
        assert not any("secret" in answer.text for answer in answers)
        assert len(asked) <= 2

        async def there(token: str) -> HookRecord:
            raise HookNotFoundError(token)

        monkeypatch.setattr(world.storage, "get_hook", there)
        monkeypatch.setattr("anyio.current_time", lambda: 1e9)
        assert (await client.get(PATHS[0])).status_code == 200
