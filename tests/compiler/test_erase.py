"""Erasing: types go, everything else stays where it is, and what cannot go is named."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._compiler.erase import erase
from perdure._compiler.parse import parse


def erased(text: str, *, file: str = "a.ts") -> str:
    """The JavaScript of a source that is fine."""
    source, problems = parse(file, text)
    assert problems == []
    script, problems = erase(source)
    assert problems == []
    assert parse("a.js", script)[1] == []
    assert script.count("\n") == text.count("\n")
    assert len(script.encode()) == len(text.encode())
    return script


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("typescript", "javascript"),
    [
        ("let a: number | undefined", "let a"),
        ("let a!: number;", "let a ;"),
        ('let a: Foo<\n  B\n>["x"] = 1;', "let a = 1;"),
        ("const {a, b}: {a: number} = c;", "const {a, b} = c;"),
        ("let f: (a: number) => void = (a) => {};", "let f = (a) => {};"),
        (
            "const f = async <T extends object>(a?: T, ...b: T[]): Promise<void> => {};",
            "const f = async (a , ...b ) => {};",
        ),
        ("const f = <T,>(x: T): x is string => true;", "const f = (x ) => true;"),
        (
            "function f(this: Foo, a: number, b?: string): asserts a is T {}",
            "function f( a , b ) {}",
        ),
        ("function f(this: Foo) {}", "function f( ) {}"),
        ("function f<const T>(x: T) {}", "function f (x ) {}"),
        ("let x = y as unknown as T[];", "let x = y ;"),
        ("let x = y satisfies T;", "let x = y ;"),
        ("let x = y!.a![0]!;", "let x = y .a [0] ;"),
        ("let x = y as const;", "let x = y ;"),
        ("let t = f<string>(1); new Map<string, number[]>();", "let t = f (1); new Map ();"),
        ("let t = `a${b as string}c`;", "let t = `a${b }c`;"),
        ("try {} catch (e: unknown) {}", "try {} catch (e ) {}"),
        ("for (const x of y as any[]) {}", "for (const x of y ) {}"),
        (
            "let o = { m<T>(a: T): void {}, get a(): T { return 1 } };",
            "let o = { m (a ) {}, get a() { return 1 } };",
        ),
    ],
)
def test_types_of_expressions_and_functions_go(typescript: str, javascript: str) -> None:
    assert squeezed(erased(typescript)) == javascript


@pytest.mark.parametrize(
    ("typescript", "javascript"),
    [
        ("class A<T> extends B<T> implements C, D {}", "class A extends B {}"),
        (
            "class A { private readonly x?: number = 1; static #y!: string; }",
            "class A { x = 1; static #y ; }",
        ),
        ("class A { declare x: number; abstract y: number; z = 1 }", "class A { ; ; z = 1 }"),
        ("abstract class A { abstract f(): void; g(): void {} }", "class A { ; g() {} }"),
        ("export abstract class A {}", "export class A {}"),
        ("class A { override m?(): void {} }", "class A { m () {} }"),
        ("class A { f(): void; f(a?: string): void {} }", "class A { ; f(a ) {} }"),
        ("class A { [key: string]: any; a = 1 }", "class A { ; a = 1 }"),
        ('class A { "y": number; 1?: number }', 'class A { "y" ; 1 }'),
        (
            "class A { m(): this { return this } static {} }",
            "class A { m() { return this } static {} }",
        ),
    ],
)
def test_types_of_classes_go(typescript: str, javascript: str) -> None:
    assert squeezed(erased(typescript)) == javascript


@pytest.mark.parametrize(
    "typescript",
    [
        "type A = { a: string }",
        "interface A<T> extends B { a(): void }",
        "declare const a: number;",
        "declare function f(): void;",
        "declare enum E { A }",
        'declare module "x" { export const a: 1 }',
        "declare module M { export const a: 1 }",
        "declare global { interface A {} }",
        "export interface A {}",
        "export type A = string;",
        "export declare const a: number;",
        "export default interface A {}",
        'export type { A } from "./a";',
        'import type { A } from "./a";',
        'import type A from "./a";',
        "function f(a: string): void;",
    ],
)
def test_a_statement_that_is_only_a_type_leaves_a_semicolon(typescript: str) -> None:
    assert squeezed(erased(typescript)) == ";"


@pytest.mark.parametrize(
    ("typescript", "javascript"),
    [
        (
            'import { A, B, c } from "./x"; let a: A; new c(B);',
            'import { B, c } from "./x"; let a ; new c(B);',
        ),
        ('import { type A, b } from "./x"; b;', 'import { b } from "./x"; b;'),
        ('import { A as B } from "./x"; let a: B;', "; let a ;"),
        ('import D, { type E } from "./x"; D;', 'import D, { } from "./x"; D;'),
        ('import D from "./x"; let a: D;', "; let a ;"),
        ('import * as N from "./x"; let a: N.T;', "; let a ;"),
        ('import * as N from "./x"; N.a;', 'import * as N from "./x"; N.a;'),
        ('import { A } from "./x"; const o = { A };', 'import { A } from "./x"; const o = { A };'),
        (
            'import { A } from "./x"; class B extends A {}',
            'import { A } from "./x"; class B extends A {}',
        ),
        ('import { A } from "./x"; class B implements A {}', "; class B {}"),
        ('import { A } from "./x"; export { A };', 'import { A } from "./x"; export { A };'),
        ('import { A } from "./x"; type B = typeof A;', "; ;"),
        ('import { type A } from "./x";', ";"),
        ('import "./x";', 'import "./x";'),
        ('export { type B, c } from "./b";', 'export { c } from "./b";'),
        ('export { c, type B } from "./b";', 'export { c, } from "./b";'),
    ],
)
def test_imports_that_are_only_types_go(typescript: str, javascript: str) -> None:
    assert squeezed(erased(typescript)) == javascript


@pytest.mark.parametrize(
    ("typescript", "javascript"),
    [
        ("const f = (x: number): {\n  a: string\n} => x;", "const f = (x )=> x;"),
        ("let v = a as B\n(f)()", "let v = a;\n(f)()"),
        ("let v = a as B // why\n/* and */ (f)()", "let v = a; // why\n/* and */ (f)()"),
        ("return_ = () => a satisfies B\n(f)()", "return_ = () => a;\n(f)()"),
        ("let v = a as B\n+ 1", "let v = a\n+ 1"),
        ("let v = [a as B\n, 1]", "let v = [a\n, 1]"),
        ("let v: number\n(f)()", "let v\n(f)()"),
        ("type X = 1\n[1].map(f)", ";\n[1].map(f)"),
    ],
)
def test_lines_do_not_join(typescript: str, javascript: str) -> None:
    def lines(text: str) -> str:
        return "\n".join(" ".join(line.replace(" ;", ";").split()) for line in text.split("\n"))

    found = lines(erased(typescript))
    while "\n\n" in found:
        found = found.replace("\n\n", "\n")
    assert found.replace("\n x;", " x;").replace("=>\n", "=> ") == javascript


def test_letters_of_every_width_keep_the_columns_of_what_follows() -> None:
    text = 'let a: "é€𝄞" = "é€𝄞", b = 1;'
    script = erased(text)
    assert script.encode("utf-16-le").index("b".encode("utf-16-le")) == (
        text.encode("utf-16-le").index("b".encode("utf-16-le"))
    )
    assert script.split() == ["let", "a", "=", '"é€𝄞",', "b", "=", "1;"]


@pytest.mark.parametrize(
    ("source", "column", "what", "hint"),
    [
        ("enum A { B }", 1, "an enum", "write an object"),
        ("export const enum A { B }", 8, "an enum", "write an object"),
        ("namespace N {}", 1, "a namespace", "a file of their own"),
        ("export module M {}", 8, "a namespace", "a file of their own"),
        ("class A { constructor(private x: number) {} }", 23, "a parameter property", "declare"),
        ("class A { constructor(a, readonly x = 1) {} }", 26, "a parameter property", "declare"),
        ("class A { constructor(override x: T) {} }", 23, "a parameter property", "declare"),
        ("import A = B.C;", 1, "import =", "write import … from"),
        ('import fs = require("fs");', 8, "import = require()", "write import … from"),
        ("export = a;", 1, "export =", "write export default"),
        ("@d class A {}", 1, "a decorator", "call the function yourself"),
        ("let x = <any>y;", 9, "a <T> cast", "write value as T"),
        ("const f = (a)\n: void => {};", 1, "a return type on a line below", "join the lines"),
        ("const f = async <\nT>(a: T) => a;", 17, "type parameters of an arrow", "join them"),
        ("let v = a satisfies B\n[1].map(f)", 1, "a [ after a type begins a line", '";"'),
    ],
)
def test_what_has_no_javascript_is_refused_with_its_place_and_what_to_write(
    source: str, column: int, what: str, hint: str
) -> None:
    (problem,) = erase(parse("a.ts", source)[0])[1]
    assert problem.message.startswith(what)
    assert hint in problem.hint
    assert (problem.file, problem.column) == ("a.ts", column)
    assert problem.excerpt == source.split("\n")[problem.line - 1]


@pytest.mark.parametrize("source", ["let x = <a>b</a>;", "let x = <a b={c} />;"])
def test_jsx_is_refused(source: str) -> None:
    (problem,) = erase(parse("a.tsx", source)[0])[1]
    assert problem.message == "JSX has no meaning here without TypeScript's compiler"
    assert problem.column == 9


PIECES = st.sampled_from(
    [
        "let a: T<U> = b as V\n",
        "(f)(x!)\n",
        "type é = 1\n",
        "class C<T> { x?: T = y as T;\n*g(): T {}\n}\n",
        "const g = <T,>(a?: T): T => a!;\n",
        "interface I { '€': 1 }\n",
        "import { A, b } from './x'\n",
        "export { b }\n",
        ";`t${b as T}`\n",
        "function h(this: T, ...r: T[]): r is T[] { return r satisfies T }\n",
    ]
)


@given(st.lists(PIECES, max_size=6))
def test_any_sequence_of_statements_stays_one(pieces: list[str]) -> None:
    text = "".join(pieces)
    script = erased(text)
    for line, made in zip(text.splitlines(), script.splitlines(), strict=True):
        for start, word in ((line.find(w), w) for w in ("(f)(", "class C", "'./x'", "return r")):
            assert start < 0 or made[start : start + len(word)].strip() in ("", ";", word)
