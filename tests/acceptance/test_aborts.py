"""Steps in another process are told of aborts and cancellations; the processes are real."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import Run, Worker, Workflow, start
from perdure.errors import RunCancelledError
from perdure.worlds import open_world
from tests.acceptance.workers import Workers
from tests.reference.waiting import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.crash,
    pytest.mark.reopened,
    pytest.mark.worlds("sqlite", "mongodb", "s3"),
]
SOURCE = """
import { createHook } from "workflow";
import { hold, holdAsync, cut } from "python:acceptance_steps";
export async function w() {
  "use workflow";
  const controller = new AbortController();
  using hook = createHook({ metadata: controller });
  hook.then((reason) => controller.abort(reason));
  const ends = await Promise.allSettled([hold, holdAsync, cut].map((f) => f(controller)));
  return ends.map((end) => end.value ?? end.reason.name);
}
"""


async def from_outside(run: Run) -> None:
    (hook,) = await run.hooks()
    metadata: Any = hook.metadata
    await metadata.abort("outside")


async def by_the_workflow(run: Run) -> None:
    (hook,) = await run.hooks()
    from perdure import resume_hook

    await resume_hook(hook, "inside")


async def by_cancel(run: Run) -> None:
    await run.cancel()


CAUSES = [from_outside, by_the_workflow, by_cancel]


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_step_in_another_process_is_told(
    url: str, tmp_path: Path, cause: Callable[[Run], Awaitable[None]]
) -> None:
    """The run's turns may be taken by either process; its steps run in the other one alone."""
    effects = tmp_path / "effects"
    effects.touch()
    other = await Workers(url, effects).up()
    try:
        async with open_world(url) as world, Worker(world, steps=[]):
            run = await start(Workflow.from_source(SOURCE), world=world)

            async def lines(count: int) -> list[str]:
                async def look() -> list[str] | None:
                    seen = effects.read_text().split()
                    return seen if len(seen) >= count else None

                return sorted(await until(look))

            assert await lines(3) == ["cut", "hold", "holdAsync"]
            await cause(run)
            told = ["cut-told", "hold-told", "holdAsync-told"]
            assert await lines(6) == sorted([*told, "cut", "hold", "holdAsync"])
            if cause is by_cancel:
                with pytest.raises(RunCancelledError):
                    await run.result(timeout=20)
            else:
                assert await run.result(timeout=20) == [True, True, "AbortError"]
    finally:
        other.terminate()
        assert other.wait(20) == 0
