"""Strategies that the core's tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from perdure.model import EntityId, Event, EventType, LoggedEvent

__all__ = ("events", "logs")

IDS = st.sampled_from([EntityId(name) for name in ("step_1", "step_2", "hook_3", "wait_4")])
TIMES = st.integers(0, 99)


def events() -> st.SearchStrategy[Event]:
    """Any event about any entity, sensible or not."""
    return st.builds(
        Event,
        type=st.sampled_from(EventType),
        key=st.text(max_size=3),
        at_ms=TIMES,
        entity=st.none() | IDS,
        payload=st.none() | st.binary(max_size=3),
        facts=st.dictionaries(
            st.sampled_from(["step", "token", "at", "resume_at_ms", "attempt"]),
            st.none() | st.text(max_size=3) | st.integers(0, 5) | st.booleans(),
        ),
    )


def logs() -> st.SearchStrategy[tuple[LoggedEvent, ...]]:
    """A log of any events."""
    return st.lists(events(), max_size=12).map(
        lambda made: tuple(
            LoggedEvent(position=position, event=event) for position, event in enumerate(made, 1)
        )
    )
