"""Machine: what the disk takes to sync, to be read beside a figure."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

__all__ = ("fdatasync_us",)


def fdatasync_us(folder: Path, *, grow: bool) -> float:
    """Median time of syncing 4 KiB that make a file longer, or that do not."""
    path, times = folder / "sync", list[float]()
    sync = getattr(os, "fdatasync", os.fsync)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_BINARY", 0))
    if not grow:
        os.write(descriptor, bytes(4096 * 300))
        os.fsync(descriptor)
        os.lseek(descriptor, 0, os.SEEK_SET)
    for _ in range(300):
        began = time.perf_counter()
        os.write(descriptor, bytes(4096))
        sync(descriptor)
        times.append(time.perf_counter() - began)
    os.close(descriptor)
    path.unlink()
    return statistics.median(times) * 1e6
