"""Items: the steps of the nightly load, which the workflow calls as ``python:items``.

All of them block, so they are plain functions, which run in threads.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import warehouse
from perdure import FatalError, step, step_metadata

__all__ = ("Staged", "extract", "ingest", "load", "stage")

STAGE = Path(__file__).with_name("staged")  # in production a bucket that all workers reach


@dataclass
class Staged:
    """A payload outside: its file, to be found again, and its digest, to be sure of it."""

    file: str
    digest: str
    bytes: int


@step
def extract(item: int) -> bytes:
    """An item's rows, as the step's result: they are stored with the run, and cross it."""
    return warehouse.source_rows(item)


@step
def load(item: int, rows: bytes) -> None:
    """Add an item to the warehouse, once."""
    warehouse.add_once(step_metadata().id, item, rows)


@step
def stage(item: int) -> Staged:
    """An item's rows, put aside: where they are is the step's result."""
    rows = warehouse.source_rows(item)
    digest = hashlib.sha256(rows).hexdigest()
    STAGE.mkdir(exist_ok=True)
    path = STAGE / digest
    path.write_bytes(rows)
    return Staged(file=path.name, digest=digest, bytes=len(rows))


@step
def ingest(item: int, staged: Staged) -> None:
    """Add what was put aside to the warehouse, once."""
    rows = (STAGE / staged.file).read_bytes()
    if hashlib.sha256(rows).hexdigest() != staged.digest:
        raise FatalError(f"item {item} is not what was staged")
    warehouse.add_once(step_metadata().id, item, rows)
