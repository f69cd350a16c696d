"""Fixtures of this package's tests: servers, one of each a session, a prefix for each test."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file

from servers import KEYS, Server, running_ministack, running_seaweed

os.environ.update(KEYS)  # the usual way to credentials


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on asyncio, as the driver does."""
    return "asyncio"


@pytest.fixture(scope="session")
def ministack() -> Generator[Server, None, None]:
    """The quick server, for races."""
    with running_ministack() as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    """The server that keeps what it has."""
    with running_seaweed(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture
def url(ministack: Server) -> str:
    """A world that is not there yet."""
    return ministack.url()
