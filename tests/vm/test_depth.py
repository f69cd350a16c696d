# ruff: noqa: E501  # one program a line
"""Recursion of every kind ends as an error in JavaScript, at the same depth everywhere.

A guest that recursed past its stack would trap, and a machine with wider native frames sooner than
another: each table below names a way to recurse, and none of them may trap.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from perdure._model.commands import Answer, Completed, Failed
from perdure._protocol.codec import decode, decode_error, encode
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline
from perdure._vm.stack import has_room, run_with_room, start_with_room
from perdure.errors import GuestError
from tests.vm.conftest import RunOf

OVERFLOW = "Maximum call stack size exceeded"
# Each calls `again` once more from within: natives, operators and protocols that call user code.
CALLERS = {
    "a call": "const again = () => { n++; again(); }; again();",
    "a call with arguments": "function f(a, b, c) { n++; return f(a, b, c) + 1; } f(1, 2, 3);",
    "spread arguments": "const f = (...a) => { n++; return f(...a); }; f(1, 2, 3);",
    "a getter": "const o = { get x() { n++; return this.x; } }; o.x;",
    "a setter": "const o = { set x(v) { n++; this.x = v; } }; o.x = 1;",
    "toString": "const o = { toString() { n++; return '' + o; } }; '' + o;",
    "valueOf": "const o = { valueOf() { n++; return +o; } }; +o;",
    "toPrimitive": "const o = { [Symbol.toPrimitive]() { n++; return `${o}`; } }; `${o}`;",
    "hasInstance": "const o = { [Symbol.hasInstance]() { n++; return 1 instanceof o; } }; 1 instanceof o;",
    "an iterator": "const o = { [Symbol.iterator]() { n++; return [...o]; } }; [...o];",
    "destructuring": "const o = { get a() { n++; const { a } = o; return a; } }; o.a;",
    "sort": "const f = () => { n++; [2, 1].sort(f); }; f();",
    "sort of bytes": "const f = () => { n++; new Uint8Array([2, 1]).sort(f); }; f();",
    "map": "const f = () => { n++; [1].map(f); }; f();",
    "from": "const f = () => { n++; Array.from([1], f); }; f();",
    "groupBy": "const f = () => { n++; Object.groupBy([1], f); }; f();",
    "forEach of a Map": "const f = () => { n++; new Map([[1, 1]]).forEach(f); }; f();",
    "a set's method": "const o = { size: 1, has() { n++; return new Set([1]).isSubsetOf(o); }, keys() {} }; o.has();",
    "replace": "const f = () => { n++; return 'aa'.replace(/a/g, f); }; f();",
    "replaceAll": "const f = () => { n++; return 'aa'.replaceAll('a', f); }; f();",
    "exec": "const r = /a/; r.exec = () => { n++; return r.test('a'); }; r.test('a');",
    "a reviver": "const f = () => { n++; JSON.parse('[1]', f); }; f();",
    "a replacer": "const f = () => { n++; return JSON.stringify({ a: 1 }, f); }; f();",
    "toJSON": "const o = { toJSON() { n++; return JSON.stringify(o); } }; JSON.stringify(o);",
    "a Proxy's trap": "const p = new Proxy({}, { get(t, k, r) { n++; return r[k]; } }); p.x;",
    "apply": "const f = () => { n++; f.apply(null, [1, 2]); }; f();",
    "Reflect.construct": "const f = function () { n++; Reflect.construct(f, []); }; f();",
    "a constructor": "class A { constructor() { n++; new A(); } } new A();",
    "a field": "class A { x = (n++, new A()); } new A();",
    "a species": "class A extends Array { static get [Symbol.species]() { n++; new A(1).map((x) => x); return A; } } new A(1).map((x) => x);",
    "a generator": "function* g() { n++; yield* g(); } [...g()];",
    "an async function": "const f = async () => { n++; await f(); }; await f();",
    "an async generator": "async function* f() { n++; yield* f(); } for await (const x of f());",
    "an error's name": "const e = new Error('x'); Object.defineProperty(e, 'name', { get() { n++; return String(e); } }); String(e);",
    "a clone's getter": "const o = { get x() { n++; return structuredClone(o); } }; structuredClone(o);",
}
# Data that is nested, chained or long, and what walks it in C.
CHAIN = "let p = {make}; for (let i = 0; i < 30000; i++) p = new Proxy(p, {{}}); return {use};"
NEST = "let a = {make}; for (let i = 0; i < 30000; i++) a = {nest}; return {use};"
WALKS = {
    **{
        f"{use} through proxies": CHAIN.format(make=make, use=use)
        for make, use in (
            ("{}", "p.x"),
            ("{}", "(p.x = 1)"),
            ("{}", "'x' in p"),
            ("{}", "delete p.x"),
            ("{}", "Object.keys(p).length"),
            ("{}", "Object.getPrototypeOf(p) === null"),
            ("{}", "!Object.setPrototypeOf(p, null)"),
            ("{}", "Object.isExtensible(p)"),
            ("{}", "!Object.preventExtensions(p)"),
            ("{}", "!Object.defineProperty(p, 'x', { value: 1 })"),
            ("{}", "!Object.getOwnPropertyDescriptor(p, 'x')"),
            ("[]", "Array.isArray(p)"),
            ("() => 1", "p()"),
            ("function () {}", "!new p()"),
            ("function () {}", "!Reflect.construct(Array, [], p)"),
        )
    },
    **{
        f"{use} of {nest}": NEST.format(make=make, nest=nest, use=use)
        for make, nest, use in (
            ("[]", "[a]", "JSON.stringify(a).length"),
            ("{}", "{ a }", "JSON.stringify(a).length"),
            ("[]", "[a]", "String(a).length"),
            ("[]", "[a]", "a.flat(Infinity).length"),
            ("[1].values()", "a.map((x) => x)", "[...a].length"),
            ("[1].values()", "a.take(5)", "[...a].length"),
            ("{}", "Object.create(a)", "a.x === undefined"),
            ("{}", "Object.create(new Proxy(a, {}))", "a.x === undefined"),
            ("() => 1", "((g) => () => g())(a)", "a()"),
            ("1", "{ a }", "((a = null), 1)"),
            ("''", "a + 'ab'", "a.charCodeAt(5)"),
            ("''", "'ab' + a", "new Map([[a, 5]]).get(a)"),
        )
    },
    "JSON.parse of arrays": "return JSON.parse('['.repeat(100000) + ']'.repeat(100000)).length",
    "JSON.parse of objects": "return JSON.parse('{\"a\":'.repeat(100000))",
    "a pattern of groups": "return new RegExp('(?:'.repeat(50000) + ')'.repeat(50000)).test('')",
    "a pattern of assertions": "return new RegExp('(?='.repeat(50000) + ')'.repeat(50000)).test('')",
    "a pattern of classes": "return new RegExp('['.repeat(50000) + ']'.repeat(50000), 'v').test('')",
    "a ring of objects": "const h = {}; let l = h; for (let i = 0; i < 100000; i++) l = { l }; h.l = l; return 1",
    "a chain of promises": "let p = Promise.resolve(1); for (let i = 0; i < 20000; i++) p = p.then((x) => x); return await p",
    "promises in promises": "let p = Promise.resolve(1); for (let i = 0; i < 20000; i++) { const q = p; p = new Promise((r) => r(q)); } return await p",
}
N = 100_000
SOURCES = {
    "parentheses": "(" * N + "1" + ")" * N,
    "arrays": "[" * N + "]" * N,
    "objects": "({a:" * N + "1" + "})" * N,
    "arrows": "()=>" * N + "1",
    "arrows in parentheses": "(a=" * N + "1" + ")=>1" * N,
    "functions": "(function(){return " * N + "1" + "})" * N,
    "classes": "(class extends " * N + "Object" + "{})" * N,
    "class fields": "(class{static x=" * N + "1" + "})" * N,
    "class blocks": "class A{static{" * N + "}}" * N,
    "blocks": "{" * N + "}" * N,
    "conditions": "if(1)" * N,
    "loops": "for(;;)" * N,
    "switches": "switch(1){case 1:" * N + "}" * N,
    "tries": "try{" * N + "}catch{}" * N,
    "operators": "!" * N + "1",
    "powers": "1" + "**1" * N,
    "conditionals": "1?1:" * N + "1",
    "assignments": "let a;a" + "=a" * N,
    "calls": "f(" * N + ")" * N,
    "indices": "a[" * N + "1" + "]" * N,
    "constructions": "new " * N + "X",
    "templates": "`${" * N + "1" + "}`" * N,
    "computed names": "({[" * N + "1" + "]:1})" * N,
    "destructuring": "let a;" + "[" * N + "a" + "]" * N + "=[]",
    "parameters": "const f=(" + "[" * N + "a" + "]" * N + ")=>1",
    "spreads": "[..." * N + "[]" + "]" * N,
    "imports": "import(" * N + '"x"' + ")" * N,
}


def items_of(answer: Answer) -> list[Any]:
    """The list that a run completed with."""
    items: Any = outcome_of(answer)
    assert items.__class__ is list, items
    found: list[Any] = items
    return found


def outcome_of(answer: Answer) -> object:
    """The value or the error; a trap is neither."""
    match answer.outcome:
        case Completed(value):
            return decode(value)
        case Failed(error):
            found = decode_error(error)
            assert found.name != "GuestTrapError", found
            return found
        case other:
            raise AssertionError(other)


@pytest.mark.slow
@pytest.mark.parametrize("body", CALLERS.values(), ids=CALLERS)
def test_calls_without_end_are_an_error_that_can_be_caught(run_of: RunOf, body: str) -> None:
    run = run_of(
        "export async function w() { let n = 0;\n"
        f"try {{ {body} }} catch (e) {{ return [n, e.name + ': ' + e.message]; }} }}"
    )
    depth, message = items_of(run.start())
    assert isinstance(depth, int)
    assert depth >= 400  # an encoding within an encoding is the deepest a call costs
    assert message.startswith(f"RangeError: {OVERFLOW}"), message


@pytest.mark.slow
@pytest.mark.parametrize("body", WALKS.values(), ids=WALKS)
def test_a_walk_of_deep_data_ends_or_is_an_error(run_of: RunOf, body: str) -> None:
    outcome = outcome_of(run_of(f"export async function w() {{ {body} }}").start())
    if isinstance(outcome, GuestError):
        assert OVERFLOW in outcome.message or "stack overflow" in outcome.message, outcome


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_that_nests_without_end_does_not_load(source: str) -> None:
    # An arrow's parameters that overflow are read as something else first.
    with pytest.raises(GuestError, match=f"{OVERFLOW}|SyntaxError"):
        Baseline.build(default_engine(), bundle_of({"w.ts": source + "\nexport function w() {}"}))


def bundle_of(modules: dict[str, str]) -> bytes:
    """A bundle that begins at w.ts."""
    bundle = {
        "format": 1,
        "entry": "w.ts",
        "export": "w",
        "name": "w",
        "modules": modules,
        "steps": {},
    }
    return encode(bundle, where="bundle")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["import './{}.ts'", "export * from './{}.ts'"])
def test_modules_that_import_one_another_in_a_long_chain_do_not_load(form: str) -> None:
    modules = {f"{k}.ts": form.format(k + 1) for k in range(20_000)}
    modules |= {"20000.ts": "", "w.ts": form.format(0) + "\nexport function w() {}"}
    with pytest.raises(GuestError, match=OVERFLOW):
        Baseline.build(default_engine(), bundle_of(modules))


def test_five_thousand_plain_frames_fit(run_of: RunOf) -> None:
    run = run_of(
        "export async function w(n) { const sum = (k) => (k ? k + sum(k - 1) : 0); return sum(n); }"
    )
    assert outcome_of(run.start(5000)) == 5000 * 5001 // 2


def test_the_depth_is_the_same_at_each_call(run_of: RunOf) -> None:
    source = (
        "export async function w() { let n = 0; const f = () => { n++; f(); };\n"
        "const all = []; for (let k = 0; k < 3; k++) { n = 0; try { f(); } catch { all.push(n); } }"
        " return all; }"
    )
    first, second, third = items_of(run_of(source).start())
    assert first == second == third
    assert outcome_of(run_of(source).start()) == [first, second, third]


def test_guests_run_only_where_there_is_room_for_their_frames() -> None:
    assert not has_room()
    assert run_with_room(has_room)
    inside: list[bool] = []
    start_with_room("deep", lambda: inside.append(run_with_room(has_room))).join()
    assert inside == [True]
    before = threading.stack_size()
    with pytest.raises(ZeroDivisionError):
        run_with_room(lambda: 1 // 0)
    assert threading.stack_size() == before
