"""Foreign: a slice of the process's memory is a range of addresses, wherever it lies."""

from __future__ import annotations

import ctypes

from perdure._vm import foreign

MOST_ADDRESS_BITS = 52  # of a process's own memory: arm64 with large addresses


def test_a_slice_of_memory_is_a_range_of_addresses() -> None:
    buffer = ctypes.create_string_buffer(b"abcd", 4)
    at = ctypes.addressof(buffer)
    assert bytes(foreign.memory[at + 1 : at + 3]) == b"bc"
    foreign.memory[at : at + 2] = b"xy"
    assert buffer.raw == b"xycd"


def test_memory_reaches_as_far_as_any_processor() -> None:
    """A slice past the end would be empty: bytes lost without a word."""
    assert len(foreign.memory) >= 1 << MOST_ADDRESS_BITS
