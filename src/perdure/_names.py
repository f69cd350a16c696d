"""Names: which names of files lead to those files on Windows.

Pure. To Windows a backslash parts folders, a colon begins a drive or a hidden stream of a file, a
dot or a blank at the end is not there, and ``nul.txt`` is a device: such a name leads elsewhere.
"""

from __future__ import annotations

import re

__all__ = ("is_windows_name",)

_ODD = r'[\\/:*?"<>|\x00-\x1f]|[. ]$'  # compiled at first use, as the next
_DEVICE = r"(?i)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?"


def is_windows_name(name: str) -> bool:
    """Whether a file or folder called *name* would have this very name on Windows."""
    return bool(name) and not re.search(_ODD, name) and not re.fullmatch(_DEVICE, name)
