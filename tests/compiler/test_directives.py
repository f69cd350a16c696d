"""Directives: which functions are workflows, and every way to write one wrong."""

from __future__ import annotations

import pytest

from perdure._compiler.directives import find_directives
from perdure._compiler.parse import parse


def names(text: str) -> list[str]:
    found = find_directives(parse("a.ts", text)[0])
    assert found.problems == []
    return [workflow.name for workflow in found.workflows]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('export async function w() { "use workflow"; }', ["w"]),
        ("export async function w() { 'use workflow' }", ["w"]),
        ('export async function w() { /* a */ "use workflow"; }', ["w"]),
        ('export const w = async () => { "use workflow"; };', ["w"]),
        ('export const w = async function () { "use workflow"; };', ["w"]),
        ('export default async function w() { "use workflow"; }', ["default"]),
        ('export default async () => { "use workflow"; };', ["default"]),
        ('async function w() { "use workflow"; } export { w };', ["w"]),
        ('async function w() { "use workflow"; } export { x, w as v };', ["v"]),
        ('async function w() { "use workflow"; } export default w;', ["default"]),
        ('const w = async () => { "use workflow"; }; const x = 1; export default w;', ["default"]),
        ('const s = "use workflow"; f("use workflow"); "used forks"; "hello"; ({});', []),
        ('export { x };\nasync function w() { "use workflow"; }\nexport { w };', ["w"]),
        ('"use strict"; export async function w() { "use workflow"; }', ["w"]),
        ('// a\n"use workflow";\nexport async function a() { async () => {}; }', ["a"]),
        ('#!/usr/bin/env node\n"use workflow";\nexport const a = async () => {}, b = 1;', ["a"]),
        ('"use workflow";\nasync function a() {}\nexport { a as b };\nexport const c = 1;', ["b"]),
        ('"use workflow";\nexport async function a() { "use workflow"; }\nconst x = 1;', ["a"]),
        ('async function w() { "use workflow"; }', ["w"]),
        ('const w = async () => { "use workflow"; };', ["w"]),
        ('class A { static async m() { "use workflow"; } }', ["A.m"]),
        ('const A = class B { static async m() { "use workflow"; } };', ["A.m"]),
        ('export default class A { static async m() { "use workflow"; } }', ["A.m"]),
    ],
)
def test_a_workflow_is_an_async_function_at_the_top_with_the_directive(
    source: str, found: list[str]
) -> None:
    assert names(source) == found


def test_a_workflow_knows_its_place() -> None:
    source, _ = parse("a.ts", '\n  export async function w() { "use workflow"; }')
    assert [(w.name, w.line, w.column) for w in find_directives(source).workflows] == [("w", 2, 10)]


FIRST = "must be the first statement of its function"


