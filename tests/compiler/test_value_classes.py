"""Classes whose instances cross: which ones do, by which id, and that every form has them."""

from __future__ import annotations

import cbor2
import pytest

from perdure._compiler import Bundle
from perdure.errors import CompileError
from tests.compiler.step_programs import bundle_of

W = "\nexport async function w() { 'use workflow'; }"
OUT, BACK = "static [WORKFLOW_SERIALIZE](p) {}", "static [WORKFLOW_DESERIALIZE](d) {}"
SERDE = "import { WORKFLOW_SERIALIZE, WORKFLOW_DESERIALIZE } from '@workflow/serde';\n"
BOTH = f"{OUT} {BACK}"
HAND = (
    "static [Symbol.for('workflow-serialize')](p) {}"
    ' static [Symbol.for("workflow-deserialize")]() {}'
)


def classes_of(source: str, **others: str) -> list[str]:
    files = {"a.js": source + W, **{f"{name}.js": text for name, text in others.items()}}
    return sorted(id_.removeprefix("class//./") for id_ in bundle_of(files).classes)


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        (f"{SERDE}class P {{ {BOTH} }}", ["a//P"]),
        (f"{SERDE}export class P {{ {BOTH} }}", ["a//P"]),
        (f"{SERDE}export default class P {{ {BOTH} }}", ["a//P"]),
        (f"{SERDE}export default class {{ {BOTH} }}", ["a//__DefaultClass"]),
        (f"{SERDE}var P = class _P {{ {BOTH} }}", ["a//P"]),
        (f"{SERDE}const P = class {{ {BOTH} }}", ["a//P"]),
        (f"class P {{ {HAND} }}", ["a//P"]),
        (f"{SERDE}class P {{ {OUT} }}", []),
        (f"{SERDE}class P {{ {BOTH.replace('static', '')} }}", []),
        (f"{SERDE}f(class {{ {BOTH} }})", []),
        (f"{SERDE}function f() {{ class P {{ {BOTH} }} }}", []),
        (f"class P {{ {BOTH} }}", []),
        ("class P { static [a]() {} static b() {} static [`c`]() {} static d = 1 }", []),
        (
            "import { WORKFLOW_SERIALIZE as A, WORKFLOW_DESERIALIZE as B }"
            " from '@workflow/serde';\nclass P { static [A] = (p) => p; static [B](d) {} }",
            ["a//P"],
        ),
        (
            "let z, A = Symbol.for('workflow-serialize'), B = Symbol.for('workflow-deserialize');\n"
            "class P { static [A](p) {} static [B](d) {} }",
            ["a//P"],
        ),
        (
            f"import * as serde from '@workflow/serde';\nclass P {{ "
            f"{BOTH.replace('[', '[serde.')} }}",
            ["a//P"],
        ),
        (
            "const { WORKFLOW_SERIALIZE: A, WORKFLOW_DESERIALIZE } = serde;\n"
            "class P { static [A](p) {} static [WORKFLOW_DESERIALIZE](d) {} }",
            ["a//P"],
        ),
        (f"{SERDE}class P {{ {BOTH} }} class Q extends P {{}} class R extends Q {{}}",
         ["a//P", "a//Q", "a//R"]),
        (f"{SERDE}class P {{ {BOTH} }} class Q extends ns.P {{}} class R extends S {{}}",
         ["a//P", "a//Q"]),
        ("class A { static async m() { 'use step' } async n() { 'use step' } }", ["a//A"]),
        ("class A { async n() { 'use step' } }", []),
        ("const o = { async m() { 'use step' } }; class A { static m() {} }", []),
    ],
)  # fmt: skip
def test_a_class_crosses_by_its_two_static_functions(source: str, ids: list[str]) -> None:
    assert classes_of(source) == ids


def test_a_class_that_extends_one_of_another_file_crosses() -> None:
    base = f"{SERDE}export class P {{ {BOTH} }}"
    source = "import { P as Base } from './b.js'; export class Q extends Base {}"
    assert classes_of(source, b=base) == ["a//Q", "b//P"]


def test_two_of_one_id_are_an_error() -> None:
    source = f"{SERDE}{{ class P {{ {BOTH} }} }} {{ class P {{ {BOTH} }} }}"
    with pytest.raises(CompileError, match="another class has the id"):
        classes_of(source)


def bundle(entry: str) -> Bundle:
    files = {
        f"{entry}w.js": "import { s } from 'STEPS';\n" + W.replace(" }", "; s }"),
        "lib/steps.js": "import { P } from './p.js'; import { unused } from './other.js';\n"
        "export async function s() { 'use step'; return new P(unused) }",
        "lib/p.js": "import './deep.js';\n" + f"{SERDE}export class P {{\n {BOTH}\n}}",
        "lib/deep.js": "globalThis.deep = 1;",
        "lib/other.js": "export const unused = 1;",
    }
    path = {"": "./lib/steps.js", "lib/": "./steps.js", "flows/": "../lib/steps.js"}[entry]
    files = {name: text.replace("STEPS", path) for name, text in files.items()}
    return bundle_of({name.replace("\\", "/"): text for name, text in files.items()})


@pytest.mark.parametrize("entry", ["", "lib/", "flows/"])
def test_a_class_is_where_it_is_never_imported(entry: str) -> None:
    made = bundle(entry)
    path = {"": "./lib/p.js", "lib/": "./p.js", "flows/": "../lib/p.js"}[entry]
    assert f'import "{path}";' in made.modules[f"{entry}w.js"]
    assert set(made.modules) == {f"{entry}w.js", "lib/steps.js", "lib/p.js", "lib/deep.js"}
    assert "lib/p.js" in made.step_modules
    for form in (made.modules, made.step_modules):
        assert 'Symbol.for("PERDURE_CLASS")]("class//./lib/p//P", this)' in form["lib/p.js"]
        assert form["lib/p.js"].split("\n")[2] == "export class P {"
    assert cbor2.loads(made.encoded)["classes"] == {
        "class//./lib/p//P": {"module": "lib/p.js", "key": "P"}
    }


def test_a_class_that_only_steps_use_stays_in_the_workflow() -> None:
    source = (
        f"{SERDE}class P {{ {BOTH} }}\n"
        "async function s() { 'use step'; return new P() }" + W.replace(" }", "; s }")
    )
    made = bundle_of({"a.js": source})
    assert "class P" in made.modules["a.js"]


def test_classes_alone_need_no_forms_for_steps() -> None:
    made = bundle_of({"a.js": f"{SERDE}class P {{ {BOTH} }}" + W})
    assert cbor2.loads(made.encoded)["format"] == 2
    assert made.step_modules == {}
