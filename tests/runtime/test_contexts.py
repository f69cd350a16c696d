"""What a step leaves in context variables is seen by no other step of its run."""

from __future__ import annotations

from contextvars import ContextVar

import anyio
import pytest

from perdure import Worker, Workflow, start, step
from perdure.abc import World

pytestmark = pytest.mark.anyio

seen: ContextVar[str] = ContextVar("seen", default="nothing")


@step(name="contexts:look")
async def look(mine: str) -> str:
    before = seen.get()
    seen.set(mine)
    await anyio.lowlevel.checkpoint()
    assert seen.get() == mine
    return before


async def test_steps_of_one_run_share_no_context_variables(world: World) -> None:
    flow = Workflow.from_source(
        'import { look } from "python:contexts";\n'
        "export async function flow(): Promise<string[]> {\n"
        '  "use workflow";\n'
        '  const both = async () => Promise.all([look("c"), look("d")]);\n'
        '  return [await look("a"), await look("b"), ...await both()];\n'
        "}\n",
        filename="flow.ts",
    )
    async with Worker(world, steps=[look]):
        run = await start(flow)
        assert await run.result(timeout=10) == ["nothing"] * 4
