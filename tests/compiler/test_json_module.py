"""JSON imports: data as a module, of which members are exports."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from perdure._compiler import Bundle, Diagnostic, compile_workflow
from perdure._compiler.json_module import json_module
from perdure.errors import CompileError

W = '\nexport async function w() { "use workflow"; return [data]; }'


def compiled(source: str, data: str) -> Bundle:
    return compile_workflow("a.ts", read={"a.ts": source + W, "d/x.json": data}.get)


@pytest.mark.parametrize(
    "statement",
    [
        'import data from "./d/x.json";',
        'import data from "./d/x.json" with { type: "json" };',
        'import data from "./d/x.json" assert { type: "json" }',
        'import { version as data } from "./d/x.json";',
        'import * as data from "./d/x.json";',
    ],
)
def test_data_is_a_module(statement: str) -> None:
    bundle = compiled(statement, '{\n  "version": 1,\n  "a b": 2, "class": 3, "$": 4\n}\n')
    assert bundle.modules["d/x.json"].split("\n") == [
        "const $$ = {",
        '  "version": 1,',
        '  "a b": 2, "class": 3, "$": 4',
        "}; export default $$; export const version = $$.version; export const $ = $$.$;",
    ]
    assert "type:" not in bundle.modules["a.ts"]


@pytest.mark.parametrize("data", ["[1, 2]", '"text"', "null", "1e3", "{}"])
def test_any_value_is_a_default(data: str) -> None:
    script = compiled('import data from "./d/x.json";', data).modules["d/x.json"]
    assert script == f"const $ = {data}; export default $;"


def test_a_key_that_is_no_member_in_a_literal_is_one() -> None:
    script, problems = json_module("x.json", '{"__proto__": {"a": 1}}')
    assert problems == []
    assert script.startswith('const $ = JSON.parse("{\\"__proto__\\": {\\"a\\": 1}}");')


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        ("{'a': 1}", (1, 2), "this is no JSON: Expecting property name enclosed in double quotes"),
        ('{\n "a": }', (2, 7), "this is no JSON: Expecting value"),
        ("", (1, 1), "this is no JSON: Expecting value"),
        ("[NaN]", (1, 1), "this is no JSON: NaN is no number"),
        ("[" * 100_000, (1, 1), "the JSON is nested too deeply"),
    ],
)
def test_what_is_no_json_says_where(data: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(CompileError) as caught:
        compiled('import data from "./d/x.json";', data)
    (problem,) = caught.value.diagnostics
    assert isinstance(problem, Diagnostic)
    assert (problem.file, problem.line, problem.column) == ("d/x.json", *place)
    assert problem.message == message


def test_a_member_that_is_not_there_is_told() -> None:
    with pytest.raises(
        CompileError, match=r"d/x\.json does not export 'verson'[\s\S]*mean version"
    ):
        compiled('import { verson as data } from "./d/x.json";', '{"version": 1}')


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=3), max_size=4))
def test_any_object_is_a_module(value: dict[str, object]) -> None:
    script, problems = json_module("x.json", json.dumps(value, ensure_ascii=False))
    assert problems == []
    assert "export default $" in script
