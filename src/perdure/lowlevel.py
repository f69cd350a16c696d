"""The pure functions that world authors may call."""

from __future__ import annotations

from ._core.fold import Entity as Entity, fold as fold
from ._core.leases import (
    Claimed as Claimed,
    acquire_lease as acquire_lease,
    check_lease as check_lease,
    rearmed_due_ms as rearmed_due_ms,
)
from ._core.transitions import (
    TABLES as TABLES,
    EntityKind as EntityKind,
    transition as transition,
)
