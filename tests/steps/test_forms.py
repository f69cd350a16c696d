"""Blobs, forms and streams in steps, and fetch as a step of a workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from perdure import Fetch, Worker, Workflow, open_world, start
from tests.steps.by_hand import flow_of

pytestmark = pytest.mark.anyio

LINES = (Path(__file__).parent / "forms.txt").read_text(encoding="utf-8").splitlines()
CASES = [  # the body of a step in one line, its result in the next
    (code, json.loads(result)) for code, result in zip(LINES[::2], LINES[1::2], strict=True)
]


async def test_forms_and_streams() -> None:
    cases = [code for code, _ in CASES]
    steps = """step("f", (code) => new (async () => {}).constructor(code)());"""
    body = "return await Promise.all(args[0].map((code) => f(code).catch((e) => e.stack)));"
    async with open_world("memory://") as world, Worker(world, steps=[]):
        run = await start(flow_of(body, steps), [cases], world=world)
        results: Any = await run.result(timeout=30)
    for (code, expected), result in zip(CASES, results, strict=True):
        assert result == expected, code


async def test_fetch_in_a_workflow_is_a_step() -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=await request.text() + "!", headers={"x-a": "b"})

    app = web.Application()
    app.router.add_route("*", "/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    source = """import { fetch } from "workflow";
      export async function flow(url) { "use workflow";
        const r = await fetch(url, { method: "POST", body: "hello" });
        return [r.status, r.headers.get("x-a"), await r.text()]; }"""
    policy = Fetch([url], private=["127.0.0.1"])
    flow = Workflow.from_source(source, filename="flow.js")
    async with open_world("memory://") as world, Worker(world, steps=[], fetch=policy):
        run = await start(flow, [url], world=world)
        assert await run.result(timeout=20) == [200, "b", "hello!"]
    await runner.cleanup()
