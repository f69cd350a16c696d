"""Children: the runs that follow from a start, and the events that watchers get."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from perdure._core.children import (
    PARENT,
    ROOT,
    child_answer,
    child_start,
    end_notice,
    end_of_missing,
    end_of_run,
    is_watching,
    lineage,
    parent_of,
    watch_fence,
    watcher_of,
)
from perdure._core.landing import created_event, fresh_record
from perdure._model.commands import StartChild
from perdure.model import (
    Digest,
    EntityId,
    EventType,
    NewRun,
    RunId,
    RunRecord,
    RunStatus,
    Watch,
)

NOW = 1000
COMMAND = StartChild(
    id=EntityId("child_3"),
    entry="w.ts#child",
    name="child",
    input=b"\x80",
    attributes={"a": "b"},
    token=None,
    run_id="run_child",
    asks=False,
    at="w.ts:1:1",
)
WATCH = Watch(entity=EntityId("watch_4"), run_id=RunId("run_child"))


def parent(*, secret: bytes = b"s" * 32, attributes: dict[str, str] | None = None) -> RunRecord:
    new = NewRun(
        run_id=RunId("run_parent"),
        workflow="parent",
        bundle=Digest("b" * 64),
        engine=Digest("e" * 64),
        input=b"",
        created_at_ms=5,
        attributes=attributes or {},
        secret=secret,
        base_url="https://shop.example",
    )
    return fresh_record(new)


def ended(status: RunStatus, **fields: bytes | str | None) -> RunRecord:
    return replace(parent(), status=status, **fields)  # type: ignore[arg-type]  # named fields


def test_a_child_runs_the_code_of_its_parent_from_another_entry() -> None:
    start = child_start(COMMAND, parent(), now_ms=NOW)
    new = start.new
    assert (start.entity, start.asks, new.run_id) == ("child_3", False, "run_child")
    assert (new.bundle, new.engine, new.base_url) == ("b" * 64, "e" * 64, "https://shop.example")
    assert (new.workflow, new.input, new.entry) == ("child", b"\x80", "w.ts#child")
    assert new.attributes == {"a": "b", PARENT: "run_parent", ROOT: "run_parent"}
    assert created_event(new).facts["entry"] == "w.ts#child"
    assert new.hook is None


def test_a_keyed_child_claims_its_token() -> None:
    start = child_start(replace(COMMAND, token="t", asks=True), parent(), now_ms=NOW)
    assert start.asks
    assert start.new.hook is not None
    assert (start.new.hook.hook_id, start.new.hook.token) == ("hook_0", "t")


def test_the_root_is_handed_on() -> None:
    assert lineage(RunId("run_2"), {ROOT: "run_1"}) == {PARENT: "run_2", ROOT: "run_1"}


@given(st.binary(max_size=32), st.binary(max_size=32))
def test_what_a_child_gets_from_its_parent_is_of_that_life(left: bytes, right: bytes) -> None:
    """A start that is repeated is the same run; another life of the parent starts another."""
    lives = parent(secret=left), parent(secret=right)
    secrets = [child_start(COMMAND, life, now_ms=NOW).new.secret for life in lives]
    fences = [watch_fence(life, WATCH.entity) for life in lives]
    assert (secrets[0] == secrets[1]) == (fences[0] == fences[1]) == (left == right)
    assert len(secrets[0]) == 32
    assert watch_fence(lives[0], EntityId("watch_5")) != fences[0]


def test_a_watcher_is_known_by_its_fence() -> None:
    watcher = watcher_of(parent(), WATCH)
    assert (watcher.run_id, watcher.entity) == ("run_parent", "watch_4")
    assert watcher.fence == watch_fence(parent(), WATCH.entity)


def test_who_has_ended_or_lives_anew_watches_no_more() -> None:
    watcher = watcher_of(parent(), WATCH)
    assert is_watching(watcher, parent())
    assert not is_watching(watcher, None)
    assert not is_watching(watcher, ended(RunStatus.CANCELLED))
    assert not is_watching(watcher, parent(secret=b"another life"))


def test_a_child_names_its_parent() -> None:
    child = fresh_record(child_start(COMMAND, parent(), now_ms=NOW).new)
    assert (parent_of(child), parent_of(parent())) == ("run_parent", None)


def test_the_answer_to_a_start_has_one_key() -> None:
    start = child_start(COMMAND, parent(), now_ms=NOW)
    begun = child_answer(start, owner=None, now_ms=NOW)
    refused = child_answer(start, owner=RunId("run_other"), token="t", now_ms=NOW)
    assert (begun.type, begun.facts) == (EventType.CHILD_STARTED, {"run_id": "run_child"})
    assert (refused.type, refused.facts) == (
        EventType.CHILD_CONFLICT,
        {"run_id": "run_other", "token": "t"},
    )
    assert begun.key == refused.key == "child_3/end"


@pytest.mark.parametrize(
    ("record", "facts", "payload"),
    [
        (ended(RunStatus.COMPLETED, payload=b"r"), {"status": "completed"}, b"r"),
        (
            ended(RunStatus.FAILED, payload=b"e", code="USER_ERROR"),
            {"status": "failed", "code": "USER_ERROR"},
            b"e",
        ),
        (ended(RunStatus.CANCELLED), {"status": "cancelled"}, None),
        (ended(RunStatus.MOVING, payload=b"url"), {"status": "moved"}, None),
        (ended(RunStatus.MOVED, payload=b"url"), {"status": "moved"}, None),
    ],
)
def test_an_end_says_how_it_was(
    record: RunRecord, facts: dict[str, str], payload: bytes | None
) -> None:
    event = end_of_run(WATCH.entity, record, now_ms=NOW)
    assert (event.type, event.key) == (EventType.CHILD_ENDED, "watch_4/end")
    assert event.facts == {"run_id": "run_parent", **facts}
    assert event.payload == payload


def test_the_end_of_no_run() -> None:
    event = end_of_missing(WATCH, now_ms=NOW)
    assert event.facts == {"run_id": "run_child", "status": "missing"}


def test_a_notice_wakes_the_watcher() -> None:
    watcher = watcher_of(parent(), WATCH)
    notice = end_notice(watcher, ended(RunStatus.COMPLETED), now_ms=NOW)
    assert (notice.run_id, notice.wake, notice.event.entity) == ("run_parent", True, "watch_4")
