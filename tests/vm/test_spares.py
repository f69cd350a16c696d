"""Spares: memory of ended guests, wiped, for the next ones; bounded in bytes."""

from __future__ import annotations

import ctypes

import pytest

from perdure._vm import spares as spares_module
from perdure._vm.cell import Cell
from perdure._vm.guest import default_engine
from perdure._vm.image import SPARE_BYTES, Baseline
from perdure._vm.instance import Instance
from perdure._vm.spares import Spares
from tests.guests import start_frame
from tests.vm.conftest import bundle_of

SECRET = "correct-horse-battery-staple"
LEAKY = """
import { work } from "python:steps";
function deep(n, s) { return n ? deep(n - 1, s + "x") : s.length; }
export async function w(secret, much) {
  deep(40, secret);
  try { await work({ a: secret.repeat(much), get b() { throw secret } }); } catch {}
  console.log(secret.repeat(much), [secret].sort(), new RegExp(secret + "+").test(secret));
  const shared = { secret };
  return [secret.repeat(much), shared, shared];
}
"""


def cell() -> Cell:
    engine = default_engine()
    return Cell(engine.prepared, engine.engine)


def play(guest: Instance, *arguments: object) -> None:
    assert guest.start(start_frame(*arguments)).outcome is not None


def test_there_is_room_for_fifty_guests_of_a_small_workflow() -> None:
    """As many runs at once is what is measured; without a spare one a guest takes 350 us more."""
    baseline = Baseline.build(default_engine(), bundle_of(LEAKY))
    assert Spares().max_bytes // (baseline.image.held_bytes + SPARE_BYTES) >= 50


@pytest.mark.slow
@pytest.mark.parametrize("much", [1, 20, 200, 1000, 30_000])
def test_nothing_of_a_run_is_left_for_the_next(much: int) -> None:
    """Neither in the image nor outside it: frames, stack."""
    spares = Spares()
    baseline = Baseline.build(default_engine(), bundle_of(LEAKY), spares)
    guest = baseline.instantiate()
    play(guest, SECRET, much)
    assert SECRET.encode() in ctypes.string_at(guest.address, guest.memory_bytes)
    is_kept = guest.memory_bytes == baseline.image.memory_bytes
    spares.clear()
    guest.close()
    assert (spares.held_bytes > 0) is is_kept  # one that grew is freed
    assert is_kept or much > 100
    again = baseline.instantiate()
    memory = ctypes.string_at(again.address, again.memory_bytes)
    assert SECRET.encode() not in memory
    stack = memory[: again.layout.stack_pointer]
    assert not is_kept or stack.count(0) == len(stack)
    slot = again.layout.answer - again.layout.arena
    slots = memory[again.layout.arena : again.layout.arena + 4 * slot]
    assert slots.count(0) == len(slots)
    again.close()


def test_an_interrupt_that_came_too_late_is_wiped() -> None:
    baseline = Baseline.build(default_engine(), bundle_of(LEAKY))
    guest = baseline.instantiate()
    play(guest, SECRET, 1)
    guest.interrupt()
    guest.close()
    again = baseline.instantiate()
    play(again, SECRET, 1)
    again.close()


def test_the_longest_unused_go_first() -> None:
    spares = Spares(max_bytes=25)
    first, second, third = cell(), cell(), cell()
    for key, kept in ((b"a", first), (b"b", second), (b"a", third)):
        spares.put(key, kept, 10)
    assert second.closed  # a was used after b
    assert spares.held_bytes == 20
    assert spares.take(b"b") is None
    assert spares.take(b"a") is third  # whose pages are the warmest
    assert repr(spares) == "<Spares of 1 baselines, 0 of 0 MiB>"
    spares.clear()
    assert first.closed
    assert not third.closed
    assert spares.held_bytes == 0
    third.close()


def test_a_cell_that_is_larger_than_all_the_room_is_freed() -> None:
    spares, large = Spares(max_bytes=5), cell()
    spares.put(b"a", large, 10)
    assert large.closed
    assert spares.held_bytes == 0


def test_one_bundle_keeps_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares_module, "MAX_OF_ONE", 1)
    spares = Spares()
    baseline = Baseline.build(default_engine(), bundle_of(LEAKY), spares)
    spares.clear()
    guests = [baseline.instantiate() for _ in range(3)]
    for guest in guests:
        guest.close()
    assert spares.held_bytes < 2 * baseline.held_bytes
