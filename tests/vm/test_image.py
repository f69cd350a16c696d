"""Freezing and thawing: a thawed guest is the frozen one, byte for byte, whatever the cut."""

from __future__ import annotations

import contextlib

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from perdure._vm.delta import compress, pack
from perdure._vm.image import CHAIN_BYTES, Baseline, make_delta, take_image
from perdure._vm.lineage import MAX_LINKS, Lineage
from perdure.errors import SnapshotRejectedError
from tests.vm.conftest import RunOf

LOOP = """
import { work } from "python:steps";
export async function w(n) {
  const seen = new Map(), log = [];
  for (let i = 0; i < n; i++) {
    seen.set("k" + (i % 7), { i, at: Date.now(), r: Math.random(), got: await work(i) });
    if (log.push(i * 1.5) > 20) log.splice(0, 10);
  }
  return [[...seen.keys()], log];
}
"""
SMALL = """
import { work } from "python:steps";
export async function w(n) {
  let total = 0;
  for (let i = 0; i < n; i++) total += await work(i);
  return total;
}
"""
LARGE = """
import { work } from "python:steps";
export async function w(n) {
  const rows = [];
  for (let i = 0; i < 6000; i++) rows.push({ id: i, name: "row " + i, at: Math.random() });
  for (let i = 0; i < n; i++) rows[i].got = await work(i);
  return rows.length;
}
"""


def test_a_loop_snapshot_is_about_a_kilobyte(run_of: RunOf) -> None:
    run = run_of(SMALL)
    run.start(1000)
    for k in range(100):
        run.complete(k)
    size = len(make_delta(run.guest, run.baseline.image))
    assert size < 1536, size


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_frozen_and_thawed_anywhere_the_heap_is_the_same(
    run_of: RunOf, freezes: list[bool]
) -> None:
    warm, cut = run_of(LOOP), run_of(LOOP)
    warm.start(1000)
    cut.start(1000)
    for index, freeze in enumerate(freezes):
        if freeze:
            old = cut
            cut = cut.thawed(make_delta(cut.guest, cut.baseline.image))
            old.guest.close()
        assert warm.complete(index) == cut.complete(index)
    assert take_image(warm.guest).digest() == take_image(cut.guest).digest()
    cut.guest.close()
    warm.guest.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_how_deliveries_are_cut_leaves_no_trace(run_of: RunOf, cuts: list[int]) -> None:
    single, batched = run_of(LOOP), run_of(LOOP)
    single.start(1000)
    batched.start(1000)
    for size in cuts:
        for _ in range(size):
            single.complete("x")
        batched.guest.resume([batched.next_delivery("x") for _ in range(size)])
    assert take_image(single.guest).digest() == take_image(batched.guest).digest()
    single.guest.close()
    batched.guest.close()


def test_a_baseline_is_the_same_in_every_worker(run_of: RunOf) -> None:
    one = run_of(LOOP).baseline
    source = one.engine
    other = Baseline.build(source, _bundle(LOOP))
    assert other.digest == one.digest
    assert other.image.dictionary is not None
    assert one.image.dictionary is not None
    assert other.image.dictionary.bytes == one.image.dictionary.bytes


def test_large_heaps_chain_and_thaw_byte_for_byte(run_of: RunOf) -> None:
    run = run_of(LARGE)
    run.start(100)
    lineage = Lineage(run.baseline)
    chain: list[tuple[int, bytes]] = []
    for turn in range(1, 12):
        delta, parent = lineage.freeze(run.guest, turn=turn)
        assert parent == (chain[-1][0] if chain else None)
        chain.append((turn, delta))
        run.complete("y")
    assert len(chain[0][1]) > CHAIN_BYTES
    assert max(len(delta) for _, delta in chain[1:]) < 2048
    delta, parent = lineage.freeze(run.guest, turn=12)
    deltas = [data for _, data in chain] + [delta]
    cold = run.thawed(*deltas)
    assert take_image(cold.guest).digest() == take_image(run.guest).digest()
    again = Lineage.resume(run.baseline, cold.guest, turn=12, deltas=deltas)
    assert again.held_bytes > 0
    assert cold.complete(1) == run.complete(1)
    assert again.freeze(cold.guest, turn=13) == lineage.freeze(run.guest, turn=13)
    cold.guest.close()


def test_a_chain_starts_anew_when_it_outgrows_its_root(run_of: RunOf) -> None:
    run = run_of(LARGE)
    run.start(300)
    lineage = Lineage(run.baseline)
    parents: list[int | None] = []
    for turn in range(MAX_LINKS + 2):
        parents.append(lineage.freeze(run.guest, turn=turn)[1])
        run.complete("y" * 50)
    assert parents[0] is None
    assert None in parents[1:]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_delta_is_refused_and_never_crashes(run_of: RunOf, data: st.DataObject) -> None:
    run = run_of(LOOP)
    run.start(10)
    delta = bytearray(make_delta(run.guest, run.baseline.image))
    run.guest.close()
    at = data.draw(st.integers(0, len(delta) - 1))
    delta[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(SnapshotRejectedError):
        run.baseline.thaw([bytes(delta)]).close()


def test_deltas_that_reach_outside_memory_are_refused(run_of: RunOf) -> None:
    run = run_of(LOOP)
    size = run.baseline.image.memory_bytes
    for body in (
        pack(size, [10**6], [(b"abcd", b"\0")]),
        pack(size, [1], [(b"abcd", b"\xff\xff\x7f")]),
        pack(size, [1], [(b"abcd", b"")]),
        pack(size, [1, 1], [(b"abcd", b"\0")]),
        pack(size, [1], []),
        pack(size - 65536, [1], [(b"abcd", b"\0")]),
        pack(2**32 - 1, [1], [(b"abcd", b"\0")]),
        b"",
    ):
        with pytest.raises(SnapshotRejectedError):
            run.baseline.thaw([compress(body, None)])
    with pytest.raises(SnapshotRejectedError):
        run.baseline.thaw([b""])


def _bundle(source: str) -> bytes:
    from perdure._protocol.codec import encode

    return encode(
        {
            "format": 1,
            "entry": "w.ts",
            "export": "w",
            "name": "w",
            "modules": {"w.ts": source},
            "steps": {"python:steps": {"work": "steps:work"}},
        },
        where="bundle",
    )
