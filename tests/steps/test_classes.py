"""Values of the workflow's own classes, through steps of both languages and through errors."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import Worker, Workflow, start, step
from perdure.abc import World
from perdure.errors import GuestError, RunFailedError
from perdure.values import ClassRef, Instance

pytestmark = pytest.mark.anyio


@step(name="classes:see")
async def see(x: object) -> list[object]:
    return [type(x).__name__, x]


SOURCE = """
import { WORKFLOW_SERIALIZE, WORKFLOW_DESERIALIZE as D } from "@workflow/serde";
import { see } from "python:classes";
export class P {
  constructor(x) { this.x = x; }
  static [WORKFLOW_SERIALIZE](p) {
    if (p.x === "bad") throw new RangeError("no");
    return { x: p.x };
  }
  static [D](d) { return new this(d.x); }
  async plus(n) { "use step"; return new P(this.x + n); }
  static async make(n) { "use step"; return new this(n); }
  get double() { "use step"; return this.x * 2; }
}
class Q extends P { get y() { return "q" + this.x; } }
class Coded extends Error {
  constructor(m, c) { super(m); this.code = c; this.name = "Coded"; }
  static [Symbol.for("workflow-serialize")](e) { return [e.message, e.code]; }
  static [Symbol.for("workflow-deserialize")](d) { return new Coded(...d); }
}
const kinds = (v) => [v instanceof P, v instanceof Q, v?.y, v?.constructor?.name];
async function echo(v) { "use step"; return [v, kinds(v)]; }
async function fails() {
  "use step";
  throw Object.assign(new Coded("m", 7, { cause: new P(1) }), { fatal: true, cause: new P(8) });
}
const caught = (e) => [e.name, e.message];
export async function w(a) {
  "use workflow";
  BODY
}
"""


async def result_of(world: World, body: str, *args: object) -> Any:
    flow = Workflow.from_source(SOURCE.replace("BODY", body), filename="p.js", name="w")
    async with Worker(world, steps=[see]):
        run = await start(flow, args, world=world)
        return await run.result(timeout=30)


P_ID, Q_ID = "class//./p//P", "class//./p//Q"


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ("const p = await P.make(3); return [p instanceof P, await p.plus(4)]",
         [True, Instance(P_ID, {"x": 7})]),
        ("return await new Q(5).double", 10),
        ("const [q, inside] = await echo(new Q(5)); return [kinds(q), inside]",
         [[True, True, "q5", "Q"]] * 2),
        ("const [seen, q] = await see(new Q(6)); return [seen, kinds(q)]",
         ["Instance", [True, True, "q6", "Q"]]),
        ("const [seen, c] = await see(P); return [seen, c === P]", ["ClassRef", True]),
        ("return P", ClassRef(P_ID)),
        ("const p = new P(1); const [v] = await echo([p, { p }]); return v[0] === v[1].p", True),
        ("const l = [new P(1)]; l.push(l); const [v] = await echo(l);"
         " return [v[1] === v, v[0] instanceof P]", [True, True]),
        ("const p = new P(new P(new Map([[1, new Q(2)]]))); const [v] = await echo(p);"
         " return v.x.x.get(1).y", "q2"),
        ("const p = new P(1); p.x = [p]; return await echo(p).catch(caught)",
         ["SerializationError", "cannot carry the value at arguments[0][1].x[0]: it holds itself,"
          " and is revived only as a whole"]),
        ("return await echo([new P('bad')]).catch(caught)",
         ["SerializationError", "cannot carry the value at arguments[0][0]: class//./p//P failed to"
          " serialize it: RangeError: no"]),
        ("const e = await fails().catch((e) => e); return [e instanceof Coded, e.code, e.message,"
         " e.cause instanceof P, e.stack.includes('fails')]", [True, 7, "m", True, True]),
        ("const e = new Coded('n', 1), [seen, v] = await see(e); return [seen, v instanceof Coded,"
         " v.code]", ["GuestError", True, 1]),
        ("try { throw new AggregateError([new Coded('n', 2)], 'all') } catch (e) {"
         " const [v] = await echo(e); return [v.errors[0] instanceof Coded, v.errors[0].code] }",
         [True, 2]),
        ("return [a instanceof P, a.x, typeof P.classId]", [True, {"deep": [1]}, "string"]),
    ],
)  # fmt: skip
async def test_instances_cross_every_boundary(world: World, body: str, result: object) -> None:
    assert await result_of(world, body, Instance(P_ID, {"x": {"deep": [1]}})) == result


async def test_a_thrown_instance_is_an_error_with_its_data(world: World) -> None:
    with pytest.raises(RunFailedError) as failure:
        await result_of(world, "throw new Coded('over', 4)")
    error = failure.value.error
    assert isinstance(error, GuestError)
    assert error.text == "over"
    assert error.instance == Instance("class//./p//Coded", ["over", 4])


async def test_a_class_that_the_bundle_has_not_is_named(world: World) -> None:
    with pytest.raises(RunFailedError, match=r"class//./b//X.* is not in this bundle"):
        await result_of(world, "return 1", Instance("class//./b//X", 1))
