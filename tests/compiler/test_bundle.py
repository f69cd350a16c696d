"""Bundles: what is compiled, what it is called, and that the same sources give the same bytes."""

from __future__ import annotations

import cbor2
import pytest

from perdure._compiler import Bundle, bundle, compile_workflow
from perdure._compiler.imports import Refusal
from perdure.errors import CompileError

FLOW = """import { sleep } from "workflow";
import type { Shape } from "./types";
import { charge, type Receipt } from "python:shop.steps";
interface Foo<T> { a: T; b?: string }
export async function checkout(card: string, cents: number, opt?: Shape): Promise<number> {
  "use workflow";
  const r = await charge(card, cents) as Receipt;
  const m = new Map<string, number>();
  await sleep("3 days");
  return (r as any)!.id satisfies number;
}
"""
W = 'export async function w() { "use workflow"; }'


def compiled(files: dict[str, str], *, export: str | None = None) -> Bundle:
    return compile_workflow("a.ts", read=files.get, export=export)


def refused(files: dict[str, str], *, export: str | None = None) -> str:
    with pytest.raises(CompileError) as caught:
        compiled(files, export=export)
    assert str(caught.value) == "\n\n".join(map(str, caught.value.diagnostics))
    return str(caught.value)


def test_types_become_blanks_and_nothing_moves() -> None:
    bundle = compiled({"a.ts": FLOW})
    script = bundle.modules["a.ts"]
    assert [len(line) for line in script.split("\n")] == [len(line) for line in FLOW.split("\n")]
    for word in ("await charge(card, cents)", "new Map", 'await sleep("3 days")'):
        assert script.index(word) == FLOW.index(word)
    for word in ("interface", "Promise<", "satisfies", "Receipt", ": string"):
        assert word not in script
    assert bundle.steps == {"python:shop.steps": {"charge": "shop.steps:charge"}}
    assert bundle.step_ids == {"shop.steps:charge"}


def test_the_same_source_gives_the_same_digest() -> None:
    first, again = compiled({"a.ts": FLOW}), compiled({"a.ts": FLOW})
    other = compiled({"a.ts": FLOW + "//"})
    assert first.digest == again.digest != other.digest
    assert first.encoded == again.encoded
    assert repr(first) == f"<Bundle checkout {first.digest[:12]}>"


def test_a_bundle_is_what_the_guest_reads() -> None:
    fields = cbor2.loads(compiled({"a.ts": W}).encoded)
    assert fields == {
        "format": 1,
        "entry": "a.ts",
        "export": "w",
        "name": "w",
        "modules": {"a.ts": W},
        "steps": {},
    }


def test_everything_that_is_imported_is_in_it_once_and_cycles_end() -> None:
    asked: list[str] = []
    files = {
        "a.ts": 'import { x } from "./lib/x"; import { y } from "./y.js"; x; y;' + W,
        "lib/x.ts": 'import { y } from "../y"; import "../a"; export const x = y;',
        "y.ts": 'export * from "./z"; export { z } from "./lib/x/index";',
        "lib/x/index.ts": 'import { s } from "python:m"; export const z = s;',
        "z.ts": "export {};",
    }

    def read(name: str) -> str | None:
        asked.append(name)
        return files.get(name)

    bundle = compile_workflow("a.ts", read=read)
    assert set(bundle.modules) == set(files)
    assert bundle.steps == {"python:m": {"s": "m:s"}}
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("source", "export", "name"),
    [
        (W, None, "w"),
        (W + 'export async function v() { "use workflow"; }', "v", "v"),
        ('export default async () => { "use workflow"; };', None, "a"),
        ('export default async () => { "use workflow"; };', "default", "a"),
    ],
)
def test_the_workflow_is_the_only_one_or_the_one_asked_for(
    source: str, export: str | None, name: str
) -> None:
    bundle = compiled({"a.ts": source}, export=export)
    assert bundle.name == name
    assert bundle.export in {workflow.name for workflow in bundle.workflows}


