"""Operation error: how an operation failed, as the step's code is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

__all__ = ("OperationError",)


@final
class OperationError(Exception):
    """An operation failed; the code gets an error of this name."""

    def __init__(self, name: str, message: str, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.fields: Mapping[str, object] = fields or {}
