"""Directives: which functions are workflows, and every way to write one wrong."""

from __future__ import annotations

import pytest

from perdure._compiler.directives import find_workflows
from perdure._compiler.parse import parse


def names(text: str) -> list[str]:
    found, problems = find_workflows(parse("a.ts", text)[0])
    assert problems == []
    return [workflow.name for workflow in found]


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
    ],
)
def test_a_workflow_is_an_exported_async_function_with_the_directive(
    source: str, found: list[str]
) -> None:
    assert names(source) == found


def test_a_workflow_knows_its_place() -> None:
    found, _ = find_workflows(parse("a.ts", '\n  export async function w() { "use workflow"; }')[0])
    assert [(w.name, w.line, w.column) for w in found] == [("w", 2, 10)]


FIRST = "must be the first statement of its function"


@pytest.mark.parametrize(
    ("source", "column", "message", "hint"),
    [
        ('async function w() { "use workflw"; }', 22, "unknown directive", '"use workflow"'),
        ('async function w() { "Use Workflow"; }', 22, "unknown directive", '"use workflow"'),
        ('async function w() { "use  workflow"; }', 22, "unknown directive", '"use workflow"'),
        ("async function w() { `use workflow`; }", 22, "unknown directive", '"use workflow"'),
        ('async function w() { "use step"; }', 22, "JavaScript steps are not", "in Python"),
        ('async function w() { 1; "use workflow"; }', 25, FIRST, "move it up"),
        ('let a; "use workflow";', 8, FIRST, "move it up"),
        ('if (1) { "use workflow"; }', 10, "stands in no function", "first statement"),
        ('async function w() { "use workflow"; }', 1, "must be exported", "export before it"),
        ('(async () => { "use workflow"; })();', 2, "must be exported", "export before it"),
        ('export function w() { "use workflow"; }', 8, "must be async", "async function"),
        ('export const w = () => { "use workflow"; };', 18, "must be async", "async function"),
        ('export async function* w() { "use workflow"; }', 8, "be a generator", "async function"),
        ('export const w = async function* () { "use workflow"; };', 18, "be a generator", "async"),
        ('class A { async m() { "use workflow"; } }', 11, "be a method", "exported async"),
        ('class A { async *m() { "use workflow"; } }', 11, "be a generator", "async function"),
        ('export const o = { m() { "use workflow"; } };', 20, "must be async", "async function"),
        ('"use workflow"; export function w() {}', 24, "must be async", "async function"),
    ],
)
def test_a_directive_that_is_wrong_says_where_and_what_to_write(
    source: str, column: int, message: str, hint: str
) -> None:
    found, (problem,) = find_workflows(parse("a.ts", "\n" + source)[0])
    assert found == []
    assert message in problem.message
    assert hint in problem.hint
    assert (problem.file, problem.line, problem.column) == ("a.ts", 2, column)
    assert problem.excerpt == source
