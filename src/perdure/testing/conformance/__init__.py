"""Conformance: proves a world by properties, side by side with the reference world.

``check_world(store)`` inside an ordinary test is all that a world's author writes. *store* is a
context manager's factory: each use makes fresh, empty storage and gives a function that makes a
world on it, not opened, with the clock it is handed.
"""

from __future__ import annotations

from ._kit import (
    Check as Check,
    Report as Report,
    Tier as Tier,
    certify as certify,
    check_world as check_world,
)
from ._pair import MakeWorld as MakeWorld, Store as Store
