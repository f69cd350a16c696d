"""Authority: without a word of the service nothing but webhooks and health; with one, no more."""

from __future__ import annotations

import logging

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from perdure import Worker, start
from perdure.abc import World
from perdure.web import Action, Authorize, app
from tests.web.clients import client_of
from tests.web.flows import WORKFLOWS
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]
ASKED: list[tuple[str, str, str, str | None]] = [  # method, path, action, run
    ("GET", "/api/openapi.json", "describe", None),
    ("GET", "/api/runs", "list", None),
    ("POST", "/api/runs", "start", None),
    ("GET", "/api/runs/r1", "get", "r1"),
    ("GET", "/api/runs/r1/events", "events", "r1"),
    ("GET", "/api/runs/r1/log", "log", "r1"),
    ("GET", "/api/runs/r1/streams", "streams", "r1"),
    ("GET", "/api/runs/r1/streams/out/a", "streams", "r1"),
    ("GET", "/api/runs/r1/hooks", "hooks", "r1"),
    ("POST", "/api/runs/r1/cancel", "cancel", "r1"),
    ("POST", "/api/runs/r1/wake", "wake", "r1"),
]


async def test_without_authorize_there_is_no_run_api(world: World) -> None:
    async with client_of(app(world, workflows=WORKFLOWS)) as client:
        for method, path, *_ in ASKED:
            answer = await client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


@pytest.mark.parametrize(("method", "path", "action", "run_id"), ASKED)
async def test_it_is_asked_first(
    world: World, method: str, path: str, action: str, run_id: str | None
) -> None:
    """What is refused is neither validated nor looked up: an answer tells nothing."""
    asked: list[tuple[str, str | None]] = []

    async def authorize(request: Request, action: Action, run_id: str | None) -> bool:
        assert request.headers["authorization"] == "Bearer x"
        asked.append((action, run_id))
        return False

    async with client_of(app(world, authorize=authorize, workflows=WORKFLOWS)) as client:
        path += "?odd=1"
        answer = await client.request(method, path, headers={"authorization": "Bearer x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert asked == [(action, run_id)]


def _raising(error: Exception) -> Authorize:
    def authorize(request: Request, action: Action, run_id: str | None) -> bool:
        raise error

    return authorize


def _returning(answer: object) -> Authorize:
    def authorize(request: Request, action: Action, run_id: str | None) -> bool:
        return answer  # type: ignore[return-value]  # as a service might have it wrong

    return authorize


@pytest.mark.parametrize(
    ("authorize", "status", "words"),
    [
        (_raising(KeyError("user")), 403, "authorize() failed"),
        (_raising(PermissionError()), 403, "authorize() failed"),
        (_raising(HTTPException(401, headers={"www-authenticate": "Bearer"})), 401, ""),
        (_returning(None), 403, "not a bool"),
        (_returning("yes"), 403, "not a bool"),
        (_returning(1), 403, "not a bool"),
    ],
)
async def test_anything_but_true_refuses(
    world: World,
    authorize: Authorize,
    status: int,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "perdure"):
        async with client_of(app(world, authorize=authorize)) as client:
            answer = await client.get("/api/runs")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in caplog.text
    assert ("www-authenticate" in answer.headers) is (status == 401)


async def test_a_list_shows_only_runs_that_the_caller_may_get(world: World) -> None:
    """A service that speaks of single runs need not know that lists hold others'."""
    runs = [await start(WORKFLOWS["sleep"], world=world) for _ in range(4)]
    mine = {runs[0].id, runs[2].id}

    def authorize(request: Request, action: Action, run_id: str | None) -> bool:
        return run_id is None or run_id in mine

    async with client_of(app(world, authorize=authorize)) as client:
        answer = await client.get("/api/runs")
    assert {run["id"] for run in answer.json()["runs"]} == mine
    assert not any(run.id in answer.text for run in runs if run.id not in mine)


async def test_a_refusal_is_the_same_whether_there_is_such_a_run_or_not(world: World) -> None:
    run = await start(WORKFLOWS["sleep"], world=world)
    async with client_of(app(world, authorize=_returning(False))) as client:
        answers: list[httpx.Response] = []
        for run_id in (run.id, "run_nobody"):
            answers.append(await client.get(f"/api/runs/{run_id}"))
    assert answers[0].content == answers[1].content


async def test_a_token_s_run_is_named_and_whether_there_is_one_not_told(world: World) -> None:
    asked: list[str | None] = []

    def authorize(request: Request, action: Action, run_id: str | None) -> bool:
        asked.append(run_id)
        return False

    async with Worker(world):
        run = await start(WORKFLOWS["hook"], ["here"], world=world)
        with anyio.fail_after(20):
            while not await run.hooks():
                await anyio.lowlevel.checkpoint()
    async with client_of(app(world, authorize=authorize)) as client:
        answers: list[httpx.Response] = []
        for token in ("here", "nowhere"):
            answers.append(await client.post("/api/hooks/resume", json={"token": token}))
    assert asked == [run.id, None]
    assert {answer.status_code for answer in answers} == {403}
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("may_see", [True, False])
async def test_the_holder_of_a_token_is_named_to_those_who_may_see_it(
    world: World, may_see: bool
) -> None:
    holder = await start(WORKFLOWS["hook"], ["desk-1"], world=world, hook="desk-1")

    def authorize(request: Request, action: Action, run_id: str | None) -> bool:
        return run_id is None or may_see

    body = {"workflow": "hook", "args": ["desk-1"], "hook": "desk-1"}
    async with client_of(app(world, authorize=authorize, workflows=WORKFLOWS)) as client:
        answer = await client.post("/api/runs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "hook_conflict")
        assert (answer.json().get("run_id") == holder.id) is may_see
        assert (holder.id in answer.text) is may_see
        other = await client.post("/api/runs", json={**body, "hook": "desk-2"})
        assert other.status_code == 201
