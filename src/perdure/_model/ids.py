"""Names of things: typed strings, nothing more.

A run id is ``run_`` and 26 lower-case base32 characters; ids of steps, hooks and waits are
made in the guest (``step_1``, ``hook_2``, ``wait_3``) and are unique within their run.
"""

from __future__ import annotations

from typing import NewType

__all__ = ("Digest", "EntityId", "RunId")

RunId = NewType("RunId", str)
EntityId = NewType("EntityId", str)
Digest = NewType("Digest", str)  # lower-case hex sha256
