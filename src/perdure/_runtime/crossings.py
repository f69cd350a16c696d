"""Crossings: signals that were made in this process, and the runs that they went to.

An abort is written to the log of each of these runs. A run that aborts such a signal itself aborts
it here, where the run is carried in this process, but not in the other runs.
"""

from __future__ import annotations

from contextlib import suppress
from typing import final

from .._abort import SignalState, default_reason, fire, state_of
from .._core.transfer import check_here
from .._core.turn import end_key
from .._model.commit import Append
from .._model.events import Event, EventType
from .._model.ids import EntityId, RunId
from .._protocol.codec import decode, encode
from ..abc import World
from ..errors import PerdureError, RunEndedError, RunNotFoundError
from ..values import UNDEFINED
from .signals import ABORT_MARK, signals_in

__all__ = ("abort_crossed", "fire_event", "tell_crossings", "write_abort")


@final
class Crossing:
    """A signal that went to a run."""

    def __init__(self, own: SignalState, world: World, run_id: RunId) -> None:
        self.world = world
        self.run_id = run_id
        self.state = state_of((run_id, own.key[1]))  # which lives as long as this
        self.state.add(lambda: own.fire(self.state.reason))


async def tell_crossings(payload: bytes, world: World, run_id: RunId) -> None:
    """A payload goes to a run: the signals in it that were made here are the run's, too.

    One that was aborted meanwhile is aborted there.

    Raises:
        WorldError: the world failed.
    """
    if ABORT_MARK not in payload:
        return
    for state in signals_in(decode(payload)):
        if not state.key[0] and run_id not in state.runs:
            state.runs[run_id] = Crossing(state, world, run_id)
            if state.is_aborted:
                await _tell(state, run_id, encode(state.reason, where="reason"))


async def abort_crossed(own: SignalState, payload: bytes) -> None:
    """Abort a signal that was made here, in all runs that it, or one made of it, went to.

    Args:
        payload: the reason.

    Raises:
        WorldError: the world of a run failed; the others were told.
        RunMovedError: a run goes on in another world; the others were told.
    """
    if own.is_aborted:
        payload = encode(own.reason, where="reason")
    failures: list[PerdureError] = []
    for state in own.family():
        for run_id in list(state.runs):
            try:
                await _tell(state, RunId(run_id), payload)
            except PerdureError as exc:
                failures.append(exc)
    own.fire(reason_of(payload))
    if failures:
        raise failures[0]


async def _tell(own: SignalState, run_id: RunId, payload: bytes) -> None:
    """Tell a run that it went to; once is enough."""
    crossing = own.runs[run_id]
    assert isinstance(crossing, Crossing)
    with suppress(RunNotFoundError):  # it was deleted
        await write_abort(crossing.world, run_id, own.key[1], payload)
    own.runs.pop(run_id, None)


async def write_abort(world: World, run_id: RunId, id: str, payload: bytes) -> None:
    """Abort a signal of a run, from outside.

    Raises:
        RunNotFoundError: no such run.
        RunMovedError: it goes on in another world.
        WorldError: the world failed.
    """
    entity = EntityId(id)
    event = Event(
        type=EventType.ABORT_RECEIVED,
        key=end_key(entity),
        at_ms=world.now_ms(),
        entity=entity,
        payload=payload,
    )
    try:
        await world.storage.append(Append(run_id=run_id, event=event))
    except RunEndedError:
        check_here(await world.storage.get_run(run_id))
        return  # nobody is left who could hear of it
    fire_event(run_id, event)


def fire_event(run_id: str, event: Event) -> None:
    """Fire the signal that this event, which is durable, aborts."""
    if event.entity is not None:
        fire((run_id, event.entity), reason_of(event.payload))


def reason_of(payload: bytes | None) -> object:
    """The reason in the payload of an abort."""
    reason: object = UNDEFINED if payload is None else decode(payload)
    return default_reason() if reason is UNDEFINED else reason
