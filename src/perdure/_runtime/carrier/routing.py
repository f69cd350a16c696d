"""Routing: which of a turn's new steps run in this worker, and where the messages of all go."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import final

from ..._core.turn import StepRoute, make_route
from ..._model.commands import ScheduleStep
from ..._model.ids import EntityId
from ..._model.runs import RunRecord
from ..slots import TakenSlots
from ..step_options import DEFAULT_QUEUE
from ..steps import SCRIPT_MARK, AnyStep, js_topic_of, topic_of
from ..worker.step_call import StepCall

__all__ = ("Routing",)


@final
class Routing:
    """The routes of steps, by the steps that one worker serves. From any thread."""

    def __init__(
        self, steps: Mapping[str, AnyStep], queues: Container[str], *, lease_ms: int
    ) -> None:
        """Have steps of these queues run here.

        Args:
            lease_ms: how long such a step is leased at first.
        """
        self._lease_ms = lease_ms
        self._steps = steps
        self._queues = queues
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Routing of {len(self._steps)} steps{', closed' if self._is_closed else ''}>"

    def close(self) -> None:
        """From now on no step runs here. Idempotent."""
        self._is_closed = True

    def routes(
        self, record: RunRecord, commands: Iterable[ScheduleStep], slots: TakenSlots, *, now_ms: int
    ) -> dict[EntityId, StepRoute]:
        """The routes of a turn's new steps; *slots* takes one for each that is to run here."""
        routes: dict[EntityId, StepRoute] = {}
        for command in commands:
            step = self._steps.get(command.step)
            body = StepCall.encode(
                command,
                workflow=record.workflow,
                run_started_ms=record.created_at_ms,
                base_url=record.base_url,
                created_ms=now_ms,
                bundle=record.bundle,
                is_cleanup=record.cancel_at_ms is not None,
            )
            if step is not None:
                topic, is_served = step.topic, step.options.queue in self._queues
            else:
                topic, is_served = self._elsewhere(command.step)
            is_inline = is_served and not self._is_closed and slots.take()
            lease_ms = self._lease_ms if is_inline else None
            routes[command.id] = make_route(topic=topic, body=body, lease_ms=lease_ms)
        return routes

    def _elsewhere(self, step_id: str) -> tuple[str, bool]:
        """Topic of a step that is none of Python's here, and whether it is served all the same."""
        if step_id[:6] == SCRIPT_MARK:
            return js_topic_of(), DEFAULT_QUEUE in self._queues
        return topic_of(step_id), False
