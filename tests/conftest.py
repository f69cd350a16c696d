"""Fixtures that every folder shares; above all the worlds, of which a test names none.

A test that asks for ``world``, ``url`` or ``new_url`` runs on each world of ``world_choice.py``.
Which world it is, it sees by nothing but the URL.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from perdure.abc import World
    from perdure_mongodb.testing import Mongod
    from perdure_s3.testing import Server

_databases = itertools.count()


@pytest.fixture
def new_url(
    world_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Generator[Callable[[], str], None, None]:
    """Makes URLs of empty stores, each another one."""
    made = itertools.count()
    if world_name == "memory":
        yield lambda: "memory://"
    elif world_name == "sqlite":
        yield lambda: f"sqlite:///{tmp_path}/perdure{next(made)}.db"
    elif world_name == "s3":
        ministack: Server = request.getfixturevalue("ministack")
        yield lambda: ministack.url("&poll=0.2")
    else:
        yield from _new_databases(request.getfixturevalue("mongod"))


def _new_databases(mongod: Mongod) -> Generator[Callable[[], str], None, None]:
    names: list[str] = []

    def url() -> str:
        names.append(f"whole{next(_databases)}")
        return mongod.url(names[-1])

    yield url
    with mongod.client() as client:
        for name in names:
            client.drop_database(name)


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """The URL of an empty store."""
    return new_url()


@pytest.fixture
async def world(url: str) -> AsyncIterator[World]:
    """An open, empty world of each kind."""
    from perdure.worlds import open_world  # not before a test needs it

    async with open_world(url) as world:
        yield world
