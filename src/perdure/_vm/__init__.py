"""The edge to wasmtime: engine, instances, images, threads."""

from __future__ import annotations