@pytest.mark.parametrize(
    ("source", "column", "message", "hint"),
    [
        ('async function w() { "use workflw"; }', 22, "unknown directive", '"use workflow"'),
        ('async function w() { "Use Workflow"; }', 22, "unknown directive", '"use workflow"'),
        ('async function w() { "use  workflow"; }', 22, "unknown directive", '"use workflow"'),
        ("async function w() { `use workflow`; }", 22, "unknown directive", '"use workflow"'),
        ('async function w() { "use steps"; }', 22, "unknown directive", 'write "use step"'),
        ('async function w() { "Use Step"; }', 22, "unknown directive", 'write "use step"'),
        ("async function w() { `use step`; }", 22, "unknown directive", 'write "use step"'),
        ('async function w() { 1; "use step"; }', 25, FIRST, "move it up"),
        ('async function w() { "a"; "use step"; }', 27, FIRST, "move it up"),
        ('f(() => { "use step"; "use workflow"; });', 23, 'conflicts with "use step"', "one"),
        ('"use workflow"; "use step";', 17, 'conflicts with "use workflow"', "one of them"),
        ('class A { static { "use step"; } }', 20, "stands in no function", "first statement"),
        ('try { "use step"; } catch {}', 7, "stands in no function", "first statement"),
        ('f(() => { try {} catch { "use step"; } });', 26, "stands in no", "first statement"),
        ('f(() => { g(); try { "use step"; } catch {} });', 22, "stands in no", "first"),
        ('async function* s() { "use step"; }', 1, "step cannot be a generator", "async function"),
        ('class A { set a(b) { "use step"; } }', 11, "cannot be a setter", "a method"),
        ('class A { async #a() { "use step"; } }', 11, "cannot be private", "without #"),
        ('class A { constructor() { "use step"; } }', 11, "be a constructor", "static method"),
        ('f(() => { class A { async a() { "use step"; } } });', 21, "a class that", "move the"),
        ('"use step"; export const a = 1;', 30, "exports functions only", "file of its own"),
        ('"use step"; export let a;', 24, "exports functions only", "file of its own"),
        ('"use step"; export class A {}', 20, "exports functions only", "file of its own"),
        ('"use step"; export default 1;', 28, "exports functions only", "file of its own"),
        ('"use step"; export * from "./b";', 13, "exports functions only", "file of its own"),
        ('"use step"; const a = 1; export { a };', 35, "exports functions only", "of its own"),
        ('async function w() { 1; "use workflow"; }', 25, FIRST, "move it up"),
        ('let a; "use workflow";', 8, FIRST, "move it up"),
        ('if (1) { "use workflow"; }', 10, "stands in no function", "first statement"),
        ('(async () => { "use workflow"; })();', 2, "at the top of its file", "by its name"),
        ('f(async () => { "use workflow"; });', 3, "at the top of its file", "by its name"),
        ('() => { async function w() { "use workflow"; } };', 9, "at the top", "outside of all"),
        ('export function w() { "use workflow"; }', 8, "must be async", "async function"),
        ('export const w = () => { "use workflow"; };', 18, "must be async", "async function"),
        ('export async function* w() { "use workflow"; }', 8, "be a generator", "async function"),
        ('export const w = async function* () { "use workflow"; };', 18, "be a generator", "async"),
        (
            'class A { async m() { "use workflow"; } }',
            11,
            "be a method, unless",
            "static before it",
        ),
        ('class A { static async [m]() { "use workflow"; } }', 11, "needs a name", "written out"),
        ('() => { class A { static async m() { "use workflow"; } } };', 19, "needs a name", "top"),
        (
            'f(class { static async m() { "use workflow"; } });',
            11,
            "class needs a name",
            "class Name",
        ),
        ('class A { async *m() { "use workflow"; } }', 11, "be a generator", "async function"),
        ('export const o = { m() { "use workflow"; } };', 20, "must be async", "async function"),
        ('"use workflow"; export function w() {}', 24, "must be async", "async function"),
        (
            'async function w() { "use workflow"; } export { v as w }; let v;',
            1,
            "another export has the name 'w'",
            "export this one",
        ),
    ],
)
def test_a_directive_that_is_wrong_says_where_and_what_to_write(
    source: str, column: int, message: str, hint: str
) -> None:
    (problem,) = find_directives(parse("a.ts", "\n" + source)[0]).problems
    assert message in problem.message
    assert hint in problem.hint
    assert (problem.file, problem.line, problem.column) == ("a.ts", 2, column)
    assert problem.excerpt == source


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('async function a() { "use step"; }', [1]),
        ('function a() { "use step"; }\nconst b = () => { "use step"; };', [1, 2]),
        ('"use step";\nexport async function a() {}\nfunction b() {}\nexport { b };', [2, 3]),
        ('"use step";\nexport default a;\nfunction a() { "use step"; }', [3]),
        ('class A { get a() { "use step"; } static b() { "use step"; } }', [1, 1]),
        ('f(() => { const e = {}; try { "use step"; g(); } catch {} });', [1]),
        ('"use workflow";\nexport async function w() {\n() => { "use step"; }; }', [3]),
    ],
)
def test_a_step_is_a_function_with_the_directive(source: str, lines: list[int]) -> None:
    found = find_directives(parse("a.ts", source)[0])
    assert found.problems == []
    assert [step.start_point[0] + 1 for step in found.steps] == lines


def test_a_file_of_steps_holds_no_workflow() -> None:
    source = '"use step"; export async function w() { "use workflow"; }'
    (problem,) = find_directives(parse("a.ts", source)[0]).problems
    assert "holds no workflow" in problem.message
