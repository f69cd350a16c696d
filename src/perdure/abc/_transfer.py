"""Transfer: sending a run to another world, and taking one in.

At no moment can two worlds work on a run, and at no moment is it in none: it departs for good
before it arrives, it stays whole where it was until it is known to have arrived, and each step can
be repeated by anybody after a crash.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from .._model.ids import RunId
from .._model.runs import RunRecord
from .._model.transfer import Departure, RunCopy, StreamCopy

__all__ = ("Transfer",)


class Transfer(ABC):
    """Departures and arrivals of runs."""

    @abstractmethod
    async def depart(self, departure: Departure) -> RunRecord:
        """End the run here, keeping all of it for the world it goes to; returns it as it is then.

        Atomic: ``run_moved`` is written at the log's next position (key ``run/moved/<position>``,
        facts ``from`` and ``to``, the run's pending work as its payload: ``pure.moved_event``),
        the status becomes ``moving`` with the other world's url as ``payload`` and now as ended
        time; hooks are freed, wake and messages dropped, as when a run ends. From then on the run
        absorbs nothing: a turn that is under way cannot land, no result and no payload is written.

        A step that is running bars it, by its live lease; with ``lose_claims`` its claim counts
        as lost instead, as if its lease had run out now. Log, snapshots and streams stay, and
        ``delete_run`` and ``purge`` pass over the run (``RunLiveError``) until ``confirm``.

        Idempotent: a run that has departed to the same world is returned as it is.

        Raises:
            RunNotFoundError: no such run.
            RunEndedError: it has ended.
            RunMovedError: it has departed to another world.
            RunBusyError: a step of it is running; nothing was changed.
            RunWatchedError: it waits for a run here, or one for it; nothing was changed.
            WorldUnavailableError: the outcome is unknown; ask again.
        """

    @abstractmethod
    async def read_streams(self, run_id: RunId) -> tuple[StreamCopy, ...]:
        """The run's streams by name, whole, with the marks of a repeated write. Reads only.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def arrive(self, copy: RunCopy) -> RunRecord:
        """Take a departed run in, so that it goes on here; returns it as it is then.

        Atomic: record, log, snapshots, streams, hooks, messages and wake are there at once, every
        position, time, id, counter and due time as it was, or nothing is. The status is that of
        before the departure, ``run_moved`` is the last event.

        Idempotent: a run that is here because this copy arrived before is returned as it is and
        not changed, also if it has gone on since.

        Raises:
            RunExistsError: another run of this id is here, or this one from before it left.
            HookTokenHeldError: another run holds a token that it brings; nothing was changed.
            WorldContractError: the copy is not a whole departed run, also if the run is here.
            WorldUnavailableError: the outcome is unknown; ask again.
        """

    @abstractmethod
    async def confirm(self, run_id: RunId) -> RunRecord:
        """Note that a departed run has arrived: ``moving`` becomes ``moved``. Idempotent.

        Only now it is a run that has ended here, to be deleted as any other.

        Raises:
            RunNotFoundError: no such run.
            WorldContractError: it never departed.
        """
