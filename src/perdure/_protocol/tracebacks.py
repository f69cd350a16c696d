"""Tracebacks: the part of a Python exception's stack that its author wrote.

Pure, but for the source lines that Python's own ``traceback`` shows.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath

__all__ = ("user_traceback",)

_OURS = str(PurePath(__file__).parent.parent)
_PLUMBING = ("asyncio", "anyio", "concurrent", "threading.py")
MAX_FRAMES = 40


def user_traceback(error: BaseException) -> str:
    """The traceback of *error* without the frames that called the user's code, and its notes.

    Empty if there is neither.
    """
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    return "\n".join(filter(None, [_frames(error), *notes]))


def _frames(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    first = 0
    while first < len(frames) and _is_plumbing(frames[first].filename):
        first += 1
    own_frames = frames[first:]
    if not own_frames:
        return ""
    lines = traceback.format_list(own_frames[-MAX_FRAMES:])
    if len(own_frames) > MAX_FRAMES:
        lines.insert(0, f"  … {len(own_frames) - MAX_FRAMES} more …\n")
    return "Traceback (most recent call last):\n" + "".join(lines).rstrip("\n")


def _is_plumbing(filename: str) -> bool:
    if filename.startswith(_OURS):
        return True
    parts = PurePath(filename).parts
    return any(part in _PLUMBING for part in parts) and ("lib" in parts or "site-packages" in parts)
