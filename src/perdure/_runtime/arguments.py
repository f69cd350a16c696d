"""Arguments: values of callers are checked where they pass them, so that no later line fails.

Each function returns its value, or raises a ``UsageError`` that says which argument is wrong and
how it is to be. A value that may be a secret is not repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

from .._protocol.frames import Limits
from ..abc import Capability, DirectStorage, World
from ..errors import UsageError, WorldContractError

__all__ = (
    "checked_attributes",
    "checked_count",
    "checked_limits",
    "checked_number",
    "checked_path",
    "checked_position",
    "checked_text",
    "checked_timeout",
    "checked_world",
    "direct_storage",
    "iterable",
)

T = TypeVar("T")


def checked_world(option: str, value: object) -> World:
    """A world that is an object, not its class, its url or a block that was not entered."""
    if not isinstance(value, World):
        raise UsageError(
            f"{option} is a world, not {_kind(value)}; open one: async with open_world(url) as w"
        )
    return value


def direct_storage(world: World) -> DirectStorage | None:
    """The world's storage, if it takes commits from any thread.

    Raises:
        WorldContractError: the world says so, and its storage does not.
    """
    if Capability.DIRECT_COMMIT not in world.capabilities:
        return None
    storage = world.storage
    if not isinstance(storage, DirectStorage):
        raise WorldContractError(
            f"world {world.url} declares {Capability.DIRECT_COMMIT.name}, but its storage,"
            f" {type(storage).__name__}, is no perdure.abc.DirectStorage"
        )
    return storage


def checked_text(option: str, value: object) -> str:
    """A text that a store can keep."""
    if not isinstance(value, str):
        raise UsageError(f"{option} is a text, not {_kind(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{option}={value!r}: it has half a character") from None
    return value


def checked_count(option: str, value: object, *, least: int) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{option}={_shown(value)}: it is a whole number and at least {least}")
    return value


def checked_position(option: str, value: object) -> int:
    """A whole number of any sign."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{option} is a whole number, not {_kind(value)}")
    return value


def checked_number(option: str, value: object) -> float:
    """A finite number above 0."""
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not sound or not 0 < cast(float, value) < math.inf:
        raise UsageError(f"{option}={_shown(value)}: it is a finite number above 0")
    return cast(float, value)


def checked_timeout(option: str, value: object) -> timedelta:
    """How long to wait; below 0 is not at all."""
    span: timedelta | None = None
    if isinstance(value, timedelta):
        span = value
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        try:
            span = timedelta(seconds=value)
        except OverflowError:
            span = None
    if span is None:
        raise UsageError(
            f"{option}={_shown(value)}: it is seconds as a finite number, or a timedelta"
        )
    return max(span, timedelta(0))


def checked_attributes(value: object) -> dict[str, str]:
    """Texts by name; None is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"attributes is a dict of texts by name, not {_kind(value)}")
    pairs = cast("Mapping[object, object]", value).items()
    return {
        checked_text("a name in attributes", name): checked_text(f"attributes[{name!r}]", text)
        for name, text in pairs
    }


def checked_path(option: str, value: object) -> str:
    """A path as text."""
    if isinstance(value, Path):
        return str(value)
    path = getattr(value, "__fspath__", None)
    text: object = path() if callable(path) and not isinstance(value, type) else value
    if not isinstance(text, str):
        raise UsageError(f"{option} is a path, as text or a Path, not {_kind(value)}")
    if "\0" in text:
        raise UsageError(f"{option}={text!r}: a path has no NUL")
    return text


def checked_limits(value: object) -> Limits:
    """Limits, of whole numbers."""
    if value is None:
        return Limits()
    if not isinstance(value, Limits):
        raise UsageError(f"limits is a perdure.Limits, not {_kind(value)}")
    for field in fields(value):
        checked_count(f"limits.{field.name}", getattr(value, field.name), least=0)
    return value


def iterable(option: str, value: Iterable[T], example: str) -> Iterable[T]:
    """Something with items, which a text is not."""
    unknown = cast(object, value)
    if isinstance(unknown, str | bytes) or not isinstance(unknown, Iterable):
        raise UsageError(f"{option} is a list, not {_kind(unknown)}; write {example}")
    return value


def _kind(value: object) -> str:
    """A value of another type, without its contents."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a value of type {type(value).__name__}"


def _shown(value: object) -> str:
    """A number as it is; of others the type."""
    return repr(value) if isinstance(value, int | float | timedelta) else _kind(value)
