"""Orders: their types, and the steps that the workflow calls as ``python:orders``.

A step's result counts once, but its body may run twice, if the process dies in between. So what
has an effect outside carries the step's id as its idempotency key. A plain ``def`` runs in a
thread, as it blocks; an ``async def`` on the event loop.
"""

from __future__ import annotations

from pydantic import BaseModel, PositiveInt

import ledger
from perdure import FatalError, step, step_metadata

__all__ = ("Fulfilled", "Line", "Order", "charge", "decision", "quote", "ship")

PRICES = {"lamp": 39_00, "chair": 120_00, "piano": 4_800_00}


class Line(BaseModel):
    """So many of one article."""

    sku: str
    quantity: PositiveInt


class Order(BaseModel):
    """A customer's order."""

    customer: str
    lines: list[Line]


class Fulfilled(BaseModel):
    """What an order came to."""

    cents: int
    payment: str
    parcel: str


@step
async def quote(line: Line) -> int:
    """The price in cents."""
    if line.sku not in PRICES:
        raise FatalError(f"there is no article {line.sku!r}")
    return PRICES[line.sku] * line.quantity


@step
def decision(order_id: str) -> bool | None:
    """A person's decision about a large order; null before there is one."""
    return ledger.decision_on(order_id)


@step(max_retries=8, backoff=2, max_delay=60)
def charge(order_id: str, customer: str, cents: int) -> str:
    """Take the money, once; returns the payment's key."""
    key = step_metadata().id  # the same at each try
    ledger.pay_once(key, order_id, customer, cents)
    return key


@step
async def ship(order_id: str, order: Order) -> str:
    """Hand the parcel over; returns its number."""
    return f"parcel-{order_id[-6:]}-{sum(line.quantity for line in order.lines)}"
