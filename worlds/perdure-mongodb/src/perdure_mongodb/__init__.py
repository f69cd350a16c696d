"""The MongoDB world of Perdure: durable runs on a replica set."""

from __future__ import annotations

from ._world import MongoWorld as MongoWorld
