"""Printer: where the console of a step in JavaScript is written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ("Printer",)


class Printer(Protocol):
    """The console of one execution. Used in the worker's event loop."""

    async def print(self, lines: Sequence[tuple[str, str]]) -> None:
        """Write console lines, level and text, where the workflow's go. Raises nothing."""
        ...