@pytest.mark.parametrize(
    ("source", "export", "message", "hint"),
    [
        ("export const a = 1;", None, "no exported workflow", 'with "use workflow"'),
        ("", "w", "no exported workflow", 'with "use workflow"'),
        (W, "ww", "no workflow 'ww'", "did you mean w?"),
        (
            W + 'export async function v() { "use workflow"; }',
            None,
            "2 workflows: say which one",
            "there is: a.ts#w, a.ts#v",
        ),
    ],
)
def test_a_choice_that_cannot_be_made_says_what_there_is(
    source: str, export: str | None, message: str, hint: str
) -> None:
    assert refused({"a.ts": source}, export=export) == f"a.ts:1:1: {message}\n  " + (
        hint if not hint.startswith("with") else f"begin an exported async function {hint}"
    )


def test_a_file_that_is_not_there_is_named() -> None:
    assert refused({}) == "a.ts:1:1: no such file"
    text = 'import { h } from "./u"; h;\n' + W
    assert refused({"a.ts": text}) == (
        "a.ts:1:19: there is no file './u'\n"
        '  import { h } from "./u"; h;\n'
        "                    ^\n"
        "  paths are relative to this file"
    )


def test_a_name_the_other_file_does_not_export_is_named() -> None:
    files = {
        "a.ts": 'import { totl } from "./u";\nimport d, * as n from "./v"; totl; d; n;\n' + W,
        "u.ts": "export const total = 1;",
        "v.ts": "export {};",
    }
    assert refused(files) == (
        "a.ts:1:22: u.ts does not export 'totl'\n"
        '  import { totl } from "./u";\n'
        "                       ^\n"
        "  did you mean total?\n\n"
        "a.ts:2:23: v.ts does not export 'default'\n"
        '  import d, * as n from "./v"; totl; d; n;\n'
        "                        ^\n"
        "  there is nothing"
    )


def test_errors_of_every_file_come_together_and_only_the_files_own() -> None:
    files = {
        "a.ts": 'import { x } from "./u"; import { y } from "./v"; x; y;\n' + W,
        "u.ts": "let = ;",
        "v.ts": "namespace A { export let b = 1 }\nexport const y = 1;",
    }
    found = refused(files).split("\n\n")
    assert sorted(text.splitlines()[0] for text in found) == [
        "u.ts:1:7: syntax error near ';'",
        "v.ts:1:1: a namespace has no meaning here without TypeScript's compiler",
    ]


def test_what_is_no_javascript_once_types_are_gone_is_an_error_at_its_place() -> None:
    found = refused({"a.ts": 'let v: A = 1;\nimport defer * as n from "./n"; n;\n' + W})
    assert found.startswith("a.ts:2:8: syntax error near 'defer")


def test_a_module_that_exports_everything_of_another_may_export_any_name() -> None:
    files = {
        "a.ts": 'import { anything } from "./u"; anything;' + W,
        "u.ts": 'export * from "./v";',
        "v.ts": "export const anything = 1;",
    }
    assert set(compiled(files).modules) == set(files)


def test_a_file_that_is_not_read_is_named_with_the_reason() -> None:
    refusal = Refusal(reason="it is a folder", hint="name the file")
    sources: dict[str, str | Refusal] = {
        "a.ts": f"import {{ b }} from './b';\n{W} b",
        "b.ts": refusal,
    }
    with pytest.raises(CompileError, match=r"cannot import './b': it is a folder") as caught:
        compile_workflow("a.ts", read=sources.get)
    assert "name the file" in str(caught.value)
    with pytest.raises(CompileError, match="cannot read it: it is a folder"):
        compile_workflow("b.ts", read=sources.get)


def test_an_import_does_not_lead_out_of_the_root() -> None:
    assert "leads out of the workflow's root" in refused({"a.ts": f"import '../b';\n{W}"})


def test_a_bundle_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 100)
    assert "1 modules of" in refused({"a.ts": W + "// more" * 10})
