"""Randomness: the generators are what their papers say, and one tells nothing of the other."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings, strategies as st

from perdure._protocol.codec import encode
from perdure._protocol.frames import StartFrame
from tests.vm.conftest import RunOf, ValueOf, listed

MASK32, MASK64 = 2**32 - 1, 2**64 - 1
SOURCE = """
import { createHook } from "workflow";
export async function w(sizes) {
  const out = [];
  for (const size of sizes) {
    out.push(crypto.getRandomValues(new Uint8Array(size)), Math.random());
  }
  return [out, crypto.randomUUID(), createHook().token];
}
"""


def quarter_round(s: list[int], a: int, b: int, c: int, d: int) -> None:
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & MASK32
        mixed = s[z] ^ s[x]
        s[z] = (mixed << turn | mixed >> (32 - turn)) & MASK32


def chacha20(key: bytes, number: int, nonce: bytes) -> bytes:
    """One block of the keystream (RFC 8439, 2.3)."""
    first = [
        *struct.unpack("<4I", b"expand 32-byte k"),
        *struct.unpack("<8I", key),
        number,
        *struct.unpack("<3I", nonce),
    ]
    s = first.copy()
    for _ in range(10):
        for k in range(4):
            quarter_round(s, k, 4 + k, 8 + k, 12 + k)
        for k in range(4):
            quarter_round(s, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4)
    return struct.pack("<16I", *((a + b) & MASK32 for a, b in zip(s, first, strict=True)))


def test_the_generator_of_these_tests_is_that_of_the_standard() -> None:
    key, nonce = bytes(range(32)), bytes.fromhex("000000090000004a00000000")
    assert chacha20(key, 1, nonce).hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4")


class Expected:
    """What a run with this seed gets."""

    def __init__(self, seed: bytes) -> None:
        self.stream = b"".join(chacha20(seed, n, b"crypto" + bytes(6)) for n in range(40))
        self.state = list(struct.unpack("<4Q", chacha20(seed, 0, b"Math.random\0")[:32]))

    def bytes(self, size: int) -> bytes:
        taken, self.stream = self.stream[:size], self.stream[size:]
        return taken

    def random(self) -> float:
        s = self.state
        result = (rotated(s[1] * 5 & MASK64, 7) * 9) & MASK64
        shifted = s[1] << 17 & MASK64
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = rotated(s[3], 45)
        return (result >> 11) * 2.0**-53


def rotated(x: int, by: int) -> int:
    return (x << by | x >> (64 - by)) & MASK64


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32), st.lists(st.integers(0, 200), max_size=6))
def test_random_values_are_those_of_the_generators(
    run_of: RunOf, value_of: ValueOf, seed: bytes, sizes: list[int]
) -> None:
    run = run_of(SOURCE)
    guest = run.baseline.instantiate()
    frame = StartFrame(
        run_id="run_a", workflow="w", seed=seed, at_ms=0, input=encode([sizes], where="input")
    )
    out, uuid, token = listed(value_of(guest.start(frame)))
    guest.close()
    expected = Expected(seed)
    assert out == [value for n in sizes for value in (expected.bytes(n), expected.random())]
    raw = bytearray(expected.bytes(16))
    raw[6], raw[8] = raw[6] & 15 | 64, raw[8] & 63 | 128
    assert uuid.replace("-", "") == raw.hex()
    assert token == expected.bytes(16).hex()


@pytest.mark.parametrize("seed", [b"", b"short", b"long" * 20])
def test_a_seed_of_another_length_is_filled_up_or_cut(
    run_of: RunOf, value_of: ValueOf, seed: bytes
) -> None:
    guest = run_of(SOURCE).baseline.instantiate()
    frame = StartFrame(run_id="run_a", workflow="w", seed=seed, at_ms=0, input=b"\x81\x81\x10")
    (values, number), *_ = listed(value_of(guest.start(frame)))
    guest.close()
    expected = Expected(seed[:32].ljust(32, b"\0"))
    assert (values, number) == (expected.bytes(16), expected.random())
