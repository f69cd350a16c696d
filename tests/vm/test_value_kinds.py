"""Every kind of value there is, made on either side, crosses and comes back as it was."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC
from pathlib import Path
from typing import Any, cast

import hypothesis.strategies as st
from hypothesis import given, settings

from perdure._protocol.codec import decode, encode
from perdure._protocol.tags import TYPED_ARRAYS
from perdure.errors import GuestError
from perdure.values import UNDEFINED, ArrayBuffer, DataView, RegExp, StepRef, TypedArray, Url
from tests.vm.conftest import RunOf, ValueOf

FEW = settings(max_examples=120, deadline=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
LARGE = st.integers(2**53, 2**200) | st.integers(-(2**200), -(2**53))
BYTES8 = st.integers(0, 3).flatmap(lambda n: st.binary(min_size=8 * n, max_size=8 * n))
ARRAYS = sorted(set(TYPED_ARRAYS) - {64})  # a Uint8Array crosses as bytes
NUMBERS = SAFE | st.floats().filter(
    lambda x: not math.isfinite(x) or not x.is_integer() or str(x) == "-0.0"
)
ATOMS = (
    st.none()
    | st.just(UNDEFINED)
    | st.booleans()
    | NUMBERS
    | LARGE
    | TEXT
    | st.binary(max_size=8)
    | st.datetimes(timezones=st.just(UTC))
    | st.sampled_from([RegExp(""), RegExp("a+", "gi"), RegExp("^(é|b)$", "u")]).map(
        lambda made: made if made.source else RegExp("(?:)")
    )
    | st.sampled_from([Url("https://example.com/a?b=c#d"), Url("mailto:a@example.com")])
    | st.builds(StepRef, st.just("steps:work"))
    | st.builds(ArrayBuffer, BYTES8)
    | st.builds(DataView, BYTES8)
    | st.builds(TypedArray, st.sampled_from(ARRAYS), BYTES8)
    | st.sets(SAFE | TEXT, max_size=4)
)
ERROR_NAMES = st.sampled_from(["Error", "TypeError", "AggregateError", "FatalError", "MyError"])


class Graph:
    """Containers that may hold each other and themselves."""

    def __init__(self, kinds: list[str], names: list[str], atoms: list[object]) -> None:
        self.atoms = atoms
        self.nodes: list[object] = []
        for kind, name in zip(kinds, names, strict=True):
            made: dict[str, object] = {
                "list": [],
                "object": {},
                "map": {0: None},
                "error": GuestError(name=name, message=name, fatal=name == "FatalError"),
            }
            self.nodes.append(made[kind])

    def value(self, pick: int) -> object:
        """An atom or a container."""
        every = [*self.atoms, *self.nodes]
        return every[pick % len(every)]

    def link(self, at: int, key: str, pick: int) -> None:
        """Put a value into a container."""
        node, value = self.nodes[at % len(self.nodes)], self.value(pick)
        if isinstance(node, list):
            cast("list[object]", node).append(value)
        elif isinstance(node, GuestError):
            if pick % 3:
                node.cause = None if value is UNDEFINED else value
            else:
                node.errors = (*node.errors, value)
        elif isinstance(node, dict):
            node[pick if 0 in node else key] = value


@st.composite
def graphs(draw: st.DrawFn) -> object:
    """A list of containers, linked at random, cycles included."""
    count = draw(st.integers(1, 5))
    kinds = st.lists(
        st.sampled_from(["list", "object", "map", "error"]), min_size=count, max_size=count
    )
    graph = Graph(
        draw(kinds),
        draw(st.lists(ERROR_NAMES, min_size=count, max_size=count)),
        draw(st.lists(ATOMS, min_size=1, max_size=4)),
    )
    links = st.tuples(st.integers(0, 9), st.sampled_from(["a", "b", "1"]), st.integers(0, 30))
    for at, key, pick in draw(st.lists(links, max_size=12)):
        graph.link(at, key, pick)
    return graph.nodes


def same(left: Any, right: Any, pairs: dict[int, int]) -> bool:
    """Equal in kind and content, and shared where the other is shared."""
    kind = cast(object, type(left))
    if kind is not type(right):
        return False
    if kind is float:
        return str(left) == str(right)  # NaN is NaN, and -0.0 is not 0.0
    if kind is not list and kind is not dict and kind is not GuestError:
        return bool(left == right)
    if id(left) in pairs:
        return pairs[id(left)] == id(right)
    if id(right) in pairs.values():
        return False
    pairs[id(left)] = id(right)
    mine, others = parts(left), parts(right)
    return mine.keys() == others.keys() and all(same(mine[k], others[k], pairs) for k in mine)


def parts(value: Any) -> dict[Any, Any]:
    """What a container holds, by its place in it."""
    if isinstance(value, GuestError):
        facts: dict[Any, Any] = {"name": value.name, "text": value.text, "fatal": value.fatal}
        facts |= {f"property {key}": item for key, item in value.props.items()}
        return facts | {"cause": value.cause} | dict(enumerate(value.errors))
    keys: Iterable[Any] = value if hasattr(value, "keys") else range(len(value))
    return {key: value[key] for key in keys}


IDENTITY = """
import { work } from "python:steps";
export async function w(value) { return await work(value); }
"""


@FEW
@given(graphs())
def test_values_of_python_survive_two_round_trips(run_of: RunOf, value: object) -> None:
    run = run_of(IDENTITY)
    answer = run.start(value)
    (argument,) = decode(run.step_of(answer).args)
    assert same(value, argument, {})
    result = run.complete(argument).outcome
    run.guest.close()
    assert same(value, decode(getattr(result, "value", b"\xff")), {})


# A value as the tree of calls that makes it, for both sides to know: [kind, …].
FLOATS = ("Float16Array", "Float32Array", "Float64Array")
JS_ATOMS: list[object] = [
    ["json", 1],
    ["json", None],
    ["json", "text\0é𝄞"],
    ["json", True],
    ["undefined"],
    ["number", "NaN"],
    ["number", "-Infinity"],
    ["number", "-0"],
    ["number", "1e300"],
    ["number", "-1.5"],
    ["bigint", str(2**64)],
    ["bigint", str(-(2**64) - 1)],
    ["date", 1_700_000_000_123],
    ["date", -1],
    ["regexp", "a/b+", "gimsuy"],
    ["url", "https://example.com/?a=b"],
    ["buffer", [1, 2, 255]],
    ["view", [1, 2, 255]],
    ["set", ["a", 1, 2.5, None]],
    *(
        ["typed", name, [0, 1, 2]]
        for name in ("Uint8Array", "Uint8ClampedArray", "Uint16Array", "Uint32Array")
    ),
    *(["typed", name, [0, 1, -2]] for name in ("Int8Array", "Int16Array", "Int32Array", *FLOATS)),
    ["typed", "BigInt64Array", ["0", "-5"]],
    ["typed", "BigUint64Array", ["0", str(2**64 - 1)]],
]
JS_ERRORS = ["Error", "TypeError", "RangeError", "SyntaxError", "AggregateError", "FatalError"]
JS_VALUES = st.recursive(
    st.sampled_from(JS_ATOMS) | st.integers(0, 9).map(lambda n: ["shared", n]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda made: ["list", made])
        | st.dictionaries(st.sampled_from("abc"), inner).map(lambda made: ["object", made])
        | st.lists(inner, max_size=3).map(lambda made: ["map", made])
        | st.tuples(st.sampled_from(JS_ERRORS), inner).map(lambda made: ["error", *made])
    ),
    max_leaves=12,
)
BUILDER = Path(__file__).with_name("value_kinds.js").read_text()


@FEW
@given(JS_VALUES)
def test_values_of_javascript_survive_python_and_a_clone(
    run_of: RunOf, value_of: ValueOf, spec: object
) -> None:
    run = run_of(BUILDER)
    answer = run.start(spec)
    if answer.outcome is None:
        (argument,) = decode(run.step_of(answer).args)
        answer = run.complete(argument)
    run.guest.close()
    assert value_of(answer) == "same"


def test_errors_keep_their_stack_and_what_is_no_list_of_errors_stays_behind(
    run_of: RunOf, value_of: ValueOf
) -> None:
    run = run_of("""
      export async function w() {
        const first = new Error("x");
        first.errors = { field: "is empty" };
        const second = structuredClone(first), third = structuredClone(second);
        const isThere = second.stack.includes("w.ts:3");
        return [first, second.stack === third.stack, isThere, second.errors === undefined];
      }
    """)
    found = value_of(run.start())
    error, *facts = cast("list[object]", found)
    assert facts == [True, True, True]
    assert isinstance(error, GuestError)
    assert error.errors == ()
    assert "w.ts:3" in error.stack


def test_an_empty_list_that_is_shared_stays_shared(run_of: RunOf) -> None:
    run = run_of(IDENTITY)
    shared: list[object] = []
    (argument,) = decode(run.step_of(run.start([shared, shared])).args)
    assert argument[0] is argument[1]


def test_encoding_twice_gives_the_same_bytes_for_shared_values() -> None:
    shared = [1]
    value = {"a": shared, "b": shared}
    assert encode(value, where="v") == encode(decode(encode(value, where="v")), where="v")
