"""Output: data to stdout, as JSON or for people; everything else to stderr."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

__all__ = ("err", "out", "print_json")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout, the same whether or not it is a terminal."""
    print(json.dumps(value, ensure_ascii=False, indent=None if not out.is_terminal else 2))
