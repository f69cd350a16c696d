"""A stream as one value: writes that repeat, attempts that are fenced, pages with a bound."""

from __future__ import annotations

from typing import TypedDict

import pytest

from perdure._core.stream_log import StreamLog, fitting
from perdure._model.streams import PAGE_BYTES, is_system_stream
from perdure.errors import StreamClosedError, StreamFencedError


class _Where(TypedDict):
    run_id: str
    name: str


WHERE = _Where(run_id="a", name="s")


def test_a_stream_grows_once_for_each_write() -> None:
    log = StreamLog()
    assert log.append([b"1", b"2"], writer="w", sequence=0, **WHERE) == 2
    assert log.append([b"3"], writer="w", sequence=1, **WHERE) == 3
    assert log.append([b"x"], writer="w", sequence=0, **WHERE) == 2
    assert log.read(start=-2, limit=1).chunks == (b"2",)
    assert log.read(start=-9, limit=9).start == 0
    assert (log.has_news(2), log.has_news(3)) == (True, False)
    log.closed = True
    assert log.has_news(3)
    assert log.read(start=2, limit=9).done
    assert not log.read(start=0, limit=1).done
    assert (log.info("s").length, log.info("s").closed) == (3, True)
    assert log.append([b"x"], writer="w", sequence=1, **WHERE) == 3
    with pytest.raises(StreamClosedError):
        log.append([b"x"], writer="v", sequence=0, **WHERE)


def test_a_stream_arrives_as_it_left() -> None:
    log = StreamLog()
    log.append([b"1"], writer="w", sequence=1, **WHERE)
    log.append([], writer="v", sequence=0, **WHERE)
    log.append([b"2"], writer="w", sequence=0, **WHERE)
    log.closed = True
    copied = log.copied("s")
    assert (copied.name, copied.chunks, copied.closed) == ("s", (b"1", b"2"), True)
    assert [(one.writer, one.sequence, one.length) for one in copied.writes] == [
        ("v", 0, 1),
        ("w", 1, 1),
        ("w", 0, 2),
    ]
    arrived = StreamLog.of(copied)
    assert arrived == log
    assert arrived.append([b"again"], writer="w", sequence=1, **WHERE) == 1


def test_a_later_attempt_bars_what_a_lower_one_asks_for() -> None:
    log = StreamLog()
    assert log.append([b"1"], writer="w", sequence=0, **WHERE) == 1
    assert log.append([], writer="w", sequence=0, attempt=2, **WHERE) == 1
    for sequence in (0, 1):  # what it asked for before, and what it did not
        with pytest.raises(StreamFencedError) as caught:
            log.append([b"x"], writer="w", sequence=sequence, **WHERE)
    assert (caught.value.attempt, caught.value.latest) == (1, 2)
    with pytest.raises(StreamFencedError):
        log.close(writer="w", **WHERE)
    assert log.append([b"2"], writer="w", sequence=1, attempt=2, **WHERE) == 2
    assert log.append([b"v"], writer="v", sequence=1, **WHERE) == 3
    assert StreamLog.of(log.copied("s")) == log


def test_a_closed_stream_takes_an_append_without_chunks() -> None:
    log = StreamLog()
    log.append([b"1"], writer="w", sequence=0, **WHERE)
    log.close(writer="w", **WHERE)
    assert log.append([], writer="w", sequence=0, attempt=2, **WHERE) == 1
    with pytest.raises(StreamClosedError):
        log.append([b"2"], writer="w", sequence=1, attempt=2, **WHERE)
    log.close(writer="w", attempt=2, **WHERE)  # who closed it closes it again
    log.close(**WHERE)


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([], 0),
        ([PAGE_BYTES + 1, 1], 1),
        ([PAGE_BYTES, 0, 1], 2),
        ([1, PAGE_BYTES - 1, 0, 0, 1], 4),
        ([1, PAGE_BYTES], 1),
    ],
)
def test_a_page_ends_before_its_bytes_are_too_many(sizes: list[int], count: int) -> None:
    assert len(fitting(bytes(size) for size in sizes)) == count


def test_a_system_stream_is_told_by_its_name() -> None:
    assert is_system_stream("$reply/1")
    assert not is_system_stream("log")
