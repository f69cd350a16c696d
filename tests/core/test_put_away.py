"""Whether a run's last turn left nothing of it running."""

from __future__ import annotations

import pytest

from perdure._core.fold import was_put_away
from perdure.model import EntityId, Event, EventType, LoggedEvent


def log(*rows: tuple[EventType, str]) -> list[LoggedEvent]:
    return [
        LoggedEvent(
            position=position,
            event=Event(type=kind, key=str(position), at_ms=0, entity=EntityId(entity) or None),
        )
        for position, (kind, entity) in enumerate(rows, start=1)
    ]


E = EventType
INLINE = [(E.RUN_CREATED, ""), (E.STEP_CREATED, "step_1"), (E.STEP_STARTED, "step_1")]


@pytest.mark.parametrize(
    ("rows", "consumed", "is_away"),
    [
        ([(E.RUN_CREATED, ""), (E.STEP_CREATED, "step_1")], 1, True),  # it is with the queue
        ([(E.RUN_CREATED, ""), (E.WAIT_CREATED, "wait_1")], 1, True),
        (INLINE, 1, False),
        ([*INLINE, (E.STEP_COMPLETED, "step_1")], 1, False),  # its worker died after the result
        ([*INLINE, (E.STEP_COMPLETED, "step_1"), (E.WAIT_CREATED, "wait_2")], 4, True),
        ([*INLINE, (E.STEP_FAILED, "step_1"), (E.WAIT_CREATED, "wait_2")], 4, True),
        ([*INLINE, (E.STEP_RETRYING, "step_1")], 1, False),
    ],
)
def test_it_was_put_away(rows: list[tuple[EventType, str]], consumed: int, is_away: bool) -> None:
    assert was_put_away(log(*rows), consumed=consumed) is is_away
