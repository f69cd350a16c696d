# ruff: noqa: E501  # one program a line
"""D11: requests of manual webhooks that were passed on, and are answered where they went."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from perdure import Run, Worker, Workflow, resume_hook, start, step
from perdure._runtime.steps import AnyStep
from perdure.abc import World
from perdure.errors import HookNotFoundError, RunFailedError
from perdure.values import Request, Response
from perdure.web import app
from tests.reference.test_d11_webhooks import Told
from tests.reference.waiting import until
from tests.web.clients import BASE, client_of
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]


FORWARDS = """
import { createHook, createWebhook } from "workflow";
import { start } from "workflow/api";
import { answer, begin, send, tell } from "python:forwarded";
export async function child(request: Request) {
  "use workflow";
  return [await request.text(), await answer(request)];
}
export async function waits() {
  "use workflow";
  return await child(await createHook({ token: "forwarded" }));
}
export async function by_child() {
  "use workflow";
  return await (await start(child, [await received()])).returnValue;
}
export async function by_grandchild() {
  "use workflow";
  return await (await start(passes_on, [await received()])).returnValue;
}
export async function passes_on(request: Request) {
  "use workflow";
  return await (await start(child, [{ ...{}, request }.request])).returnValue;
}
export async function by_a_step() {
  "use workflow";
  return await (await begin(await received())).returnValue;
}
export async function by_payload() {
  "use workflow";
  const other = await start(waits);
  await send(await received());
  return await other.returnValue;
}
export async function leaves() {
  "use workflow";
  await start(waits);
  const request = await received();
  await send(request);
}
async function received() {
  const webhook = createWebhook({ respondWith: "manual" });
  await tell(webhook.url);
  return await webhook;
}
"""


@asynccontextmanager
async def forwarding(
    world: World, name: str
) -> AsyncGenerator[tuple[Run, Told, httpx.AsyncClient, anyio.Event]]:
    told, may_answer = Told([], []), anyio.Event()

    @step(name="forwarded:tell")
    async def tell(text: str) -> None:
        told.texts.append(text)

    @step(name="forwarded:answer")
    async def answer(request: Request) -> str:
        await may_answer.wait()
        told.responses.append(await request.respond_with(Response("from afar")))
        return "answered"

    @step(name="forwarded:begin")
    async def begin(request: Request) -> Run:
        return await start(Workflow.from_source(FORWARDS, name="child"), [request])

    @step(name="forwarded:send")
    async def send(request: Request) -> None:
        async def look() -> bool:
            with contextlib.suppress(HookNotFoundError):
                await resume_hook("forwarded", request, resume_id="once", world=world)
                return True
            return False

        await until(look)

    steps: list[AnyStep] = [answer, begin, send, tell]
    async with Worker(world, steps=steps), client_of(app(world)) as client:
        flow = Workflow.from_source(FORWARDS, name=name)
        yield await start(flow, world=world, base_url=BASE), told, client, may_answer


@pytest.mark.parametrize("way", ["by_child", "by_grandchild", "by_a_step", "by_payload"])
async def test_a_request_that_was_passed_on_is_answered_where_it_went(
    world: World, way: str
) -> None:
    async with forwarding(world, way) as (run, told, client, may_answer):
        may_answer.set()
        answer = await client.post(await told.text(), content=b"to afar")
        assert (answer.status_code, answer.text) == (200, "from afar")
        assert await run.result(timeout=20) == ["to afar", "answered"]
        assert told.responses == [Response("from afar")]


async def test_one_whose_run_has_ended_has_nobody_who_waits(world: World) -> None:
    async with forwarding(world, "leaves") as (run, told, client, may_answer):
        answer = await client.post(await told.text(), content=b"to afar")
        assert (answer.status_code, answer.content) == (404, b"")
        await run.result(timeout=20)
        may_answer.set()

        async def look() -> list[Response | None]:
            return told.responses

        assert await until(look) == [None]


@IN_MEMORY
async def test_one_of_another_world_is_refused_by_name(world: World) -> None:
    @step(name="hooked:stranger", max_retries=0)
    async def stranger() -> None:
        request = Request("POST", "http://a/", reply="run_elsewhere $reply/a")
        await request.respond_with(Response())

    source = 'import { stranger } from "python:hooked"; export async function w() { "use workflow"; await stranger(); }'
    async with Worker(world, steps=[stranger]):
        run = await start(Workflow.from_source(source), world=world)
        with pytest.raises(RunFailedError, match="run_elsewhere is not in this world"):
            await run.result(timeout=20)
