# ruff: noqa: E501  # one program a line
"""Programs that do what Node's transformed code does: enums, properties of parameters, erasures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compiler.oracle import Oracle, open_oracle, script_of

PROGRAMS = [
    "enum E { a = 1, b = ((a) => a)(9) + a, c = ((d) => a + d)(b) } out.push(E)",
    "enum E { A, B = 5, C, D = 'x', F = 1 << 2, G = A | B, H = 'abc'.length, I = E.A } out.push(E)",
    "const enum E { A = 1, B = A * 2, C = ~B } out.push(E.A, E.B, E.C, E)",
    "enum E { A = 1 } enum E { B = 2, C = A + B } out.push(E)",
    "enum E { A = 1 } enum E { B = E.A } out.push(E)",
    'enum E { \'a-b\' = 1, "c" = \'a-b\'.length, d = `x`, e = `x${d}` } out.push(E)',
    "enum E { A = 1.5, B, C = -1, D, F = 1e3, G, H = 0x10, I, J = 1 / 0, K, L = -0, M } out.push(E, Object.is(E.L, -0))",
    "enum E { A = 'a', B = A, C = `${A}b`, D = A + 'c' } out.push(E)",
    "enum E { A = NaN, B, C = Infinity, D } out.push(E)",
    "enum E { constructor = 1, toString = 2, __proto__ = 3 } out.push(Object.keys(E), E.constructor, E.toString)",
    "enum E { A } { enum E { B } out.push(E) } out.push(E)",
    "function g() { enum E { A = 2 } return E } out.push(g())",
    "enum E { 'x y', 'z' = 'x y'.length } out.push(E)",
    "enum E { A = (1, 2), B = [1].length, C = (() => 4)() } out.push(E)",
    "enum E { A = 9007199254740991, B, C } out.push(E)",
    "enum E { A = 1_000, B, C = 0b11, D, F = 0o17, G, H = .5, I, J = 5., K } out.push(E)",
    "enum E { A = 08, B } out.push(E)",
    "enum E { } out.push(E)",
    "enum E { A, } out.push(E)",
    "enum E { a = 1, b = a, c = E.b, d = E['a'] } out.push(E)",
    "var a = 7; enum E { a = 1, b = a, c = ((a) => a)(9), d = { a: 3 }.a, e = (function () { let a = 5; return a })() } out.push(E)",
    "enum E { A = 'x' as any, B = <any>2, C = 3!, D = (4 satisfies number) } out.push(E)",
    "enum E { A = typeof 1 === 'number' ? 1 : 2, B = +!0, C = void 0 as any } out.push(E)",
    "enum E { A = 1, B = A << 3 | A, C = B ** 2, D = C % 7, F = -C, G = ~C, H = C >>> 1, I = C ^ A, J = C & 3, K = C / 2, L = C - 1 } out.push(E)",
    "export enum E { A }",
    "declare enum E { A } out.push(typeof E)",
    "enum E { A = 0 } out.push(E[E.A], E[0])",
    'enum E { \\u0041 = 1, B = A } out.push(E)',
    "enum E { é = 1, B = é } out.push(E)",
    "enum E { A = `a` , B = `a${1}`, C = 'a' + 1 } out.push(E)",
    "enum E { A = 1, B = 'b', C = 3 , D } out.push(E)",
    "enum E { A = -1, B, C } out.push(E)",
    "enum E { A = +5, B } out.push(E)",
    "class A { constructor(private x = 1, readonly y = x + 1) { this.x++ } } out.push(new A)",
    "class A { x = 5; constructor(public y: number) { } } class B extends A { z = this.y; constructor(public w = 2) { super(w * 2) } } out.push(new B)",
    "class A { z = typeof this.y; constructor(public y: number) { } } out.push(new A(1))",
    "class A { constructor(protected a?: number, b = 2, private c = b) { } } out.push(new A(1))",
    "class A { constructor() { } } class B extends A { constructor(private x: number) { 'use strict'; super(); out.push(this.x) } } new B(3)",
    "class A { constructor() { } } class B extends A { constructor(private x: number) { const y = 1; super(); out.push(this.x) } } new B(3)",
    'class A { constructor() { } } class B extends A { constructor(private x: number) { super() /* c */\nout.push(this.x) } } new B(3)',
    "class A { y = 1; 'z' = 2; static s = 3; #p = 4; get p() { return this.#p } constructor(public x: number) { } } out.push(new A(1), new A(1).p, Object.keys(new A(5)))",
    "class A { constructor(public readonly x: number, public get = 1, public static_ = 2) { } } out.push(new A(1))",
    "class A { constructor(public x: number) { return } } out.push(new A(1))",
    "class A { constructor(public override x = 1) { } } out.push(new A)",
    "const A = class { constructor(private x: number) { } }; out.push(new A(1))",
    "class A { constructor(private x: number, ...rest: number[]) { out.push(rest) } } new A(1, 2, 3)",
    "class A { declare x: number; y!: number; z?: number; constructor() { out.push('x' in this, 'y' in this, 'z' in this) } } new A",
    "class A { x: number } out.push(Object.keys(new A))",
    "class A { static x = 1; static { this.x = 2 } declare static y; abstract: number = 1 } out.push(A.x, Object.keys(new A))",
    "abstract class A { abstract x: number; abstract f(): void; g() { return 1 } } class B extends A { x = 2; f() { } } out.push(new B, new B().g())",
    "function f(this: any, a?: number, ...b: any[]) { return [f.length, arguments.length] } out.push(f.call(1, 2, 3))",
    "namespace N { export type A = 1 } out.push(typeof N)",
    "out.push([1, 2, 3].map<string>((x): string => `${x as number}`))",
    "const x = { a: { b: 1 } } as any; out.push(x!.a!.b!, x?.a!.b, x.c?.d!.e)",
    "let x: any = 1; x! += 2; x!++; (x as any) -= 1; out.push(x)",
    "out.push(((a: any): a is string => typeof a === 'string')(1))",
    "let f = async <T,>(x: T) => x; out.push(typeof f)",
    "const a = 1, b = 2, c = 3; out.push(a < b, b > (c), (<any>a) < b)",
    "const t = (s: TemplateStringsArray, ...v: any[]) => s.raw.join('|') + v; out.push(t<string>`a${1 as any}\\u{41}b`)",
    "for (const k in { a: 1 } as any) out.push(k as string)",
    "label: for (const x of [1, 2] as number[]) { for (;;) { continue label } }",
    "switch (1 as number) { case 1 as any: out.push('a'); default: out.push('b'!) }",
    "let y = (() => 1)!(); let z = (function () { return 2 } as any)(); out.push(y, z)",
    "let o = { get x(): number { return 1 }, set x(v: number) { }, async<T>() { return 1 }, get<T>() { return 2 } }; out.push(o.x, o.async(), o.get())",
    'type A = string\nvar B = 1; out.push(B)',
    'interface A { }\n[1].forEach(x => out.push(x))',
    'let v = 1 as any\n;[2].forEach(x => out.push(x, v))',
    'var g = 1, h = 2; let w = g as any\n/h/g; out.push(w)',
    'let q = 5 satisfies number\n`t`; out.push(q)',
]  # fmt: skip


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with open_oracle() as asked:
        yield asked


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_does_what_nodes_does(oracle: Oracle, program: str) -> None:
    answer = oracle.ask("run", source=program, ours=script_of(program))
    assert answer.verdict == "equal", answer.detail


def test_accessors_keep_their_values(oracle: Oracle) -> None:
    program = (
        "class A { accessor x = 1; static accessor y = 2; accessor z } const a = new A;"
        "a.x = 5; A.y++; out.push(a.x, A.y, a.z, Object.keys(a))"
    )
    assert oracle.ask("outcome", ours=script_of(program)).detail == "[5,3,null,[]]"
