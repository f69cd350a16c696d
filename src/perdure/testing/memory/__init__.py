"""The reference world: plain dictionaries, the contracts' meaning by example.

Nothing here is clever. Where a docstring in ``perdure.abc`` leaves room, this world's behaviour
decides.
"""

from __future__ import annotations

from ._world import MemoryWorld as MemoryWorld

__all__ = ("MemoryWorld",)
