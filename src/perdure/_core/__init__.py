"""Pure decisions: transitions, fold, planner, retries, leases."""

from __future__ import annotations
