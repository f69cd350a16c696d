"""Tracebacks: the user's frames, all of them up to a limit, and none of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from perdure._protocol import json_values
from perdure._protocol.codec import decode
from perdure._protocol.tracebacks import MAX_FRAMES, user_traceback


def caught(function: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as info:  # noqa: PT011  # whatever it is
        function()
    return info.value


def skip_first(error: Exception, frames: int) -> Exception:
    """The error without the frames of this test."""
    for _ in range(frames):
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next
    return error


def test_an_error_that_was_never_raised_has_none() -> None:
    assert user_traceback(ValueError("x")) == ""


def test_the_users_lines_are_there() -> None:
    def step() -> None:
        raise ValueError("x")

    lines = user_traceback(caught(step)).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].strip("^ ") == "" or lines[-1].strip() == 'raise ValueError("x")'
    assert "test_tracebacks.py" in lines[-2] or "test_tracebacks.py" in lines[-3]


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise LookupError("from the user's code")


def test_frames_of_ours_before_the_users_are_left_out() -> None:
    error = skip_first(caught(lambda: json_values.as_json(Hostile())), 2)
    text = user_traceback(error)
    assert "json_values.py" not in text
    assert "from the user's code" in text
    assert text.count("File ") == 1


def test_an_error_inside_ours_has_no_frame_of_the_user() -> None:
    error = skip_first(caught(lambda: decode(b"\xff")), 2)
    assert error.__traceback__ is not None
    assert user_traceback(error) == ""


def test_frames_of_the_event_loop_before_the_users_are_left_out() -> None:
    async def step() -> None:
        raise ValueError("x")

    error = skip_first(caught(lambda: asyncio.run(step())), 2)
    text = user_traceback(error)
    assert "asyncio" not in text
    assert "in step" in text


def test_the_last_frames_of_many_are_kept() -> None:
    def down(depth: int) -> None:
        if depth:
            down(depth - 1)
        else:
            raise ValueError("x")

    text = user_traceback(caught(lambda: down(60)))
    assert text.splitlines()[1].strip().startswith("… ")
    assert text.splitlines()[1].strip().endswith(" more …")
    assert text.count("in down") <= MAX_FRAMES
    assert 'raise ValueError("x")' in text
