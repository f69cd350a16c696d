"""Fixtures: every kind of world, on servers of this folder's own."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest

from perdure_mongodb.testing import replica_set

HELPERS = Path(__file__).parents[2] / "worlds/perdure-s3/tests/servers.py"


def s3_servers() -> ModuleType:
    """The helpers of the S3 world's tests."""
    spec = importlib.util.spec_from_file_location("transfer_s3_servers", HELPERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, str], None, None]:
    """A URL for each kind of world, with a place for a name in it."""
    servers, folder = s3_servers(), tmp_path_factory.mktemp("transfer")
    os.environ.update(servers.KEYS)  # the usual way to credentials
    with replica_set(folder / "mongod") as (mongod,), servers.running_ministack() as ministack:
        bucket, _, options = ministack.url("&poll=0.05").partition("?")
        yield {
            "memory": "memory://{n}",
            "sqlite": f"sqlite:///{folder}/{{n}}.db",
            "mongodb": mongod.url("transfer_{n}"),
            "s3": f"{bucket}-{{n}}?{options}",
            "files": f"files://{folder}/{{n}}?sync=no",
        }
