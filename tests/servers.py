"""Fixtures of the tests of every package: the backend, and real servers, one of each a session.

What a server takes to import is imported by its fixture: a test without a server does without.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from perdure_mongodb.testing import Mongod
    from perdure_s3.testing import Server


def pytest_configure(config: pytest.Config) -> None:
    """Let the hundreds of Python processes that tests start keep what they compile.

    Where they are told to keep nothing beside the sources, they spend most of their time on it.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        folder = tempfile.TemporaryDirectory(prefix="perdure-pycache-")
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on asyncio, as services that use Perdure do."""
    return "asyncio"


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mongod, None, None]:
    """A mongod that is a replica set of its own."""
    from perdure_mongodb.testing import replica_set

    with replica_set(tmp_path_factory.mktemp("mongod")) as (server,):
        yield server


@pytest.fixture(scope="session")
def credentials() -> Generator[None, None, None]:
    """Of the S3 servers, in the environment: the usual way, also for processes that tests start."""
    from perdure_s3.testing import KEYS

    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def ministack(credentials: None) -> Generator[Server, None, None]:
    """The quick S3 server, for races."""
    from perdure_s3.testing import running_ministack

    with running_ministack() as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(
    credentials: None, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Server, None, None]:
    """The S3 server that keeps what it has."""
    from perdure_s3.testing import running_seaweed

    with running_seaweed(tmp_path_factory.mktemp("weed")) as server:
        yield server
