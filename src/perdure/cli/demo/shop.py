"""The steps of the demo's order flow. Each writes down that its body ran."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from perdure import FatalError, step, step_metadata

EFFECTS = Path(__file__).with_name("effects.jsonl")


async def ran(**facts: object) -> None:
    """Work for a moment, then note that this body has run; a kill may come in between."""
    await asyncio.sleep(0.1)
    me = step_metadata()
    line = json.dumps(
        {"id": me.id, "step": me.step, "attempt": me.attempt, "pid": os.getpid(), **facts}
    )
    with EFFECTS.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@step
async def quote(sku: str, quantity: int) -> int:
    """A price in cents."""
    await ran(sku=sku)
    return quantity * (100 + 7 * len(sku))


@step
async def reserve(sku: str, quantity: int) -> str:
    """A reservation."""
    await ran(sku=sku)
    return f"{quantity}x{sku}"


@step(max_retries=5)
async def charge(customer: str, cents: int) -> dict[str, object]:
    """A receipt, at the third try."""
    attempt = step_metadata().attempt
    await ran(cents=cents)
    if attempt < 3:
        raise ConnectionError(f"the bank did not answer (try {attempt})")
    return {"paid": cents, "by": customer}


@step
async def wrap(items: list[str]) -> None:
    """Never works."""
    await ran(items=len(items))
    raise FatalError("no ribbon left")


@step
async def ship(customer: str, items: list[str]) -> str:
    """A parcel number."""
    await ran(items=len(items))
    return f"parcel-{len(customer)}-{len(items)}"


@step
async def track(parcel: str, look: int) -> str:
    """Where the parcel is."""
    await ran(look=look)
    return ("depot", "van", "street", "doorstep")[min(look, 4) - 1]


@step
async def notify(customer: str, text: str) -> None:
    """A message to the customer."""
    await ran(text=text)
