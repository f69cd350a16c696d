"""Turn thread: a turn taken in a VM thread, which posts the commit where the world lets it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import TypeAlias

from ..._model.commands import Interrupted
from ..._model.commit import Committed
from ..._vm.reply import Reply
from ..._vm.watch import StoppedError, StopReason, Watch, place_here
from ...abc import DirectStorage
from ...errors import PerdureError, SnapshotRejectedError, WorldError
from .equipment import Carrying
from .heap import Heap
from .turn import Idle, Turn, TurnInput, take_turn

__all__ = ("Posted", "take_in_thread")


Posted: TypeAlias = "tuple[Turn | Idle, Committed | None]"  # the world's answer, if it was posted


def take_in_thread(
    shared: Carrying, heap: Heap, turn_input: TurnInput, watch: Watch
) -> Coroutine[object, object, Posted]:
    """Take a turn in a VM thread, under *watch*; it has begun when this returns.

    A run that was stopped before begins aside of all others.

    Returns:
        an awaitable, until the turn's commit, if it was posted there, is answered: of the turn, and
        the world's answer if there was one that settles it.

    Cancelled, that stops the guest and waits for the thread to be done with the heap.

    Raises:
        StoppedError: by the awaitable: the guest was stopped.
    """
    reply: Reply[Posted] = Reply()
    direct = shared.direct

    def work() -> Callable[[], None] | None:
        if not reply.begin():
            return None
        try:
            turn = _take_watched(heap, turn_input, watch)
        except BaseException as exc:  # handed on
            reply.fail(exc)
            return None
        if direct is None or not isinstance(turn, Turn):
            reply.give((turn, None))
        else:
            commit_soon(direct, turn)
        if isinstance(turn, Turn) and turn.commit.outcome is not None:
            return heap.close  # nobody needs it, also if the commit is refused
        return None

    def commit_soon(direct: DirectStorage, turn: Turn) -> None:
        try:
            direct.commit_soon(turn.commit, partial(answered, turn))
        except Exception:  # which it promises not to: nobody knows what it did
            reply.give((turn, None))

    def answered(turn: Turn, answer: Committed | BaseException) -> None:
        if isinstance(answer, Exception) and _is_doubtful(answer):
            reply.give((turn, None))  # the outcome is unknown: asked again by its id
        elif isinstance(answer, BaseException):
            reply.fail(answer)
        else:
            reply.give((turn, answer))

    shared.pool.hand_over(work, aside=heap.run_id in shared.slow.refusals)
    return reply.wait(partial(watch.stop, StopReason.ABANDONED))


def _take_watched(heap: Heap, turn_input: TurnInput, watch: Watch) -> Turn | Idle:
    place = place_here()
    place.watch = watch
    try:
        turn = take_turn(heap, turn_input)
    except SnapshotRejectedError:
        if watch.reason not in (None, StopReason.DEADLINE):
            watch.check()  # it is not the snapshot's doing
        raise
    finally:
        place.watch = None
    if isinstance(turn, Interrupted):
        raise StoppedError(watch.reason or StopReason.DEADLINE)
    return turn


def _is_doubtful(error: Exception) -> bool:
    """Whether the commit that it answers may have landed; nobody knows with one of no world's."""
    return error.retryable if isinstance(error, WorldError) else not isinstance(error, PerdureError)
