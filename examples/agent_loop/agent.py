"""Have the agent answer so many questions: ``python agent.py 200``, beside a worker.

Starts the run, waits for its answer, and prints how long a round took early and late.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

from pydantic import BaseModel

from perdure import Run, RunCancelledError, open_world, start, workflow
from perdure.model import EventType
from tools import Message

AGENT = workflow(Path(__file__).with_name("workflows") / "agent.ts")
QUARTERS = 4


class Answer(BaseModel):
    """What the workflow returns."""

    rounds: int
    text: str
    transcript: list[Message]


async def main(questions: int) -> None:
    """Ask, and show the answer and the pace."""
    async with open_world():
        run = await start(AGENT, [f"square the numbers up to {questions}"])
        print(f"run {run.id}; perdure cancel {run.id} stops it", flush=True)
        try:
            answer = Answer.model_validate(await run.result())
        except RunCancelledError as cancelled:
            sys.exit(str(cancelled))
        print(f"after {answer.rounds} rounds, {len(answer.transcript)} messages: {answer.text}")
        rounds = await durations(run)
    size = len(rounds) // QUARTERS
    for first in range(0, size * QUARTERS, size):
        pace = median(rounds[first : first + size])
        print(f"rounds {first + 1} to {first + size}: {pace:.0f} ms each")


async def durations(run: Run) -> list[int]:
    """Milliseconds from each question to the model to the next."""
    asked = [
        logged.event.at_ms
        async for logged in run.events()
        if logged.event.type is EventType.STEP_CREATED
        and logged.event.facts.get("step") == "tools:ask"
    ]
    return [after - before for before, after in pairwise(asked)]


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
