"""Systems: what a test needs of the one that it runs on; where that is missing it is skipped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]  # asked for below

__all__ = (
    "needs_eventfd",
    "needs_forks",
    "needs_modes",
    "needs_movable_files",
    "needs_proc",
    "needs_stopping",
    "needs_usage",
)

needs_forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no process")
needs_usage = pytest.mark.skipif(
    resource is None, reason="this system does not tell what a process used"
)
needs_modes = pytest.mark.skipif(
    not hasattr(os, "fchmod"), reason="this system's files have no modes"
)
needs_movable_files = pytest.mark.skipif(
    not hasattr(os, "O_DIRECTORY"), reason="this system's files stay in place while they are open"
)
needs_stopping = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="this system stops no process"
)
needs_eventfd = pytest.mark.skipif(not hasattr(os, "eventfd"), reason="this system has no eventfds")
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system has no /proc"
)
