"""Values: frozen, pure, no behaviour beyond validation."""

from __future__ import annotations
