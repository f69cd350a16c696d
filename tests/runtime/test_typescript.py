"""TypeScript that is more than JavaScript with types does in a workflow what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import Worker, Workflow, start, workflow
from perdure.errors import RunFailedError
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio


async def result_of(flow: Workflow) -> object:
    async with MemoryWorld() as world, Worker(world, steps=[]):
        return await (await start(flow)).result(timeout=10)


async def value_of(declarations: str, value: str, *, file: str = "w.ts") -> object:
    body = f'export async function w() {{ "use workflow"; return {value}; }}'
    return await result_of(Workflow.from_source(f"{declarations}\n{body}", filename=file))


@pytest.mark.parametrize(
    ("declarations", "value", "result"),
    [
        ("enum A { B, C = 5, D }", "[A.B, A.D, A[5]]", [0, 6, "C"]),
        ('const enum A { B = "b" } enum C { D = A.B.length }', "[A.B, C.D, C[1]]", ["b", 1, "D"]),
        (
            "class A { constructor(private b: number, readonly c = b + 1) {}\n"
            "sum() { return this.b + this.c } }"
            "class D extends A { constructor(public e: string) { super(2) } }",
            '[new D("f").sum(), new D("f").e, Object.keys(new D("g"))]',
            [5, "f", ["b", "c", "e"]],
        ),
        ("class A { accessor b: number = 1 } const a = new A(); a.b++", "a.b", 2),
        ("namespace A { export type B = number } const c: A.B = 3", "c", 3),
        (
            "abstract class A { abstract b(): void; declare c: number }",
            '"c" in (class extends A {}).prototype',
            False,
        ),
        ("const a = String.raw<unknown>`C:\\users\\x`", "a", "C:\\users\\x"),
        ("\ufeffconst a = 'é' as 'é', b: '€' = '€'", "a + b", "é€"),
        ("const f = (a: number)\r\n  : number =>\r\n  a + 1", "f(1)", 2),
    ],
)
async def test_what_typescript_adds_works(declarations: str, value: str, result: object) -> None:
    assert await value_of(declarations.replace("=>\r\n", "=> \r\n"), value) == result


async def test_javascript_is_read_as_javascript() -> None:
    declarations = "const f = (...x) => x, a = 1, b = 2, c = 3, d = 4"
    assert await value_of(declarations, "f(a < b, c > (d))", file="w.js") == [True, False]


async def test_json_is_imported(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('{\n  "version": "1.2",\n  "__proto__": [1, null]\n}\n')
    (tmp_path / "w.ts").write_text(
        'import data, { version } from "./d.json" with { type: "json" };\n'
        'export async function w() { "use workflow"; return [data, version]; }\n'
    )
    data = {"version": "1.2", "__proto__": [1, None]}
    assert await result_of(workflow(tmp_path / "w.ts")) == [data, "1.2"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
async def test_lines_stay_true(end: str, tmp_path: Path) -> None:
    source = (
        "\ufeff#!/usr/bin/env perdure\n"
        "enum A {\n  B,\n\n  C = 2,\n}\n"
        "class D {\n  constructor(\n    private e: A,\n    readonly f: string,\n  ) {}\n}\n"
        'export async function w() {\n  "use workflow";\n  const d = new D(A.C, "f");\n'
        "  throw new Error(String(d.f));\n}\n"
    )
    (tmp_path / "w.ts").write_bytes(source.replace("\n", end).encode())
    with pytest.raises(RunFailedError) as caught:
        await result_of(workflow(tmp_path / "w.ts"))
    assert "w.ts:16" in str(caught.value) + repr(vars(caught.value))
