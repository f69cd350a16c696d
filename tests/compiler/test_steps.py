"""Steps of a bundle: their ids, what they capture, what of it goes to whom, and what is refused."""

from __future__ import annotations

import cbor2
import pytest

from perdure._compiler import ANY, Bundle
from perdure._compiler.parse import parse
from perdure._compiler.scopes import Scopes
from perdure._model.commands import Completed, ScheduleStep
from perdure._protocol.codec import decode
from perdure._protocol.frames import imported_steps, workflow_part
from perdure._vm.guest import default_engine
from perdure._vm.image import Baseline
from perdure.errors import CompileError
from tests.compiler.step_programs import bundle_of
from tests.guests import start_frame

W = "\nexport async function w() { 'use workflow'; }"
S = "{ 'use step'; }"


def steps_of(source: str, name: str = "a.ts") -> list[str]:
    return [id_.removeprefix("step//./a//") for id_ in bundle_of({name: source + W}).js_steps]


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        (f"async function add() {S}", ["add"]),
        (f"export const f = async () => {S}", ["f"]),
        (f"let f = async function g() {S}", ["f"]),
        (f"export default async function f() {S}", ["f"]),
        (f"export default async () => {S}", ["__default"]),
        (f"export default async function () {S}", ["__default"]),
        (f"function o() {{ async function i() {S} }}", ["o/i"]),
        (f"const o = () => {{ const i = async () => {S} }}", ["o/i"]),
        (f"function o() {{ return async () => {S} }}", ["o/_anonymousStep0"]),
        (f"f(async () => {S}); f(async () => {S})", ["_anonymousStep0", "_anonymousStep1"]),
        (f"const f = wrap(async () => {S})", ["_anonymousStep0"]),
        (f"const f = [async () => {S}, async () => {S}]", ["_anonymousStep0", "_anonymousStep1"]),
        (f"const f = (async () => {S});", ["f"]),
        (f"const f = a ?? (async () => {S});", ["f"]),
        (f"const o = {{ async m() {S} }}", ["o/m"]),
        (f"const v = agent({{ tools: {{ V: {{ execute: async () => {S} }} }} }})",
         ["v/tools/V/execute"]),
        (f"const v = new A([{{ m: async () => {S} }}])", ["v/m"]),
        (f"agent({{ tools: {{ async m() {S} }} }})", ["tools/m"]),
        (f"const o = {{ get p() {S}, 'q r': () => {S}, 3: () => {S} }}", ["o/p", "o/q r", "o/3"]),
        (f"const o = {{ 'a\"\\\\b\\n' : () => {S} }}", ['o/a"\\b\n']),
        (f"const o = {{ async [k]() {S} }}", ["o/"]),
        (f"export default {{ async m() {S} }}", ["__default/m"]),
        (f"function t() {{ return {{ run: async () => {S} }} }}", ["t/run"]),
        (f"const {{ a = async () => {S} }} = b", ["_anonymousStep0"]),
        (f"let x; x = async () => {S}", ["x"]),
        (f"a.b.c = async () => {S}", ["a/b/c"]),
        (f"a[0] = async () => {S}", ["_anonymousStep0"]),
        (f"a().b = async () => {S}", ["_anonymousStep0"]),
        (f"class A {{ static async m() {S} async n() {S} }}", ["A.m", "A#n"]),
        (f"class A {{ get m() {S} static get n() {S} }}", ["A#m", "A.n"]),
        (f"var B = class _B {{ async m() {S} }}", ["B#m"]),
        (f"f(class C {{ async m() {S} }})", ["C#m"]),
        (f"export default class {{ async m() {S} }}", ["__DefaultClass#m"]),
        (f"const C = class {{ async m() {S} }}", ["C#m"]),
        (f"class A {{ f = async () => {S}; static {{ x(async () => {S}) }} }}",
         ["A#f", "_anonymousStep0"]),
        (f"class A {{ async m() {{ async function i() {S} }} }}", ["A#m/i"]),
        (f"async function o() {{ 'use step'; async function i() {S} }}", ["o", "o/i"]),
        (f"x(() => {{ y(() => {{ async function i() {S} }}) }})", ["i"]),
        (f"function o() {{ x(() => async () => {S}) }}", ["o/_anonymousStep0"]),
    ],
)  # fmt: skip
def test_an_id_is_the_path_to_the_function(source: str, ids: list[str]) -> None:
    assert sorted(steps_of(source)) == sorted(ids)


