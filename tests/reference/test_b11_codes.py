"""B11 of the reference: a run that failed says of which kind that was, wherever it is shown."""

from __future__ import annotations

import json

import anyio
import pytest
from typer.testing import CliRunner

from perdure import Limits, Run, RunFailedError, Worker, Workflow, list_runs, start, step
from perdure._protocol.codec import encode
from perdure._runtime.carrier.giving_up import failed, fruitless, turn_deadline_error
from perdure._runtime.carrier.run_codes import code_of_end
from perdure.abc import World
from perdure.cli import app
from perdure.errors import (
    DivergenceError,
    IllegalTransitionError,
    WorldContractError,
    WorldUnavailableError,
)
from perdure.model import EventType, RunCode, RunId
from perdure.testing.memory import MemoryWorld
from tests.worlds import EVERY_WORLD

pytestmark = pytest.mark.anyio


@step(name="codes:fails", max_retries=0)
async def fails() -> None:
    raise ValueError("no")


SOURCE = """
import { fails } from "python:codes";
export async function ok() { "use workflow"; return 1; }
export async function throws() { "use workflow"; throw new TypeError("mine"); }
export async function of_a_step() { "use workflow"; await fails(); }
export async function of_a_result() { "use workflow"; return () => 1; }
export async function no_error() { "use workflow"; throw { odd: 1 }; }
export async function spins() { "use workflow"; for (;;); }
export async function grows() { "use workflow"; const all = []; for (;;) all.push({}); }
"""
ENDS = {
    "throws": RunCode.USER_ERROR,
    "of_a_step": RunCode.USER_ERROR,
    "of_a_result": RunCode.USER_ERROR,
    "no_error": RunCode.USER_ERROR,
    "spins": RunCode.RUNTIME_ERROR,
    "grows": RunCode.RUNTIME_ERROR,
}


async def ended(world: World, name: str) -> Run:
    run = await start(Workflow.from_source(SOURCE, name=name), world=world)
    with pytest.raises(RunFailedError) as failure:
        await run.result(timeout=30)
    assert failure.value.code == ENDS[name]
    return run


@pytest.mark.worlds("memory")
@pytest.mark.parametrize("name", ENDS)
async def test_each_end_has_its_code(world: World, name: str) -> None:
    limits = Limits(heap_bytes=4 << 20, instructions=2_000_000)
    async with Worker(world, steps=[fails], limits=limits):
        run = await ended(world, name)
    assert (await run.info()).code == ENDS[name]


@EVERY_WORLD
async def test_the_code_is_kept_in_plain_text(world: World) -> None:
    async with Worker(world, steps=[fails]):
        run = await ended(world, "throws")
        fine = await start(Workflow.from_source(SOURCE, name="ok"), world=world)
        await fine.result(timeout=30)
    assert (await run.info()).code == "USER_ERROR"
    assert (await fine.info()).code is None
    (listed,) = (await list_runs(status="failed", world=world)).runs
    assert listed == await run.info()
    *_, last = [logged.event async for logged in run.events()]
    assert (last.type, last.facts) == (EventType.RUN_FAILED, {"code": "USER_ERROR"})
    *_, last = [logged.event async for logged in fine.events()]
    assert last.facts == {}


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (None, RunCode.MAX_DELIVERIES_EXCEEDED),
        (WorldUnavailableError("gone"), RunCode.MAX_DELIVERIES_EXCEEDED),
        (DivergenceError("run_a", reason="r"), RunCode.REPLAY_DIVERGENCE),
        (IllegalTransitionError("hook", state="s", event="e"), RunCode.CORRUPTED_EVENT_LOG),
        (WorldContractError("it lies"), RunCode.WORLD_CONTRACT_ERROR),
    ],
)
def test_a_run_that_was_given_up_tells_why(cause: Exception | None, code: RunCode) -> None:
    assert failed(fruitless(RunId("run_a"), None, cause), at_ms=1).code == code


def test_turns_that_take_too_long_have_a_code_of_their_own() -> None:
    assert failed(turn_deadline_error(1), at_ms=1).code == RunCode.REPLAY_TIMEOUT


@pytest.mark.parametrize("payload", [None, b"\x9f", encode(float("nan"), where="error")])
def test_what_cannot_be_read_is_the_workflows(payload: bytes | None) -> None:
    assert code_of_end(payload) == RunCode.USER_ERROR


def test_the_command_line_shows_other_codes_than_the_usual() -> None:
    url = "memory://codes"

    async def fail() -> Run:
        limits = Limits(instructions=2_000_000)
        async with MemoryWorld(url) as world, Worker(world, limits=limits):
            return await ended(world, "spins")

    run = anyio.run(fail)

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--world", url])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "failed RUNTIME_ERROR" in call("runs")
    assert "failed RUNTIME_ERROR" in call("inspect", run.id)
    (row,) = json.loads(call("runs", "--json"))
    assert row["code"] == "RUNTIME_ERROR"
