"""On which worlds a test runs in the default session; see ``world_choice.py``."""

from __future__ import annotations

import pytest

__all__ = ("EVERY_WORLD", "IN_MEMORY")

# For tests of what is stored.
EVERY_WORLD = pytest.mark.worlds("memory", "sqlite", "mongodb", "s3")
# For tests of what is computed, or waited for, whatever stores it.
IN_MEMORY = pytest.mark.worlds("memory")
