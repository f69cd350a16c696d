"""Fixtures of this package's tests: a real server for the session, a database for each test."""

from __future__ import annotations

import gc
import itertools
import sys
import warnings
from collections.abc import Generator
from pathlib import Path

import pytest

from perdure_mongodb.testing import Mongod, replica_set

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file

_count = itertools.count()


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on asyncio, as the drivers do."""
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mongod, None, None]:
    """A mongod that is a replica set of its own."""
    with replica_set(tmp_path_factory.mktemp("mongod")) as (mongod,):
        yield mongod


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Generator[str, None, None]:
    """Each of the drivers."""
    name: str = request.param
    if name == "pymongo":
        # PyMongo's asyncio client, closed while its monitor connects, leaves that socket to the
        # garbage collector (pool_shared._async_create_connection, PyMongo 4.20).
        request.applymarker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
    yield name
    if name == "pymongo":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
def database(server: Mongod) -> Generator[str, None, None]:
    """A database that is not there yet."""
    name = f"test{next(_count)}"
    yield name
    with server.client() as client:
        client.drop_database(name)


@pytest.fixture
def url(server: Mongod, database: str, driver: str) -> str:
    """A world's URL, with each of the drivers."""
    return f"{server.url(database)}&driver={driver}"


@pytest.fixture
def motor_url(server: Mongod, database: str) -> str:
    """A world's URL, for what has nothing to do with the driver."""
    return server.url(database)
