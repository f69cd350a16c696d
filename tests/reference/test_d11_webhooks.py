# ruff: noqa: E501  # one program a line
"""D11 and D12 of the reference: webhooks, from createWebhook() to the answer of their callers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from perdure import (
    RetryableError,
    Run,
    Worker,
    Workflow,
    get_hook,
    resume_hook,
    start,
    step,
    step_metadata,
)
from perdure.abc import World
from perdure.errors import HookNotFoundError, RunFailedError, UsageError
from perdure.values import Request, Response
from perdure.web import app
from tests.reference.waiting import until
from tests.web.clients import BASE, client_of
from tests.worlds import EVERY_WORLD, IN_MEMORY

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { createHook, createWebhook } from "workflow";
import { answer, answer_twice, tell } from "python:hooked";

export async function plain() {
  "use workflow";
  const webhook = createWebhook({ metadata: { of: "Ada" } });
  await tell(webhook.url);
  const seen = [];
  for await (const request of webhook) {
    seen.push([request instanceof Request, request.method, new URL(request.url).pathname, request.headers.get("x-a"), await request.text(), "respondWith" in request]);
    if (seen.length === 2) break;
  }
  return seen;
}
export async function fixed() {
  "use workflow";
  const webhook = createWebhook({ respondWith: Response.json({ ok: true }, { status: 201 }) });
  await tell(webhook.url);
  return await (await webhook).json();
}
export async function manual(step: string) {
  "use workflow";
  const webhook = createWebhook({ respondWith: "manual" });
  await tell(webhook.url);
  const request = await webhook, data = await request.json();
  let failure = "";
  try { await request.respondWith(new Response()); } catch (error) { failure = error.name; }
  return [failure, await (step === "twice" ? answer_twice : answer)(request, data.name)];
}
export async function both() {
  "use workflow";
  const hook = createHook(), webhook = createWebhook();
  await tell(hook.token);
  await tell(webhook.token);
  return await Promise.race([hook, webhook]);
}
"""


@dataclass
class Told:
    """What a workflow told the outside."""

    texts: list[str]
    responses: list[Response | None]

    async def text(self, number: int = 0) -> str:
        async def look() -> str | None:
            return self.texts[number] if number < len(self.texts) else None

        return await until(look)


@asynccontextmanager
async def running(
    world: World, name: str, *args: object
) -> AsyncGenerator[tuple[Run, Told, httpx.AsyncClient]]:
    """A run of one of the workflows, and a client of the app."""
    told = Told([], [])

    @step(name="hooked:tell")
    async def tell(text: str) -> None:
        told.texts.append(text)

    @step(name="hooked:answer")
    async def answer(request: Request, name: str) -> str:
        told.responses.append(await request.respond_with(Response(f"hi {name}", status=203)))
        return request.text()

    @step(name="hooked:answer_twice", retry_delay=0)
    async def answer_twice(request: Request, name: str) -> int:
        attempt = step_metadata().attempt
        told.responses.append(await request.respond_with(Response(f"hi {name} {attempt}")))
        if attempt == 1:
            raise RetryableError("once more", retry_after=0)
        return attempt

    flow = Workflow.from_source(SOURCE, name=name)
    async with Worker(world, steps=[tell, answer, answer_twice]), client_of(app(world)) as client:
        yield await start(flow, list(args), world=world, base_url=BASE), told, client


async def test_requests_are_payloads_and_answered_with_202(world: World) -> None:
    async with running(world, "plain") as (run, told, client):
        url = await told.text()
        assert url.startswith(f"{BASE}/.well-known/workflow/v1/webhook/")
        hook = await get_hook(url.rpartition("/")[2], world)
        assert (hook.is_webhook, hook.metadata) == (True, {"of": "Ada"})
        answers = [
            await client.post(url, content=b"body", headers={"X-A": "b"}),
            await client.get(url),
        ]
        assert [(a.status_code, a.content) for a in answers] == [(202, b"")] * 2
        path = url.removeprefix(BASE)
        assert await run.result(timeout=20) == [
            [True, "POST", path, "b", "body", False],
            [True, "GET", path, None, "", False],
        ]
        assert (await client.post(url)).status_code == 404