@pytest.mark.parametrize(
    ("specifier", "path"),
    [
        ("a.ts", "./a"),
        ("lib/b.mjs", "./lib/b"),
        ("c.test.tsx", "./c.test"),
        ("d.cjs", "./d"),
    ],
)
def test_an_id_has_the_file_without_its_ending(specifier: str, path: str) -> None:
    bundle = bundle_of({specifier: f"async function s() {S}" + W})
    assert set(bundle.js_steps) == {f"step//{path}//s"}
    assert cbor2.loads(bundle.encoded)["workflows"] == {f"workflow//{path}//w": f"{specifier}#w"}


def captures(source: str) -> list[str]:
    bundle = bundle_of({"a.js": source + W})
    return bundle.modules["a.js"].partition(", () => [")[2].partition("]")[0].split(", ")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("function o(a, { b, c: [d] }, ...e) { () => { 'use step'; a; b; c; d; e } }", "a b d e"),
        ("import x from './b.js'; let y; class Z {} function o(a) { () => { 'use step'; x; y; Z; a"
         " } }", "a"),
        ("function o(K, a) { () => { 'use step'; new K(a) } }", "K a"),
        ("function o(a, b) { (c = a, { d = b } = {}) => { 'use step'; c; d } }", "a b"),
        ("function o(a, b) { () => { 'use step'; { let a = b } for (const b of []) b; } }", "b"),
        ("function o(a, b) { () => { 'use step'; var a = 1; a; function b() {} b() } }", ""),
        ("function o(a) { () => { 'use step'; return { a, b: { c: a.d }, e() { return a } } } }",
         "a"),
        ("function o(a) { () => { 'use step'; class B { m() { return a } } } }", "a"),
        ("function o(a) { () => { 'use step'; ({ a } = {}); } }", "a"),
        ("function o(a, e) { () => { 'use step'; try { a } catch (e) { e } } }", "a"),
        ("function o(a) { () => { 'use step'; x: for (;;) break x; o.a; }; var x }", ""),
        ("function o() { function s() { 'use step'; s() } }", ""),
        ("function o() { const s = () => { 'use step'; s() } }", ""),
        ("function o() { function s() {} const o = { s: () => { 'use step'; s() } } }", "s"),
        ("function o(a) { return function () { 'use step'; this.x; a } }", "a"),
        ("function o(a) { return () => { 'use step'; this.x; a } }", "a this"),
        ("const o = { m() { return () => { 'use step'; () => this } } }", "this"),
        ("const o = { m() { return () => { 'use step'; (function () { this }) } } }", ""),
        ("for (const x of [1]) f(() => { 'use step'; x })", ""),
        ("function o() { for (const x of [1]) f(() => { 'use step'; x }) }", "x"),
        ("const f = function g() { () => { 'use step'; g } }", "g"),
    ],
)  # fmt: skip
def test_variables_of_functions_around_it_are_captured(source: str, names: str) -> None:
    source = source.replace("import x from './b.js'; ", "import { sleep as x } from 'workflow'; ")
    assert captures(source) == names.split(" ")


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("class A { async m() { 'use step'; super.m() } }", "super has no meaning", "by its name"),
        ("const f = () => { 'use step'; arguments }", "has no arguments", "(...args)"),
        ("const o = { get a() { 'use step'; return this } }", "this has no meaning", "a method"),
        ("f(class { async m() { 'use step' } })", "class needs a name", "write class Name"),
        ("class A { async [m]() { 'use step' } }", "needs a name", "without [ ]"),
        ("function a() { 'use step' } { function a() { 'use step' } }", "has the id", "a.js:1"),
        (
            "const o = { m() { 'use step' }, ['m']: 1, 'm': () => { 'use step' } }",
            "another step has the id 'step//./a//o/m'",
            "rename one",
        ),
    ],
)
def test_a_step_that_cannot_be_says_why(source: str, message: str, hint: str) -> None:
    with pytest.raises(CompileError) as raised:
        bundle_of({"a.js": source + W})
    (problem,) = raised.value.diagnostics
    assert message in str(problem)
    assert hint in str(problem)
    assert source.split("\n")[0] in str(problem)


