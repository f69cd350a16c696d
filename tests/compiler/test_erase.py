"""Erasing: types go, everything else stays where it is, and what cannot go is named."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from perdure._compiler.diagnostics import Diagnostic
from perdure._compiler.erase import erase
from perdure._compiler.parse import parse


def erased(text: str, *, file: str = "a.ts") -> str:
    """The JavaScript of a source that is fine, each line in its place."""
    erasure = erase(file, text)
    assert erasure.problems == []
    assert parse("a.js", erasure.script, mask=erasure.mask)[1] == []
    assert erasure.script.count("\n") == text.count("\n")
    return erasure.script


def refusal(text: str, *, file: str = "a.ts") -> Diagnostic:
    """The one problem of a source."""
    (problem,) = erase(file, text).problems
    return problem


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
        ("const f = (x: number): {\n  a: string\n} => x;", "const f = (x\n) => x;"),
        ("const f = (a) /* b\n*/ : void => a;", "const f = (a /* b\n*/ ) => a;"),
        ("const f = (a)\n: void => {};", "const f = (a\n) => {};"),
        ("const f = async <\nT>(a: T) => a;", "const f = async (\na ) => a;"),
        ("() => { return <\nT>(a: T) => a }", "() => { return (\na ) => a }"),
        ("let v = a satisfies B\n[1].map(f)", "let v = a;\n[1].map(f)"),
        ("let v = a as A.B.C\n`t`", "let v = a;\n`t`"),
        ("let v = a as B\n(f)()", "let v = a;\n(f)()"),
        ("let v = a as B // why\n/* and */ (f)()", "let v = a; // why\n/* and */ (f)()"),
        ("return_ = () => a satisfies B\n(f)()", "return_ = () => a;\n(f)()"),
        ("let v = a as B\n+ 1", "let v = a\n+ 1"),
        ("let v = [a as B\n, 1]", "let v = [a\n, 1]"),
        ("let v: number\n(f)()", "let v;\n(f)()"),
        ("type X = 1\n[1].map(f)", ";\n[1].map(f)"),
    ],
)
def test_lines_do_not_join(typescript: str, javascript: str) -> None:
    def lines(text: str) -> str:
        return "\n".join(re.sub(r" +;", ";", " ".join(line.split())) for line in text.split("\n"))

    found = lines(erased(typescript))
    while "\n\n" in found:
        found = found.replace("\n\n", "\n")
    assert found == javascript


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
        ("namespace N { let a }", 1, "a namespace", "a file of their own"),
        ("export module M { export enum E {} }", 8, "a namespace", "a file of their own"),
        ("namespace N { @d class A {} }", 1, "a namespace", "a file of their own"),
        ("import A = B.C;", 1, "import =", "write import … from"),
        ('import fs = require("fs");', 8, "import = require()", "write import … from"),
        ("export = a;", 1, "export =", "write export default"),
        ("@d class A {}", 1, "a decorator", "call the function yourself"),
        ("() => { return <any>\nnew y }", 16, "a <T> cast on a line above", "write value as T"),
    ],
)
def test_what_has_no_javascript_is_refused_with_its_place_and_what_to_write(
    source: str, column: int, what: str, hint: str
) -> None:
    problem = refusal(source)
    assert problem.message.startswith(what)
    assert hint in problem.hint
    assert (problem.file, problem.column) == ("a.ts", column)
    assert problem.excerpt == source.split("\n")[problem.line - 1]


def test_a_source_nested_too_deeply_says_so() -> None:
    assert refusal("(" * 5000 + ")" * 5000).message == "the source is nested too deeply"


def test_half_a_surrogate_pair_is_refused() -> None:
    assert refusal("let a = '\ud800'").message == "half a surrogate pair is no letter"


@pytest.mark.parametrize(
    ("source", "place", "near"),
    [
        ("let a: = 1", (1, 8), "'= 1'"),
        ("let a = 1;\nlet b = (1;", (2, 11), "';'"),
        ("function (", (1, 11), "the end of the file"),
        ("\n  }", (2, 3), "'}'"),
        ("let a = b < c > (d", (1, 19), "the end of the file"),
        ("a = 'b", (1, 5), '"\'b"'),
        ("x = `a${b", (1, 10), "the end of the file"),
    ],
)
def test_a_syntax_error_has_its_place(source: str, place: tuple[int, int], near: str) -> None:
    problem = refusal(source)
    assert (problem.line, problem.column) == place
    assert problem.message == f"syntax error near {near}"


@pytest.mark.parametrize("source", ["let x = <a>b</a>;", "let x = <a b={c} />;"])
def test_jsx_is_refused(source: str) -> None:
    problem = refusal(source, file="a.tsx")
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
        "import { A, b } from './x'\nexport { b }\n",
        ";`t${b as T}`\n",
        "function h(this: T, ...r: T[]): r is T[] { return r satisfies T }\n",
    ]
)


@given(st.lists(PIECES, max_size=6, unique=True))
def test_any_sequence_of_statements_stays_one(pieces: list[str]) -> None:
    text = "".join(pieces)
    script = erased(text)
    for line, made in zip(text.splitlines(), script.splitlines(), strict=True):
        for start, word in ((line.find(w), w) for w in ("(f)(", "class C", "'./x'", "return r")):
            assert start < 0 or made[start : start + len(word)].strip() in ("", ";", word)
