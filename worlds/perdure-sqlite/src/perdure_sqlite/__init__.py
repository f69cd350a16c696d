"""The SQLite world of Perdure: durable runs in one file."""

from __future__ import annotations

from ._world import SqliteWorld as SqliteWorld
