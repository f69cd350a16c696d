# ruff: noqa: E501  # one program a line
"""Encoding in the guest: by name, counted, re-entrant, and looked at to its last byte."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, cast

import pytest

from perdure._model.commands import Answer, Completed, Failed, Interrupted
from perdure._protocol.codec import decode, decode_error
from perdure._protocol.frames import Limits
from perdure.errors import GuestError
from perdure.values import RegExp, Url
from tests.vm.conftest import Run, RunOf

SMALL = Limits(instructions=3_000_000, heap_bytes=256 << 20, payload_bytes=1 << 20)
HEAD = 'import { work } from "python:steps"; import { createHook } from "workflow";\n'


def run_body(run_of: RunOf, body: str) -> Run:
    return run_of(f"{HEAD}export async function w() {{ {body} }}")


def error_of(answer: Answer) -> GuestError:
    assert isinstance(answer.outcome, Failed), answer
    return decode_error(answer.outcome.error)


def value_of(answer: Answer) -> object:
    assert isinstance(answer.outcome, Completed), answer
    return decode(answer.outcome.value)


# What cannot cross is refused where it is, before it is walked.
TOO_LARGE = {
    "return new Array(2 ** 32 - 1)": "result",
    "return { rows: [0, new Array(2 ** 31)] }": "result.rows[1]",
    "return [new Uint8Array(2 << 20)]": "result[0]",
    "return [new Float64Array(1 << 18)]": "result[0]",
    "return { b: new ArrayBuffer(2 << 20) }": "result.b",
    "return { s: 'x'.repeat(2 << 20) }": "result.s",
    "return { s: '\\u0416'.repeat(1 << 19) }": "result.s",
    "return [10n ** 4000000n]": None,
    "return new Map([[1, new Array(2 ** 31)]])": "result[0]",
    "return { s: new Set(new Uint32Array(1 << 17).keys()), b: new Uint8Array(1 << 20) }": "result.b",
    "await work({ a: new Array(2 ** 31) })": "arguments[0].a",
    "createHook({ metadata: { a: new Array(2 ** 31) } })": "metadata.a",
    "throw Object.assign(new Error('x'), { cause: new Array(2 ** 31) })": "error.cause",
    "throw [new Array(2 ** 31)]": "error[0]",
}


@pytest.mark.slow
@pytest.mark.parametrize(("body", "path"), TOO_LARGE.items(), ids=TOO_LARGE)
def test_what_is_too_large_is_refused_by_its_path(
    run_of: RunOf, body: str, path: str | None
) -> None:
    answer = run_body(run_of, body).start(limits=SMALL)
    error = error_of(answer)
    if path is None:
        assert error.name in ("PayloadLimitError", "InstructionLimitError", "RangeError")
    else:
        assert str(error) == (
            f"PayloadLimitError: the value at {path} is larger than the limit of 1048576 bytes"
        )
    assert answer.instructions < 10_000_000


# The last piece of code that runs in a call is a getter, an encoder, a describer of errors.
SPIN = "for (;;) {}"
LAST = {
    "a getter of the result": "return { get x() { SPIN } }",
    "a getter of what is thrown": "throw { get x() { SPIN } }",
    "a thrown error's name": "throw Object.defineProperty(new Error('x'), 'name', { get() { SPIN } })",
    "a thrown error's message": "throw Object.defineProperty(new Error('x'), 'message', { get() { SPIN } })",
    "a thrown error's fatal": "throw Object.defineProperty(new Error('x'), 'fatal', { get() { SPIN } })",
    "a rejection nobody handled": "Promise.reject({ get x() { SPIN } }); return 1",
    "a constructor's name": "class A {} Object.defineProperty(A, 'name', { get() { SPIN } }); return new A()",
    "a step's argument": "await work({ get x() { SPIN } })",
    "a hook's option": "createHook({ get token() { SPIN } })",
    "a prototype's then": "return { get then() { SPIN } }",
}


@pytest.mark.parametrize("body", LAST.values(), ids=LAST)
def test_a_limit_met_last_is_the_outcome(run_of: RunOf, body: str) -> None:
    run = run_body(run_of, body.replace("SPIN", SPIN))
    assert error_of(run.start(limits=SMALL)).name == "InstructionLimitError"


@pytest.mark.slow
@pytest.mark.parametrize("body", LAST.values(), ids=LAST)
def test_memory_that_ends_last_is_the_outcome(run_of: RunOf, body: str) -> None:
    eat = "const all = []; for (;;) all.push(new Uint8Array(1 << 20))"
    limits = Limits(heap_bytes=16 << 20, instructions=100_000_000)
    answer = run_body(run_of, body.replace("SPIN", eat)).start(limits=limits)
    assert error_of(answer).name == "HeapLimitError"


@pytest.mark.slow
@pytest.mark.parametrize("body", LAST.values(), ids=LAST)
def test_an_interrupt_that_comes_last_is_an_interrupt(run_of: RunOf, body: str) -> None:
    run = run_body(run_of, body.replace("SPIN", SPIN))
    timer = threading.Timer(0.1, run.guest.interrupt)
    timer.start()
    answer = run.start(limits=Limits(instructions=0))
    timer.join()
    assert isinstance(answer.outcome, Interrupted), answer


KINDS = {
    "dates": "new Date(i)",
    "maps": "new Map([[i, 1]])",
    "sets": "new Set([i])",
    "objects": "({ i })",
    "big numbers": "BigInt(i) ** 5n",
    "typed arrays": "new Float64Array(2)",
    "bytes": "new Uint8Array(2)",
}


@pytest.mark.slow
@pytest.mark.parametrize("item", KINDS.values(), ids=KINDS)
def test_thirty_thousand_of_a_kind_are_counted_and_cheap(run_of: RunOf, item: str) -> None:
    answer = run_body(run_of, f"return Array.from({{ length: 30000 }}, (_, i) => {item})").start()
    values = value_of(answer)
    assert isinstance(values, list)
    assert len(cast("list[object]", values)) == 30_000
    assert 120_000 < answer.instructions < 1_000_000


def test_each_item_and_byte_is_counted(run_of: RunOf) -> None:
    def cost(body: str) -> int:
        return run_body(run_of, body).start().instructions

    empty = cost("return []")
    assert cost("return new Array(1000).fill(0)") - empty >= 4000
    assert cost("return 'x'.repeat(160000)") - empty > 9000
    assert cost("return new Uint8Array(160000)") - empty > 9000


def test_a_delivery_is_counted_as_it_is_read(run_of: RunOf) -> None:
    run = run_body(run_of, "await work(); await work(); await work()")
    run.start()
    small = run.complete([]).instructions
    assert run.complete([0] * 1000).instructions - small >= 4000


# An encoding within an encoding: by a getter, of the same object, before and after a shared one.
NESTED: dict[str, object] = {
    "const o = { get x() { return structuredClone({ a: 1 }) } }; return [o, o]": [{"x": {"a": 1}}]
    * 2,
    "const s = {}; const o = { a: s, get x() { return structuredClone([s, s]).length }, b: s }; return [o, s]": [
        {"a": {}, "x": 2, "b": {}},
        {},
    ],
    "const o = { n: 0, get x() { return this.n++ < 3 ? structuredClone(o).x : 'end' } }; return o.x": "end",
    "let n = 0; return { get x() { return ++n } }": {"x": 1},
    "const a = []; a.push(a); return a.length": 1,
    "const s = [1]; return [s, { s }, new Map([[1, s]]), [s]]": [[1], {"s": [1]}, {1: [1]}, [[1]]],
    "const o = { get a() { delete this.b; return 1 }, b: 2 }; return o": None,
}


@pytest.mark.parametrize(("body", "value"), NESTED.items(), ids=NESTED)
def test_encoding_may_run_code_that_encodes(run_of: RunOf, body: str, value: object) -> None:
    found = value_of(run_body(run_of, body).start())
    assert value is None or found == value


def test_a_step_called_by_a_getter_of_arguments_is_a_step(run_of: RunOf) -> None:
    run = run_body(run_of, "let p; await work({ get x() { p = work(1); return 2 } }); return 3")
    first, second = run.start().turns[0].commands
    # Both are steps.
    assert [decode(c.args) for c in (first, second)] == [[1], [{"x": 2}]]  # type: ignore[union-attr]


def test_a_shared_object_stays_one(run_of: RunOf) -> None:
    found: Any = value_of(
        run_body(run_of, "const s = { k: 1 }, t = [s]; return [s, t, { s, t }, t, s]").start()
    )
    s, t, both, again, last = found
    assert s is last is t[0] is both["s"]
    assert t is again is both["t"]


@pytest.mark.parametrize(
    ("kind", "change"), [("new Map([[a, 1]])", "v.set(2, 3)"), ("new Set([a])", "v.add(2)")]
)
def test_a_collection_that_grows_while_it_is_read_is_refused(
    run_of: RunOf, kind: str, change: str
) -> None:
    body = f"const a = {{ get x() {{ {change}; return 1 }} }}; const v = {kind}; return {{ v }}"
    error = error_of(run_body(run_of, body).start())
    assert str(error) == (
        "SerializationError: cannot carry the value at result.v: it changed while it was read"
    )


@pytest.mark.slow
def test_an_answer_that_is_too_large_as_a_whole_fails_by_name(run_of: RunOf) -> None:
    body = (
        "const args = () => work('x'.repeat(7 << 20)); args(); args(); return 'x'.repeat(7 << 20)"
    )
    assert error_of(run_body(run_of, body).start()).name == "OutputLimitError"


DEEP = "let d = new Error('x'); const all = [d]; for (let k = 0; k < LEVELS; k++) { d = WRAP; all.push(d); } const v = [d, all];"
WRAPS = {"new Error('y', { cause: d })": 3, "new Map([[1, d]])": 3, "[d]": 2}  # levels of CBOR


@pytest.mark.parametrize(("wrap", "levels"), WRAPS.items(), ids=WRAPS)
@pytest.mark.parametrize(
    "use", ["return v", "await work(v)", "throw v", "createHook({ metadata: v })"]
)
def test_no_value_nests_deeper_than_its_reader_goes(
    run_of: RunOf, wrap: str, levels: int, use: str
) -> None:
    code = DEEP.replace("WRAP", wrap)
    most = min(1000 // levels - 10, 490)
    answer = run_body(run_of, code.replace("LEVELS", str(most)) + use).start()
    if isinstance(answer.outcome, Completed):
        decode(answer.outcome.value)
    elif isinstance(answer.outcome, Failed):
        decode(answer.outcome.error)
    if levels < 3:
        return
    error = error_of(run_body(run_of, code.replace("LEVELS", "480") + use).start())
    assert error.name == "SerializationError"
    assert "it nests deeper than 1,000 levels of CBOR" in error.message


@pytest.mark.slow
def test_tags_of_shared_objects_count_against_the_limit(run_of: RunOf) -> None:
    """A reference past 65,535 takes no less than what it was reserved, and its object has a tag."""
    body = "const o = Array.from({ length: 120000 }, () => []); return [o, o.slice(), 'x'.repeat(1 << 20)]"
    whole = len(cast("Completed", run_body(run_of, body).start().outcome).value)
    for limit in (whole - 1, whole - 2000):
        limits = Limits(payload_bytes=limit)
        assert error_of(run_body(run_of, body).start(limits=limits)).name == "PayloadLimitError"


# Natives whose work no loop of the user's counts.
LIKE = "{ length: 2 ** 53 - 1 }"
NATIVES = [
    f"[].sort.call({LIKE})",
    f"[].join.call({LIKE})",
    f"[].reverse.call({LIKE})",
    f"[].splice.call({LIKE}, 0, 1)",
    f"[].copyWithin.call({LIKE}, 0, 1)",
    f"[].fill.call({LIKE}, 0)",
    f"[].indexOf.call({LIKE}, 1)",
    f"[].includes.call({LIKE}, 1)",
    "[].unshift.call({ length: 2 ** 53 - 2 }, 1)",
    "new Array(2 ** 32 - 1).indexOf(1)",
    "new Array(2 ** 32 - 1).flat()",
    "new Array(2 ** 32 - 1).concat([1])",
    "Array.from(new Array(2 ** 32 - 1).values().drop(2 ** 40))",
    "/^(a+)+$/.test('a'.repeat(40) + 'b')",
    "/(a*)*b/.test('a'.repeat(100000))",
    "'a'.repeat(1 << 20).indexOf('a'.repeat(1 << 19) + 'b')",
    "'a'.repeat(1 << 20).lastIndexOf('a'.repeat(1 << 19) + 'b')",
    "'a'.repeat(1 << 20).includes('a'.repeat(1 << 19) + 'b')",
    "'a'.repeat(1 << 20).split('a'.repeat(1 << 19) + 'b')",
    "(3n ** (1n << 18n)) ** 4n",
    "BigInt('9'.repeat(1000000))",
    "let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; JSON.stringify(a)",
    "let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; a.flat(100)",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", NATIVES)
def test_natives_are_counted(run_of: RunOf, line: str) -> None:
    limits = Limits(instructions=10_000_000, heap_bytes=64 << 20)
    answer = run_body(run_of, line).start(limits=limits)
    assert error_of(answer).name in (
        "InstructionLimitError",
        "HeapLimitError",
        "RangeError",
        "TypeError",
    )


ODD = {
    RegExp("(", ""): "SyntaxError",
    RegExp("a", "zz"): "SyntaxError",
    Url("no address"): "TypeError",
}


@pytest.mark.parametrize(("value", "name"), ODD.items(), ids=map(repr, ODD))
@pytest.mark.parametrize("kind", ["step", "hook", "hook that waits"])
def test_a_value_that_cannot_be_made_rejects_what_waits_for_it(
    run_of: RunOf, value: object, name: str, kind: str
) -> None:
    wait = {
        "step": "await work()",
        "hook": "const h = createHook(); await work(); await h",
        "hook that waits": "const h = createHook(); await h",
    }[kind]
    run = run_body(run_of, f"try {{ {wait} }} catch (e) {{ return e.name; }}")
    answer = run.start()
    delivery = run.next_delivery([value])
    if kind == "step":
        assert value_of(run.guest.resume([delivery])) == name
        return
    answer = run.guest.resume([replace(delivery, kind="hook_received", id="hook_1")])
    if kind == "hook":
        assert answer.outcome is None
        answer = run.guest.resume([replace(run.next_delivery(), id="step_2")])
    assert value_of(answer) == name
