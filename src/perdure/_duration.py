"""Duration: the meaning of its text. Pure; imports nothing of ours."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ("duration_of",)

# Seconds by a unit's name, the same as the workflow's own ``sleep`` knows.
_NAMES = {
    "ms msec msecs millisecond milliseconds": 0.001,
    "s sec secs second seconds": 1.0,
    "m min mins minute minutes": 60.0,
    "h hr hrs hour hours": 3600.0,
    "d day days": 86_400.0,
    "w week weeks": 604_800.0,
    "y yr yrs year years": 31_557_600.0,
}
_UNITS = {"": 0.001} | {name: of for names, of in _NAMES.items() for name in names.split()}
_PART = r"(?i)\s*(-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+))\s*([a-z]*)\s*"  # compiled at first use
_LONGEST = 36_525 * 86_400.0  # longer waits are cut to this anyway


def duration_of(text: str) -> timedelta | None:
    """The duration that a text such as ``1h 30m`` names, if it names one."""
    seconds, at = 0.0, 0
    while at < len(text):
        part = re.compile(_PART).match(text, at)
        unit = None if part is None else _UNITS.get(part[2].lower())
        if part is None or unit is None or (not part[2] and part.end() < len(text)):
            return None
        seconds += float(part[1]) * unit
        at = part.end()
    return timedelta(seconds=max(-_LONGEST, min(_LONGEST, seconds))) if at else None
