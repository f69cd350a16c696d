"""Names at a module's top: each is declared once, and only these are exported; Node says when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perdure._compiler.diagnostics import Diagnostic
from perdure._compiler.erase import erase
from tests.compiler.oracle import Oracle, open_oracle

IMPORTS = (
    'import { a } from "./x";',
    'import { b as a } from "./x";',
    'import { "b c" as a } from "./x";',
    'import a from "./x";',
    'import b, { c, a } from "./x";',
    'import b, * as a from "./x";',
    'import * as a from "./x";',
    'import { \\u0061 } from "./x";',
    'import type { a } from "./x";',
    'import { type a } from "./x";',
    'import type a from "./x";',
    'import type * as a from "./x";',
    "",
)
AT_THE_TOP = (
    *("const a = 1;", "let a;", "var a;", "let \\u0061;", "using a = null;", "const b = 1, a = 2;"),
    *("const { a } = q;", "let [, a] = q;", "var { x: [a] } = q;", "const { ...a } = q;"),
    *("let { b = (a) => a } = q;", "var { b = (a) => a } = q;", "var [b = function a() {}] = q;"),
    *("const { a: b } = q;", "let b = a;", "const b = (a) => a;", "const b = { a() {} };"),
    *("function a() {}", "async function* a() {}", "class a {}", "abstract class a {}"),
    *("function a(): void; function a() {}", "function a(): void;", "(function a() {});"),
    *("enum a { A }", "const enum a { A }", "enum a { A } enum a { B = 1 }", "(class a {});"),
    *("interface a {}", "type a = 1;", "namespace a { export type X = 1 }", "function f(a) {}"),
    *("declare const a: 1;", "declare function a(): void;", "declare class a {}"),
    *("declare enum a { A }", "declare namespace a { const x: 1 }", "declare global { var a: 1 }"),
    *('declare module "q" { const a: 1 }', "class C { constructor(private a: 1) {} }"),
    *(
        "class C { a; static { var a; } }",
        "class C { b = () => { var a; } }",
        "a: for (;;) break a;",
    ),
    *("export const a = 1;", "export var a;", "export let { a } = q;", "export function a() {}"),
    *("export class a {}", "export enum a { A }", "export default function a() {}"),
    *("export default class a {}", "export default a;", "export declare const a: 1;"),
    *('import { a } from "./y";', 'import a from "./y";', 'import { type a } from "./y";'),
)
BELOW = (
    *("{ var a; }", "{ let a; }", "{ function a() {} }", "{ class a {} }", "while (0) var a;"),
    *(
        "if (0) var a; else var a;",
        "do { var a; } while (0)",
        "for (var a of []);",
        "try {} catch (a) {}",
    ),
    *("for (let a of []);", "for (var [a] = [];;) break;", "for (var a = 0, b = 1;;) break;"),
    *("for (const a in q) { let a; }", "for await (var a of []);", "switch (1) { case 1: var a; }"),
    *(
        "switch (1) { case 1: let a; }",
        "b: { var a; }",
        "try { var a; } finally {}",
        "() => { var a; };",
    ),
    *(
        "(async () => { for (var a of []); })();",
        "try {} catch { var a; }",
        "{ { var [b, { a }] = q; } }",
    ),
)
EXPORTS = (
    *("export { a };", "export { a as b };", "export { b, a as default };", "export type { a };"),
    *("export { type a };", 'export { a } from "./x";', 'export { a as "b c" };', "export {};"),
)
BESIDE = (
    "let b;",
    "var a;",
    "let a;",
    "function a() {}",
    "enum a { A }",
    "{ var a; }",
    "{ let a; }",
)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with open_oracle() as asked:
        yield asked


def judged(oracle: Oracle, sources: list[str], file: str = "a.ts") -> list[tuple[str, bool, str]]:
    """Each source, whether we take it, and the message with which Node does not."""
    answers = oracle.ask_all({"ask": "module", "source": source} for source in sources)
    return [
        (source, not erase(file, source).problems, answer.detail)
        for source, answer in zip(sources, answers, strict=True)
    ]


@pytest.mark.parametrize("statement", IMPORTS)
def test_a_name_is_declared_twice_where_node_says_so(statement: str, oracle: Oracle) -> None:
    others = (*AT_THE_TOP, *BELOW)
    sources = [f"{statement} {other}" for other in others]
    sources += [f"{other}\n{statement}" for other in others]
    for source, is_taken, refusal in judged(oracle, sources):
        assert is_taken == (not refusal), (source, refusal)


@pytest.mark.parametrize("other", BELOW)
def test_what_is_below_the_top_meets_what_is_at_it(other: str, oracle: Oracle) -> None:
    sources = [f"{at} {other}" for at in BESIDE[1:5]]
    for source, is_taken, refusal in judged(oracle, sources):
        assert is_taken == (not refusal), (source, refusal)


@pytest.mark.parametrize("statement", EXPORTS)
def test_an_export_has_a_name_where_node_says_so(statement: str, oracle: Oracle) -> None:
    sources = [f"{other} {statement}" for other in BESIDE]
    sources += [f"{statement} {other}" for other in (*IMPORTS[:8], *BESIDE)]
    for source, is_taken, refusal in judged(oracle, sources):
        assert is_taken == (not refusal), (source, refusal)


@pytest.mark.parametrize(
    "source",
    [
        "type T = 1; export { T };",
        "export { T, v }; interface T {} const v = 1;",
        'import type { T } from "./x"; export { T };',
        'import { type T } from "./x"; export { T as U };',
        "declare type T = 1; export { T };",
        "declare interface T {} export { T };",
        "declare namespace T { type U = 1 } export { T };",
        "import type T = require('x'); export { T };",
        "type T = 1; export { T }; function f(T: number) { return T; }",
    ],
)
def test_the_export_of_a_type_goes_as_typescript_has_it(source: str) -> None:
    """Node's stripper keeps it and then misses a value; TypeScript's emit has none."""
    erasure = erase("a.ts", source)
    assert erasure.problems == []
    assert "T }" not in erasure.script
    assert "T," not in erasure.script


def problems(text: str, file: str = "a.ts") -> list[Diagnostic]:
    return erase(file, text).problems


@pytest.mark.parametrize("file", ["a.ts", "a.js"])
@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        (
            'import { a } from "./x";\n\nconst a = 1;',
            (1, 10),
            "'a' is imported here and declared on line 3",
            "write import type if its type alone is meant, else … as another name",
        ),
        (
            'let b;\nimport c, { x, d as b } from "./x";',
            (2, 16),
            "'b' is imported here and declared on line 1",
            "write import type",
        ),
        (
            'import { a } from "./x";\nimport a from "./y";',
            (2, 8),
            "'a' is imported twice",
            "line 1 has it, too: write … as another name",
        ),
        ("let a;\n{ var a; }", (2, 7), "'a' is declared twice", "line 1 declares it, too"),
        ("function a() {}\n\nvar b, a;", (3, 8), "'a' is declared twice", "rename one of them"),
        (
            "const total = 1;\nexport { b,  totel };\nlet b;",
            (2, 14),
            "'totel' is exported, but this file does not declare it",
            "did you mean total?",
        ),
        ("export {\n  Map,\n};", (2, 3), "'Map' is exported", "export const … ="),
    ],
)
def test_a_clash_has_its_place_its_name_and_what_to_write(
    text: str, place: tuple[int, int], message: str, hint: str, file: str
) -> None:
    (problem,) = problems(text, file)
    assert (problem.line, problem.column) == place
    assert message in problem.message
    assert hint in problem.hint


def test_each_clash_is_told_once() -> None:
    text = 'import { a, a } from "./x"; let a; var a; var c; export { c, d, e };'
    assert [problem.message for problem in problems(text)] == [
        "'a' is imported twice",
        "'a' is imported here and declared on line 1",
        "'a' is declared twice",
        "'d' is exported, but this file does not declare it",
        "'e' is exported, but this file does not declare it",
    ]
