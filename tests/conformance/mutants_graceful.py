"""Mutants that break a promise about runs that are asked to end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from mutants import mutant, on_commit, swap

from perdure.errors import RunEndedError, RunNotFoundError
from perdure.model import Append, EventType, RunStatus, TurnCommit
from perdure.testing.memory import MemoryWorld
from perdure.worldkit.pure import started_by

__all__ = ()


def _on_request(world: MemoryWorld, before: Any = None, after: Any = None) -> None:
    """Change the store around the append of a request."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            if asked.event.type is not EventType.CANCEL_REQUESTED:
                return await inner(asked)
            kept = None if before is None else before(asked)
            answer = await inner(asked)
            if after is not None and not answer.duplicate:
                after(asked, kept)
            return answer

        return append

    swap(world.storage, "append", make)


@mutant
def a_request_withdraws_nothing(world: MemoryWorld) -> None:
    """Steps that wait for a worker run though their run was asked to end."""

    def keep(_: Append) -> Any:
        return dict(world._store.messages)

    def bring_back(_: Append, messages: Any) -> None:
        world._store.messages.update(messages)

    _on_request(world, keep, bring_back)


@mutant
def a_request_withdraws_everything(world: MemoryWorld) -> None:
    """A step that is running loses its lease."""

    def drop(asked: Append, _: Any) -> None:
        store = world._store
        for name in [m for m, s in store.messages.items() if s.message.run_id == asked.run_id]:
            del store.messages[name]

    _on_request(world, after=drop)


def _drop_fact(world: MemoryWorld, name: str) -> None:
    def drop(asked: Append, _: Any) -> None:
        run = world._store.runs[asked.run_id]
        logged = run.events[-1]
        facts = {k: v for k, v in logged.event.facts.items() if k != name}
        run.events[-1] = replace(logged, event=replace(logged.event, facts=facts))

    _on_request(world, after=drop)


@mutant
def running_steps_are_not_named(world: MemoryWorld) -> None:
    """The request does not say which steps are running."""
    _drop_fact(world, "running")


@mutant
def tried_steps_are_not_named(world: MemoryWorld) -> None:
    """The request does not say which withdrawn steps had begun before."""
    _drop_fact(world, "retrying")


@mutant
def a_deadline_is_in_the_log_alone(world: MemoryWorld) -> None:
    """A run's record does not have the time at which it is ended."""

    def forget(asked: Append, _: Any) -> None:
        run = world._store.runs[asked.run_id]
        run.record = replace(run.record, cancel_at_ms=None)

    _on_request(world, after=forget)


@mutant
def a_deadline_moves(world: MemoryWorld) -> None:
    """A second request changes the time."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            answer = await inner(asked)
            run = world._store.runs.get(asked.run_id)
            deadline = asked.event.facts.get("deadline_ms")
            if run is not None and isinstance(deadline, int):
                run.record = replace(run.record, cancel_at_ms=deadline)
            return answer

        return append

    swap(world.storage, "append", make)


@mutant
def a_turn_overtakes_a_request(world: MemoryWorld) -> None:
    """A turn that was under way when the run was asked to end lands all the same."""

    def aware(commit: TurnCommit) -> TurnCommit:
        run = world._store.runs.get(commit.run_id)
        return commit if run is None else replace(commit, cancel_at_ms=run.record.cancel_at_ms)

    on_commit(world, aware)


@mutant
def a_cancelled_outcome_is_a_failure(world: MemoryWorld) -> None:
    """A turn that ends its run as cancelled is logged as one that failed."""

    def fail(commit: TurnCommit) -> TurnCommit:
        outcome = commit.outcome
        if outcome is None or outcome.status is not RunStatus.CANCELLED:
            return commit
        return replace(commit, outcome=replace(outcome, status=RunStatus.FAILED))

    on_commit(world, fail)


@mutant
def a_deadline_stays_behind(world: MemoryWorld) -> None:
    """A run that comes from another world has forgotten that it was asked to end."""

    def make(inner: Any) -> Any:
        async def arrive(copy: Any) -> Any:
            return await inner(replace(copy, record=replace(copy.record, cancel_at_ms=None)))

        return arrive

    swap(world.transfer, "arrive", make)


@mutant
def a_cancel_stops_at_the_run(world: MemoryWorld) -> None:
    """The runs that a cancelled one has started go on though they were to be cancelled."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            facts = {k: v for k, v in asked.event.facts.items() if k != "children"}
            return await inner(replace(asked, event=replace(asked.event, facts=facts)))

        return append

    swap(world.storage, "append", make)


@mutant
def a_cancel_reaches_whoever_is_named(world: MemoryWorld) -> None:
    """A run that another started is cancelled by one that only asked for it, too."""

    def make(inner: Any) -> Any:
        async def append(asked: Append) -> Any:
            answer = await inner(asked)
            if asked.event.facts.get("children") is True and not answer.duplicate:
                events = world._store.runs[asked.run_id].events
                for child in started_by([logged.event for logged in events]):
                    with suppress(RunEndedError, RunNotFoundError):
                        await inner(replace(asked, run_id=child))
            return answer

        return append

    swap(world.storage, "append", make)


@mutant
def a_turns_cancels_are_lost(world: MemoryWorld) -> None:
    """A turn that cancels other runs leaves them as they are."""
    on_commit(world, lambda commit: replace(commit, cancels=()))
