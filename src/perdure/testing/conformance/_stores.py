"""Stores: fresh storage by a URL with a place for a name in it."""

from __future__ import annotations

import importlib
import itertools
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import cast, final

from ...abc import World
from ...display import shown_url
from ...errors import UsageError
from ...worldkit.clock import Clock, SystemClock
from ._pair import MakeWorld, Store

__all__ = ("find_opener", "store_at")


def find_opener(name: str) -> Callable[..., World]:
    """The function ``module:name`` that makes a world from a URL and ``clock=``.

    Raises:
        UsageError: there is none.
    """
    module, _, function = name.partition(":")
    try:
        return cast("Callable[..., World]", getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, TypeError, ValueError) as exc:  # a relative name, say
        raise UsageError(f"{name!r} is not a function, written module:name: {exc}") from exc


@final
class _MakeAt:
    """Makes a world at a URL."""

    def __init__(self, url: str, open_at: Callable[..., World]) -> None:
        self.url = url  # whole, with what the world's own url may leave out
        self._open_at = open_at

    def __call__(self, clock: Clock, /) -> World:
        return self._open_at(self.url, clock=clock)


def store_at(url: str, *, opener: str = "perdure.worlds:make_world") -> Store:
    """Fresh storage at *url*, with another name for ``{n}`` each time.

    ``memory://`` needs no ``{n}``.

    Raises:
        UsageError: *url* has no ``{n}``, or *opener* is not there.
        WorldNotFoundError: no installed package serves the scheme.
    """
    if "{n}" not in url and not url.startswith("memory://"):
        raise UsageError(
            f"each check needs fresh storage: put {{n}} into {shown_url(url)!r} where it differs"
        )
    count, name, open_at = itertools.count(), secrets.token_hex(4), find_opener(opener)
    open_at(url.replace("{n}", name), clock=SystemClock())  # a URL nobody serves is told at once

    @contextmanager
    def store() -> Generator[MakeWorld, None, None]:
        mine = url.replace("{n}", f"{name}-{next(count)}")
        if mine == "memory://":
            mine = f"memory://{name}-{next(count)}"
        yield _MakeAt(mine, open_at)

    return store
