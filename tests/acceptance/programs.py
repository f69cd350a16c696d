"""Random workflow programs: trees of what workflows are made of, as TypeScript and as a result."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hypothesis import strategies as st

__all__ = ("KINDS", "Program", "programs", "source_of")

KINDS = frozenset(
    {
        *("step", "stream", "sleep", "catch", "sequence", "parallel", "loop", "race"),
        *("hook", "abort", "child"),
    }
)


@dataclass(frozen=True)
class Program:
    """An expression that awaits, the value it has, and the kinds of trees it is made of."""

    code: str
    value: int
    kinds: frozenset[str]
    children: frozenset[str] = frozenset()  # functions that are runs of their own

    @property
    def is_sequential(self) -> bool:
        """Whether at most one thing is awaited at a time, so that its log has only one order."""
        return "parallel" not in self.kinds


def _leaf() -> st.SearchStrategy[Program]:
    numbers = st.integers(0, 9)
    pairs = st.tuples(numbers, numbers)

    def made(kind: str, code: str, value: int) -> Program:
        return Program(code, value, frozenset({kind}))

    return st.one_of(
        pairs.map(lambda pair: made("step", f"await add({pair[0]}, {pair[1]})", sum(pair))),
        numbers.map(lambda a: made("stream", f"await slow({a})", a)),
        st.integers(0, 3).map(lambda a: made("sleep", f"(await sleep({a}), {a})", a)),
        numbers.map(lambda a: made("catch", f"await caught(() => refuse({a}))", a)),
        numbers.map(lambda a: made("hook", f"await hears({a})", a)),
        numbers.map(lambda a: made("hook", f"await hearsLate({a})", a)),
        numbers.map(lambda a: made("abort", f"await aborts({a})", a)),
        numbers.map(lambda a: made("abort", f"await isAborted({a})", a)),
    )


def _kinds(parts: list[Program], *more: str) -> frozenset[str]:
    return frozenset(more).union(*(part.kinds for part in parts))


def _children(parts: list[Program]) -> frozenset[str]:
    return frozenset[str]().union(*(part.children for part in parts))


def _joined(parts: list[Program], form: str) -> Program:
    arrows = ", ".join(f"(async () => {part.code})()" for part in parts)
    total = sum(part.value for part in parts)
    if form == "sequence":
        code = " + ".join(f"({part.code})" for part in parts)
        return Program(code, total, _kinds(parts, form), _children(parts))
    kinds = _kinds(parts, "parallel" if len(parts) > 1 else "step")
    if form == "all":
        return Program(f"sum(await Promise.all([{arrows}]))", total, kinds, _children(parts))
    code = f"settled(await Promise.allSettled([{arrows}]))"
    return Program(code, total, kinds, _children(parts))


def _loop(times: int, part: Program) -> Program:
    code = f"await repeat({times}, async () => {part.code})"
    return Program(code, times * part.value, _kinds([part], "loop"), part.children)


def _race(part: Program) -> Program:
    # The other never comes first: it waits for longer than any test.
    code = f"await Promise.race([(async () => {part.code})(), sleep(3_600_000).then(() => -1)])"
    return Program(code, part.value, _kinds([part], "race"), part.children)


def _throws(part: Program) -> Program:
    code = f"await caughtAfter(async () => {part.code})"
    return Program(code, part.value, _kinds([part], "catch"), part.children)


def _child(part: Program) -> Program:
    """A run of its own, started and awaited; or one that fails by what it came to."""
    name = f"child_{hashlib.sha256(part.code.encode()).hexdigest()[:16]}"
    body = f'export async function {name}() {{ "use workflow"; return {part.code}; }}'
    code = f"await (await start({name})).returnValue"
    return Program(code, part.value, _kinds([part], "child"), part.children | {body})


programs = st.recursive(
    _leaf(),
    lambda inner: st.one_of(
        st.builds(
            _joined,
            st.lists(inner, min_size=1, max_size=3),
            st.sampled_from(["all", "settled", "sequence"]),
        ),
        st.builds(_loop, st.integers(0, 3), inner),
        st.builds(_race, inner),
        st.builds(_throws, inner),
        st.builds(_child, inner),
    ),
    max_leaves=8,
)


def source_of(program: Program) -> str:
    """The program as a workflow."""
    return f"""
import {{ createHook, getWorkflowMetadata, sleep }} from "workflow";
import {{ start }} from "workflow/api";
import {{ add, hold, refuse, slow, stop, tell }} from "python:programs";

const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
const settled = (ends: PromiseSettledResult<number>[]) =>
  sum(ends.map((end) => (end.status === "fulfilled" ? end.value : -1000)));
async function repeat(times: number, body: () => Promise<number>) {{
  let total = 0;
  for (let i = 0; i < times; i++) total += await body();
  return total;
}}
async function caught(body: () => Promise<unknown>): Promise<number> {{
  try {{
    await body();
    return -1;
  }} catch (error: any) {{
    return Number(error.message.slice(2));
  }}
}}
async function caughtAfter(body: () => Promise<number>): Promise<number> {{
  let value = 0;
  try {{
    value = await body();
    throw new RangeError("after");
  }} catch (error) {{
    return error instanceof RangeError ? value : -2000;
  }} finally {{
    await add(0, 0);
  }}
}}

let hooks = 0;
const token = () => `hook ${{++hooks}} of ${{getWorkflowMetadata().workflowRunId}}`;
async function hears(value: number): Promise<number> {{
  using hook = createHook<number>({{ token: token() }});
  await tell(hook.token, value);
  return await hook;
}}
// A race that it lost takes no payload.
async function hearsLate(value: number): Promise<number> {{
  using hook = createHook<number>({{ token: token() }});
  if (await hook.getConflict()) return -3000;
  if (await Promise.race([hook, add(0, -1)]) !== -1) return -4000;
  await tell(hook.token, value);
  return await hook;
}}

// A step hears of it while it runs.
async function aborts(value: number): Promise<number> {{
  const controller = new AbortController();
  const held = hold(controller.signal);
  await add(0, value);
  controller.abort(value);
  return await held;
}}
// By a step; the workflow hears of it before the step's result, and by a signal that is made of it.
async function isAborted(value: number): Promise<number> {{
  const controller = new AbortController(), signal = AbortSignal.any([controller.signal]);
  const heard: number[] = [];
  signal.addEventListener("abort", () => heard.push(signal.reason));
  await stop(controller, value);
  return heard.length === 1 ? heard[0] : -5000;
}}

{chr(10).join(sorted(program.children))}
export async function program(): Promise<number> {{
  "use workflow";
  return {program.code};
}}
"""
