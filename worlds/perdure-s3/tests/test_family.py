"""Family: a head keeps the runs that its run starts and watches, and is as it was without them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from s3_values import RUN, commit_of, new_run

from perdure.errors import WorldContractError
from perdure.model import (
    ChildStart,
    EntityId,
    HookClaim,
    NewRun,
    RunId,
    RunOutcome,
    RunStatus,
    Watch,
    Watcher,
)
from perdure.worldkit.pure import Book
from perdure_s3._family import ALONE, Family
from perdure_s3._head import Head
from perdure_s3._schema import dumps, loads

TEXTS = st.text(max_size=9)
ENTITIES = st.builds(EntityId, TEXTS)
RUN_IDS = st.builds(RunId, TEXTS)
CLAIMS = st.builds(HookClaim, hook_id=ENTITIES, token=TEXTS, metadata=st.none() | st.binary())
NEW_RUNS = st.builds(
    NewRun,
    run_id=RUN_IDS,
    workflow=TEXTS,
    bundle=TEXTS,
    engine=TEXTS,
    input=st.binary(),
    created_at_ms=st.integers(0, 2**53),
    idempotency_key=st.none() | TEXTS,
    attributes=st.dictionaries(TEXTS, TEXTS),
    level=st.integers(1, 3),
    secret=st.binary(),
    base_url=TEXTS,
    hook=st.none() | CLAIMS,
    entry=TEXTS,
)
STARTS = st.builds(ChildStart, entity=ENTITIES, new=NEW_RUNS, asks=st.booleans())
WATCHES = st.builds(Watch, entity=ENTITIES, run_id=RUN_IDS, at_ms=st.integers(0, 2**53))
WATCHERS = st.builds(Watcher, entity=ENTITIES, run_id=RUN_IDS, fence=TEXTS)


def book() -> Book:
    return Book.create(new_run(), due_ms=1)


@given(
    starts=st.lists(STARTS, max_size=3),
    watches=st.lists(WATCHES, max_size=3),
    watchers=st.lists(WATCHERS, max_size=3),
    watching=st.dictionaries(ENTITIES, RUN_IDS, max_size=3),
)
def test_a_family_comes_back_and_a_head_without_one_is_as_before(
    starts: list[ChildStart],
    watches: list[Watch],
    watchers: list[Watcher],
    watching: dict[EntityId, RunId],
) -> None:
    whole = book()
    whole.starts, whole.watches, whole.watchers = starts, watches, watchers
    whole.watching = watching
    head = Head.first(whole, birth="b", now_ms=1)
    again = Head.parse(head.body(), "e")
    assert again.family == head.family == Family.of(again.book())
    assert again.letters == whole.letters
    assert not again.differs(again.book())
    alone = head.after(book(), now_ms=1)
    assert len(loads(alone.body())) == PLACES
    assert len(loads(head.body())) == PLACES + (head.family != ALONE)


PLACES = 17  # of a head in format 5


def test_a_change_of_the_family_alone_is_a_change() -> None:
    head = Head.first(book(), birth="b", now_ms=1)
    watcher = Watcher(run_id=RUN, entity=EntityId("watch_1"), fence="f")
    watched = head.book()
    watched.watchers = [watcher]
    assert head.differs(watched)
    other = head.after(watched, now_ms=1).book()
    other.watchers = [replace(watcher, fence="g")]
    assert head.after(watched, now_ms=1).differs(other)


def test_a_large_result_is_kept_once_however_many_wait_for_it() -> None:
    watched, count, result = book(), 100, b"r" * 100_000
    watched.watchers = [
        Watcher(run_id=RunId(f"run_{n}"), entity=EntityId("watch_1"), fence="f")
        for n in range(count)
    ]
    outcome = RunOutcome(status=RunStatus.COMPLETED, payload=result, at_ms=2)
    watched.commit(
        commit_of(0, outcome=outcome), now_ms=2, holder=lambda token: None, new_token=str
    )
    head = Head.first(watched, birth="b", now_ms=2)
    assert len(head.outbox) == count
    body = head.body()
    assert len(body) < 3 * len(result)  # the record, the log's last event
    again = Head.parse(body, "e")
    assert again.outbox == head.outbox
    assert {notice.event.payload for notice in again.outbox} == {result}


@pytest.mark.parametrize(("cut", "is_read"), [(1, True), (2, True), (99, False), (-1, False)])
def test_a_record_of_an_earlier_version_has_the_defaults(cut: int, is_read: bool) -> None:
    head = Head.first(book(), birth="b", now_ms=1)
    body = loads(head.body())
    body[4] = body[4][:-cut] if cut > 0 else [*body[4], "of a later version"]
    if is_read:
        assert Head.parse(dumps(body), "e").record == head.record
    else:
        with pytest.raises(WorldContractError, match="a run's head cannot be read"):
            Head.parse(dumps(body), "e")


@pytest.mark.parametrize("family", [[], [[]], [[1], [], [], {}], [[], [], [], {}, 5], "text"])
def test_a_damaged_family_is_named(family: object) -> None:
    body = loads(Head.first(book(), birth="b", now_ms=1).body())
    with pytest.raises(WorldContractError, match="a run's head cannot be read"):
        Head.parse(dumps([*body, family]), "e")
