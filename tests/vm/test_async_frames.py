"""Looking for who awaits an error's function only reads: odd promises neither trap nor differ."""

from __future__ import annotations

from random import Random
from typing import cast

import hypothesis.strategies as st
from hypothesis import given, settings

from perdure._model.commands import Answer, Completed
from perdure._protocol.codec import decode, encode, encode_error
from perdure._protocol.frames import GuestDelivery
from tests.vm.conftest import RunOf

ATOMS = """
  async () => { await { then(a) { note(); a(1); } }; note(); },
  async () => { await new Mine((a) => a(work(2))); note(); },
  async () => { await new Odd((a) => a(work(2))).then(() => { note(); return work(1); }); note(); },
  async () => { for await (const x of [work(3), Promise.resolve(1), 2]) note(); },
  async () => { for await (const x of outer()) { note(); if (x === 1) break; } },
  async () => {
    const it = inner();
    await Promise.all([it.next(), it.next()]);
    await it.throw(new Error("thrown in")).catch(note);
  },
  async () => { for (const p of steps()) await p; },
  async () => { await Promise.allSettled([work(1), Promise.reject(new Error("q"))]); note(); },
  async () => { await Promise.any([Promise.reject(1), work(3)]); note(); },
  async () => { await Promise.race([work(1), work(2)]); note(); },
  async () => { await deep(4); },
  async () => { await work(1).finally(note).then(note, note).catch(note); note(); },
  async () => { await work(1).then(String.prototype.at.bind("1")).then(note.bind(0)); note(); },
  async () => { (async () => { await new Promise(() => {}); })(); await work(2); note(); },
  async () => { await Reflect.apply(Promise.prototype.then, work(1), [note, note]); note(); },
"""
SOURCE = f"""
import {{ work }} from "python:steps";
class Mine extends Promise {{ static get [Symbol.species]() {{ return Promise; }} }}
class Odd extends Promise {{}}
const stacks = [];
const note = () => {{ stacks.push(new Error("note").stack); }};
const deep = async (n) => {{ if (n) await deep(n - 1); else {{ await work(1); null.x; }} }};
async function* inner() {{ yield 1; await work(2); note(); }}
async function* outer() {{
  try {{ yield work(1); yield* inner(); }} finally {{ await work(9); note(); }}
}}
function* steps() {{ note(); yield work(2); note(); }}
const atoms = [{ATOMS}];
export async function w(order) {{
  const caught = (e) => {{ stacks.push(String(e && e.stack)); }};
  const beside = order.map((k) => atoms[k]().catch(caught));
  for (const k of order) await atoms[k]().catch(caught);
  await Promise.all(beside);
  return stacks;
}}
"""
COUNT = ATOMS.count("\n  async ()")


def asked(answer: Answer) -> list[str]:
    return [command.id for output in answer.turns for command in output.commands]


@settings(max_examples=30)
@given(order=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=6), ends=st.randoms())
def test_errors_amid_odd_promises_neither_trap_nor_lose_their_callers(
    run_of: RunOf, order: list[int], ends: Random
) -> None:
    run = run_of(SOURCE)
    answer = run.start(order)
    pending, failures = asked(answer), 0
    while answer.outcome is None:
        ended = pending.pop(ends.randrange(len(pending)))
        run.position += 1
        failed = ends.random() < 0.2
        failures += failed
        value = encode_error(ValueError("no")) if failed else encode(1, where="result")
        delivery = GuestDelivery(
            position=run.position,
            at_ms=1_700_000_000_000 + run.position,
            kind="step_failed" if failed else "step_completed",
            id=ended,
            value=value,
        )
        answer = run.guest.resume([delivery])
        pending += asked(answer)
    assert isinstance(answer.outcome, Completed), answer.outcome
    stacks = decode(answer.outcome.value)
    assert isinstance(stacks, list)
    if not failures:  # else no error may have been made behind an await
        assert any("at async w (w.ts:" in str(stack) for stack in cast("list[object]", stacks))
