"""The run API: each operation does what its Python twin does, and refuses by name."""

from __future__ import annotations

import json
from typing import Any, cast

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from perdure import get_run
from perdure.abc import World
from tests.web.clients import BASE

pytestmark = pytest.mark.anyio
WEBHOOK_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


async def begin(client: httpx.AsyncClient, workflow: str, *args: object, **more: object) -> str:
    answer = await client.post("/api/runs", json={"workflow": workflow, "args": args, **more})
    assert answer.status_code == 201, answer.text
    run_id = answer.json()["id"]
    assert answer.headers["location"] == f"/api/runs/{run_id}"
    return str(run_id)


async def ended(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/runs/{run_id}", params={"wait": 20})
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    return run


async def test_a_run_is_started_and_its_result_waited_for(client: httpx.AsyncClient) -> None:
    run = await ended(client, await begin(client, "sum", 1, 2))
    assert (run["status"], run["output"], run["error"]) == ("completed", 3, None)


async def test_a_failed_run_shows_its_error(client: httpx.AsyncClient) -> None:
    run = await ended(client, await begin(client, "fail"))
    assert run["status"] == "failed"
    assert (run["error"]["name"], run["error"]["message"]) == ("RangeError", "no such order")


@pytest.mark.parametrize(
    "value", [None, True, 0, -1.5, 2**60, "ä\n\0", [], {"a": [1, {"b": None}]}, "x" * 300_000]
)
async def test_json_crosses_as_the_same_json(client: httpx.AsyncClient, value: object) -> None:
    assert (await ended(client, await begin(client, "echo", value)))["output"] == value


async def test_one_key_is_one_run(client: httpx.AsyncClient) -> None:
    first = await begin(client, "sum", 1, 2, idempotency_key="order-7")
    assert await begin(client, "sum", 1, 2, idempotency_key="order-7") == first
    body = {"workflow": "sum", "args": [3, 4], "idempotency_key": "order-7"}
    answer = await client.post("/api/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


async def test_runs_are_listed_by_pages(client: httpx.AsyncClient) -> None:
    ids = [await begin(client, "sum", n, n, attributes={"shop": "a=b"}) for n in range(3)]
    await begin(client, "sum", 9, 9)
    query: dict[str, Any] = {"attribute": "shop=a=b", "limit": 2}
    first = (await client.get("/api/runs", params=query)).json()
    second = (await client.get("/api/runs", params={**query, "cursor": first["cursor"]})).json()
    assert [run["id"] for run in first["runs"] + second["runs"]] == ids[::-1]
    assert second["cursor"] is None


async def test_events_are_read_by_pages(client: httpx.AsyncClient, world: World) -> None:
    run_id = await begin(client, "sum", 1, 2)
    await ended(client, run_id)
    types: list[str] = []
    after = 0
    while True:
        params = {"after": after, "limit": 2}
        page = (await client.get(f"/api/runs/{run_id}/events", params=params)).json()
        if not page["events"]:
            break
        types += [event["type"] for event in page["events"]]
        after = page["after"]
    assert types == [str(e.event.type) async for e in get_run(run_id, world).events()]


async def test_console_lines_are_read(client: httpx.AsyncClient) -> None:
    run_id = await begin(client, "sum", 1, 2)
    await ended(client, run_id)
    page = (await client.get(f"/api/runs/{run_id}/log", params={"start": -5})).json()
    assert (len(page["lines"]), page["start"]) == (1, 1)
    assert "adding 1 2" in page["lines"][0]


async def test_a_run_is_cancelled_once_and_for_all(client: httpx.AsyncClient) -> None:
    run_id = await begin(client, "sleep")
    path = f"/api/runs/{run_id}/cancel"
    for _ in range(2):
        answer = await client.post(path, json={"reason": "sold out"})
        run = answer.json()
        assert (answer.status_code, run["status"], run["error"]) == (200, "cancelled", "sold out")
    other = await begin(client, "sum", 1, 2)
    await ended(client, other)
    answer = await client.post(f"/api/runs/{other}/cancel", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "run_ended")


async def test_a_run_is_asked_to_end(client: httpx.AsyncClient) -> None:
    run_id = await begin(client, "sleep")
    path = f"/api/runs/{run_id}/cancel"
    body = {"reason": "sold out", "graceful": 60, "children": "cancel"}
    answer = await client.post(path, json=body)
    assert answer.status_code == 200
    assert answer.json()["cancel_at"]
    run = await ended(client, run_id)
    assert (run["status"], run["error"]) == ("cancelled", "sold out")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/runs/run_nobody/cancel", {"graceful": -1}, 422, "invalid_request"),
        ("POST", "/api/runs/run_nobody/cancel", {"graceful": "soon"}, 422, "invalid_request"),
        ("POST", "/api/runs/run_nobody/cancel", {"children": "all"}, 422, "invalid_request"),
        ("GET", "/api/runs/run_nobody", None, 404, "run_not_found"),
        ("GET", "/api/runs/run_nobody/events", None, 404, "run_not_found"),
        ("GET", "/api/runs/run_nobody/log", None, 404, "run_not_found"),
        ("POST", "/api/runs/run_nobody/cancel", {}, 404, "run_not_found"),
        ("POST", "/api/runs/run_nobody/wake", {}, 404, "run_not_found"),
        ("GET", "/api/runs/run_nobody/hooks", None, 404, "run_not_found"),
        ("POST", "/api/hooks/resume", {"token": "nobody"}, 404, "hook_not_found"),
        ("POST", "/api/hooks/resume", {}, 422, "invalid_request"),
        ("GET", "/api/runs/a%20b", None, 404, "run_not_found"),
        ("GET", "/api/runs/a%00b", None, 404, "run_not_found"),
        ("GET", f"/api/runs/{'x' * 201}", None, 404, "run_not_found"),
        ("GET", "/api/runs/%ff", None, 404, "run_not_found"),
        ("GET", "/api/elsewhere", None, 404, "not_found"),
        ("DELETE", "/api/runs", None, 405, "method_not_allowed"),
        ("POST", "/api/runs", {"workflow": "nobody"}, 404, "workflow_not_found"),
        ("POST", "/api/runs", {"workflow": ""}, 422, "invalid_request"),
        ("POST", "/api/runs", {}, 422, "invalid_request"),
        ("POST", "/api/runs", [], 422, "invalid_request"),
        ("POST", "/api/runs", {"workflow": "sum", "arg": [1]}, 422, "invalid_request"),
        ("POST", "/api/runs", {"workflow": "sum", "args": {"a": 1}}, 422, "invalid_request"),
        ("POST", "/api/runs", {"workflow": "echo", "args": ["\ud800"]}, 422, "value_not_carriable"),
        ("POST", "/api/runs", {"workflow": "broken"}, 500, "compile"),
        ("GET", "/api/runs?limit=0", None, 422, "invalid_request"),
        ("GET", "/api/runs?limit=1&limit=2", None, 422, "invalid_request"),
        ("GET", "/api/runs?limt=1", None, 422, "invalid_request"),
        ("GET", "/api/runs?status=odd", None, 422, "invalid_request"),
        ("GET", "/api/runs?cursor=odd", None, 422, "cursor"),
        ("GET", "/api/runs?attribute=odd", None, 422, "usage"),
        ("GET", "/api/runs?error=E&status=completed", None, 422, "usage"),
        ("GET", "/api/runs/r?wait=nan", None, 422, "invalid_request"),
        ("GET", "/api/runs/r/events?after=99999999999999999999", None, 422, "invalid_request"),
    ],
)
async def test_refusals_have_a_code(
    client: httpx.AsyncClient, method: str, path: str, body: object, status: int, code: str
) -> None:
    content = None if body is None else json.dumps(body)
    headers = {"content-type": "application/json"}
    answer = await client.request(method, path, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"\xff", "application/json", 400, "invalid_json"),
        (b"[NaN]", "application/json", 400, "invalid_json"),
        (b"[" * 200_000, "application/json", 400, "invalid_json"),
        (b"9" * 5000, "application/json", 400, "invalid_json"),
        (b'{"workflow": "sleep"}', "text/plain", 415, "not_json"),
        (b"workflow=sleep", "application/x-www-form-urlencoded", 415, "not_json"),
    ],
)
async def test_bodies_that_are_no_json_are_refused(
    client: httpx.AsyncClient, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = await client.post("/api/runs", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_the_description_names_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/openapi.json")).json()
    described = {
        (path, method.upper()) for path, item in document["paths"].items() for method in item
    }
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    routes: set[tuple[str, str]] = set()
    for route in cast(Starlette, transport.app).routes:
        assert isinstance(route, Route)
        webhook = WEBHOOK_METHODS if route.path.endswith("{token:path}") else set[str]()
        is_health = route.path.rpartition("/")[2] in ("health", "flow")
        methods = webhook | (route.methods or set()) - (set() if is_health else {"HEAD"})
        routes |= {(route.path.replace(":path", ""), method) for method in methods | webhook}
    assert described == routes
    assert document["servers"] == [{"url": BASE}]


async def test_a_hook_is_listed_and_resumed(client: httpx.AsyncClient, world: World) -> None:
    run_id = await begin(client, "hook", "approve-7")
    hooks: list[dict[str, Any]] = []
    with anyio.fail_after(20):
        while not hooks:
            hooks = (await client.get(f"/api/runs/{run_id}/hooks")).json()["hooks"]
    (hook,) = hooks
    assert hook["token"] == "approve-7"
    assert (hook["is_webhook"], hook["metadata"]) == (False, {"for": "Ada"})
    body = {"token": "approve-7", "payload": {"approved": True}, "resume_id": "click-1"}
    answer = await client.post("/api/hooks/resume", json=body)
    assert answer.json() == {"run_id": run_id, "hook_id": hook["id"]}
    assert (await ended(client, run_id))["output"] == {"approved": True}
    answer = await client.post("/api/hooks/resume", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "hook_not_found")


async def test_a_sleeping_run_is_woken(client: httpx.AsyncClient) -> None:
    run_id = await begin(client, "sleep")
    path, count = f"/api/runs/{run_id}/wake", 0
    with anyio.fail_after(20):
        while not count:  # until it sleeps
            count = (await client.post(path, json={})).json()["waits"]
    assert count == 1
    assert (await ended(client, run_id))["status"] == "completed"
    answer = await client.post(path, json={"ids": ["step_9"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "usage")
