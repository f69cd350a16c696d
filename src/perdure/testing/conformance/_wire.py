"""Wire: what processes say to each other, a line at a time: pickles in base64."""

from __future__ import annotations

import base64
import pickle
from typing import Any

__all__ = ("decode", "encode")


def encode(value: Any) -> bytes:
    """A line."""
    return base64.b64encode(pickle.dumps(value)) + b"\n"


def decode(line: bytes) -> Any:
    """What a line of the other process says."""
    return pickle.loads(base64.b64decode(line))
