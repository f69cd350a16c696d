"""Sequences: the rows that the commits of inline steps, one after another, expect.

A run's first turn starts a step, each further one brings a step's result and starts the next, and
the last one ends the run. As long as nothing else happens, such a commit knows by itself all of the
run's row that its plan depends on. So the row need not be read: the statement that changes it
changes it only if it is as expected.
"""

from __future__ import annotations

from typing import final

from perdure.model import EventType, RunId, TurnCommit

from ._log import MAX_AT_ONCE
from ._messages import MAX_INLINE_BYTES
from ._plan import ExpectedRow

__all__ = ("Sequences",)

_MAX_RUNS = 4096
_ATTRIBUTES_SET = EventType.ATTRIBUTES_SET


@final
class Sequences:
    """The runs whose last commit, landed here, left an inline message.

    Only a guess: others write to the same file. Used by the thread that has the connection.
    """

    def __init__(self) -> None:
        self._messages: dict[RunId, tuple[int, str]] = {}  # the run's number, the token

    def __repr__(self) -> str:
        return f"<Sequences of {len(self._messages)} runs>"

    def note(self, run_id: RunId, n: int, token: str | None) -> None:
        """A commit of the run left an inline message under this token, or none."""
        if token is None:
            self._messages.pop(run_id, None)
            return
        if len(self._messages) >= _MAX_RUNS:
            self._messages.clear()
        self._messages[run_id] = n, token

    def expected(self, commit: TurnCommit, *, now_ms: int) -> ExpectedRow | None:
        """The row that *commit* expects; None: it depends on more than it says by itself.

        It ends the lease on the run's inline message, which is live; it touches no hook, timer,
        attribute or other run, and sends no more than the next inline message.
        """
        message = self._messages.get(commit.run_id)
        if message is None or commit.new is not None or len(commit.leases) != 1:
            return None
        n, token = message
        if commit.leases[0].lease.token != token or commit.wake_at_ms is not None:
            return None
        if commit.hooks_claimed or commit.hooks_released or commit.starts or commit.watches:
            return None
        if len(commit.deliveries) + len(commit.events) >= MAX_AT_ONCE:
            return None
        for event in commit.events:
            if event.type is _ATTRIBUTES_SET:
                return None
        for new in commit.messages:
            if new.lease_ms is None or len(new.body) > MAX_INLINE_BYTES:
                return None
        if len(commit.messages) > 1 or (commit.messages and commit.outcome is not None):
            return None
        return ExpectedRow(n, commit.turn, commit.expected_position, token, now_ms + 1)