async def test_a_static_response_is_that_of_the_workflow(world: World) -> None:
    async with running(world, "fixed") as (run, told, client):
        answer = await client.post(await told.text(), json={"a": [1]})
        assert (answer.status_code, answer.json()) == (201, {"ok": True})
        assert answer.headers["content-type"] == "application/json"
        assert await run.result(timeout=20) == {"a": [1]}


async def test_a_step_answers_the_caller_of_a_manual_webhook(world: World) -> None:
    async with running(world, "manual", "once") as (run, told, client):
        answer = await client.post(await told.text(), json={"name": "Ada"})
        assert (answer.status_code, answer.text) == (203, "hi Ada")
        assert await run.result(timeout=20) == [
            "UnavailableInWorkflowContextError",
            '{"name":"Ada"}',
        ]
        assert told.responses == [Response("hi Ada", status=203)]


@pytest.mark.slow
async def test_a_step_that_is_run_again_answers_once(world: World) -> None:
    async with running(world, "manual", "twice") as (run, told, client):
        answer = await client.post(await told.text(), json={"name": "Ada"})
        assert answer.text == "hi Ada 1"
        assert await run.result(timeout=20) == ["UnavailableInWorkflowContextError", 2]
        assert told.responses == [Response("hi Ada 1")] * 2


async def test_a_plain_hook_has_no_public_route(world: World) -> None:
    async with running(world, "both") as (run, told, client):
        hook, webhook = await told.text(0), await told.text(1)
        for token, status in ((hook, 404), ("unknown", 404), (webhook, 202)):
            answer = await client.post(f"/.well-known/workflow/v1/webhook/{token}")
            assert (answer.status_code, answer.content) == (status, b"")
        assert isinstance(await run.result(timeout=20), Request)
        with pytest.raises(HookNotFoundError):
            await get_hook(webhook, world)


@IN_MEMORY
async def test_without_a_base_url_the_url_says_what_to_set(world: World) -> None:
    source = 'import { createWebhook } from "workflow"; export async function w() { "use workflow"; return createWebhook().url; }'
    async with Worker(world, steps=[]):
        run = await start(Workflow.from_source(source), world=world)
        with pytest.raises(
            RunFailedError, match=r"WebhookUrlError.*start\(\).*base_url.*PERDURE_BASE_URL"
        ):
            await run.result(timeout=20)


@IN_MEMORY
@pytest.mark.parametrize(
    ("request_", "response", "text"),
    [
        (Request("POST", "http://a/"), Response(), "nobody waits"),
        (Request("POST", "http://a/", reply="run_a log"), Response(), "no webhook made it"),
        (Request("POST", "http://a/", reply="$reply/a"), "text", "not a str"),
        (Request("POST", "http://a/", reply="$reply/a"), Response(status=0), "give it a status"),
        (
            Request("POST", "http://a/", reply="$reply/a"),
            Response(bytes(2 << 20)),
            "2097[0-9]+ bytes",
        ),
    ],
)
async def test_an_answer_that_cannot_be_sent_is_refused(
    world: World, request_: Request, response: Response, text: str
) -> None:
    @step(name="hooked:refused", max_retries=0)
    async def refused() -> str:
        with pytest.raises(UsageError, match=text):
            await request_.respond_with(response)
        return "refused"

    source = 'import { refused } from "python:hooked"; export async function w() { "use workflow"; return await refused(); }'
    async with Worker(world, steps=[refused]):
        run = await start(Workflow.from_source(source), world=world)
        assert await run.result(timeout=20) == "refused"


@IN_MEMORY
async def test_an_answer_that_comes_too_late_is_none(world: World) -> None:
    async with running(world, "manual", "once") as (run, told, _):
        url = await told.text()
        late = Request("POST", url, body='{"name": "Bo"}', reply="$reply/gone")
        await world.streams.close(run.id, "$reply/gone")
        await resume_hook(url.rpartition("/")[2], late, world=world)
        await run.result(timeout=20)
        assert told.responses == [None]


async def test_outside_a_step_nothing_is_answered() -> None:
    with pytest.raises(UsageError, match="only within a step"):
        await Request("POST", "http://a/", reply="$reply/a").respond_with(Response())
