"""The broken worlds are modules of this folder, also for processes that the kit starts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
