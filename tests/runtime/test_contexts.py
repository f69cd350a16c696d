"""What a step leaves in context variables is seen by no other step of its run."""

from __future__ import annotations

from contextvars import ContextVar

import anyio
import pytest

from perdure import Worker, Workflow, start, step
from perdure._runtime.contexts import InContext
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


async def test_what_is_awaited_is_cancelled_and_may_handle_it() -> None:
    async def body() -> str:
        seen.set("inside")
        try:
            await anyio.sleep_forever()
        finally:
            seen.set("cleaned")
        return "unreachable"

    with anyio.move_on_after(0):
        await InContext(body())
    assert seen.get() == "nothing"


async def test_an_error_leaves_it_as_it_is() -> None:
    async def body() -> None:
        await anyio.lowlevel.checkpoint()
        raise KeyError("x")

    with pytest.raises(KeyError):
        await InContext(body())
