"""Fixtures: a service with a worker and the HTTP app, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from perdure import Worker
from perdure.abc import World
from perdure.web import app
from tests.web.clients import BASE, anyone, client_of
from tests.web.flows import WORKFLOWS, add


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything; a worker carries the runs on."""
    site = app(world, base_url=BASE, authorize=anyone, workflows=WORKFLOWS)
    async with Worker(world, steps=[add]), client_of(site) as client:
        yield client
