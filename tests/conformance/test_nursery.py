"""The kit's other processes: begun in either way, told apart, and gone when they are said to be."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from perdure.testing.conformance import _nursery
from perdure.testing.conformance._nursery import Nursery
from perdure.testing.conformance._wire import decode, encode

pytestmark = pytest.mark.slow
OPENER = "perdure.worlds:make_world"


@pytest.fixture(params=["forked", "begun anew"], autouse=True)
def _beginning(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "begun anew":
        monkeypatch.delattr(os, "fork")


def test_a_process_is_begun_and_gone_once_it_is_killed(tmp_path: Path) -> None:
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
        if os.name == "posix":  # elsewhere that would be a signal
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_an_opener_that_is_not_there_is_told_by_the_process() -> None:
    with Nursery() as nursery:
        pid, line = nursery.fork("nowhere:at_all", "memory://")
        with line, line.makefile("rb") as said:
            line.sendall(encode({"opener": "nowhere:at_all", "url": "memory://", "path": sys.path}))
            state, what = decode(said.readline())
        nursery.kill(pid)
    assert state == "failed"
    assert "nowhere:at_all" in what


def test_who_does_not_know_the_word_is_not_taken_for_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any program of this machine may call while the process is being begun."""
    monkeypatch.delattr(os, "fork", raising=False)
    real, callers = _nursery._answer, list[socket.socket]()

    def answer(door: socket.socket, *rest: object) -> socket.socket:
        callers.append(socket.create_connection(door.getsockname()))
        callers[0].sendall(b"x" * _nursery._KEY_BYTES)
        return real(door, *rest)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(_nursery, "_answer", answer)
    with Nursery() as nursery:
        _, line = nursery.fork(OPENER, "memory://")
        with line, callers[0]:
            assert callers[0].recv(1) == b""


def test_a_process_that_does_not_begin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork", raising=False)
    monkeypatch.setattr(_nursery, "_CLIENT", (sys.executable, "-c", "import sys; sys.stdin.read()"))
    with Nursery() as nursery, pytest.raises(AssertionError, match="did not begin"):
        nursery.fork(OPENER, "memory://")