def test_two_files_of_one_name_have_the_same_ids() -> None:
    files = {
        "a.ts": "import './a.js';" + W,
        "a.js": "async function w() { 'use workflow' } async function s() { 'use step' }",
    }
    with pytest.raises(CompileError, match=r"another workflow has the id 'workflow//./a//w'"):
        bundle_of(files)


@pytest.mark.parametrize(
    ("text", "set_to"),
    [
        ("const f = async () => { 'use step' }; f.maxRetries = 2;", "2"),
        ("f.maxRetries = 0; async function f() { 'use step' } f.maxRetries = n;", "0"),
        ("const f = async () => { 'use step' }; f.maxRetries = n; g.maxRetries = 3; f = 4", ""),
        ("const o = { f: async () => { 'use step' } }; f.maxRetries = 5;", ""),
    ],
)
def test_a_step_in_a_workflow_keeps_its_retries(text: str, set_to: str) -> None:
    bundle = bundle_of({"a.js": f"async function w() {{ 'use workflow'; {text} }}"})
    _, _, after = bundle.step_modules["a.js"].partition("maxRetries = ")
    assert after.partition(";")[0] == set_to


def files_of(entry: str, **others: str) -> Bundle:
    return bundle_of(
        {"a.js": entry, **{k if "." in k else f"{k}.js": v for k, v in others.items()}}, "w"
    )


def test_what_only_steps_use_is_not_in_the_workflow() -> None:
    bundle = files_of(
        "import { one } from './one.js'; import { two } from './two.js'; import './three.js';\n"
        "import { four } from './four.js'; import { sleep } from 'workflow';\n"
        "const client = new Client(one), unused = 1;\n"
        "function help() { return client.get(two) }\n"
        "class Made extends Client { m() { return help() } }\n"
        "export async function s() { 'use step'; return new Made(help(), four) }\n"
        "export async function w() { 'use workflow'; await sleep(1); return s(four) }",
        one="import './deep.js'; export const one = 1;",
        two="export const two = 1;",
        three="globalThis.three = 1;",
        four="import data from './data.json'; import './a.js'; export const four = data;",
        deep="",
        **{"data.json": "1"},
    )
    assert set(bundle.modules) == {"a.js", "three.js", "four.js", "data.json"}
    assert set(bundle.step_modules) == {
        "a.js",
        *("one.js", "two.js", "three.js", "four.js", "deep.js", "data.json"),
    }
    workflow, step = bundle.modules["a.js"], bundle.step_modules["a.js"]
    for text in ("one", "two", "client", "help", "Made"):
        assert text not in workflow
    assert "unused" not in workflow  # it stands with what goes
    assert "sleep" not in step
    assert "use workflow" not in step


def test_what_nothing_uses_stays_and_so_does_what_is_exported() -> None:
    bundle = files_of(
        "import { one } from './one.js';\nimport { two } from './two.js';\n"
        "export const made = make(one);\nconst { x, y: [z] } = two;\n"
        "async function s() { 'use step'; return made + one }\n"
        "async function w() { 'use workflow'; return s() }",
        one="export const one = 1;",
        two="export const two = 1;",
    )
    assert set(bundle.modules) == {"a.js", "one.js", "two.js"}
    assert "const { x, y: [z] } = two" in bundle.modules["a.js"]


def test_a_pattern_goes_whole() -> None:
    bundle = files_of(
        "import { one as two } from './one.js';\nfunction one() { return 3 }\n"
        "const { x, y: [z] } = two, f = (q) => q;\n"
        "async function s() { 'use step'; return z }\n"
        "async function w() { 'use workflow'; return s(one()) }",
        one="export const one = 1;",
    )
    assert "two" not in bundle.modules["a.js"]
    assert "function one" in bundle.modules["a.js"]


def test_a_workflow_that_a_step_starts_stays() -> None:
    bundle = files_of(
        "import { start } from 'workflow/api';\n"
        "async function other() { 'use workflow'; return 1 }\n"
        "async function s() { 'use step'; await start(other) }\n"
        "export async function w() { 'use workflow'; await s() }"
    )
    assert "async function other() { 'use workflow'; return 1 }" in bundle.modules["a.js"]
    assert 'other.workflowId = "workflow//./a//other"' in bundle.step_modules["a.js"]
    assert "start" not in bundle.modules["a.js"]


