"""Leases: one live claim an item, attempts that never fall, wakes that are never swallowed."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._core.leases import Claimable, Mailbox, check_lease, rearmed_due_ms
from perdure.errors import LeaseLostError
from perdure.model import Lease, LeaseEnd

TIMES = st.integers(0, 99)


def lease(token: str = "a", *, expires_at_ms: int = 50) -> Lease:
    return Lease(item="run_1", token=token, is_wake=True, expires_at_ms=expires_at_ms)


def claimed(*, generation: int = 0) -> Mailbox:
    box = Mailbox(due_ms=0, generation=generation)
    box.take(lease())
    return box


@given(TIMES, TIMES)
def test_an_item_is_claimable_from_its_due_time_on(due: int, now: int) -> None:
    assert Claimable(due_ms=due).is_claimable(now) == (due <= now)
    assert not Claimable(due_ms=None).is_claimable(now)


@given(TIMES, TIMES)
def test_a_claim_bars_others_until_it_runs_out(expires: int, now: int) -> None:
    item = Claimable(due_ms=0)
    item.take(lease(expires_at_ms=expires))
    assert item.is_claimable(now) != lease(expires_at_ms=expires).is_live(now_ms=now)
    assert item.claimable_ms == expires


@given(st.integers(1, 9))
def test_every_claim_counts(claims: int) -> None:
    item = Claimable(due_ms=0)
    for number in range(claims):
        assert item.claims == number
        item.take(lease())
    assert item.claims == claims


@given(st.lists(TIMES, min_size=1))
def test_a_mailbox_is_due_at_the_earliest_of_its_wakes(times: list[int]) -> None:
    box = Mailbox(due_ms=None)
    for due in times:
        box.arm(due)
    assert (box.due_ms, box.generation) == (min(times), len(times))


def test_only_the_holder_of_the_live_lease_passes() -> None:
    check_lease(lease(), lease(), now_ms=49)
    for current, now in ((None, 0), (lease("b"), 0), (lease(), 50)):
        with pytest.raises(LeaseLostError, match="run_1"):
            check_lease(current, lease(), now_ms=now)


@given(st.none() | TIMES, st.none() | TIMES)
def test_a_claim_that_saw_everything_leaves_the_earliest_timer(
    asked: int | None, besides: int | None
) -> None:
    box = claimed(generation=3)
    end = LeaseEnd(lease=lease(), generation=3, next_due_ms=asked)
    box.end(end, now_ms=10, next_due_ms=besides)
    timers = [due for due in (asked, besides) if due is not None]
    assert (box.lease, box.due_ms) == (None, min(timers, default=None))


@given(TIMES, st.none() | TIMES)
def test_a_wake_during_a_claim_makes_it_due_again(woken: int, asked: int | None) -> None:
    box = claimed(generation=3)
    box.arm(woken)
    box.end(LeaseEnd(lease=lease(), generation=3, next_due_ms=asked), now_ms=10)
    assert box.due_ms == (woken if asked is None else min(woken, asked))


def test_a_lost_claim_ends_nothing() -> None:
    box = claimed()
    with pytest.raises(LeaseLostError):
        box.end(LeaseEnd(lease=lease("b")), now_ms=0)
    assert box.lease == lease()


@given(st.none() | TIMES, st.none() | TIMES)
def test_what_is_given_back_is_due_when_it_was_or_is_woken(
    woken: int | None, due: int | None
) -> None:
    box = claimed()
    if woken is not None:
        box.arm(woken)
    box.give_back(due_ms=due)
    times = [at for at in (woken, due) if at is not None]
    assert (box.lease, box.due_ms) == (None, min(times, default=None))


@given(st.integers(0, 9), st.integers(0, 9), st.none() | TIMES, st.none() | TIMES)
def test_a_wake_during_a_claim_is_never_swallowed(
    generation: int, seen: int, due: int | None, next_due: int | None
) -> None:
    found = rearmed_due_ms(
        generation=generation, claim_generation=seen, due_ms=due, next_due_ms=next_due, now_ms=50
    )
    if generation == seen:
        assert found == next_due
    else:
        assert found is not None
        assert found <= (50 if due is None else due)
