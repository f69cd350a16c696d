"""Warehouse: where items are loaded into, a database of its own; and the source they come from.

A row has the key of the step that loads it. A step whose process died after that runs again with
the same key, and adds no row.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Contents", "add_once", "contents", "create", "source_rows")

FILE = Path(__file__).with_name("warehouse.db")
ITEM_BYTES = 100_000
CONFIRMED_S = 0.1  # seconds in which a warehouse confirms a row; a worker may die meanwhile


def source_rows(item: int) -> bytes:
    """What the source has of an item: the same at each look, and nothing that compresses."""
    return random.Random(item).randbytes(ITEM_BYTES)


@dataclass(frozen=True)
class Contents:
    """What a load has added to the warehouse."""

    rows: int
    items: int
    digest: str


def create() -> None:
    """Make the warehouse, if there is none."""
    with _opened() as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, item INT, data BLOB)")


def add_once(key: str, item: int, data: bytes) -> None:
    """Load an item; a row with this key that is there is the same row."""
    with _opened() as db:
        db.execute("INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (key, item, data))
    time.sleep(CONFIRMED_S)


def contents(name: str) -> Contents:
    """What a load's runs, whose ids begin with its name, have added; the data by its items."""
    digest, rows, items = hashlib.sha256(), 0, set[int]()
    query = "SELECT item, data FROM rows WHERE key LIKE ? ORDER BY item"
    with _opened() as db:
        for item, data in db.execute(query, [f"{name}-%"]):
            digest.update(data)
            items.add(item)
            rows += 1
    return Contents(rows=rows, items=len(items), digest=digest.hexdigest())


@contextmanager
def _opened() -> Generator[sqlite3.Connection, None, None]:
    """One transaction."""
    with closing(sqlite3.connect(FILE, timeout=60)) as db, db:
        db.execute("PRAGMA synchronous = NORMAL")
        yield db