def test_a_file_with_only_workflows_gives_steps_a_stub() -> None:
    bundle = files_of(
        "import { s } from './s.js';\nexport async function w() { 'use workflow'; await s() }",
        s="import { v } from './v.js'; import { t } from './t.js'; t;\n"
        "export async function s() { 'use step'; return v }",
        v="import { d } from './d.js'; export async function v() { 'use workflow'; return d }",
        t="export const t = 1;",
        d="export const d = 1;",
    )
    assert set(bundle.modules) == {"a.js", "s.js", "t.js"}
    assert set(bundle.step_modules) == {"s.js", "v.js", "t.js"}


def test_import_may_stand_in_a_step_alone() -> None:
    step = "async function s() { 'use step'; const x = await import('node:http'); require('x') }"
    assert steps_of(step) == ["s"]
    for before in ("import('./b.js');", step + "\nimport('./b.js');"):
        with pytest.raises(CompileError, match=r"import\(\) is not there in a workflow"):
            bundle_of({"a.js": before + W})


def test_a_bundle_without_steps_is_of_format_1() -> None:
    bundle = bundle_of({"a.js": W.strip()})
    fields = cbor2.loads(bundle.encoded)
    assert fields["format"] == 1
    assert set(fields) == {"format", "entry", "export", "name", "modules", "steps"}
    assert workflow_part(bundle.encoded) is bundle.encoded
    assert bundle.modules["a.js"] == W.strip()


def test_a_workflow_that_is_not_exported_is() -> None:
    source = (
        "class A { static async m() { 'use workflow'; return 1 } }\n"
        "async function w() { 'use workflow'; return A.m() }"
    )
    for export in ("w", "A.m"):
        bundle = bundle_of({"a.js": source}, export)
        guest = Baseline.build(default_engine(), bundle.encoded).instantiate()
        outcome = guest.start(start_frame()).outcome
        guest.close()
        assert isinstance(outcome, Completed)
        assert decode(outcome.value) == 1


def test_a_workflow_guest_gets_no_step_bodies() -> None:
    bundle = bundle_of({"a.js": "async function s() { 'use step'; return 'SECRET' }" + W})
    part = workflow_part(bundle.encoded)
    assert b"SECRET" in bundle.encoded
    assert b"SECRET" not in part
    assert cbor2.loads(part) == {
        k: v for k, v in cbor2.loads(bundle.encoded).items() if k != "step_modules"
    }
    assert workflow_part(part) is part
    assert "step//./a//s" in imported_steps(bundle.encoded)


def test_a_text_that_names_the_table_is_no_table() -> None:
    bundle = bundle_of({"a.js": "const step_modules = 1;" + W})
    assert cbor2.loads(workflow_part(bundle.encoded)) == cbor2.loads(bundle.encoded)


def test_scopes_know_what_is_declared_where() -> None:
    text = "export { a as b }; import { c as d } from 'e'; export { f } from 'g';"
    text += " [x = 1] = []; (/* y */) => 1"
    source, _ = parse("a.js", text)
    scopes = Scopes(source)
    assert [reference.name for reference in scopes.references] == ["a", "x"]
    assert scopes.module.names == {"d"}


CALLS = """
async function s(x) { 'use step'; return x }
class A { static async m(x) { 'use step'; return this } x = 1 }
async function w() { 'use workflow';
  let k = 1;
  const n = async (x) => { 'use step'; return x + k };
  const t = async function () { 'use step'; return this.y };
  void n(2); k = 3; void n(4);
  void t.call({ y: 5 }); void t.bind({ y: 6 })(); void t.bind({ y: 7 }, 8)(9);
  void A.m(1);
  void s(n, s, t.bind({ y: 1 }));
  s.maxRetries = 4;
  const use = globalThis[Symbol.for('WORKFLOW_USE_STEP')], caught = [];
  void use('step//./a//s')('by hand');
  const e = (error) => caught.push([error.name, error.message]);
  await use('step//./b//s')(1).catch(e);
  await s(1, { a: [() => 1] }).catch(e);
  await t.call(new A()).catch(e);
  const f = () => 1, c = async () => { 'use step'; return f };
  await c().catch(e);
  try { use(1) } catch (error) { e(error) }
  return [caught, s.name, n.name];
}
"""


