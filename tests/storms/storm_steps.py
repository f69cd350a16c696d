"""The steps of the storms, and those who race from the test's own process: the same functions."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import anyio

from perdure import (
    Hook,
    HookConflictError,
    HookNotFoundError,
    RetryableError,
    get_hook,
    get_run,
    resume_hook,
    start,
    step,
    step_metadata,
    workflow,
)
from tests.reference.waiting import until

__all__ = ("claimed_by", "hook_of", "rouse_run", "send_all", "send_rounds")

SOURCE = Path(__file__).parent / "storms.ts"
KEYED = workflow(f"{SOURCE}#keyed")
PATIENCE = 300.0  # seconds; a storm's own limit comes before


@step(name="storms:jitter", max_retries=20, retry_delay=0.001)
async def jitter(number: int) -> int:
    """Return *number*, at some time; one in ten fails at its first attempt."""
    await anyio.sleep(random.uniform(0, 0.005))
    if number % 10 == 0 and step_metadata().attempt == 1:
        raise RetryableError("again")
    return number


@step(name="storms:shout", max_retries=0)
async def shout(token: str, names: list[str], times: int) -> None:
    """Send each name so many times."""
    await send_all(token, names, times)


@step(name="storms:drive", max_retries=0)
async def drive(token: str, rounds: int) -> None:
    """Send each round its number."""
    await send_rounds(token, rounds)


@step(name="storms:rouse", max_retries=0)
async def rouse(run_id: str) -> int:
    """Wake the run until it ends; how many sleeps that ended."""
    return await rouse_run(run_id)


@step(name="storms:claim", max_retries=0)
async def claim(token: str) -> str:
    """Start a run with the token; the id of the one that has it."""
    return await claimed_by(token)


async def send_all(token: str, names: list[str], times: int) -> None:
    """Send each name so many times at once, under one id: it counts once with each run."""
    for name in names:
        async with anyio.create_task_group() as group:
            for _ in range(times):
                group.start_soon(_send, token, name)


async def _send(token: str, name: str) -> None:
    await resume_hook(token, name, resume_id=name)


async def hook_of(token: str, *, metadata: object = None) -> Hook:
    """The hook with the token and this metadata, once there is one."""

    async def look() -> Hook | None:
        with contextlib.suppress(HookNotFoundError):
            hook = await get_hook(token)
            return hook if hook.metadata == metadata else None
        return None

    return await until(look, seconds=PATIENCE)


async def send_rounds(token: str, rounds: int) -> None:
    """Send the hook of each round its number; each round has a hook of its own."""
    for number in range(rounds):
        await resume_hook(await hook_of(token, metadata=number), number)


async def rouse_run(run_id: str) -> int:
    """Wake the run until it has ended; how many sleeps that ended."""
    run, count = get_run(run_id), 0
    while not (await run.info()).status.is_ended:
        count += await run.wake()
        await anyio.sleep(0.002)
    return count


async def claimed_by(token: str) -> str:
    """Start a run with the token; the id of the run that has it, this one or another."""
    try:
        return (await start(KEYED, [token], hook=token, attributes={"token": token})).id
    except HookConflictError as exc:
        return str(exc.run_id)
