"""Conformance: proves a world by properties, faults and races, beside the reference world.

``check_world(store)`` inside an ordinary test is all that a world's author writes. *store* is a
context manager's factory: each use makes fresh, empty storage and yields a function that makes a
world on it, not opened, with the clock it is handed.
"""

from __future__ import annotations

from ._case import FailIo as FailIo, Tier as Tier
from ._kit import (
    Check as Check,
    Report as Report,
    certify as certify,
    check_names as check_names,
    check_world as check_world,
)
from ._pair import (
    Difference as Difference,
    MakeWorld as MakeWorld,
    Store as Store,
    replay as replay,
)
from ._stores import store_at as store_at
