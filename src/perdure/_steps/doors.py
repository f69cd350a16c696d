"""Doors: what a step in JavaScript reaches through its worker, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ("Doors",)


class Doors(Protocol):
    """The worker's side of one execution. Used in the worker's event loop."""

    async def print(self, lines: Sequence[tuple[str, str]]) -> None:
        """Write console lines, level and text, where the workflow's go. Raises nothing."""
        ...
