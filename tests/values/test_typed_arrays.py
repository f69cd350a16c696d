"""Typed arrays keep each bit from step to workflow to step, through clones, freezes and thaws."""

from __future__ import annotations

import struct
from array import array
from typing import Any, cast

import pytest

from perdure import Worker, Workflow, start, step
from perdure._protocol.tags import TYPED_ARRAYS
from perdure.errors import ValueNotCarriableError
from perdure.testing.memory import MemoryWorld
from perdure.values import TypedArray

pytestmark = pytest.mark.anyio

# Of each kind of float: its tag, format, bits of exponent and of fraction.
FLOATS = {84: ("H", 5, 10), 85: ("I", 8, 23), 86: ("Q", 11, 52)}
INTS = {68: "B", 69: "H", 70: "I", 71: "Q", 72: "B", 77: "H", 78: "I", 79: "Q"}


def patterns(bits: int, fraction: int) -> list[int]:
    """Patterns of a float: zeros, infinities, subnormals, NaN of both sorts with payloads."""
    exponent = (1 << bits - 1) - (1 << fraction)
    quiet = 1 << fraction - 1
    plain = [0, 1, quiet - 1, (1 << fraction) - 1, 1 << fraction, exponent - 1, exponent]
    nans = [exponent | mark for mark in (quiet, quiet | 1, quiet - 1, 1, (1 << fraction) - 1)]
    return [sign | one for sign in (0, 1 << bits - 1) for one in (*plain, *nans)]


def samples() -> dict[str, TypedArray]:
    """An array of each kind with all of its special patterns."""
    made = {"84": b"", "85": b"", "86": b""}
    for tag, (code, exponent, fraction) in FLOATS.items():
        numbers = patterns(1 + exponent + fraction, fraction)
        made[str(tag)] = struct.pack(f"<{len(numbers)}{code}", *numbers)
    for tag, code in INTS.items():
        bits = 8 * struct.calcsize(f"<{code}")
        numbers = [0, 1, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 1]
        made[str(tag)] = struct.pack(f"<5{code}", *numbers)
    return {tag: TypedArray(int(tag), data) for tag, data in made.items()}


SAMPLES = samples()
FLOW = """
import { give, take } from "python:typed";
import { sleep } from "workflow";
const NAMES = [
  "Uint8Clamped", "Uint16", "Uint32", "BigUint64", "Int8", "Int16", "Int32", "BigInt64",
  "Float16", "Float32", "Float64",
];
// Every way in which a standard copies arrays of one kind keeps their bits.
const copies = (array) => {
  const view = new array.constructor(array.length);
  const shifted = new array.constructor(2 * array.length);
  view.set(array);
  shifted.set(array, array.length);
  return {
    same: array, clone: structuredClone(array), view, sliced: array.slice(),
    made: new array.constructor(array), behind: shifted.subarray(array.length),
    buffer: new array.constructor(array.buffer.slice(array.byteOffset)),
    within: new array.constructor(array).copyWithin(0, 0),
  };
};
export async function w(passed) {
  "use workflow";
  const given = await give();
  const names = Object.values(given).map((array) => array.constructor.name.replace("Array", ""));
  if (names.join() !== NAMES.join()) throw new Error(names.join());
  await sleep(1);
  const copied = {};
  for (const [tag, array] of Object.entries(given)) copied[tag] = copies(array);
  await sleep(1);
  return { passed, copied, taken: await take(copied, passed) };
}
"""


@pytest.mark.slow
async def test_each_bit_of_a_typed_array_survives() -> None:
    taken: list[Any] = []

    @step(name="typed:give")
    async def give() -> dict[str, TypedArray]:
        return SAMPLES

    @step(name="typed:take")
    async def take(
        copied: dict[str, dict[str, TypedArray]], passed: dict[str, TypedArray]
    ) -> dict[str, Any]:
        taken.extend([copied, passed])
        return passed

    assert {64, *(int(tag) for tag in SAMPLES)} == set(TYPED_ARRAYS)
    async with MemoryWorld() as world:
        async with Worker(world, steps=[give, take], warm_bytes=0) as worker:
            run = await start(Workflow.from_source(FLOW), [SAMPLES])
            result: Any = await run.result(timeout=30)
        assert worker.statistics()["thawed"] >= 2
    copied, passed = taken
    assert passed == result["passed"] == result["taken"] == SAMPLES
    assert result["copied"] == copied
    for tag, sample in SAMPLES.items():
        assert len(copied[tag]) == 8
        assert {name for name, one in copied[tag].items() if one != sample} == set()


async def test_an_array_of_pythons_crosses_with_its_bits() -> None:
    world = MemoryWorld()
    flow = "export async function w(values) { 'use workflow'; return values }"
    values: list[array[Any]] = [
        array("f", [-0.0, float("nan")]),
        array("d", [-0.0, float("-inf")]),
        array("q", [-1]),
    ]
    nan = array("d")
    nan.frombytes(struct.pack("<Q", 0xFFF0_0000_0000_0001))
    async with world, Worker(world, steps=[]):
        result: Any = await (await start(Workflow.from_source(flow), [[*values, nan]])).result()
    assert [one.data for one in result] == [one.tobytes() for one in (*values, nan)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (TypedArray(85, b"abc"), "of tag 85 of 3 bytes: each item has 4"),
        (TypedArray(28, b"abcd"), "of tag 28: the tags of RFC 8746"),
        (TypedArray(0, b""), "of tag 0: the tags of RFC 8746"),
        (TypedArray(cast("int", []), b""), r"of tag \[\]: the tags of RFC 8746"),
    ],
)
async def test_a_typed_array_that_is_none_is_refused(value: TypedArray, reason: str) -> None:
    flow = "export async function w(value) { 'use workflow'; return value }"
    async with MemoryWorld() as world:
        with pytest.raises(ValueNotCarriableError, match=rf"a TypedArray {reason}"):
            await start(Workflow.from_source(flow), [{"a": value}], world=world)
