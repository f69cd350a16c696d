"""A copy of a large memory lets other threads run meanwhile."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from typing import Any

import pytest

from perdure._vm import image
from perdure._vm.image import make_delta, take_image
from perdure._vm.interval import SHORT_S
from tests.vm.conftest import RunOf

LARGE = """
import { work } from "python:steps";
export async function w() {
  const kept = new Uint8Array(150e6).fill(7);
  return (await work()) + kept.length;
}
"""


class Watch:
    """A thread that wants to run once a millisecond, and how long it could not."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._over.wait(0.001):
            now = time.perf_counter()
            self.longest_ms, last = max(self.longest_ms, (now - last) * 1000), now


@pytest.mark.slow
def test_taking_an_image_lets_other_threads_run(run_of: RunOf) -> None:
    run = run_of(LARGE)
    assert run.start().outcome is None
    gaps: list[float] = []
    for _ in range(5):  # the machine may be busy with something else
        with Watch() as watch:
            assert take_image(run.guest).held_bytes > 150_000_000
        gaps.append(watch.longest_ms)
    run.guest.close()
    assert min(gaps) < 30


def test_a_large_copy_is_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    source = bytes(range(256)) * 40
    buffer = ctypes.create_string_buffer(source, len(source))
    address = ctypes.addressof(buffer)
    small = image._copy(address, len(source))
    monkeypatch.setattr(image, "LARGE", 1)
    large = image._copy(address, len(source))
    assert small.raw == large.raw == source
    assert image._copy(address, 0).raw == b""


@pytest.mark.parametrize(("megabytes", "expected"), [(1, False), (12, True)])
def test_a_large_memory_is_frozen_and_thawed_in_short_intervals(
    run_of: RunOf, monkeypatch: pytest.MonkeyPatch, megabytes: int, expected: bool
) -> None:
    """It is compared and patched by many calls, and a loop waits for each of its rounds."""
    run = run_of(LARGE.replace("150e6", f"{megabytes}e6"))
    run.start()
    intervals: list[float] = []

    def noting(name: str) -> None:
        call: Any = getattr(image, name)

        def noted(*args: Any) -> Any:
            intervals.append(sys.getswitchinterval())
            return call(*args)

        monkeypatch.setattr(image, name, noted)

    noting("pack")
    noting("apply")
    usual = sys.getswitchinterval()
    thawed = run.thawed(make_delta(run.guest, run.baseline.image))
    assert take_image(thawed.guest).digest() == take_image(run.guest).digest()
    for guest in (run.guest, thawed.guest):
        guest.close()
    assert intervals == pytest.approx([SHORT_S if expected else usual] * 2)
    assert sys.getswitchinterval() == usual
