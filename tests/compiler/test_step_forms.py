# ruff: noqa: E501  # one program a line
"""The two forms of files with steps: in Node they do what the source does, on the same lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compiler.step_programs import bundle_of, outcomes

# How a step may be written, as a statement that makes NAME callable. BODY returns a value.
FORMS = {
    "declaration": "async function NAME(a, { b = 2 } = {}, ...c) { 'use step'; BODY }",
    "sync": "function NAME(a, { b = 2 } = {}, ...c) { 'use step'; BODY }",
    "arrow": "const NAME = async (a, { b = 2 } = {}, ...c) => {\n  'use step';\n  BODY\n};",
    "let": "let NAME = (a, { b = 2 } = {}, ...c) => { 'use step'; BODY }",
    "expression": "var NAME = async function (a, { b = 2 } = {}, ...c) { 'use step'; BODY }",
    "named": "const NAME = async function other(a, { b = 2 } = {}, ...c) { 'use step'; BODY };",
    "method": "const o = { async m(a, { b = 2 } = {}, ...c) { 'use step'; BODY } }, NAME = o.m;",
    "property": "const o = { p: { 'q': async (a, { b = 2 } = {}, ...c) => { 'use step'; BODY } } };"
    "const NAME = (...all) => o.p.q(...all);",
    "computed": "const o = { async ['m'](a, { b = 2 } = {}, ...c) { 'use step'; BODY } };"
    "const NAME = o.m;",
    "argument": "const id = (o) => o; const o = id({ x: async (a, { b = 2 } = {}, ...c) => {"
    " 'use step'; BODY } }); const NAME = o.x;",
    "array": "const [NAME] = [async (a, { b = 2 } = {}, ...c) => { 'use step'; BODY }];",
    "assigned": "let NAME; NAME = async (a, { b = 2 } = {}, ...c) => { 'use step'; BODY }\n"
    "globalThis.x = 1",
    "try": "async function NAME(a, { b = 2 } = {}, ...c) { const e = []; try { 'use step'; BODY }"
    " finally { e.push(1) } }",
}
# Forms that a class or a getter makes, which stand outside of functions.
OUTSIDE = {
    "static": "class A { static async m(a, { b = 2 } = {}, ...c) { 'use step'; BODY } }\n"
    "const NAME = A.m;",
    "instance": "class A { async m(a, { b = 2 } = {}, ...c) { 'use step'; BODY } }\n"
    "const NAME = (...all) => new A().m(...all);",
    "expression class": "const A = class { async 'm n'(a, { b = 2 } = {}, ...c)"
    " { 'use step'; BODY } }, NAME = (...all) => new A()['m n'](...all);",
    "default class": "export default class { static async m(a, { b = 2 } = {}, ...c)"
    " { 'use step'; BODY } static self = this; static { globalThis.D = this } }\n"
    "const NAME = (...all) => globalThis.D.m(...all);",
    "exported": "export async function NAME(a, { b = 2 } = {}, ...c) {\n 'use step'; BODY }",
    "exported arrow": "export const NAME = async (a, { b = 2 } = {}, ...c) => { 'use step'; BODY };",
    "default": "export default async function NAME(a, { b = 2 } = {}, ...c) { 'use step'; BODY }",
    "listed": "async function NAME(a, { b = 2 } = {}, ...c) { 'use step'; BODY }\nexport { NAME as z };",
}
EXPORTS = {
    "inline": "export TEXT",
    "listed": "export { NAME };\nTEXT",
    "renamed": "TEXT\nexport { NAME as 'other name', NAME as default };",
    "default": "TEXT\nexport default NAME;",
}
BODY = "return [a, b, c, typeof outside, outside?.(1)];"
TOP = """
const outside = (x) => unseen + x, unseen = 3;
TEXT
async function w() { 'use workflow';
  const first = await NAME(1, { b: 3 }, 4, [5]);
  return [first, await NAME(2)];
}
"""
# The body uses what functions around it declare; what it does to that stays with it.
CLOSED = "k += 1; return [a, b, c, k, l.n, outside(k), typeof m];"
NESTED = """
const outside = (x) => x + 1;
async function w() { 'use workflow';
  let k = 1;
  const l = { n: 2 };
  var m;
  TEXT
  const first = await NAME(1, { b: 3 }, 4, [5]);
  k = 10;
  l.n = 20;
  const second = await NAME(2);
  return [first.slice(0, 3), second.slice(0, 3), first[4], second[4], first[3], l];
}
"""
# Called where it stands, by a helper of the module that a workflow and a step both call.
HELPER = """
const outside = (x) => x + 1;
function make(k, l) {
  let m;
  TEXT
  return (...all) => NAME(...all);
}
async function calls(k) { 'use step'; return await make(k, { n: 5 })(6); }
async function w() { 'use workflow';
  return [await make(1, { n: 2 })(3), await calls(7)];
}
"""


def programs() -> dict[str, str]:
    made: dict[str, str] = {}
    for form, text in (FORMS | OUTSIDE).items():
        made[f"top {form}"] = TOP.replace("TEXT", text.replace("BODY", BODY))
    for form in ("declaration", "sync", "arrow", "let", "expression", "named", "array"):
        for style, text in EXPORTS.items():
            exported = text.replace("TEXT", FORMS[form].replace("BODY", BODY))
            made[f"exported {form} {style}"] = TOP.replace("TEXT", exported)
    for form, text in FORMS.items():
        made[f"nested {form}"] = NESTED.replace("TEXT", text.replace("BODY", CLOSED))
        made[f"helper {form}"] = HELPER.replace("TEXT", text.replace("BODY", CLOSED))
    return {name.replace(" ", "_"): text.replace("NAME", "act") for name, text in made.items()} | {
        name.replace(" ", "_"): text for name, text in SPECIAL.items()
    }


SPECIAL = {
    "hoisted": "async function w() { 'use workflow'; const r = await f(1); if (r) { const q = 2;"
    " return [r, await g(1)]; async function g(x) { 'use step'; return x + q } }"
    " async function f(x) { 'use step'; return x } }",
    "switched": "async function w(x = 1) { 'use workflow'; switch (x) { case 1:"
    " async function f() { 'use step'; return x } return f(); } }",
    "looped": "async function w() { 'use workflow'; const fs = []; for (const x of [1, 2]) {"
    " fs.push(async (y) => { 'use step'; return x + y }); } return [await fs[0](5), await fs[1](5)]; }",
    "this": "async function f(x) { 'use step'; return this.y + x }\n"
    "async function w() { 'use workflow'; return [await f.call({ y: 1 }, 2), await f.apply({ y: 3 }, [4])]; }",
    "lexical": "const make = function () { return async () => { 'use step';"
    " return [this.y, (() => this.y)()] }; };\n"
    "const o = { y: 3, make }; async function w() { 'use workflow'; return o.make()(); }",
    "lexical name": "const make = function () { const f = async () => { 'use step'; return this.y };"
    " return f };\n"
    "const o = { y: 3, make }; async function w() { 'use workflow'; return o.make()(); }",
    "recursive": "async function w() { 'use workflow'; const f = async (n) => { 'use step';"
    " return n ? 1 + await f(n - 1) : 0 }; return f(3); }",
    "sibling": "async function w() { 'use workflow'; const k = 2;"
    " async function f(n) { 'use step'; return n + k } async function g(n) { 'use step';"
    " return 2 * await f(n) } return g(3); }",
    "getters": "const o = { get a() { 'use step'; return 1 }, b: 2 };\n"
    "class A { x = 5; get v() { 'use step'; return this.x } static get s() { 'use step'; return 6 } }\n"
    "async function w() { 'use workflow'; return [await o.a, o.b, await new A().v, await A.s]; }",
    "nested getters": "function make(k) { return { get a() { 'use step'; return k } } }\n"
    "async function w() { 'use workflow'; const k = 2; const o = { get a() { 'use step';"
    " return k } }; return [await o.a, await make(3).a]; }",
    "declared together": "const a = 1, f = async () => { 'use step'; return a }, g = () => { 'use step';"
    " return a + 1 };\nfor (let h = async () => { 'use step'; return 4 }, i = 0; i < 1; i++) f.h = h;\n"
    "async function w() { 'use workflow'; return [await f(), await g()]; }",
    "blocks": "let made; { async function f() { 'use step'; return 5 } made = f;"
    " const g = async () => { 'use step'; return 6 }; made.g = g }\n"
    "async function w() { 'use workflow'; return [await made(), await made.g()]; }",
    "shadowed": "const k = 1; async function w(k) { 'use workflow'; k = 5;"
    " const f = async (j) => { 'use step'; const g = (k) => k; { let k = j; return [g(3), k] } };"
    " const h = async () => { 'use step'; return k }; return [await f(2), await h()]; }",
    "semicolons": "const f = async () => {\n 'use step'; return 1 }\n[1].map(String)\n"
    "async function w() { 'use workflow'; const g = async () => { 'use step'; return 2 } // on\n"
    ";(0, 1); const h = async () => { 'use step'; return 3 }\n`x`.big\n"
    "return [await f(), await g(), await h()]; }",
    "names": "async function f() { 'use step'; return f.name } const g = async () => { 'use step';"
    " return new Error('x').stack.split('\\n')[1].includes('g') };\n"
    "async function w() { 'use workflow'; return [await f(), await g()]; }",
    "arguments": "const f = async function () { 'use step'; return arguments.length }\n"
    "async function w() { 'use workflow'; return f(1, 2, 3); }",
    "classes": "async function w() { 'use workflow'; const k = 1; class B { m() { return k } }"
    " class A { f = async () => { 'use step'; return [k, this.x] }; x = 4;"
    " static { this.g = async () => { 'use step'; return k }; } }"
    " return [await new A().f(), await A.g(), new B().m()]; }",
    "patterns": "async function w() { 'use workflow'; const { a, b: [c, ...d], ...e } ="
    " { a: 1, b: [2, 3], f: 4 }; try { throw { g: 5 } } catch ({ g }) {"
    " const s = async (h = a, [i] = [c]) => { 'use step'; return [h, i, d, e, g] };"
    " return s(); } }",
    "unnamed_default": "export default async () => { 'use step'; return 8 }\n"
    "async function w() { 'use workflow'; return 1; }",
    "static_workflow": "class A { static async m() { 'use workflow'; const k = 3;"
    " const f = async () => { 'use step'; return k }; return f(); } }\n"
    "async function w() { 'use workflow'; return A.m(); }",
    "arrow_workflow": "const w = async () => { 'use workflow'; const k = 3;"
    " async function f() { 'use step'; return k } return [await f(), v]; }, v = 7;",
    "inline": "async function other(x) { 'use workflow'; return await f(x) }\n"
    "async function f(x) { 'use step'; return x * 2 }\n"
    "async function w() { 'use workflow'; return [await other(2), await other(3)]; }",
    "hashbang": "#!/usr/bin/env node\nconst o = { x: async () => { 'use step'; return 1 } };\n"
    "async function f() { 'use step'; return 2 }\n"
    "async function w() { 'use workflow'; return [await o.x(), await f()]; }",
    "bound": "async function w() { 'use workflow'; const o = {}; o.p = {}; o.p.f = async () => {"
    " 'use step'; return 9 }; return o.p.f(); }",
    "errors": "async function f() { 'use step'; throw new RangeError('no') }\n"
    "async function w() { 'use workflow'; try { await f() } catch (e) { return e.message } }",
}


def test_both_forms_together_do_what_the_source_does(tmp_path: Path) -> None:
    for name, (written, compiled) in outcomes(tmp_path, programs()).items():
        assert compiled == written, name
        assert "value" in written, (name, written)  # type: ignore[operator] # a mapping


@pytest.mark.parametrize("name", programs())
def test_lines_stay(name: str) -> None:
    """Each word of the source that a form has still is on its line."""
    source = programs()[name]
    bundle = bundle_of({f"{name}.js": source}, "w")
    for form in (bundle.modules, bundle.step_modules):
        lines = form.get(f"{name}.js", source).split("\n")
        for number, line in enumerate(source.split("\n")):
            for word in ("const outside", "const first", "return [first", "calls(k)", "[1].map"):
                if word in line and word in form.get(f"{name}.js", source):
                    assert word in lines[number]
