"""The compiler: what it makes of good sources, and what it says of bad ones."""

from __future__ import annotations

import pytest

from perdure._compiler import compile_workflow
from perdure.errors import CompileError

GOOD = """import { sleep } from "workflow";
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


def test_types_become_blanks_and_nothing_moves() -> None:
    bundle = compile_workflow("a.ts", read={"a.ts": GOOD}.get)
    script = bundle.modules["a.ts"]
    assert len(script) == len(GOOD)
    assert script.count("\n") == GOOD.count("\n")
    for word in ("await charge(card, cents)", "new Map", 'await sleep("3 days")'):
        assert script.index(word) == GOOD.index(word)
    for word in ("interface", "Promise<", "satisfies", "Receipt", ": string"):
        assert word not in script
    assert bundle.steps == {"python:shop.steps": {"charge": "shop.steps:charge"}}


def test_the_same_source_gives_the_same_digest() -> None:
    first = compile_workflow("a.ts", read={"a.ts": GOOD}.get)
    again = compile_workflow("a.ts", read={"a.ts": GOOD}.get)
    other = compile_workflow("a.ts", read={"a.ts": GOOD + "//"}.get)
    assert first.digest == again.digest != other.digest


@pytest.mark.parametrize(
    ("source", "where", "text"),
    [
        ("enum A { B }", "a.ts:1:1", "an enum"),
        ("namespace N { export const a = 1 }", "a.ts:1:1", "a namespace"),
        ("class A { constructor(private x: number) {} }", "a.ts:1:23", "a parameter property"),
        ('export async function w() { "use workflw"; }', "a.ts:1:29", "unknown directive"),
        ('export function w() { "use workflow"; }', "a.ts:1:8", "must be async"),
        ('async function w() { "use workflow"; }', "a.ts:1:1", "must be exported"),
        ("let a = ;", "a.ts:1:", "syntax error"),
        ('import { x } from "lodash"; x;', "a.ts:1:19", "cannot import 'lodash'"),
        ('import { slep } from "workflow"; slep;', "a.ts:1:1", "did you mean sleep?"),
        ('import { h } from "./u"; h;', "a.ts:1:19", "there is no file './u'"),
        ('export async function w() { 1; "use workflow"; }', "a.ts:1:32", "first statement"),
        ("export const a = 1;", "a.ts:1:1", "no exported workflow"),
    ],
)
def test_a_mistake_is_named_with_its_place(source: str, where: str, text: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile_workflow("a.ts", read={"a.ts": source}.get)
    assert where in str(caught.value)
    assert text in str(caught.value)
