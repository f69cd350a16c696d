"""Calls: one call of a contract as data, so that a program can be kept, shortened and printed.

A lease that a call is given came from an earlier call's answer; in data it is a ``Held``, the
place where it came from, because each world has its own lease tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import anyio

from ..._model.events import Event, EventType
from ..._model.hooks import HookRecord
from ..._model.queue import Lease
from ..._model.runs import RunFilter, RunRecord
from ...abc import World
from ...errors import PerdureError

__all__ = (
    "Call",
    "Held",
    "MissingLease",
    "answer_of",
    "comparable",
    "leases_in",
    "loose",
    "map_leases",
    "shown",
)

ANSWER_S = 30.0  # a call that takes longer hangs


@dataclass(frozen=True, slots=True)
class Held:
    """The lease at a place in the answer of the call with this number."""

    call: int
    index: int  # among the leases of that answer
    path: str = ""  # the same for a reader: ``[0].lease``


@dataclass(frozen=True, slots=True)
class Call:
    """One call: of a contract (``storage.commit``), or ``advance`` or ``reopen``."""

    number: int  # unique within the program; rises
    name: str
    args: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])


class MissingLease(Exception):
    """A lease is not where a program says it is; the program cannot be played."""


LeaseMap: TypeAlias = Callable[[Any], Any]


def loose(value: Any) -> Any:
    """The value without its type: answers of worlds are walked without being known."""
    return value


def map_leases(value: Any, change: LeaseMap) -> Any:
    """The same value with every lease, or place of one, put through *change*."""
    if isinstance(value, Lease | Held):
        return change(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes: dict[str, Any] = {}
        for item in dataclasses.fields(value):
            old = getattr(value, item.name)
            new = map_leases(old, change)
            if new is not old:
                changes[item.name] = new
        return dataclasses.replace(value, **changes) if changes else value
    if isinstance(value, list | tuple):
        items = loose(value)
        mapped = [map_leases(item, change) for item in items]
        if all(new is old for new, old in zip(mapped, items, strict=True)):
            return loose(value)
        return mapped if isinstance(value, list) else tuple(mapped)
    return value


def leases_in(value: Any, path: str = "") -> Iterator[tuple[str, Lease]]:
    """Every lease in an answer, with the expression that leads to it."""
    if isinstance(value, Lease):
        yield path, value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from leases_in(getattr(value, item.name), f"{path}.{item.name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(loose(value)):
            yield from leases_in(item, f"{path}[{index}]")


async def list_all_runs(world: World, where: RunFilter, *, limit: int) -> list[RunRecord]:
    """Every page of a list; cursors are each world's own."""
    records: list[RunRecord] = []
    cursor: str | None = None
    while True:
        page = await world.catalogue.list_runs(where, cursor=cursor, limit=limit)
        records += page.runs
        cursor = page.cursor
        if cursor is None:
            return records


async def answer_of(world: World, name: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The call's answer, or the error it raised. One that hangs is a ``TimeoutError``."""
    try:
        with anyio.fail_after(ANSWER_S):
            if name == "list_all_runs":
                return await list_all_runs(world, *args, **named)
            contract, _, method = name.partition(".")
            return await getattr(getattr(world, contract), method)(*args, **named)
    except PerdureError as error:
        return error
    except Exception as error:  # a broken world may raise anything: it is compared as an answer
        return error


_FROM_OTHERS = frozenset(  # events that a world writes when it gets to it
    {
        EventType.CHILD_STARTED,
        EventType.CHILD_CONFLICT,
        EventType.CHILD_ENDED,
        EventType.HOOK_REVOKED,
    }
)


def comparable(value: Any, *, times: bool = True) -> Any:
    """The parts of an answer that must be equal: of errors the class, of leases all but the token.

    A world's own url, which a run that departs notes, is not.

    Args:
        times: whether the instants a world chose itself count.
    """
    if isinstance(value, Exception):
        return type(value).__name__
    if isinstance(value, Lease):
        return ("lease", value.item, value.is_wake, value.expires_at_ms if times else 0)
    if isinstance(value, HookRecord) and not times:
        value = dataclasses.replace(value, created_at_ms=0)
    if isinstance(value, Event) and value.type in _FROM_OTHERS and not times:
        value = dataclasses.replace(value, at_ms=0)
    if isinstance(value, Event) and value.type is EventType.RUN_MOVED:
        value = dataclasses.replace(value, facts={**value.facts, "from": ""})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        return (
            type(value).__name__,
            [(n, comparable(getattr(value, n), times=times)) for n in names],
        )
    if isinstance(value, Mapping):
        items = loose(value).items()
        return {key: comparable(item, times=times) for key, item in items}
    if isinstance(value, list | tuple):
        return [comparable(item, times=times) for item in loose(value)]
    return value


def shown(value: Any) -> str:
    """An answer for people; long bytes are cut."""
    text = f"{type(value).__name__}({value})" if isinstance(value, Exception) else repr(value)
    return text if len(text) <= 2000 else f"{text[:2000]}… ({len(text)} characters)"
