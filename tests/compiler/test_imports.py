"""Imports: what a workflow may import, where it is found, and what is said of the rest."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, strategies as st

from perdure._compiler.builtin_modules import MODULES
from perdure._compiler.imports import (
    ModuleImports,
    PythonModule,
    exported_names,
    read_imports,
    resolve,
)
from perdure._compiler.parse import parse


def read(text: str) -> ModuleImports:
    source, problems = parse("a.ts", text)
    assert problems == []
    return read_imports(source, source)


@pytest.mark.parametrize(
    ("name", "there", "found"),
    [
        ("./x", {"lib/x", "lib/x.ts"}, "lib/x"),
        ("./x", {"lib/x.ts", "lib/x.js"}, "lib/x.ts"),
        ("./x", {"lib/x.tsx"}, "lib/x.tsx"),
        ("./x", {"lib/x.js"}, "lib/x.js"),
        ("./x", {"lib/x.mjs"}, "lib/x.mjs"),
        ("./x", {"lib/x/index.ts"}, "lib/x/index.ts"),
        ("./x", {"lib/x/index.js"}, "lib/x/index.js"),
        ("./x.js", {"lib/x.js", "lib/x.ts"}, "lib/x.js"),
        ("./x.js", {"lib/x.ts"}, "lib/x.ts"),
        ("./x.jsx", {"lib/x.tsx"}, "lib/x.tsx"),
        ("./x.mjs", {"lib/x.mts"}, "lib/x.mts"),
        ("../x", {"x.ts"}, "x.ts"),
        ("../../x", {"../x.ts", "x.ts"}, None),
        ("./x", set[str](), None),
    ],
)
def test_a_relative_name_means_the_file_that_is_there(
    name: str, there: set[str], found: str | None
) -> None:
    assert resolve("lib/a.ts", name, there.__contains__) == found


@given(st.lists(st.sampled_from([".", "..", "a", "b.js", "c"]), min_size=1, max_size=6))
def test_nothing_outside_the_root_is_ever_asked_for(parts: list[str]) -> None:
    asked: list[str] = []

    def is_there(tried: str) -> bool:
        asked.append(tried)
        return False

    resolve("lib/a.ts", "./" + "/".join(parts), is_there)
    assert all(not posixpath.normpath(path).startswith(("../", "/")) for path in asked)
    assert ".." not in asked


def test_names_asked_of_relative_files_are_kept_with_their_place() -> None:
    imports = read(
        'import d, { a as b, c } from "./x";\nimport * as n from "./y";\nimport "./z";\n'
        'export { e as f } from "./v";\nexport * from "./w";\nexport const g = 1;'
    )
    assert [(name, names) for name, _, names in imports.relative] == [
        ("./x", ("default", "a", "c")),
        ("./y", ()),
        ("./z", ()),
        ("./v", ("e",)),
        ("./w", ("*",)),
    ]
    assert [node.start_point[0] for _, node, _ in imports.relative] == [0, 1, 2, 3, 4]
    assert imports.problems == []


def test_python_modules_become_tables_of_steps() -> None:
    imports = read(
        'import { a, b as c } from "python:shop.steps";\nexport { d } from "python:shop.steps";\n'
        'import "python:other";\nimport { sleep, createHook as h } from "workflow";'
    )
    assert imports.problems == []
    assert imports.steps == {
        "python:shop.steps": {"a": "shop.steps:a", "b": "shop.steps:b", "d": "shop.steps:d"},
        "python:other": {},
    }


@pytest.mark.parametrize(
    ("source", "column", "message", "hint"),
    [
        ('import { f } from "lodash";', 19, "cannot import 'lodash'", '"python:…"'),
        ('import { f } from "left-pad";', 19, "cannot import 'left-pad'", "only relative files"),
        ('export { f } from "lodash";', 19, "cannot import 'lodash'", "only relative files"),
        ('import { slep } from "workflow";', 1, "has no 'slep'", "did you mean sleep?"),
        ('import { zzz } from "workflow";', 1, "has no 'zzz'", "there is: FatalError, "),
        ('import w from "workflow";', 1, "has no 'default'", "there is: "),
        ('import { f } from "python:";', 1, "'' is no Python module", "python:pkg.mod"),
        ('import { f } from "python:a.b-c";', 1, "'a.b-c' is no", "python:pkg.mod"),
        ('import f from "python:a";', 1, "imported by name", 'import { f } from "python:a"'),
        ('import * as f from "python:a";', 1, "imported by name", "import { f }"),
        ('export * from "python:a";', 1, "imported by name", "import { f }"),
        ('f(await import("./x"));', 9, "import() is not there", "at the top of the file"),
        ('f(require("x"));', 3, "require is not there", "at the top of the file"),
    ],
)
def test_an_import_that_is_wrong_says_where_and_what_to_write(
    source: str, column: int, message: str, hint: str
) -> None:
    (problem,) = read("\n" + source).problems
    assert message in problem.message
    assert hint in problem.hint
    assert (problem.file, problem.line, problem.column) == ("a.ts", 2, column)
    assert problem.excerpt == source


def test_calls_that_only_look_like_imports_are_fine() -> None:
    assert read('a.require("x"); f(require); sleep("1s"); (() => 1)();').problems == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("const a = 1;", set[str]()),
        (
            "export const a = 1, b = 2; export let { c, d: { e }, ...f } = g, [h] = i;",
            set("abcefh"),
        ),
        ("export function a() {} export class B {} export async function* c() {}", set("aBc")),
        ("export default 1;", {"default"}),
        ("export default function a() {}", {"default", "a"}),
        ("export { a, b as c, d as default };", {"a", "c", "default"}),
        ('export { a } from "./x"; export * as n from "./y";', {"a", "n"}),
        ('export * from "./x"; export const a = 1;', None),
    ],
)
def test_what_a_module_exports(source: str, names: set[str] | None) -> None:
    assert exported_names(parse("a.js", source)[0]) == names


@pytest.mark.parametrize("module", MODULES)
def test_a_builtin_module_has_its_names_and_no_other(module: str) -> None:
    names = ", ".join(sorted(MODULES[module]))
    assert read(f'import {{ {names} }} from "{module}";').problems == []
    (problem,) = read(f'import {{ nothing }} from "{module}";').problems
    assert problem.message == f"\"{module}\" has no 'nothing'"


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        ('import { start } from "workflow";', 'write import { start } from "workflow/api"'),
        ('import { HookConflictError } from "workflow";', 'from "workflow/errors"'),
        ('import { slep } from "workflow";', "did you mean sleep?"),
        ('import { SerializationError } from "workflow/errors";', 'from "@workflow/errors"'),
    ],
)
def test_a_name_of_another_builtin_module_is_pointed_to(statement: str, hint: str) -> None:
    (problem,) = read(statement).problems
    assert hint in problem.hint


SHOP = PythonModule(
    steps=frozenset({"charge", "refund"}),
    others={"add": "sums:add", "pay": "shop:charge"},
    functions=frozenset({"helper"}),
)


def looked_up(text: str, **modules: PythonModule) -> list[tuple[int, int, str, str]]:
    source, problems = parse("a.ts", text)
    assert problems == []
    found = read_imports(source, source, modules.get).problems
    return [(one.line, one.column, one.message, one.hint) for one in found]


@pytest.mark.parametrize(
    ("statement", "column", "message", "hint"),
    [
        ('import { chrage } from "python:shop";', 10, "no step 'chrage'", "did you mean charge?"),
        ('import { charge, refnud } from "python:shop";', 18, "'refnud'", "did you mean refund?"),
        ('import { chrage as c } from "python:shop";', 10, "'chrage'", "did you mean charge?"),
        ('export { chrage } from "python:shop";', 10, "'chrage'", "did you mean charge?"),
        ('import { zzz } from "python:shop";', 10, "'zzz'", "there is: charge, refund"),
        ('import { helper } from "python:shop";', 10, "shop.helper is no step", "with @step"),
        ('import { add } from "python:shop";', 10, "'sums:add'", '{ add } from "python:sums"'),
        (
            'import { pay } from "python:shop";',
            10,
            "'shop:charge'",
            "{ charge } from",
        ),
    ],
)
def test_a_name_that_a_python_module_has_not_is_an_error_with_advice(
    statement: str, column: int, message: str, hint: str
) -> None:
    ((line, where, told, advice),) = looked_up(f"// a comment\n{statement}", shop=SHOP)
    assert (line, where) == (2, column)
    assert message in told
    assert hint in advice


def test_each_name_is_told_at_its_place() -> None:
    text = 'import {\n  charge,\n  nope,\n  none as other,\n} from "python:shop";'
    assert [place[:2] for place in looked_up(text, shop=SHOP)] == [(3, 3), (4, 3)]


@pytest.mark.parametrize(
    "statement",
    [
        'import { charge, refund as back } from "python:shop";',
        'import { chrage } from "python:other";',
        'import { chrage } from "python:shop.steps";',
    ],
)
def test_what_is_there_or_cannot_be_seen_is_no_error(statement: str) -> None:
    assert looked_up(statement, shop=SHOP) == []


def test_a_module_without_steps_says_so() -> None:
    ((_, _, message, hint),) = looked_up('import { f } from "python:shop";', shop=PythonModule())
    assert message == "Python module 'shop' has no step 'f'"
    assert hint == "it has no steps; decorate its functions with @step"


@pytest.mark.parametrize(("name", "count"), [("chrage", 1), ("helper", 1), ("add", 1), ("zzz", 0)])
def test_of_a_package_only_what_is_certain_is_told(name: str, count: int) -> None:
    package = PythonModule(
        steps=SHOP.steps, others=SHOP.others, functions=SHOP.functions, is_whole=False
    )
    assert len(looked_up(f'import {{ {name} }} from "python:shop";', shop=package)) == count
