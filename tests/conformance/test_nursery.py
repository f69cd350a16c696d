"""The kit's other processes: forked, told apart, and gone when they are said to be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from perdure.testing.conformance._nursery import Nursery
from perdure.testing.conformance._wire import decode, encode

pytestmark = pytest.mark.slow
OPENER = "perdure.worlds:make_world"


def test_a_process_is_forked_and_gone_once_it_is_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with Nursery() as nursery:
        pid, line = nursery.fork(OPENER, url)
        other, second = nursery.fork(OPENER, url)
        with line, second, line.makefile("rb") as said:
            line.sendall(encode({"opener": OPENER, "url": url, "path": sys.path}))
            assert decode(said.readline()) == ("open", url)
            assert len({pid, other, os.getpid()}) == 3
            nursery.kill(pid)
            nursery.kill(other)
            assert said.readline() == b""
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_opener_that_is_not_there_is_told_by_the_fork() -> None:
    with Nursery() as nursery:
        pid, line = nursery.fork("nowhere:at_all", "memory://")
        with line, line.makefile("rb") as said:
            line.sendall(encode({"opener": "nowhere:at_all", "url": "memory://", "path": sys.path}))
            state, what = decode(said.readline())
        nursery.kill(pid)
    assert state == "failed"
    assert "nowhere:at_all" in what
