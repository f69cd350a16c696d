"""Fixtures that every folder shares; above all the worlds, of which a test names none.

A test that asks for ``world``, ``url`` or ``new_url`` runs on each of ``WORLDS``: in the default
session on those that its marker ``worlds`` names, else on ``DEFAULT``, and on all of them with
``PERDURE_TIER=full``. Which world it is, it sees by nothing but the URL.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

from perdure.abc import World
from perdure.worlds import open_world
from perdure_mongodb.testing import Mongod
from perdure_s3.testing import Server

# How long an example takes says more about the machine than about us.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

WORLDS = ("memory", "sqlite", "mongodb", "s3")
DEFAULT = ("memory", "sqlite")
FULL = os.environ.get("PERDURE_TIER") == "full"
_databases = itertools.count()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each world that is left out says why."""
    if "world_name" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("worlds")
    named = marker.args if marker is not None else DEFAULT
    reopened = metafunc.definition.get_closest_marker("reopened") is not None

    def why_not(name: str) -> str | None:
        if name == "memory" and reopened:
            return "memory:// is gone with its handle: no other process or handle can open it"
        return None if FULL or name in named else f"on {name} with PERDURE_TIER=full"

    metafunc.parametrize(
        "world_name",
        [
            pytest.param(name, marks=[pytest.mark.skip(reason=reason)] if reason else [])
            for name, reason in ((name, why_not(name)) for name in WORLDS)
        ],
    )


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
    async with open_world(url) as made:
        yield made
