"""The pure core: transitions, retries, leases, ledger."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._core.leases import rearmed_due_ms
from perdure._core.retries import Fail, Proceed, Retry, after_failure, before_execution
from perdure._core.transitions import TABLES, EntityKind, transition
from perdure.errors import IllegalTransitionError, RunNotFoundError, StaleTurnError
from perdure.model import EventType


@given(st.sampled_from(list(EntityKind)), st.sampled_from(list(EventType)), st.data())
def test_a_pair_is_a_row_of_the_table_or_raises(
    kind: EntityKind, event: EventType, data: st.DataObject
) -> None:
    state = data.draw(st.sampled_from(list(TABLES[kind])))
    if event in TABLES[kind][state]:
        assert transition(kind, state, event) in TABLES[kind]
    else:
        with pytest.raises(IllegalTransitionError):
            transition(kind, state, event)


def test_three_retries_are_four_executions() -> None:
    verdicts = [after_failure(execution=n, lost=0, max_retries=3, fatal=False) for n in range(1, 5)]
    assert verdicts == [Retry(1000)] * 3 + [Fail(3, True)]


def test_a_fatal_failure_is_never_retried() -> None:
    assert after_failure(execution=1, lost=0, max_retries=3, fatal=True) == Fail(0, False)


def test_a_lost_claim_fails_only_a_step_that_must_not_run_twice() -> None:
    assert before_execution(attempt=2, lost=1, returned=0, max_retries=0) == Fail(0, False)
    assert before_execution(attempt=2, lost=1, returned=0, max_retries=3) == Proceed(2)
    assert isinstance(before_execution(attempt=12, lost=11, returned=0, max_retries=3), Fail)


@given(st.integers(0, 9), st.integers(0, 9), st.none() | st.integers(0, 99))
def test_a_wake_during_a_claim_is_never_swallowed(
    generation: int, seen: int, next_due: int | None
) -> None:
    due = rearmed_due_ms(
        generation=generation, seen=seen, due_ms=None, next_due_ms=next_due, now_ms=50
    )
    assert due == next_due if generation == seen else due is not None and due <= 50


def test_errors_survive_pickling() -> None:
    import pickle

    for error in (RunNotFoundError("run_1"), StaleTurnError("run_1", reason="x")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
