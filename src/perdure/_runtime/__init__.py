"""The edge that runs runs: start, worker, handlers, handles."""

from __future__ import annotations
