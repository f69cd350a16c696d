"""Scripting: the options of a worker for steps in JavaScript; nothing is loaded for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from typing import cast

from ..._steps.limits import StepLimits
from ..._steps.policy import Fetch
from ..._value_class import value_class
from ..._vm.pool import VmPool
from ...errors import UsageError
from ..arguments import checked_text, iterable

__all__ = ("Scripting", "checked_scripting")


@value_class
class Scripting:
    """Limits and environment of the steps in JavaScript of one worker."""

    pool: VmPool  # that their guests run in
    limits: StepLimits = field(default_factory=StepLimits)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)  # may be secrets
    fetch: Fetch | None = None  # nothing may be fetched


def checked_scripting(pool: VmPool, *, limits: object, env: object, fetch: object) -> Scripting:
    """A worker's options for steps in JavaScript, if each is one.

    Raises:
        UsageError: one is not; names it.
    """
    return Scripting(
        pool=pool,
        limits=_checked_limits(limits),
        env=_checked_env(env),
        fetch=_checked_fetch(fetch),
    )


def _checked_fetch(value: object) -> Fetch | None:
    if value is None:
        return None
    if not isinstance(value, Fetch):
        raise UsageError(f"fetch is a perdure.Fetch, not {value!r:.100}")
    from importlib.util import find_spec  # for a worker that may fetch

    if find_spec("aiohttp") is None:
        raise UsageError("fetch needs an HTTP client: pip install 'perdure[fetch]'")
    return value


def _checked_env(value: object) -> dict[str, str]:
    """Texts by name for ``process.env``: a mapping, or names in the environment of this process.

    Raises:
        UsageError: it is neither, or the environment has no such name.
    """
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {
            checked_text("a name in env", name): checked_text(f"env[{name!r}]", text)
            for name, text in pairs
        }
    names = iterable("env", cast("Iterable[object]", value), "env=['API_KEY']")
    return {name: _text_of(name) for name in (checked_text("a name in env", one) for one in names)}


def _text_of(name: str) -> str:
    text = os.environ.get(name)
    if text is None:
        raise UsageError(
            f"env names {name!r}, which the environment of this process does not have; set it, or "
            f"give its text: env={{{name!r}: ...}}"
        )
    return text


def _checked_limits(value: object) -> StepLimits:
    """Limits of steps in JavaScript; None is the default.

    Raises:
        UsageError: they are none.
    """
    if value is None:
        return StepLimits()
    if not isinstance(value, StepLimits):
        raise UsageError(f"js_steps is a perdure.StepLimits, not {type(value).__name__}")
    for name in (member.name for member in fields(value)):
        number: object = getattr(value, name)
        if not isinstance(number, int | float) or isinstance(number, bool) or not number > 0:
            raise UsageError(f"js_steps.{name}={number!r}: it is a number above 0")
    return value
