"""Syntax: what is no TypeScript is an error at its place; what only looks like it is none."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from perdure._compiler.diagnostics import Diagnostic
from perdure._compiler.erase import erase
from perdure._compiler.parse import parse


def problem(source: str, file: str = "a.ts") -> Diagnostic:
    (found,) = erase(file, source).problems
    return found


@pytest.mark.parametrize(
    "source",
    [
        # types
        *(
            "let a: ;",
            "let a: if",
            "let a: typeof 1",
            "let a: A.1",
            "let a: A.'b'",
            "let a: import('x'",
            "let a: -b",
        ),
        *(
            "let a: import('x', {",
            "let a: `${b",
            "let a: `${b c}`",
            "type A<if> = 1",
            "let a: [b c]",
        ),
        *(
            "interface A { + }",
            "interface A { <T> a }",
            "interface A { [a }",
            "interface A { a b }",
        ),
        *("type A = B extends C", "type A = { [K in L: M }", "type A = (a", "let a: () = 1"),
        *(
            "type A = (if) => b",
            "let a: ({ b: c d }) => e",
            "let a: ([b c]) => d",
            "let a: ([if]) => b",
        ),
        # expressions
        *(
            "a = if",
            "a = { b c }",
            "a = { 'b' }",
            "a = { get() }",
            "a = { b() }",
            "a = { if: }",
            "a.",
        ),
        *(
            "x = a<b>==c",
            "f(a b)",
            "[a b]",
            "a ? b",
            "a?.1 + (",
            "function f() { return function g() }",
            "`a${b c}`",
        ),
        *(
            "a = (b",
            "a = )",
            "a = b[c",
            "x = /a",
            "x = `a",
            "x = '",
            "a = \\",
            "#",
            "a = async (b c) => d",
        ),
        *("function f(this = 1) {}", "function f(if) {}", "function f({ + }) {}"),
        # statements
        *(
            "a b",
            "if a",
            "for (a",
            "do a",
            "switch (a) { b: ",
            "try a",
            "export if",
            "export a",
            "var 1",
        ),
        *(
            "class A { + }",
            "class A { a b }",
            "class A { a() b }",
            "{",
            "export default if",
            "export enum",
        ),
        *("import", "import a", "import a from", "import a from b", "import { a b } from 'c'"),
        *("import a from 'b' with { c", "import { a.b } from 'c'", "export { a", "export async a"),
    ],
)
def test_what_is_no_typescript_is_an_error(source: str) -> None:
    found = problem(source)
    assert found.message.startswith("syntax error near ")
    assert (found.line, found.file) == (1, "a.ts")
    assert 1 <= found.column <= len(source) + 1


@pytest.mark.parametrize(
    "source",
    [
        *("let a: b = 1", "a as b", "a!", "a?.<b>()", "type A = 1", "interface A {}", "enum A {}"),
        *("function f(a?) {}", "function f(): a {}", "function f(private a) {}", "f?.<a>`b`"),
        *("(a): b => c", "<T>(a) => b", "<T>a", "function f()", "export = a"),
        *("class A { private a }", "class A { a!: b }", "class A<T> {}", "class A extends B<C> {}"),
        *("declare const a", "abstract class A {}", "namespace A {}", "import type A from 'b'"),
        *("import a = b", "import { type a } from 'b'", "export { type a }", "export type { a }"),
        *("export as namespace a", "class A { a() }", "let a!", "class A { [k: string]: b }"),
    ],
)
def test_javascript_has_no_types(source: str) -> None:
    erasure = erase("a.js", source)
    broken = parse("a.js", erasure.script, mask=erasure.mask)[1]
    assert erasure.problems or broken


@pytest.mark.parametrize(
    "source",
    [
        *("f(a < b, c > (d))", "a < b > (c)", "type\nA", "declare = 1; abstract; namespace\nA\n{}"),
        *(
            "let b\n(c)",
            "let\na; for (let in b) c",
            "interface\nA\n{}",
        ),
        *("async (a); async < b > c", "class A { static\na() {} get\n b() {} async\nc() {} }"),
        *("String.raw`\\u\\x${a}\\u`", "export { a as if }; let a", "for (await using a of b) c"),
        *("await using_", "a\n/b/c", "import a from 'b' with { c: 'd' }; a"),
        *("let a\n(b)", "export * from 'a'\n[b].c()", "x = a ? (b) : c => d", "a = b\n++c"),
        *("enum_ = 1; type = declare", "({ async, get, set: 1, async *a() {}, get b() {} })"),
    ],
)
def test_javascript_stays_as_it_is(source: str) -> None:
    erasure = erase("a.js", source)
    assert erasure.problems == []
    assert erasure.script.replace(";\n", "\n") == source.replace(";\n", "\n")
    if "enum_" not in source and "let in" not in source:
        assert parse("a.js", erasure.script, mask=erasure.mask)[1] == []


@pytest.mark.parametrize(
    ("source", "regroups"),
    [
        ("a + b as T * c", True),
        ("a * b as T + c", False),
        ("a * b as T * c", False),
        ("a ** b as T ** c", True),
        ("a << b as T + c", True),
        ("a < b as number << c", True),
        ("a >= b as T >> c", True),
        ("a in b as T - c", True),
        ("a instanceof b as T % c", True),
        ("a + b as T / c", True),
        ("a + b as T\n/ c / d", True),
        ("a <= b as number < c", False),
        ("a <<= b as T + c", False),
        ("a >>= b as T + c", False),
        ("a = b as T * c", False),
        ("a == b as T + c", False),
        ("a || b as T * c", False),
        ("a + (b as T) * c", False),
        ("a as T * c", False),
        ("a + b as T", False),
        ("a + b as T && c", False),
    ],
)
def test_a_cast_that_holds_operators_together_is_refused(source: str, regroups: bool) -> None:
    problems = erase("a.ts", source).problems
    assert [p.message.split(",")[0] for p in problems] == (
        ["a cast that holds operators together"] if regroups else []
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = @d class {}", "a decorator"),
        ("class A { @d() b }", "a decorator"),
        ("class A { f(@d b) {} }", "a decorator"),
        ("export default @d class {}", "a decorator"),
        ("export @d class A {}", "a decorator"),
        ("export import a = b.c", "import ="),
    ],
)
def test_what_is_refused_has_a_name_wherever_it_stands(source: str, message: str) -> None:
    assert problem(source).message.startswith(f"{message} has no meaning here")


@pytest.mark.parametrize(
    "source",
    [
        "export as namespace A",
        "import type A = B.C",
        "import type A = require('b')",
        "declare module 'a'",
    ],
)
def test_more_of_what_is_only_a_type_goes(source: str) -> None:
    erasure = erase("a.ts", source)
    assert erasure.problems == []
    assert erasure.script.strip() == ";"


def test_a_generic_arrow_function_in_a_tsx_file_has_a_comma_or_a_bound() -> None:
    for source in ("x = <T,>(a: T) => a", "x = <T extends U>(a: T) => a"):
        assert erase("a.tsx", source).problems == []
    assert problem("x = <T>(a: T) => a", "a.tsx").message.startswith("JSX has no meaning")


@given(st.text(alphabet="ab<>()[]{}.,;:?!=/`'\"$\\ \n*+-&|@#é𝄞", max_size=40))
def test_any_text_is_erased_or_has_an_error_inside_it(text: str) -> None:
    for file in ("a.ts", "a.tsx", "a.js"):
        erasure = erase(file, text)
        assert erasure.script.count("\n") == text.count("\n")
        assert len(erasure.script.encode()) == len(erasure.mask.encode())
        for found in erasure.problems:
            assert 1 <= found.line <= text.count("\n") + 1


WORDS = (
    "a b class function => ( ) { } [ ] < > , ; : ? ! = as type interface enum declare abstract "
    "get set static async * ... import export from 'x' ` ${ / + & | extends implements new "
    "private readonly namespace using await yield for if in of \n infer typeof @ #p"
)


@given(st.lists(st.sampled_from(WORDS.split(" ")), max_size=25))
def test_any_words_are_erased_or_have_an_error_inside_them(words: list[str]) -> None:
    text = " ".join(words)
    erasure = erase("a.ts", text)
    assert erasure.script.count("\n") == text.count("\n")
    assert len(erasure.script.encode()) == len(erasure.mask.encode())


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("a ? (b) : c => (", ")"), ("a < (b) < (", ")"), ("x((a): b ? ", ")"), ("a<b, ", "")],
)
def test_tries_within_tries_do_not_double(opening: str, closing: str) -> None:
    """Were they made again at each level, 2**30 would take hours."""
    erase("a.ts", f"{opening * 30}d{closing * 30}")


def test_a_guess_that_is_corrected_forgets_what_was_tried_behind_it() -> None:
    source = "a ? (b) : c => (d) / e < f > (g) / h : (i)\nif (a) /(j): k</.test(l<m>(n))"
    erasure = erase("a.ts", source)
    assert erasure.problems == []
    assert "l   (n)" in erasure.script
    assert "/(j): k</" in erasure.script
