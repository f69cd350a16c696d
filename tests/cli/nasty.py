"""Runs whose every text, time and payload is as bad as can be, and what output may never have."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import strategies as st

from perdure._core.stream_log import StreamLog
from perdure._protocol.codec import encode
from perdure.display import shown_text
from perdure.errors import GuestError
from perdure.model import (
    Digest,
    EntityId,
    Event,
    EventType,
    LoggedEvent,
    RunId,
    RunRecord,
    RunStatus,
)
from perdure.testing.memory import MemoryWorld
from perdure.testing.memory._store import StoredRun

__all__ = ("LONG", "NASTY", "TEXTS", "assert_displayable", "events", "parsed", "records", "store")

NASTY = (
    *("\x1b[31m", "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x9b2K", "\x90q\x9c"),
    *("\x00", "\x08\x08", "\x7f", "\x85", "\r", "\r\n", "\n", "\t", "\v", "\f", "\u2028", "\u2029"),
    *("\u202e", "\u2066", "\u2069", "\u200e", "\u061c", "\u200b", "\u200d", "\u2060", "\ufeff"),
    *("\xad", "\ufe0f", "\u115f", "\u3164", "\u034f", "\U000e0041", "\U000e0101", "\ufff9"),
    *("\ud800", "\udfff", "\udc80", "\ue000", "\uffff"),
    *("[/nope]", "[red]", "[link=file:///etc]", "[/]", "\\[", "[bold", ":smile:", "{}", "%s", "%"),
    *("\nerror: forged", "\nrun_forged  flow  completed", "│ forged │", "┃", "--", "'", '"', "\\"),
    *("", " ", "a", "é", "漢", "🙂", "\u0301", "\xa0", "step_1", "../x"),
)
LONG = "\x1b[5m long \u202e" * 5_000
TEXTS = st.lists(st.sampled_from(NASTY) | st.characters(exclude_categories=[]), max_size=8).map(
    "".join
)
_LAST_MS = 8_640_000_000_000_000
_TIMES = st.integers() | st.sampled_from(
    [0, -1, _LAST_MS, -_LAST_MS, 253_402_300_800_000, 2**63, -(10**30), 10**5000]
)
_FACTS = st.dictionaries(
    st.sampled_from(["step", "token", "at", "resume_at_ms", "attempt"]) | TEXTS,
    st.none() | st.booleans() | st.integers() | _TIMES | TEXTS | st.floats(),
    max_size=4,
)


def _payload(value: object) -> bytes:
    return encode(value, where="value")


def _cyclic() -> bytes:
    value: list[object] = [1]
    value.append({"again": value})
    return _payload(value)


def _bomb() -> bytes:
    value: list[object] = ["x"]
    for _ in range(60):
        value = [value, value]
    return _payload(value)


_UTF8 = TEXTS.map(lambda text: text.encode(errors="replace").decode())


@st.composite
def _errors(draw: st.DrawFn) -> bytes:
    name, text = draw(_UTF8), draw(_UTF8)
    cause = GuestError(name=text, message="")
    return _payload(GuestError(name=name, message=text, stack=draw(_UTF8), cause=cause))


_PAYLOADS = st.one_of(
    st.none(),
    st.binary(max_size=20),
    _UTF8.map(_payload),
    _UTF8.map(lambda text: _payload({text: [text, float("nan"), float("inf"), 10**40]})),
    _errors(),
    st.sampled_from([_cyclic(), _bomb(), _payload(10**5000), _payload("a\x1b" * 50_000)]),
)
_TYPES = st.sampled_from(list(EventType)) | TEXTS.map(lambda text: cast(EventType, text))
_ENTITIES = st.sampled_from(["step_1", "wait_1", "hook_1"]) | TEXTS


def events() -> st.SearchStrategy[list[LoggedEvent]]:
    """A log, of which not all makes sense."""
    event = st.builds(
        Event,
        type=_TYPES,
        key=TEXTS,
        at_ms=_TIMES,
        entity=st.none() | _ENTITIES.map(EntityId),
        payload=_PAYLOADS,
        facts=_FACTS,
    )
    return st.lists(event, max_size=8).map(
        lambda found: [LoggedEvent(position=n, event=e) for n, e in enumerate(found, start=1)]
    )


def records() -> st.SearchStrategy[RunRecord]:
    """A run's record."""
    return st.builds(
        RunRecord,
        run_id=TEXTS.map(RunId),
        workflow=TEXTS,
        bundle=TEXTS.map(Digest),
        engine=TEXTS.map(Digest),
        status=st.sampled_from(list(RunStatus)),
        turn=st.integers(0, 3),
        position=st.integers(0, 8),
        consumed=st.integers(0, 8),
        log_digest=st.binary(max_size=3),
        created_at_ms=_TIMES,
        started_at_ms=st.none() | _TIMES,
        ended_at_ms=st.none() | _TIMES,
        payload=_PAYLOADS,
        idempotency_key=st.none() | TEXTS,
        attributes=st.dictionaries(TEXTS, TEXTS, max_size=2),
    )


def store(
    world: MemoryWorld, record: RunRecord, log: list[LoggedEvent], console: list[bytes]
) -> None:
    """Have this run, and no other, in the world."""
    kept = world._store
    kept.runs.clear()
    kept.runs[record.run_id] = StoredRun(
        record=record, wake=None, events=log, streams={"log": StreamLog(chunks=console)}
    )


def assert_displayable(text: str) -> None:
    """Fail if there is anything in it but what has a form of its own, and line ends."""
    for character in set(text) - {"\n"}:
        assert shown_text(character) == character, f"{character!r} in {text!r}"


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def parsed(text: str) -> Any:
    """One JSON document, by the letter of the standard."""
    return json.loads(text, parse_constant=_refuse)
