"""Logs: a record is one line, whatever stands in it; its traceback is indented."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from perdure import RetryableError, Worker, Workflow, start, step
from perdure._logs import FIELDS, Lines
from perdure.display import shown_text
from perdure.testing.memory import MemoryWorld

FORGED = "no\nWARNING perdure run run_a: all is well\x1b[2J\u202e"


class Raising:
    """One whose text and repr cannot be had."""

    def __str__(self) -> str:
        raise ValueError(FORGED)

    __repr__ = __str__


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What an application's handler writes of our records."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("perdure")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def lines_of(stream: io.StringIO) -> list[str]:
    """The lines, each of which is displayable."""
    text = stream.getvalue()
    for line in text.splitlines():
        assert shown_text(line) == line
    return text.rstrip("\n").split("\n")


def test_lines_that_are_meant_are_lines_and_none_begins_a_record(written: io.StringIO) -> None:
    logging.getLogger("perdure").warning("blocked by %s:%s", FORGED, Lines(f"\n  File a\n{FORGED}"))
    first, *rest = lines_of(written)
    assert first == f"WARNING perdure blocked by {shown_text(FORGED)}:"
    assert rest[0] == "    File a"
    assert len(rest) == 3
    assert all(line.startswith("  ") for line in rest)


@pytest.mark.parametrize("how", ["%s", "%r", "%-5s"])
@pytest.mark.parametrize(
    "value",
    [FORGED, ValueError(FORGED), [FORGED], Raising()],
    ids=["text", "error", "list", "raising"],
)
def test_a_record_is_one_line(written: io.StringIO, how: str, value: object) -> None:
    logging.getLogger("perdure").warning(f"run %s: {how} %d %.1f", FORGED, value, 1, 2.5)
    (line,) = lines_of(written)
    assert line.startswith("WARNING perdure run no\\nWARNING")
    assert line.endswith("1 2.5")


@given(st.text(st.characters()))
def test_any_text_is_one_line_in_a_record(text: str) -> None:
    record = logging.LogRecord("perdure", logging.WARNING, "", 1, "%s", (text,), None)
    for one in logging.getLogger("perdure").filters:
        assert one.filter(record)  # type: ignore[union-attr]  # a Filter, here
    assert "\n" not in record.getMessage()
    assert shown_text(record.getMessage()) == record.getMessage()


def test_a_traceback_is_indented(written: io.StringIO) -> None:
    try:
        try:
            raise KeyError(FORGED)
        except KeyError as exc:
            raise ValueError(FORGED) from exc
    except ValueError:
        logging.getLogger("perdure").exception("%s failed", "msg_1")
    head, first, *rest = lines_of(written)
    assert head == "ERROR perdure msg_1 failed"
    assert first == "Traceback (most recent call last):"
    assert all(line.startswith("  ") or not line for line in rest)


@step(name="logs:fail", max_retries=1)
async def fail() -> None:
    raise RetryableError(FORGED, retry_after=0)


@pytest.mark.anyio
async def test_a_steps_error_is_logged_in_one_line(written: io.StringIO) -> None:
    source = """import { fail } from "python:logs";
    export async function flow() {
      "use workflow"; try { await fail(); } catch (e) { return 1; }
    }"""
    async with MemoryWorld() as world, Worker(world, steps=[fail]):
        run = await start(Workflow.from_source(source, filename="f.ts"), world=world)
        assert await run.result(timeout=30) == 1
    told = [line for line in lines_of(written) if line.startswith(("WARNING", "ERROR"))]
    assert [line.partition(" at attempt")[0] for line in told] == [
        f"WARNING perdure step logs:fail ({run.id}/step_1) failed",
        f"ERROR perdure step logs:fail ({run.id}/step_1) failed for good",
    ]
    assert all(line.endswith(": RetryableError: no") for line in told)  # its first line


@given(st.text(st.characters()))
def test_any_record_has_all_fields(text: str) -> None:
    record = logging.LogRecord("perdure", logging.WARNING, "", 1, text, (), None)
    record.run_id = text
    for one in logging.getLogger("perdure").filters:
        assert one.filter(record)  # type: ignore[union-attr]  # a Filter, here
    fields = [getattr(record, name) for name in FIELDS]
    assert fields == [text, None, None, None, None]


class Deep(Exception):
    """One whose notes cannot be had."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__notes__":
            raise BaseException("no")
        return super().__getattribute__(name)


@pytest.mark.parametrize("error", [Deep(), ValueError("x" * 20_000_000), Raising])
def test_a_traceback_is_cut_or_left_out(written: io.StringIO, error: Any) -> None:
    exc = ValueError(error()) if error is Raising else error
    logging.getLogger("perdure").error("failed", exc_info=exc)
    assert len(lines_of(written)) > 1
    assert len(written.getvalue()) < 30_000
