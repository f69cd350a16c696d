"""Names: which names of files lead to those files on Windows.

Pure. To Windows a backslash parts folders, a colon begins a drive or a hidden stream of a file, a
dot or a blank at the end is not there, and ``nul.txt`` is a device: such a name leads elsewhere.
"""

from __future__ import annotations

import re

__all__ = ("is_windows_name",)

_ODD = re.compile(r'[\\/:*?"<>|\x00-\x1f]|[. ]$')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.I)


def is_windows_name(name: str) -> bool:
    """Whether a file or folder called *name* would have this very name on Windows."""
    return bool(name) and not _ODD.search(name) and not _DEVICE.fullmatch(name)
