"""Constructors of the values that a worker makes for each step or run.

Each does as the call of its class, in a quarter of the time; see ``_value_class``. All other code
calls the classes.
"""

from __future__ import annotations

from .._value_class import constructor
from .commands import Answer, DeliveryOutput, ScheduleStep
from .commit import Committed, TurnCommit
from .events import Event, LoggedEvent
from .queue import Lease, LeaseEnd, Message, MessageClaim, NewMessage
from .runs import RunOutcome, RunRecord

__all__ = (
    "make_answer",
    "make_claim",
    "make_commit",
    "make_committed",
    "make_event",
    "make_lease",
    "make_lease_end",
    "make_logged",
    "make_message",
    "make_new_message",
    "make_outcome",
    "make_output",
    "make_record",
    "make_schedule_step",
)

make_answer = constructor(Answer)
make_claim = constructor(MessageClaim)
make_commit = constructor(TurnCommit)
make_committed = constructor(Committed)
make_event = constructor(Event)
make_lease = constructor(Lease)
make_lease_end = constructor(LeaseEnd)
make_logged = constructor(LoggedEvent)
make_message = constructor(Message)
make_new_message = constructor(NewMessage)
make_outcome = constructor(RunOutcome)
make_output = constructor(DeliveryOutput)
make_record = constructor(RunRecord)
make_schedule_step = constructor(ScheduleStep)
