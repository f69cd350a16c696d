"""Tools: what the agent can do, and the model it asks, as steps that the workflow calls.

The model is a script, so that the example needs no key and its every word can be foretold: it asks
for the square of each number up to the task's, and sends the agent to a page that never comes
every fortieth round. Put the call of a real model in ``ask``; nothing else changes.
"""

from __future__ import annotations

import asyncio
import re
from typing import Literal

from pydantic import BaseModel

from perdure import step

__all__ = ("Call", "Message", "ask", "browse", "calculate", "search")


class Call(BaseModel):
    """A tool that the model wants used."""

    tool: Literal["browse", "calculate", "search"]
    argument: str


class Message(BaseModel):
    """One message of the conversation."""

    role: Literal["user", "model", "tool"]
    text: str
    calls: list[Call] = []


@step(max_retries=5, backoff=2, timeout=60)
async def ask(messages: list[Message]) -> Message:
    """The model's next message."""
    task, *conversation = messages
    wanted = _number_in(task.text)
    own = [message for message in conversation if message.role == "model"]
    number = _number_in(own[-1].text) + 1 if own else 1
    if number > wanted:
        squares = [int(message.text) for message in conversation if message.text.isdigit()]
        return Message(role="model", text=f"{wanted} squares, the last is {squares[-1]}")
    calls = [
        Call(tool="calculate", argument=f"{number} * {number}"),
        Call(tool="search", argument=f"is {number} prime"),
    ]
    if number % 40 == 0:
        calls.append(Call(tool="browse", argument=f"http://slow.example/{number}"))
    return Message(role="model", text=f"question {number}", calls=calls)


@step(max_retries=0, timeout=0.25)
async def browse(url: str) -> str:
    """A page's text. The pages of this example never come."""
    await asyncio.sleep(3600)
    return url


@step
async def calculate(expression: str) -> str:
    """The value of a product."""
    left, right = expression.split(" * ")
    return str(int(left) * int(right))


@step
async def search(question: str) -> str:
    """What is known about a number."""
    number = _number_in(question)
    prime = number > 1 and all(number % divisor for divisor in range(2, number))
    return f"{number} is {'' if prime else 'not '}prime"


def _number_in(text: str) -> int:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0
