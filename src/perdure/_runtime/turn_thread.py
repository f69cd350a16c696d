"""Turn thread: a turn taken in a VM thread, which posts the commit where the world lets it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from .._model.commands import Interrupted
from .._model.commit import Committed
from .._vm.reply import Reply
from .._vm.watch import StoppedError, StopReason, Watch, place_here
from ..abc import DirectStorage
from ..errors import PerdureError, SnapshotRejectedError, WorldError
from .carrying import Carrying
from .heap import Heap
from .turn_handler import Idle, Turn, TurnInput, take_turn

__all__ = ("Posted", "take_in_thread")


Posted: TypeAlias = "tuple[Turn | Idle, Committed | None]"  # the world's answer, if it was posted


def take_in_thread(
    shared: Carrying, heap: Heap, given: TurnInput, watch: Watch
) -> Coroutine[Any, Any, Posted]:
    """Take a turn in a VM thread, under *watch*; it has begun when this returns.

    A run that was stopped before begins aside of all others.

    Returns:
        what waits until the turn's commit, if it was posted there, is answered: for the turn, and
        the world's answer if there was one that settles it.

    Cancelled, that stops the guest and waits for the thread to be done with the heap.

    Raises:
        StoppedError: in what waits: the guest was stopped.
    """
    reply: Reply[Posted] = Reply()
    direct = shared.direct

    def work() -> Callable[[], None] | None:
        if not reply.begin():
            return None
        try:
            taken = _take_watched(heap, given, watch)
        except BaseException as exc:  # handed on
            reply.fail(exc)
            return None
        if direct is None or not isinstance(taken, Turn):
            reply.give((taken, None))
        else:
            commit_soon(direct, taken)
        if isinstance(taken, Turn) and taken.commit.outcome is not None:
            return heap.close  # nobody needs it, whatever the commit comes to
        return None

    def commit_soon(direct: DirectStorage, taken: Turn) -> None:
        try:
            direct.commit_soon(taken.commit, partial(answered, taken))
        except Exception:  # which it promises not to: nobody knows what it did
            reply.give((taken, None))

    def answered(taken: Turn, answer: Committed | BaseException) -> None:
        if isinstance(answer, Exception) and _is_doubtful(answer):
            reply.give((taken, None))  # the outcome is unknown: asked again by its id
        elif isinstance(answer, BaseException):
            reply.fail(answer)
        else:
            reply.give((taken, answer))

    shared.pool.hand_over(work, aside=heap.run_id in shared.slow.refusals)
    return reply.wait(partial(watch.stop, StopReason.ABANDONED))


def _take_watched(heap: Heap, given: TurnInput, watch: Watch) -> Turn | Idle:
    place = place_here()
    place.watch = watch
    try:
        taken = take_turn(heap, given)
    except SnapshotRejectedError:
        if watch.reason not in (None, StopReason.DEADLINE):
            watch.check()  # it is not the snapshot's doing
        raise
    finally:
        place.watch = None
    if isinstance(taken, Interrupted):
        raise StoppedError(watch.reason or StopReason.DEADLINE)
    return taken


def _is_doubtful(error: Exception) -> bool:
    """Whether the commit that it answers may have landed; nobody knows with one of no world's."""
    return error.retryable if isinstance(error, WorldError) else not isinstance(error, PerdureError)
