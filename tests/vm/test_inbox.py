"""The inbox: nothing is lost or late, asleep or awake."""

from __future__ import annotations

import threading

import pytest

from perdure._vm import inbox as module
from perdure._vm.cell import Cell
from perdure._vm.inbox import Inbox

LATER = 30  # seconds: more than any test takes


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each look gave: 1 if something came meanwhile."""
    given: list[int] = []
    call = Cell.call

    def noted(self: Cell, name: bytes, argument: int = 0) -> int:
        given.append(call(self, name, argument) & 1)
        return given[-1]

    monkeypatch.setattr(Cell, "call", noted)
    return given


def test_a_look_ends_when_something_comes(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOKS", 2**31 - 1)  # half a minute
    inbox: Inbox[int] = Inbox()
    looking, call = threading.Event(), Cell.call

    def told(self: Cell, name: bytes, argument: int = 0) -> int:
        looking.set()
        return call(self, name, argument)

    def put() -> None:
        assert looking.wait(LATER)
        inbox.put(7)

    monkeypatch.setattr(Cell, "call", told)
    threading.Thread(target=put).start()
    assert inbox.get(awake=True) == 7
    assert looks == [1]


def test_a_reader_that_looked_in_vain_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOKS", 1)
    inbox: Inbox[int] = Inbox()
    call, given = Cell.call, list[int]()

    def then_put(self: Cell, name: bytes, argument: int = 0) -> int:
        given.append(call(self, name, argument) & 1)
        threading.Thread(target=inbox.put, args=(7,)).start()
        return given[-1]

    monkeypatch.setattr(Cell, "call", then_put)
    assert inbox.get(awake=True) == 7
    assert given == [0]


def test_what_is_there_already_needs_no_look(looks: list[int]) -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put(7)
    inbox.put(8)
    assert "2 items" in repr(inbox)
    assert inbox.get(awake=True) == 7
    assert inbox.get(awake=True) == 8
    assert looks == []


def test_what_comes_just_before_a_look_is_not_missed(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox: Inbox[int] = Inbox()
    make = module._prepared

    def late() -> object:
        inbox.put(7)
        return make()

    monkeypatch.setattr(module, "_prepared", late)
    assert inbox.get(awake=True) == 7
    assert looks == []


def test_a_reader_that_is_to_sleep_does_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Inbox[int]] = []

    def look(self: Inbox[int]) -> None:
        looked.append(self)

    monkeypatch.setattr(Inbox, "_look", look)
    inbox: Inbox[int] = Inbox()
    for awake in (False, True):
        inbox.put(7)
        assert inbox.get(awake=awake) == 7
        assert bool(looked) is awake
