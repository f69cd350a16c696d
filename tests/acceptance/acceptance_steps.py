"""Steps that write down that they ran, for tests that kill their workers."""

from __future__ import annotations

import asyncio
import os
import random

from perdure import (
    FatalError,
    RetryableError,
    resume_hook,
    step,
    step_metadata,
    stop_event,
    writable,
)
from perdure.values import AbortController, AbortSignal


def ran() -> None:
    """One line a body, in one write."""
    with open(os.environ["EFFECTS"], "ab", buffering=0) as file:
        file.write(f"{step_metadata().id} {step_metadata().attempt}\n".encode())


@step(max_retries=20)
async def add(a: int, b: int) -> int:
    ran()
    return a + b


@step(max_retries=20)
async def slow(a: int) -> int:
    await asyncio.sleep(0.03)
    ran()
    return a


@step(max_retries=20)
async def speak(a: int) -> int:
    out, name = writable("spoken"), step_metadata().id
    await out.write([name, "begins"])
    await asyncio.sleep(0.03)
    ran()
    await out.write([name, random.random()])  # another one each time that it runs
    return a


@step
async def refuse(a: int) -> None:
    ran()
    raise FatalError(f"no{a}")


@step(max_retries=20)
async def flaky(text: str) -> str:
    ran()
    if step_metadata().attempt < 2:
        raise RetryableError("again", retry_after=0.01)
    return text


@step(max_retries=20)
async def tell(token: str, value: int) -> None:
    ran()
    await resume_hook(token, value, resume_id=token)


@step(max_retries=20)
async def stop(controller: AbortController, value: int) -> None:
    ran()
    await controller.abort(value)


@step(name="acceptance_steps:holdOn", max_retries=20)
async def hold_on(signal: AbortSignal) -> object:
    ran()
    return await signal.wait()


def note(text: str) -> None:
    with open(os.environ["EFFECTS"], "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


@step
def hold(controller: AbortController) -> bool:
    note("hold")
    is_told = stop_event().wait(30)
    note("hold-told")
    return is_told


@step(name="acceptance_steps:holdAsync")
async def hold_async(controller: AbortController) -> bool:
    note("holdAsync")
    is_told = await asyncio.to_thread(stop_event().wait, 30)
    note("holdAsync-told")
    return is_told


@step(cancellable=True)
async def cut(controller: AbortController) -> None:
    note("cut")
    try:
        await asyncio.sleep(30)
    finally:
        note("cut-told")
