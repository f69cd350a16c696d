"""Descriptors: dataclasses whose fields are kept by their class, not by their instances. Pure."""

from __future__ import annotations

import dataclasses
import inspect
from types import MemberDescriptorType
from typing import Any

__all__ = ("has_descriptors",)


def has_descriptors(owner: Any) -> bool:
    """Whether something of the class's own is called when one of its fields is set."""
    return any(_is_kept(owner, field.name) for field in dataclasses.fields(owner))


def _is_kept(owner: Any, name: str) -> bool:
    attribute: object = inspect.getattr_static(owner, name, None)
    is_slot = isinstance(attribute, MemberDescriptorType)
    return hasattr(attribute.__class__, "__set__") and not is_slot
