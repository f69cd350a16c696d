"""A shop: orders come over HTTP and are carried out by a workflow, in this very process.

``uvicorn service:app``. The lifespan opens the world and a worker; handlers name neither. SIGTERM
drains: steps that run end first, and no other begins. Killing it loses nothing, as an order is
durable before its request is answered. The next process goes on where this one was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import ledger
import orders
from orders import Fulfilled, Order
from perdure import (
    RunCancelledError,
    RunFailedError,
    Worker,
    get_run,
    list_runs,
    open_world,
    start,
    workflow,
)
from perdure.errors import (
    IdempotencyConflictError,
    RunNotFoundError,
    RunTimeoutError,
    UsageError,
)
from perdure.model import RunRecord, RunStatus

__all__ = ("app",)

FULFIL = workflow(Path(__file__).with_name("workflows") / "fulfil.ts")
ANSWERS: dict[type[Exception], HTTPStatus] = {
    RunNotFoundError: HTTPStatus.NOT_FOUND,
    RunTimeoutError: HTTPStatus.ACCEPTED,  # it goes on: ask again
    RunFailedError: HTTPStatus.CONFLICT,
    RunCancelledError: HTTPStatus.CONFLICT,
    IdempotencyConflictError: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class Status(BaseModel):
    """Where an order is."""

    id: str
    status: RunStatus
    stage: str

    @classmethod
    def of(cls, record: RunRecord) -> Status:
        stage = record.attributes.get("stage", "received")
        return cls(id=record.run_id, status=record.status, stage=stage)


class Page(BaseModel):
    """Some orders, the newest first, and what leads to the next of them."""

    orders: list[Status]
    cursor: str | None


class Decision(BaseModel):
    """What a person decided about a large order."""

    approved: bool


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    """While the service is up, it carries orders; leaving drains."""
    FULFIL.compile()  # a mistake in the workflow ends the deploy, not the first request
    async with open_world() as world, Worker(world, steps=[orders]):
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=HTTPStatus.ACCEPTED)
async def place(order: Order, idempotency_key: Annotated[str, Header(min_length=1)]) -> Status:
    """Take an order; the same key again is the same order."""
    run = await start(FULFIL, [order], idempotency_key=idempotency_key)
    return Status.of(await run.info())


@app.get("/orders")
async def page(
    stage: str | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page:
    """Orders, of one stage or of all."""
    wanted = {} if stage is None else {"stage": stage}
    try:
        runs = await list_runs(attributes=wanted, cursor=cursor, limit=limit)
    except UsageError as error:  # it is no cursor
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    return Page(orders=[Status.of(record) for record in runs.runs], cursor=runs.cursor)


@app.get("/orders/{order_id}")
async def status(order_id: str) -> Status:
    """Where an order is."""
    return Status.of(await get_run(order_id).info())


@app.get("/orders/{order_id}/result")
async def result(order_id: str, wait: Annotated[float, Query(ge=0, le=60)] = 20) -> Fulfilled:
    """What the order came to, as soon as it has; 202 if it has not within *wait* seconds."""
    return Fulfilled.model_validate(await get_run(order_id).result(timeout=wait))


@app.put("/orders/{order_id}/decision")
async def decide(order_id: str, decision: Decision) -> Decision:
    """Approve or decline a large order; the first decision counts."""
    await get_run(order_id).info()  # there is such an order
    await run_in_threadpool(ledger.decide, order_id, approved=decision.approved)
    return decision


def explain(_: Request, error: Exception) -> JSONResponse:
    """An answer to an error of ``ANSWERS``: its first line, as a stack is for the log."""
    detail = str(error).partition("\n")[0]
    return JSONResponse({"detail": detail}, status_code=ANSWERS[type(error)])


for kind in ANSWERS:
    app.add_exception_handler(kind, explain)
