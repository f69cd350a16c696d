"""The steps of the corpus' runs."""

from __future__ import annotations

from datetime import timedelta

from perdure import RetryableError, step, step_metadata
from perdure._runtime.steps import AnyStep
from perdure.values import AbortSignal, Stream

__all__ = ("HERE", "LATER")


@step(name="corpus_steps:add")
async def add(a: int, b: int) -> int:
    return a + b


@step(name="corpus_steps:speak")
async def speak(out: Stream, word: str) -> int:
    await out.writable().write({"word": word})
    await out.writable().write(word.encode())
    return 2


@step(name="corpus_steps:flaky", max_retries=5)
async def flaky() -> str:
    attempt = step_metadata().attempt
    if attempt == 1:
        raise RetryableError("come again", retry_after=timedelta(days=1))
    return f"attempt {attempt}"


@step(name="corpus_steps:look")
async def look(signal: AbortSignal) -> bool:
    return signal.aborted


@step(name="corpus_steps:awaited")
async def awaited(n: int) -> int:
    return 2 * n


HERE: tuple[AnyStep, ...] = (add, speak, flaky, look)
LATER: tuple[AnyStep, ...] = (*HERE, awaited)  # which the worker that made the corpus lacked
