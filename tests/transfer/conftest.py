"""Fixtures: every kind of world, with a place for a name in its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from perdure_mongodb.testing import Mongod
    from perdure_s3.testing import Server


@pytest.fixture(scope="session")
def urls(
    tmp_path_factory: pytest.TempPathFactory, mongod: Mongod, ministack: Server
) -> dict[str, str]:
    """A URL for each kind of world, with a place for a name in it."""
    folder = tmp_path_factory.mktemp("transfer")
    bucket, _, options = ministack.url("&poll=0.05").partition("?")
    return {
        "memory": "memory://{n}",
        "sqlite": f"sqlite:///{folder}/{{n}}.db",
        "mongodb": mongod.url("transfer_{n}"),
        "s3": f"{bucket}-{{n}}?{options}",
        "files": f"files://{folder}/{{n}}?sync=no",
    }
