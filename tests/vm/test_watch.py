"""Watches: what runs in a guest is stopped or pauses anywhere, and other guests go on."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from perdure._model.commands import Completed, Interrupted
from perdure._protocol.frames import Limits
from perdure._vm import guest as guest_module, watch as watch_module
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline
from perdure._vm.instance import Instance
from perdure._vm.watch import StoppedError, StopReason, Watch, move_epoch, place_here
from tests.vm.conftest import RunOf, bundle_of

PATIENT = Limits(instructions=0)
SPIN = "export async function w() { for (;;) {} }"
DEEP_IN_C = (
    "Array.prototype.sort.call({ length: 2 ** 53 - 1 })",
    "Array.prototype.copyWithin.call({ length: 2 ** 53 - 1 }, 1, 0)",
    "'a'.repeat(1 << 24).indexOf('a'.repeat(1 << 23) + 'b')",
    "Array.prototype.join.call({ length: 2 ** 53 - 1 }, '')",
)
SHORT = "export async function w(n) { let t = 0; for (let i = 0; i < n; i++) t += i; return t; }"


@contextmanager
def stopping(watch: Watch, reason: StopReason = StopReason.DEADLINE) -> Generator[None, None, None]:
    """Stop *watch* again and again, as whoever stops work does, from another thread."""
    ended = threading.Event()

    def stop() -> None:
        while not ended.wait(0.01):
            watch.stop(reason)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("line", ["for (;;) {}", *DEEP_IN_C])
def test_a_guest_is_stopped_whatever_it_is_at(run_of: RunOf, line: str) -> None:
    run = run_of(f"export async function w(go) {{ if (go === true) {{ {line} }} }}")
    watch = Watch(60)
    with watch.here(), stopping(watch):
        answer = run.start(True, limits=PATIENT)
    assert isinstance(answer.outcome, Interrupted)
    assert run.guest.dead
    assert place_here().watch is None


@pytest.mark.parametrize("handler", ["catch {}", "finally { for (;;) {} }"])
def test_code_cannot_go_on_by_a_handler(run_of: RunOf, handler: str) -> None:
    run = run_of(f"export async function w() {{ for (;;) try {{ for (;;) {{}} }} {handler} }}")
    watch = Watch(60)
    with watch.here(), stopping(watch):
        assert isinstance(run.start(limits=PATIENT).outcome, Interrupted)


def test_other_guests_go_on_when_the_epoch_moves(run_of: RunOf) -> None:
    run = run_of(SHORT)
    moved, ended = threading.Event(), threading.Event()

    def move() -> None:
        while not ended.is_set():
            move_epoch()
            moved.set()

    thread = threading.Thread(target=move)
    thread.start()
    assert moved.wait(5)
    answer = run.start(100_000)
    ended.set()
    thread.join()
    assert isinstance(answer.outcome, Completed)


def test_work_that_was_stopped_before_does_not_begin() -> None:
    watch = Watch(1)
    watch.stop(StopReason.CLOSING)
    watch.stop(StopReason.DEADLINE)  # the first reason stands
    with pytest.raises(StoppedError, match="its worker is closing"), watch.here():
        raise AssertionError
    assert repr(watch) == "<Watch stopped: its worker is closing>"


def test_a_part_of_work_that_is_stopped_is_stopped_too() -> None:
    whole, part = Watch(60), Watch(60)
    with whole.here(), part.here():
        part.check()
        whole.stop(StopReason.CROWDED)
        with pytest.raises(StoppedError, match="too many others"):
            part.check()
        assert (
            repr(place_here())
            == "<Place <Watch stopped: too many others took long at the same time>>"
        )


def test_the_whole_goes_on_where_a_part_was_stopped() -> None:
    whole, part = Watch(60), Watch(60)
    with whole.here():
        with part.here():
            part.stop(StopReason.DEADLINE)
        whole.check()


def test_time_counts_only_where_the_thread_had_a_processor() -> None:
    watch = Watch(10, share=0.1)
    assert not watch.is_over(wall=9, used=9)
    assert not watch.is_over(wall=500, used=0.9)  # a busy host is to blame
    assert watch.is_over(wall=10, used=1)


@pytest.mark.slow
def test_a_guest_that_is_to_pause_goes_on_later(run_of: RunOf) -> None:
    run, watch, outcomes = run_of(SHORT), Watch(60), list[object]()

    def work() -> None:
        with watch.here():
            outcomes.append(run.start(10).outcome)

    watch.pause()
    move_epoch()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.3)  # the guest needs microseconds
    assert (watch.pauses, outcomes) == (True, [])
    watch.go_on()
    thread.join(10)
    assert isinstance(outcomes[0], Completed)


def test_a_guest_that_pauses_can_be_stopped(run_of: RunOf) -> None:
    run, watch = run_of(SHORT), Watch(60)
    watch.pause()
    move_epoch()
    with watch.here(), stopping(watch, StopReason.CLOSING):
        assert isinstance(run.start(10).outcome, Interrupted)


@pytest.mark.slow
def test_a_pause_that_nobody_ends_ends(run_of: RunOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_LONGEST_PAUSE", 0.01)
    run, watch = run_of(SHORT), Watch(60)
    watch.pause()
    move_epoch()
    with watch.here():
        assert isinstance(run.start(10).outcome, Completed)


# --- what else runs in guests -----------------------------------------------------------------


def test_an_expression_is_stopped(run_of: RunOf) -> None:
    run, watch = run_of(SHORT), Watch(60)
    run.start(1)
    with watch.here(), stopping(watch), pytest.raises(StoppedError, match="it took too long"):
        run.guest.evaluate("Array.prototype.sort.call({ length: 2 ** 53 - 1 })")
    assert run.guest.dead


@pytest.mark.parametrize("line", DEEP_IN_C)
def test_a_rehearsal_that_takes_too_long_leaves_no_dictionary(line: str) -> None:
    """It runs module scope and first turns, which may never end."""
    hostile = f"(() => {{ {line} }})(); export async function w() {{}}"
    ended = threading.Event()

    def stop() -> None:
        while not ended.wait(0.01):
            watch = place.watch
            if watch is not None:
                watch.stop(StopReason.DEADLINE)

    place = place_here()
    thread = threading.Thread(target=stop)
    thread.start()
    baseline = Baseline.build(default_engine(), bundle_of(hostile))
    ended.set()
    thread.join()
    assert baseline.image.dictionary is None


@pytest.mark.parametrize("reason", [StopReason.CLOSING, StopReason.DEADLINE])
def test_a_rehearsal_in_work_that_is_stopped_fails_the_work(reason: StopReason) -> None:
    watch = Watch(60)
    with watch.here(), stopping(watch, reason), pytest.raises(StoppedError, match=reason.value):
        Baseline.build(default_engine(), bundle_of(f"{DEEP_IN_C[0]}; {SPIN}"))


def test_a_bundle_that_takes_long_to_compile_is_stopped() -> None:
    digits = "9" * 300_000
    watch, guest = Watch(60), Instance(default_engine())
    with watch.here(), stopping(watch), pytest.raises(StoppedError):
        guest.load(bundle_of(f"const b = {digits}n; export async function w() {{ return b }}"))
    guest.close()


def test_a_module_compiled_for_another_configuration_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digest = default_engine().digest
    path = guest_module._cache_path(digest)
    monkeypatch.setattr(guest_module, "CONFIGURATION", guest_module.CONFIGURATION + 1)
    assert guest_module._cache_path(digest) != path
