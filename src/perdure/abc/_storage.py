"""Storage: runs, their logs, hook tokens, and the commit that binds everything.

Every write lands whole or not at all, is durable once it returns, and can be repeated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from .._model.commit import Append, Appended, Committed, TurnCommit
from .._model.events import LoggedEvent
from .._model.hooks import HookRecord
from .._model.ids import RunId
from .._model.runs import NewRun, RunRecord
from .._model.state import RunState

__all__ = ("DirectStorage", "Storage")


class Storage(ABC):
    """Runs and their logs, and the two ways in which a commit reaches other runs.

    **Children.** Each of a commit's ``starts`` is created as by ``create_run``, in order, after its
    events, also with an outcome. A run that is there with the same workflow and input is the same
    run. If another has its id, or its token, nothing of the start comes to be, and
    ``child_conflict`` is written to the committing run's log (key ``<entity>/end``, fact
    ``run_id``: the run that is there instead; fact ``token`` if it holds that). A start with
    ``asks`` has ``child_started`` written there otherwise (same key, fact ``run_id``).

    **Watches.** Each of a commit's ``watches``, after its starts, has the end of a run told to the
    committing one: ``child_ended`` in its log (key ``<entity>/end``, payload that of the end,
    facts ``run_id``, ``status``, and ``code`` of a failure), by the write that ends that run,
    whichever it is. It is told at once if the run has ended, is in another world (status
    ``moved``), or is not there (``missing``). A watcher that has ended is told nothing, nor is a
    later run of its id (see ``watch_fence``).

    **Cancels.** Each of a commit's ``cancels``, after its watches and also with an outcome, is
    appended to its run as by ``append``; a run that has ended, or is not there, is passed over.
    A ``run_cancelled`` or ``cancel_requested`` with the fact ``children`` (True), by any
    write, is also appended to each run that the log of its run says it created (``child_created``
    without ``child_conflict``) and that has this run as ``$parentRunId``, to theirs, and so on
    down: wherever it is new. Where it is there already it goes no further.

    A run that has such an event written to its log is due at once. All of it is there once the
    commit returns. With an outcome, watches are passed over and no answers are written.
    """

    @abstractmethod
    async def create_run(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Create a run with its ``run_created`` event at position 1 and a wake that is due at once.

        Atomic and idempotent: a run id that is there already returns the stored run and False; its
        level, secret and base url stay the stored ones. A record's secret is shown nowhere: in no
        repr, message, log or list for people.
        The event's key is ``run/created``, its payload the input, its facts ``workflow``,
        ``bundle`` and ``engine``, its time ``new.created_at_ms``.

        **Keyed start.** With ``new.hook`` the token is claimed in the same write, ``hook_created``
        at position 2 says so (facts ``token`` and ``webhook``), and the run's first turn begins
        with the hook. While another run holds the token nothing of this one comes to be. A creator
        that died on the way bars others for a minute at most.

        Raises:
            IdempotencyConflictError: the run id is there with another workflow or input. (With
                an idempotency key the id derives from the key.)
            HookConflictError: another run holds the token; names it.
            WorldUnavailableError: the outcome is unknown; ask again.
        """

    @abstractmethod
    async def append(self, append: Append) -> Appended:
        """Write one event from outside a turn, and make the run due if ``wake``.

        Atomic with the end (or release) of ``append.lease``. Idempotent by the event's key: a
        key that is there already changes nothing in the log, returns the first position, and still
        wakes and still ends the lease. ``run_cancelled`` ends the run: status, ``payload`` and
        ended time are set, hooks freed, its wake and messages dropped, and watchers told, in the
        same write.

        ``cancel_requested`` (key ``run/cancel``, fact ``deadline_ms``) asks the run to end: its
        record has that time as ``cancel_at_ms`` from this write on, and its messages that nobody
        has a live lease on are gone with it. The event is logged with the names of the others as
        fact ``running``, and with those of the withdrawn ones that somebody had claimed, and not
        returned unrun, as ``retrying``: each a text, sorted, with blanks between, absent if empty.

        A lease on another run's wake or message counts as no longer live.

        ``attributes_set`` merges its facts into the run's attributes in the same write.

        A key that is there is looked up before anything else, also on an ended run (then
        nothing else is done).

        Raises:
            RunNotFoundError: no such run.
            RunEndedError: the run has ended.
            LeaseLostError: ``append.lease`` is no longer live; nothing was changed.
            HookNotFoundError: ``hook_received`` or ``hook_disposed`` for a hook that is not live;
                another run may have taken its token.
            AttributeLimitError: the run would have more than 64 attributes; nothing was changed.
            WorldUnavailableError: the outcome is unknown; ask again.
        """

    @abstractmethod
    async def commit(self, commit: TurnCommit) -> Committed:
        """Land everything one turn did, at once.

        **Order.** The deliveries, then the events, at the next positions of the log; then, if
        there is an outcome, ``run_completed``, ``run_failed`` or ``run_cancelled`` (key
        ``run/ended``, a failure's code as fact ``code`` and in the run's record). The run's
        turn rises by one, its ``consumed`` and ``log_digest`` are replaced, a pending run becomes
        running (``started_at_ms`` is the time of the first event written, or now). An event
        ``attributes_set`` merges its facts into the run's attributes (None removes). The snapshot,
        of this turn or of an earlier one, is kept as by ``Snapshots.save``. Messages are sent;
        those with ``lease_ms`` are leased to this world handle, claim 1. Tokens are claimed and
        released, and leases ended. The run's wake is set: due at ``wake_at_ms`` if that is earlier
        than its due time, with the wake lease's rule in ``LeaseEnd`` if one is ended here. The
        count of fruitless wake claims resets. An outcome frees the run's hooks (see
        Retention) and drops its wake and messages; nothing is sent then.

        **Hooks.** A token that another run holds becomes ``hook_conflict`` instead of
        ``hook_created``: the event at that place (the one whose entity is the hook) is stored with
        that type, key ``<hook id>/conflict``, no payload, facts ``token`` and ``run_id`` (the
        holder), and the run is made due at once. Its own run claiming a token for the same hook
        again is benign. Claims and releases apply in the order of their events, so a token that
        one turn claims, frees and claims again is its last hook's. (A claim without an event comes
        after all events, and so does a release of a hook that is claimed here; any other release
        without one comes first.)

        **Force.** A claim with ``force`` takes a token that another run holds: that run's hook is
        gone, its log gets ``hook_revoked`` (key ``<hook id>/revoked``, entity the hook, facts
        ``token`` and ``run_id``, the taker), and it is made due at once; an ended run is told
        nothing. All of it is there once the commit returns. At no moment the token is nobody's: a
        payload lands with the one before it is told, or with the other. Not taken are a token of
        another hook of the run itself, and one whose run has a level below 1 and could not be told:
        these stay conflicts, the latter with the fact ``refused``.

        **Retention.** A hook of an ended run blocks its token, and can be read, until its
        ``keep_until_ms``; it takes no payload. A release frees it at once, and so does
        ``delete_run``. While the run lives the time means nothing.

        **New run.** With ``new``, which has no ``hook``, the run is created first, in the same
        write, as by ``create_run`` but with a wake that is not due; ``turn`` is 0 and
        ``expected_position`` 1. Should the run id be there already, nothing is changed and the
        commit is stale.

        **Idempotency.** By ``commit_id``: the last one again returns the first answer, leases
        included. Events whose key is there are passed over.

        **Refusals.** The turn number is the fence: a commit of another turn is refused whole, and
        nothing is changed. A lease that is no longer live, or not on this run's own wake or
        messages, is passed over, not refused.

        Raises:
            StaleTurnError: ``turn`` or ``cancel_at_ms`` is not the run's; the ``new`` run is there
                already; or the commit has deliveries or an outcome and the log has moved past
                ``expected_position`` or one of the deliveries' keys is there already; nothing was
                changed.
            RunNotFoundError: no such run.
            RunEndedError: the run has ended.
            AttributeLimitError: the run would have more than 64 attributes, and more than it had;
                nothing was changed.
            WorldUnavailableError: the outcome is unknown; ask again with the same ``commit_id``.
        """

    @abstractmethod
    async def get_run(self, run_id: RunId) -> RunRecord:
        """The run as of the last write that returned.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def load_run(self, run_id: RunId, *, after: int | None = None) -> RunState:
        """All that a worker needs to go on with a run, read at one instant.

        Args:
            after: None reads the snapshot chain and the log above all that its newest snapshot has
                consumed (all of the log if there is none); a position reads no chain, and the log
                above that position.

        An ended run has an empty chain and no events here.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def read_events(
        self, run_id: RunId, *, after: int = 0, limit: int = 1000
    ) -> tuple[LoggedEvent, ...]:
        """Events at positions above *after*, in order, at most *limit*, without a gap.

        Raises:
            RunNotFoundError: no such run.
        """

    @abstractmethod
    async def get_hook(self, token: str) -> HookRecord:
        """The hook that holds *token* now, or for which an ended run keeps it.

        ``created_at_ms`` is when it was claimed, by the world's clock; of a keyed start that of the
        run.

        Raises:
            HookNotFoundError: nobody.
        """

    @abstractmethod
    async def wait_ended(self, run_id: RunId, *, wait_ms: int) -> RunRecord:
        """The run, as soon as it has ended, or as it is after *wait_ms*. May block that long.

        Raises:
            RunNotFoundError: no such run.
        """


class DirectStorage(Storage):
    """Storage that takes a commit from any thread, for worlds that declare ``DIRECT_COMMIT``.

    It spares the hop through the event loop between the thread that ran the turn and the writer.
    """

    @abstractmethod
    def commit_soon(
        self, commit: TurnCommit, callback: Callable[[Committed | BaseException], None]
    ) -> None:
        """Start ``commit(commit)`` and call *callback* once with its answer or error.

        Never raises. It may block for about as long as a write takes: not to be called in an event
        loop's thread. *callback* may run in any thread and must be quick.
        """
