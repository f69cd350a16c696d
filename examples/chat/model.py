"""A language model, of sorts: it answers a token at a time, and never twice the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

from perdure import step
from perdure.values import Stream

__all__ = ("answer", "remember")

OPENINGS = ("That", "is", "a", "good", "question", ".")
WORDS = ("durable", "streams", "resume", "where", "they", "were", "and", "readers", "go", "on")
TOKEN_S = 0.03  # a model's pace
LENGTH = 60


@step(retry_delay=0.1)
async def answer(question: str, tokens: Stream) -> str:
    """Answer, and write each token to the stream as it comes.

    A process that dies in mid-answer leaves a half of it there. The step runs again in the next
    one: tokens that come out the same are not written twice, and where they differ, readers are
    told which of the old ones to drop.
    """
    out, text = tokens.writable(), list[str]()
    async for token in _tokens(question):
        text.append(token)
        await out.write(token)
    return " ".join(text)


@step
async def remember(question: str, text: str) -> None:
    """Where a service would keep the conversation."""


async def _tokens(question: str) -> AsyncIterator[str]:
    for word in (*OPENINGS, f"You asked: {question!r}."):
        yield word
    for _ in range(LENGTH):
        await asyncio.sleep(TOKEN_S)
        yield random.choice(WORDS)
