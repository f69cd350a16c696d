"""Interval: how long a thread that works may keep the interpreter from one that waits for it.

CPython's is 5 ms, and an event loop releases the interpreter in each of its rounds: to wake one
task it waits two to four times. While a thread of ours works on something large it is shorter.
The interval belongs to the process, so one that the application sets meanwhile is left alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ("SHORT_S", "short_interval")

SHORT_S = 0.0005


class _Holders:
    """Threads that work on something large."""

    lock = threading.Lock()
    count = 0
    usual_s = SHORT_S


@contextmanager
def short_interval() -> Generator[None, None, None]:
    """While inside, threads that wait for the interpreter get it soon. From any thread."""
    with _Holders.lock:
        _Holders.count += 1
        if _Holders.count == 1:
            _Holders.usual_s = sys.getswitchinterval()
            if _Holders.usual_s > SHORT_S:
                sys.setswitchinterval(SHORT_S)
    try:
        yield
    finally:
        with _Holders.lock:
            _Holders.count -= 1
            # Read back it may differ by a rounding.
            if not _Holders.count and abs(sys.getswitchinterval() - SHORT_S) < SHORT_S / 10:
                sys.setswitchinterval(_Holders.usual_s)
