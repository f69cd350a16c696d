"""Shrinking: the shortest program that still shows the difference, as Python that runs."""

from __future__ import annotations

import dataclasses
import enum
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..._model.transfer import RunCopy
from ._calls import Call, Held, loose
from ._pair import Difference, Store, play

__all__ = ("print_program", "shrink")


def shrink(store: Store, difference: Difference, *, seconds: float = 60.0) -> Difference:
    """The difference with as few and as plain calls as could be found in that time."""
    until = time.monotonic() + seconds
    best = play(store, difference.calls) or difference
    if best is difference:
        best.add_note("(it was not seen again: the world's answers depend on more than the calls)")
        return best
    while time.monotonic() < until:
        shorter = _next(store, best, until)
        if shorter is None:
            break
        best = shorter
    return best


def _next(store: Store, best: Difference, until: float) -> Difference | None:
    """The first variant that still fails."""
    for calls in _variants(best.calls):
        if time.monotonic() >= until:
            return None
        shorter = play(store, calls)
        if shorter is not None and _size(shorter.calls) < _size(best.calls):
            return shorter
    return None


def _size(calls: Sequence[Call]) -> tuple[int, int]:
    return len(calls), sum(len(print_call(call)) for call in calls)


def _variants(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Simpler programs, the much shorter ones first."""
    size = len(calls) // 2
    while size >= 1:
        for start in range(len(calls) - size, -1, -size):
            yield _without(calls, {call.number for call in calls[start : start + size]})
        size //= 2
    for index, call in enumerate(calls):
        for args in _simpler(call.args):
            yield [*calls[:index], dataclasses.replace(call, args=args), *calls[index + 1 :]]


def _without(calls: Sequence[Call], dropped: Collection[int]) -> list[Call]:
    """The program without those calls, and without calls that need a lease of theirs."""
    numbers, rest = set(dropped), list[Call]()
    for call in calls:
        if call.number in numbers:
            continue
        args = tuple(_freed(arg, numbers) for arg in call.args)
        if _needs(args, numbers):
            numbers.add(call.number)
        else:
            rest.append(dataclasses.replace(call, args=args))
    return rest


def _needs(value: Any, numbers: Collection[int]) -> bool:
    if isinstance(value, Held):
        return value.call in numbers
    if isinstance(value, list | tuple):
        return any(_needs(item, numbers) for item in loose(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(_needs(getattr(value, f.name), numbers) for f in dataclasses.fields(value))
    return False


def _freed(value: Any, numbers: Collection[int]) -> Any:
    """The argument without the leases in its lists that are gone."""
    if isinstance(value, list):
        return [item for item in loose(value) if not _needs(item, numbers)]
    if dataclasses.is_dataclass(value) and hasattr(value, "leases"):
        leases = loose(value).leases
        rest = tuple(end for end in leases if not _needs(end, numbers))
        return dataclasses.replace(loose(value), leases=rest)
    return value


def _simpler(value: Any) -> Iterator[Any]:
    """The same with one thing in it left out."""
    if isinstance(value, RunCopy):  # whole or worthless
        return
    if isinstance(value, tuple | list):
        items = list(loose(value))
        make = loose(type(loose(value)))
        for index, item in enumerate(items):
            for simpler in _simpler(item):
                yield make([*items[:index], simpler, *items[index + 1 :]])
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            old = getattr(value, item.name)
            default = _default(item)
            if default is not dataclasses.MISSING and old != default:
                yield dataclasses.replace(value, **{item.name: default})
            if isinstance(old, tuple) and len(loose(old)) > 1:
                rest = loose(old)
                for index in range(len(rest)):
                    fewer = (*rest[:index], *rest[index + 1 :])
                    yield dataclasses.replace(value, **{item.name: fewer})
            for simpler in _simpler(old):
                yield dataclasses.replace(value, **{item.name: simpler})


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return item.default


# --- printing -------------------------------------------------------------------------------------


def print_program(calls: Sequence[Call], *, store: str = "") -> str:
    """The program as Python that runs, given ``store``, and raises the ``Difference``.

    Args:
        store: Python that defines ``store``; empty: the argument of ``check_world``.
    """
    used = {place.call for call in calls for place in _held(call.args)}
    lines = [f"    {f'a{c.number} = ' if c.number in used else ''}{print_call(c)}" for c in calls]
    names = sorted(set(_names([call.args for call in calls])))
    names += sorted(set(_names([list(call.named.values()) for call in calls])) - set(names))
    imports = [f"from perdure.model import {', '.join(sorted(names))}"] if names else []
    return "\n".join(
        [
            *imports,
            "from perdure.testing.conformance import replay",
            "",
            *([store, ""] if store else []),
            "def program(pair):",
            *(lines or ["    pass"]),
            "",
            "replay(store, program)" + ("" if store else "  # store: as given to check_world"),
        ]
    )


def print_call(call: Call) -> str:
    """One call as Python."""
    if call.name in ("advance", "reopen"):
        return f"pair.{call.name}({', '.join(map(_code, call.args))})"
    words = [repr(call.name), *map(_code, call.args)]
    words += [f"{name}={_code(value)}" for name, value in call.named.items()]
    return f"pair.do({', '.join(words)})"


def _code(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Held):
        return f"a{value.call}{value.path}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [
            f"{item.name}={_code(getattr(value, item.name))}"
            for item in dataclasses.fields(value)
            if getattr(value, item.name) != _default(item)
        ]
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, Mapping):
        items = loose(value).items()
        return "{" + ", ".join(f"{_code(k)}: {_code(v)}" for k, v in items) + "}"
    if isinstance(value, tuple):
        inside = ", ".join(map(_code, loose(value)))
        return f"({inside}{',' if len(loose(value)) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(_code, loose(value)))}]"
    return repr(value)


def _names(value: Any) -> Iterator[str]:
    """The public names that a value's code needs."""
    if isinstance(value, enum.Enum) or (
        dataclasses.is_dataclass(value) and not isinstance(value, Held)
    ):
        yield type(value).__name__
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _names(getattr(value, item.name))
    elif isinstance(value, list | tuple):
        for item in loose(value):
            yield from _names(item)


def _held(value: Any) -> Iterator[Held]:
    if isinstance(value, Held):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _held(getattr(value, item.name))
    elif isinstance(value, list | tuple):
        for item in loose(value):
            yield from _held(item)
