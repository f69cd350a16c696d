"""Approvals: somebody asks over HTTP, somebody else decides by a link in a mail, days later.

``PERDURE_BASE_URL=http://127.0.0.1:8000 uvicorn approvals:app``. The run waits for the click, as
long as that takes, without a process: only the link, the time and the decision are kept.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, PositiveInt

import mails
from perdure import Worker, get_run, open_world, start, workflow
from perdure.errors import RunNotFoundError, RunTimeoutError
from perdure.web import app as web_app

__all__ = ("app", "application")

HERE = Path(__file__).parent
APPROVAL = workflow(HERE / "workflows" / "approval.ts")


class Purchase(BaseModel):
    """A purchase to decide on."""

    what: str
    cents: PositiveInt
    buyer: str
    approver: str
    boss: str


class Status(BaseModel):
    """Where it is: ``verdict`` is yes, no or expired; null while nobody has decided."""

    id: str
    verdict: str | None = None
    by: str | None = None


def application(**options: object) -> FastAPI:
    """The service.

    Args:
        options: of its world; a test has a clock of its own.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        APPROVAL.compile()  # a mistake ends the deploy, not the first purchase
        url = f"sqlite:///{HERE}/.perdure/perdure.db"
        async with open_world(url, **options) as world, Worker(world, steps=[mails]):
            yield

    app = FastAPI(title="Approvals", lifespan=lifespan)
    app.post("/purchases", status_code=202)(ask)
    app.get("/purchases/{number}")(status)
    app.mount("/", web_app())  # the links in mails; without authorize there is nothing else
    return app


async def ask(purchase: Purchase) -> Status:
    """Ask for a purchase to be approved."""
    run = await start(APPROVAL, [purchase.model_dump()])
    return Status(id=run.id)


async def status(number: str) -> Status:
    """Whether it is decided, and how."""
    try:
        decision = await get_run(number).result(timeout=0)
    except RunNotFoundError:
        raise HTTPException(404, "no such purchase") from None
    except RunTimeoutError:
        return Status(id=number)
    return Status.model_validate({"id": number, **cast("dict[str, object]", decision)})


app = application()
