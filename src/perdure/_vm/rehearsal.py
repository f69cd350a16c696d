"""Rehearsal: likely heaps of a run's first suspensions, for the compressor to know.

A run's first turn changes the heap in much the same way for any input: modules are evaluated, lazy
built-ins appear, promises are made. A few short runs with made-up input, on guests that are thrown
away, make a dictionary with which real deltas are several times smaller. Like the
baseline it is a pure function of engine and bundle: fixed seed, fixed clock, counted limits.
"""

from __future__ import annotations

from collections.abc import Callable

from .._model.commands import Answer, ScheduleStep, StartWait
from .._protocol.codec import decode, encode
from .._protocol.frames import GuestDelivery, Limits, StartFrame
from ..errors import PerdureError
from .instance import Instance
from .watch import StoppedError, StopReason, Watch, check_here

__all__ = ("rehearse",)

_ARGUMENTS: tuple[list[object], ...] = ([], [{}], [9], [["a", "b"]])
_TURNS = 4
_MAX_BODY_BYTES = 48 << 10
_AT_MS = 1_700_000_000_000
_SECONDS = 0.5  # of a processor, for all of them: an ordinary rehearsal takes a few milliseconds
_LIMITS = Limits(instructions=1_000_000, heap_bytes=32 << 20, payload_bytes=1 << 20)


def rehearse(
    instantiate: Callable[[], Instance], body: Callable[[Instance], bytes | None], bundle: bytes
) -> bytes:
    """Bodies of deltas as a run of this bundle may make, the likeliest last; may be empty.

    It is where a rehearsal takes far longer than any should. A worker that has more patience has
    another dictionary then, and cannot read such a snapshot: it rebuilds the run from its log.

    Raises:
        StoppedError: the work that this is a part of was stopped.
    """
    watch = Watch(_SECONDS, share=1.0, patience=None)
    try:
        with watch.here():
            return _rehearse(instantiate, body, bundle, watch)
    except StoppedError as exc:
        if exc.reason is not StopReason.DEADLINE:
            raise
        check_here()
        return b""


def _rehearse(
    instantiate: Callable[[], Instance],
    body: Callable[[Instance], bytes | None],
    bundle: bytes,
    watch: Watch,
) -> bytes:
    name = str(decode(bundle)["name"])
    bodies: list[tuple[int, bytes | None]] = []
    for arguments in _ARGUMENTS:
        guest = instantiate()
        try:
            suspensions = _play(guest, body, name, encode(arguments, where="arguments"))
            watch.check()  # else the last turn may have been cut off anywhere
            bodies += suspensions
        except StoppedError:
            raise
        except PerdureError:
            continue  # A bundle that misbehaves here does so in its runs too, and is told there.
        finally:
            guest.close()
    bodies.sort(key=lambda item: item[0])
    likely = [
        content for _, content in bodies if content is not None and len(content) <= _MAX_BODY_BYTES
    ]
    return b"".join(dict.fromkeys(likely))


def _play(
    guest: Instance, body: Callable[[Instance], bytes | None], name: str, arguments: bytes
) -> list[tuple[int, bytes | None]]:
    """Play a run until it ends or a few turns are over: its first and its last suspension."""
    frame = StartFrame(
        run_id="run_" + 26 * "a",
        workflow=name,
        seed=bytes(32),
        at_ms=_AT_MS,
        input=arguments,
        limits=_LIMITS,
    )
    answer = guest.start(frame)
    suspensions: list[tuple[int, bytes | None]] = []
    for turn in range(_TURNS):
        delivery = _reply(answer, turn + 2)
        if delivery is None:
            break
        suspensions.append((turn + 1, body(guest)))
        answer = guest.resume([delivery])
    return [suspensions[0], suspensions[-1]] if suspensions else [(0, body(guest))]


def _reply(answer: Answer, position: int) -> GuestDelivery | None:
    if answer.outcome is not None:
        return None
    for output in answer.turns:
        for command in output.commands:
            if isinstance(command, ScheduleStep | StartWait):
                is_step = isinstance(command, ScheduleStep)
                return GuestDelivery(
                    position=position,
                    at_ms=_AT_MS + position,
                    kind="step_completed" if is_step else "wait_completed",
                    id=command.id,
                    value=b"\xf6" if is_step else None,
                )
    return None
