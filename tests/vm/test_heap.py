"""The guest's own allocator: blocks lie close, are used again, and leave zeros where they were."""

from __future__ import annotations

import pytest

from tests.vm.conftest import RunOf, ValueOf

# Blocks of every size in an order that is no pattern; each holds its mark until it is dropped.
CHURN = """
export async function w() {
  const live = new Map();
  let state = 1, wrong = 0;
  const random = (n) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % n;
  for (let k = 0; k < ROUNDS; k++) {
    const slot = random(200), mark = 1 + slot % 3, bytes = live.get(slot);
    if (bytes !== undefined) {
      if (bytes.includes(0) || bytes.includes(1 + mark % 3)) wrong++;
      live.delete(slot);
    } else {
      const fresh = new Uint8Array(1 + random(k % 7 ? 6000 : 50000));
      if (fresh.includes(1) || fresh.includes(2) || fresh.includes(3)) wrong++;
      live.set(slot, fresh.fill(mark));
    }
  }
  return wrong;
}
"""


def _grown(run_of: RunOf, value_of: ValueOf, rounds: int) -> int:
    """How much memory grew over so many rounds."""
    run = run_of(CHURN.replace("ROUNDS", str(rounds)))
    before = run.guest.memory_bytes
    assert value_of(run.start()) == 0
    return run.guest.memory_bytes - before


@pytest.mark.slow
def test_blocks_are_apart_zeros_at_first_and_used_again(run_of: RunOf, value_of: ValueOf) -> None:
    few, many = _grown(run_of, value_of, 300), _grown(run_of, value_of, 2000)
    assert 0 < many <= 2 * few


def test_a_block_that_does_not_fit_is_a_limit_that_is_told(
    run_of: RunOf, value_of: ValueOf
) -> None:
    body = "try { new ArrayBuffer(2 ** 31); return 'made' } catch (e) { return e.name }"
    value = value_of(run_of(f"export async function w() {{ {body} }}").start())
    assert value == "RangeError"
