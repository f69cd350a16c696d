"""The workflows and steps that are reached over HTTP, in whichever framework's service."""

from __future__ import annotations

import os

import anyio
from starlette.requests import Request as HttpRequest

from perdure import Workflow, step, writable
from perdure._runtime.steps import AnyStep
from perdure.values import Request, Response
from perdure.web import Action
from tests.frameworks.sums import add, sums

__all__ = ("KEY", "STEPS", "WORKFLOWS", "authorize")

KEY = "Bearer frameworks"
GATE = "PERDURE_TEST_GATE"  # the path of a file; while it is not there, no step answers


def authorize(request: HttpRequest, action: Action, run_id: str | None) -> bool:
    """Whether the client has the key."""
    return request.headers.get("authorization") == KEY


@step(name="frameworks:answer")
async def answer(request: Request) -> str:
    """Answer the caller of a webhook."""
    gate = anyio.Path(os.environ[GATE])
    await gate.with_suffix(".waiting").write_text(str(os.getpid()))
    while not await gate.exists():  # noqa: ASYNC110  # another process makes the file
        await anyio.sleep(0.01)
    await request.respond_with(Response(f"hi {request.text()}", headers={"x-by": "step"}))
    return "answered"


@step(name="frameworks:tell")
async def tell(count: int) -> None:
    """Write to the run's stream."""
    async with writable() as out:
        for number in range(count):
            await out.write({"n": number})


def _flow(body: str) -> Workflow:
    return Workflow.from_source(
        'import { createHook, createWebhook, sleep } from "workflow";\n'
        'import { answer, tell } from "python:frameworks";\n'
        "export async function flow(value: string) {\n"
        '  "use workflow";\n'
        f"  {body}\n"
        "}\n",
        filename="flow.ts",
    )


WORKFLOWS = {
    "sums": sums,
    "say": _flow("console.log(value); return value;"),
    "sleep": _flow('await sleep("1 year"); return value;'),
    "hook": _flow("return await createHook({ token: value });"),
    "webhook": _flow(
        "const seen = []; for await (const r of createWebhook()) { seen.push([r.method, r.url,"
        ' r.headers.get("x-a"), [...new Uint8Array(await r.arrayBuffer())]]);'
        " if (seen.length == Number(value)) return seen; }"
    ),
    "fixed": _flow(
        'const headers = [["set-cookie", "a=1"], ["set-cookie", "b=2"],'
        ' ["content-type", "text/x"]]; const respondWith = new Response(value, { status: 201,'
        " headers }); return await (await createWebhook({ respondWith })).text();"
    ),
    "tell": _flow("await tell(Number(value)); await createHook(); "),
    "manual": _flow('return await answer(await createWebhook({ respondWith: "manual" }));'),
}
STEPS: list[AnyStep] = [add, answer, tell]
