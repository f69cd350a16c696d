"""Values: classes for a world's rows that cost a tenth of a dataclass to define.

A process defines them before it does anything; see ``perdure._value_class`` for the figures.
"""

from __future__ import annotations

from .._value_class import record_class as record_class, value_class as value_class
