"""The agent of examples/agent_loop: its worker is killed half-way, and it is cancelled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from perdure import Run, get_run, open_world
from perdure.abc import World
from perdure.model import EventType, LoggedEvent
from tests.examples.programs import Program, commands, copied, running, world_url

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]

ROUNDS = 200
HANGS = ROUNDS // 40  # every fortieth round calls a tool that hangs


async def wait_rounds(run: Run, world: World, rounds: int) -> int:
    """Wait until the run has printed that it has gone so many rounds; how many it has by then."""
    start = rounds // 10 - 1
    while not (page := await world.streams.read(run.id, "log", start=start, wait_ms=5000)).chunks:
        assert not (await run.status()).is_ended
    return 10 * (start + len(page.chunks))


def run_of(agent: Program, world: World) -> Run:
    """The run that the program says it has begun."""
    return get_run(agent.wait_line(r"run (run_\w+);")[1], world)


def transcript() -> Iterator[dict[str, Any]]:
    """Every message that there has to be, in order."""
    yield message("user", f"square the numbers up to {ROUNDS}")
    for number in range(1, ROUNDS + 1):
        hangs = number % 40 == 0
        yield message(
            "model",
            f"question {number}",
            ("calculate", f"{number} * {number}"),
            ("search", f"is {number} prime"),
            *([("browse", f"http://slow.example/{number}")] if hangs else []),
        )
        yield message("tool", str(number * number))
        prime = number > 1 and all(number % divisor for divisor in range(2, number))
        yield message("tool", f"{number} is {'' if prime else 'not '}prime")
        if hangs:
            yield message("tool", "browse failed")
    yield message("model", f"{ROUNDS} squares, the last is {ROUNDS * ROUNDS}")


def message(role: str, text: str, *calls: tuple[str, str]) -> dict[str, Any]:
    """A message as the workflow returns it."""
    return {
        "role": role,
        "text": text,
        "calls": [{"tool": tool, "argument": argument} for tool, argument in calls],
    }


async def test_no_round_is_lost_or_doubled_when_the_worker_is_killed(tmp_path: Path) -> None:
    folder = copied("agent_loop", tmp_path)
    work, ask = commands(folder)
    assert ask.endswith(f" {ROUNDS}")
    async with open_world(world_url(folder)) as world:
        with running(work, folder) as first, running(ask, folder) as agent:
            run = run_of(agent, world)
            reached = await wait_rounds(run, world, ROUNDS * 2 // 5)
            first.kill()
            assert reached < ROUNDS
            with running(work, folder) as last:
                assert agent.wait() == 0, agent.told
                assert last.stop() == 0, last.told
        answer = cast("dict[str, Any]", await run.result(timeout=1))
        asked = [logged async for logged in run.events() if asks(logged)]
    messages = answer["transcript"]
    for one in messages:  # why it failed says how long it took
        one["text"] = re.sub(
            "^browse failed: .* longer than its timeout.*", "browse failed", one["text"]
        )
    assert messages == list(transcript())
    assert answer["rounds"] == len(asked) == ROUNDS + 1
    assert [line for line in agent.lines if line.endswith("ms each")] == agent.lines[-4:]
    print(f"\n{agent.told}")


async def test_a_cancelled_run_ends_where_it_is(tmp_path: Path) -> None:
    folder = copied("agent_loop", tmp_path)
    work, ask = commands(folder)
    async with open_world(world_url(folder)) as world:
        with running(work, folder) as worker, running(ask, folder) as agent:
            run = run_of(agent, world)
            await wait_rounds(run, world, 20)
            with running(f"perdure cancel {run.id} --reason enough", folder) as cancel:
                assert cancel.wait() == 0, cancel.told
            assert agent.wait() == 1
            assert agent.lines[-1] == f"run {run.id} was cancelled: enough"
            assert worker.stop() == 0, worker.told
        *_, last = [logged async for logged in run.events()]
        asked = [logged async for logged in run.events() if asks(logged)]
    assert last.event.type is EventType.RUN_CANCELLED
    assert 20 <= len(asked) < ROUNDS


def asks(logged: LoggedEvent) -> bool:
    """Whether a question to the model begins here."""
    event = logged.event
    return event.type is EventType.STEP_CREATED and event.facts.get("step") == "tools:ask"
