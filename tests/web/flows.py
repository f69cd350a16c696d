"""The workflows and the step of the service that these tests ask."""

from __future__ import annotations

from perdure import Workflow, step

__all__ = ("WORKFLOWS", "add")


@step(name="web:add")
async def add(a: int, b: int) -> int:
    """Their sum."""
    return a + b


def _flow(body: str, parameters: str = "") -> Workflow:
    return Workflow.from_source(
        'import { createHook, createWebhook, sleep } from "workflow";\n'
        'import { add } from "python:web";\n'
        f"export async function flow({parameters}) {{\n"
        '  "use workflow";\n'
        f"  {body}\n"
        "}\n",
        filename="flow.ts",
    )


WORKFLOWS = {
    "sum": _flow('console.log("adding", a, b); return await add(a, b);', "a: number, b: number"),
    "echo": _flow("return value;", "value: unknown"),
    "fail": _flow('throw new RangeError("no such order");'),
    "sleep": _flow('await sleep("1 year");'),
    "hook": _flow('return await createHook({ token, metadata: { for: "Ada" } });', "token: string"),
    "webhook": _flow("for await (const request of createWebhook()) await request.text();"),
    "broken": Workflow.from_source('export async function flow() { "use workflow"; return )'),
}
