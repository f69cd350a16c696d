"""Fixtures of this package's tests: a prefix for each test. The servers are the whole suite's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perdure_s3.testing import Server

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside this file


@pytest.fixture(autouse=True)
def _allowed(credentials: None) -> None:
    """Tests that start a server of their own, or none, have the credentials, too."""


@pytest.fixture
def url(ministack: Server) -> str:
    """A world that is not there yet."""
    return ministack.url()
