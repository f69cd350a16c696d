"""E4 and E5 of the reference: a handle on a run, whatever became of it."""

from __future__ import annotations

import pytest

from perdure import (
    RunCancelledError,
    RunFailedError,
    Worker,
    Workflow,
    get_run,
    start,
)
from perdure._runtime.inspect.inspection import inspect_run
from perdure.abc import World
from perdure.errors import RunNotFoundError
from tests.reference.test_d_hooks import until_live
from tests.worlds import EVERY_WORLD

pytestmark = [pytest.mark.anyio, EVERY_WORLD]

SOURCE = """
import { createHook, createWebhook } from "workflow";
export async function ok() { "use workflow"; return { a: [1, null] }; }
export async function throws() { "use workflow"; throw new TypeError("mine"); }
export async function waits() {
  "use workflow";
  const webhook = createWebhook({ metadata: "of a webhook" });
  await Promise.all([createHook({ token: "e4", metadata: { of: 1 } }), webhook]);
}
"""


async def test_a_handle_never_raises_by_itself_and_tells_each_end(world: World) -> None:
    nobody = get_run("run_none", world)
    assert not await nobody.exists()
    with pytest.raises(RunNotFoundError, match="run_none"):
        await nobody.result()
    async with Worker(world, steps=[]):
        ok, throws, waits = [
            await start(Workflow.from_source(SOURCE, name=name), world=world)
            for name in ("ok", "throws", "waits")
        ]
        assert await get_run(ok.id, world).exists()
        assert await get_run(ok.id, world).result(timeout=20) == {"a": [1, None]}
        with pytest.raises(RunFailedError, match="TypeError: mine"):
            await throws.result(timeout=20)
        await until_live(world, "e4")
        shown = (await inspect_run(world, waits.id)).as_json()["hooks"]
        assert [(hook["webhook"], hook["metadata"]) for hook in shown] == [
            (True, "of a webhook"),
            (False, {"of": 1}),
        ]
        await waits.cancel("enough")
        with pytest.raises(RunCancelledError, match="enough"):
            await waits.result(timeout=20)
        info = await ok.info()
        assert (info.workflow, info.status) == ("ok", "completed")
        assert info.created_at_ms <= (info.started_at_ms or 0) <= (info.ended_at_ms or 0)
