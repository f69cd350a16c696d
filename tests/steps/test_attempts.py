"""A hundred attempts of a step to reach what it must not: none of them comes to anything.

Each is code that returns something truthy if it got hold of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from perdure import Fetch, StepLimits, Worker, open_world, start
from perdure._model.ids import RunId
from perdure._runtime.streams.outputs import Outputs
from perdure._runtime.worker.script_doors import ScriptDoors
from perdure._steps.fetching import Fetching, Web
from perdure._steps.frames import Operation
from perdure._steps.operation_error import OperationError
from perdure._steps.operations import Operations
from perdure.errors import ProtocolError, UsageError
from tests.steps.by_hand import flow_of

pytestmark = pytest.mark.anyio

LINES = (Path(__file__).parent / "attempts.txt").read_text(encoding="utf-8").splitlines()
ATTEMPTS = {  # a name in one line, its code in the next
    name.removeprefix("# "): code for name, code in zip(LINES[::2], LINES[1::2], strict=True)
}
STEPS = """
const AsyncFunction = (async () => {}).constructor;
const f = step("f", async (code, url) => {
  try {
    const got = await new AsyncFunction("url", code)(url);
    return got ? "reached: " + String(got).slice(0, 200) : "nothing";
  } catch (error) { return "refused: " + error?.name; }
});
f.maxRetries = 0;
"""


@asynccontextmanager
async def served() -> AsyncGenerator[str]:
    async def to(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.query_string})

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(bytes(100_000))
        return response

    async def bomb(_: web.Request) -> web.Response:
        response = web.Response(body=bytes(50_000_000))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"host": request.headers.get("Host")})

    app = web.Application()
    app.add_routes([web.get("/to", to), web.get("/endless", endless), web.get("/bomb", bomb)])
    app.add_routes([web.get("/slow", slow), web.route("*", "/", echo)])
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


LIMITS = StepLimits(
    instructions=200_000_000,
    heap_bytes=64 << 20,
    seconds=3,
    output_bytes=100_000,
    operations=50,
)


@pytest.mark.slow
async def test_no_attempt_comes_to_anything(tmp_path: Path) -> None:
    assert len(ATTEMPTS) >= 100
    before = sorted(os.listdir(tmp_path))
    body = """const results = {};
      await Promise.all(Object.keys(args[0]).map(async (name) => {
        try { results[name] = await f(args[0][name], args[1]); }
        catch (error) { results[name] = "failed: " + (error.cause?.name ?? error.name); }
      }));
      return results;"""
    async with served() as url, open_world("memory://") as world:
        policy = Fetch(
            [url],
            private=["127.0.0.0/8"],
            timeout=2,
            max_request_bytes=100_000,
            max_response_bytes=1_000_000,
        )
        worker = Worker(
            world, steps=[], fetch=policy, js_steps=LIMITS, env={"ALLOWED": "1"}, max_steps=8
        )
        async with worker:
            run = await start(flow_of(body, STEPS), [ATTEMPTS, url], world=world)
            results: Any = await run.result(timeout=240)
    assert results.keys() == ATTEMPTS.keys()
    reached = {name: text for name, text in results.items() if text.startswith("reached")}
    assert reached == {}
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("os", ()),
        ("__init__", ()),
        ("cancel", ()),
        ("cancel", ("1",)),
        ("drop", (None,)),
        ("drop", (True,)),
    ],
)
async def test_an_operation_that_there_is_not_ends_the_step(
    kind: str, fields: tuple[object, ...]
) -> None:
    operations = Operations({}, most=1)
    with pytest.raises(ProtocolError):
        operations.perform(Operation(kind, 1, fields))
    await operations.aclose()


CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("put", (1, "out", 0, b"")),
    ("put", ("run", "", 0, b"")),
    ("put", ("run", "out", 7, b"")),
    ("put", ("run", "out", True, b"x")),
    ("put", ("run", "out", 0, "text")),
    ("page", ("run", "out", "0")),
    ("page", ("run", "x" * 5000, 0)),
    ("resume", (None, b"")),
    ("resume", ("token", "payload")),
    ("hook", ({},)),
    ("start", ("no entry", b"\x80", {}, None, None)),
    ("start", ("a#b", b"\x80", [], None, None)),
    ("start", ("x" * 5000 + "#b", b"\x80", {}, None, None)),
    ("run", (7,)),
    ("cancelRun", (b"run", None)),
    ("abort", ("run", "abort_1", "reason")),
]


@pytest.mark.parametrize(("door", "fields"), CALLS)
async def test_a_door_refuses_what_it_does_not_take(door: str, fields: tuple[object, ...]) -> None:
    async with open_world("memory://") as world:
        outputs = Outputs(world, writer="run_a/step_1", attempt=1, loop=asyncio.get_running_loop())
        doors = ScriptDoors(world, RunId("run_a"), lambda: outputs)
        with pytest.raises(ProtocolError):
            await doors.performers[door](*fields)


@pytest.mark.parametrize(
    "request_",
    [
        None,
        {},
        [],
        ["GET"],
        ["GET", "http://a/", {}, None, "follow"],
        ["GET", "http://a/", [["a"]], None, "follow"],
        ["GET", "http://a/", [], "text", "follow"],
        [1, "http://a/", [], None, "follow"],
    ],
)
async def test_a_request_that_is_none_is_refused(request_: object) -> None:
    web_ = Web(Fetch(["*"]))
    with pytest.raises(ProtocolError):
        await Fetching(web_, most=1).fetch(request_)
    await web_.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "https://a.b\\@c.d/",
        "https://a.b c.d/",
        "https://a.b/\r\nx: y",
        "https://[::1",
        "https://:99999/",
        "https://a.b:99999999/",
        "//a.b/",
        "a.b",
        "",
    ],
)
async def test_a_url_that_only_a_hostile_guest_sends_is_refused(url: str) -> None:
    web_ = Web(Fetch(["*"]))
    headers: list[object] = []
    with pytest.raises((OperationError, UsageError)):
        await Fetching(web_, most=1).fetch(["GET", url, headers, None, "follow"])
    await web_.aclose()