def test_a_guest_asks_for_its_steps() -> None:
    guest = Baseline.build(default_engine(), bundle_of({"a.js": CALLS}).encoded).instantiate()
    answer = guest.start(start_frame())
    guest.close()
    commands = [c for turn in answer.turns for c in turn.commands if isinstance(c, ScheduleStep)]
    inputs = [(c.step.removeprefix("step//./a//"), cbor2.loads(c.args)) for c in commands]
    reference = {"id": "step//./a//w/t", "this": {"y": 1}}
    undefined = cbor2.undefined
    assert [(step, value) for step, value in inputs if step != "s"] == [
        ("w/n", [[2], undefined, [1]]),
        ("w/n", [[4], undefined, [3]]),
        ("w/t", [[], {"y": 5}, []]),
        ("w/t", [[], {"y": 6}, []]),
        ("w/t", [[8, 9], {"y": 7}, []]),
        ("A.m", [[1], cbor2.CBORTag(1347571203, ("class//./a//A",)), []]),
    ]
    passed, by_hand = [value for step, value in inputs if step == "s"]
    assert by_hand == [["by hand"], undefined, []]
    assert [argument.value for argument in passed[0]] == [
        {"id": "step//./a//w/n", "closure": (3,)},
        {"id": "step//./a//s"},
        reference,
    ]
    assert isinstance(answer.outcome, Completed)
    caught, *names = decode(answer.outcome.value)
    assert names == ["s", "n"]
    assert [name for name, _ in caught] == [
        "StepNotRegisteredError",
        *["SerializationError"] * 3,
        "TypeError",
    ]
    texts = [text for _, text in caught]
    assert "is not registered" in texts[0]
    assert "arguments[1].a[0]: a function" in texts[1]
    assert "at this: an instance of class A" in texts[2]
    assert "closure[0]: a function" in texts[3]


def test_what_node_brings_along_may_be_imported_for_steps() -> None:
    bundle = files_of(
        "import { s } from './s.js'; export async function w() { 'use workflow'; s() }",
        s='import fs, { readFile as read } from "node:fs"; import * as path from "path";\n'
        'import "./lib.js";\n'
        'export async function s() { "use step"; return [read, path.join, fs.x] }',
        lib="export {};",
    )
    assert set(bundle.modules) == {"a.js", "s.js", "lib.js"}
    assert set(bundle.step_modules) == {"s.js", "lib.js", "node:fs", "path"}
    for text in ('"default"', '"readFile"'):
        assert text in bundle.step_modules["node:fs"]
    assert '"join"' in bundle.step_modules["path"]
    assert "node:fs" not in bundle.modules["s.js"]


def test_any_workflow_of_a_file_may_be_asked_for() -> None:
    two = (
        "export async function w() { 'use workflow' } export async function v() { 'use workflow' }"
    )
    assert bundle_of({"a.js": two}, ANY).export == "w"
    assert bundle_of({"a.js": "'use step'; export async function s() {}"}, ANY).export == ""
    with pytest.raises(CompileError, match="no exported workflow"):
        bundle_of({"a.js": "export const a = 1;"}, ANY)


def test_each_such_import_that_a_workflow_would_have_is_told() -> None:
    with pytest.raises(CompileError) as raised:
        files_of(
            "import { s } from './s.js'; import net from 'net';\n"
            "export async function w() { 'use workflow'; net; s() }",
            s="import { readFile } from 'node:fs'; import 'bun'; export { x } from 'os';\n"
            "import { y } from 'node:vm';\n"
            "export async function s() { 'use step'; return y } readFile();",
        )
    told = [str(problem).split(": ")[1].partition("\n")[0] for problem in raised.value.diagnostics]
    assert sorted(told) == [f"cannot import {n!r}" for n in ("bun", "net", "node:fs", "os")]
    with pytest.raises(CompileError, match="cannot import 'fs'"):
        bundle_of({"a.js": "import 'fs';" + W})
