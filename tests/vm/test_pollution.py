# ruff: noqa: E501  # one program a line
"""Workflow code that changes the language's own objects reaches nothing of ours."""

from __future__ import annotations

from functools import cache

import pytest

from perdure._model.commands import (
    Command,
    Completed,
    Failed,
    OpenHook,
    ScheduleStep,
    SetAttributes,
)
from perdure._protocol.codec import decode, decode_error, encode
from perdure._protocol.frames import GuestDelivery
from perdure.errors import GuestError
from perdure.values import StepRef
from tests.vm.conftest import Run, RunOf

SCENARIO = """
import { work } from "python:steps";
import { createHook, sleep, setAttributes, getWorkflowMetadata } from "workflow";
const values = { map: new Map([["k", [1]]]), set: new Set([1]), date: new Date(5), big: 10n ** 30n, bytes: new Uint8Array(3),
  floats: new Float64Array(2), view: new DataView(new ArrayBuffer(2)), regexp: /a/g, error: new TypeError("mine", { cause: "c" }),
  step: work, list: [1, "a", null, undefined, 1.5] };
const messages = [new Headers([["b", "1"], ["a", "2"], ["B", "3"]]), Response.json({ a: 1 }), new Request("http://a/", { method: "PUT", body: "b" })];
export async function w(input) {
  POLLUTE
  const first = await work(input, values);
  let failure;
  try { await work(2); } catch (error) { failure = error; }
  const hook = createHook({ token: "t", metadata: { about: values }, webhook: true });
  const conflict = await hook.getConflict();
  const iterator = hook[Symbol.asyncIterator]();
  iterator.next();
  iterator.return();
  const payload = await hook;
  await sleep("1.5 s");
  setAttributes({ k: 1, gone: null });
  const second = work(3, messages), third = work(4);
  const pair = [await second, await third];
  let last;
  for await (const item of hook) { last = item; break; }
  hook.dispose();
  getWorkflowMetadata();
  const copy = structuredClone(values);
  let disposed;
  try { await hook; } catch (error) { disposed = error; }
  return [first, failure, conflict, payload, pair, last, disposed, copy, values, messages];
}
"""
THROW = "{ throw new Error('polluted'); }"
# Names that our objects, descriptors, frames or options may ask for.
NAMES = [
    "hook",
    "resolve",
    "reject",
    "trace",
    "caller",
    "value",
    "get",
    "set",
    "enumerable",
    "writable",
    "configurable",
    "name",
    "message",
    "stack",
    "cause",
    "errors",
    "fatal",
    "props",
    "id",
    "item",
    "next",
    "first",
    "last",
    "settle",
    "done",
    "revive",
    "head",
    "tail",
    "promise",
    "reason",
    "kind",
    "iterator",
    "isOdd",
    "number",
    "workflow",
    "run_id",
    "input",
    "at_ms",
    "isUrl",
    "0",
    "1",
    "2",
    "k",
]
GLOBALS = [
    "Object",
    "Function",
    "Array",
    "Map",
    "Set",
    "WeakMap",
    "Promise",
    "String",
    "Number",
    "BigInt",
    "Boolean",
    "Symbol",
    "Date",
    "RegExp",
    "Error",
    "TypeError",
    "AggregateError",
    "Uint8Array",
    "Float64Array",
    "DataView",
    "ArrayBuffer",
    "Math",
    "JSON",
    "Reflect",
    "Proxy",
]
# What the language itself reads when it awaits or loops: not ours to keep.
SPARED = "['constructor', 'prototype', 'caller', 'arguments', 'callee', '__proto__']"
POLLUTIONS = {
    **{
        f"Object.prototype.{name}": f"Object.defineProperty(Object.prototype, '{name}', {{ get() {THROW}, set() {THROW}, configurable: true }});"
        for name in NAMES
    },
    **{
        f"Object.prototype.{name} as data": f"Object.prototype['{name}'] = {{}};"
        for name in [*NAMES, "then", "constructor"]
        if name not in ("get", "set")
    },
    **{
        f"methods of {name}": (
            f"for (const o of [{name}, {name}.prototype]) if (o) for (const k of Reflect.ownKeys(o)) {{ "
            "const d = Object.getOwnPropertyDescriptor(o, k);"
            f" if (!{SPARED}.includes(k) && d.configurable) saved.push([o, k, d]); }}"
        )
        for name in GLOBALS
    },
    "iterators": "for (const o of [[], new Map(), new Set(), '', [].values()]) { const p = Object.getPrototypeOf(Object(o)); Object.defineProperty(p, Symbol.iterator, { value() { throw new Error('polluted'); } }); }",
    "setters of indices": "for (const k of [0, 1, 2, 3]) Object.defineProperty(Array.prototype, k, { set() { throw new Error('polluted'); }, get() { return undefined; } });",
    "species": "for (const C of [Promise, ArrayBuffer, Array, Map]) Object.defineProperty(C, Symbol.species, { get() { throw new Error('polluted'); } });",
    "globals": "for (const k of ['Promise', 'Map', 'Set', 'Date', 'Error', 'String', 'parseFloat', 'Math', 'Object', 'Reflect', 'BigInt', 'RegExp', 'Uint8Array', 'TypeError']) globalThis[k] = undefined;",
}
# Collected first, then replaced by what was captured: replacing one must not stop the loop.
REPLACE = """
  const saved = [];
  const { defineProperty } = Object;
  COLLECT
  const throwing = () => { throw new Error("polluted"); };
  for (let n = 0; n < saved.length; n++) {
    const d = saved[n][2];
    defineProperty(saved[n][0], saved[n][1], "value" in d
      ? { __proto__: null, value: typeof d.value === "function" ? throwing : d.value, configurable: true, writable: true }
      : { __proto__: null, get: throwing, configurable: true });
  }
"""
FAILURE = GuestError(
    name="TypeError", message="m", stack="s", cause=GuestError(name="Odd", message="c")
)


def play(run: Run) -> tuple[list[Command], str]:
    """The commands and the outcome of the scenario."""
    answers = [run.start({"a": [1]})]
    deliveries = [
        (
            "step_completed",
            "step_1",
            {"d": [1, {2, 3}], "big": 10**40, "again": StepRef("steps:work")},
        ),
        ("step_failed", "step_2", FAILURE),
        ("hook_registered", "hook_3", None),
        ("hook_received", "hook_3", {"p": 1}),
        ("wait_completed", "wait_4", None),
        ("step_completed", "step_7", 7),
        ("step_completed", "step_6", 6),
        ("hook_received", "hook_3", "q"),
    ]
    for position, (kind, entity, value) in enumerate(deliveries, start=2):
        if answers[-1].outcome is None:
            payload = None if value is None else encode(value, where="value")
            answers.append(
                run.guest.resume(
                    [
                        GuestDelivery(
                            position=position,
                            at_ms=1_700_000_100_000,
                            kind=kind,
                            id=entity,
                            value=payload,
                        )
                    ]
                )
            )
    commands = [c for a in answers for turn in a.turns for c in turn.commands]
    match answers[-1].outcome:
        case Completed(value):
            return commands, repr(decode(value))
        case Failed(error):
            return commands, f"failed: {decode_error(error)} {decode_error(error).stack}"
        case other:
            return commands, repr(other)


def seen(commands: list[Command]) -> list[object]:
    """Commands without what depends on the length of the source."""
    return [
        (
            type(c).__name__,
            c.id,
            decode(c.args) if isinstance(c, ScheduleStep) else getattr(c, "token", None),
            decode(c.metadata or b"\xf6") if isinstance(c, OpenHook) else None,
        )
        for c in commands
    ]


@cache
def clean(run_of: RunOf) -> tuple[list[Command], str]:
    return play(run_of(SCENARIO.replace("POLLUTE", "")))


def test_the_scenario_ends(run_of: RunOf) -> None:
    commands, outcome = clean(run_of)
    assert [c.id for c in commands] == [
        "step_1",
        "step_2",
        "hook_3",
        "hook_3",
        "wait_4",
        "attributes_5",
        "step_6",
        "step_7",
        "hook_3",
    ]
    assert outcome.startswith("[{'d'"), outcome


@pytest.mark.parametrize("code", POLLUTIONS.values(), ids=POLLUTIONS)
def test_what_it_changes_is_not_ours(run_of: RunOf, code: str) -> None:
    if "saved" in code:
        code = REPLACE.replace("COLLECT", code)
    commands, outcome = play(run_of(SCENARIO.replace("POLLUTE", code)))
    expected, result = clean(run_of)
    assert outcome == result
    assert repr(seen(commands)) == repr(seen(expected))


OPTIONS = {
    "createHook({ webhook: {} })": "a hook's option webhook is true or false, not a object",
    "createHook({ webhook: 1 })": "a hook's option webhook is true or false, not 1",
    "createHook({ token: '' })": "a hook's token is a text of 1 to 500 characters",
    "createHook({ token: {} })": "a hook's token is a text of 1 to 500 characters",
    "createHook({ token: 'x'.repeat(501) })": "a hook's token is a text of 1 to 500 characters",
    "createHook({ token: '\\ud800' })": "a hook's token has a lone surrogate, which has no UTF-8 form",
    "createHook(5)": "createHook takes an object of options, not 5",
    "createHook(null)": "createHook takes an object of options, not null",
    "createHook('token')": 'createHook takes an object of options, not "token"',
    "await sleep('1.5.5s')": 'sleep takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not "1.5.5s"',
    "await sleep('5 constructor')": 'sleep takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not "5 constructor"',
    "await sleep({})": 'sleep takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not a object',
    "await sleep(Infinity)": 'sleep takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not Infinity',
    "await sleep(new Date(NaN))": 'sleep takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not a object',
    "await sleep(1n)": 'sleep takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not 1',
    "new RetryableError('x', { retryAfter: 'soon' })": 'retryAfter takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not "soon"',
    "new RetryableError('x', { retryAfter: {} })": 'retryAfter takes milliseconds from 0 on, a Date, or a text like "10 minutes" or "1h 30m", not a object',
}


LONE = "an attribute has a lone surrogate, which has no UTF-8 form"
ATTRIBUTES = {
    "setAttributes(null)": "setAttributes requires a plain object, not null",
    "setAttributes([])": "setAttributes requires a plain object, not a object",
    "setAttributes(new Map())": "setAttributes requires a plain object, not a object",
    "setAttributes({}, 5)": "setAttributes takes an object of options, not 5",
    "setAttributes({ a: 'x'.repeat(400) })": (
        'attribute value byte length 400 exceeds limit 256: "a"'
    ),
    "setAttributes({ a: '\\u00e9\\u20ac\\u{1f600}'.repeat(29) })": (
        'attribute value byte length 261 exceeds limit 256: "a"'
    ),
    "setAttributes({ ['x'.repeat(257)]: 1 })": "attribute key length 257 exceeds limit 256",
    "setAttributes({ '': 1 })": "attribute key must not be empty",
    "setAttributes({ $a: 1 })": (
        'attribute key "$a" has the reserved prefix "$"; '
        "the option allowReservedAttributes permits it"
    ),
    "setAttributes(Object.fromEntries(Array.from({ length: 65 }, (_, k) => [k, 1])))": (
        "attributes exceed limit 64: 65 in one call"
    ),
    "setAttributes(Object.fromEntries(Array.from({ length: 40 }, (_, k) => [k, 'x'.repeat(250)])))": (
        "attributes of one call take 10310 bytes, which exceeds limit 8192"
    ),
    "setAttributes({ a: 'x\\udfff' })": LONE,
    "setAttributes({ '\\ud800x': 1 })": LONE,
}


@pytest.mark.parametrize(("call", "message"), ATTRIBUTES.items(), ids=ATTRIBUTES)
def test_what_no_attribute_can_be_is_fatal_at_the_call(
    run_of: RunOf, call: str, message: str
) -> None:
    source = f"""
import {{ setAttributes }} from "workflow";
export async function w() {{ try {{ {call}; }} catch (e) {{ return `${{e.name}}: ${{e.message}}`; }} }}"""
    answer = run_of(source).start()
    assert isinstance(answer.outcome, Completed), answer
    assert decode(answer.outcome.value) == f"FatalError: {message}"
    assert answer.turns[0].commands == ()


def test_attributes_at_their_limits_are_set(run_of: RunOf) -> None:
    source = """
import { setAttributes } from "workflow";
export async function w() {
  await setAttributes({ ["x".repeat(256)]: "\\u{1f600}".repeat(64), gone: undefined, n: 5 });
  await setAttributes({ $root: "r" }, { allowReservedAttributes: true });
}"""
    answer = run_of(source).start()
    assert isinstance(answer.outcome, Completed), answer
    first, second = (command for turn in answer.turns for command in turn.commands)
    assert isinstance(first, SetAttributes)
    assert first.changes == {"x" * 256: "\U0001f600" * 64, "gone": None, "n": "5"}
    assert isinstance(second, SetAttributes)
    assert second.changes == {"$root": "r"}


@pytest.mark.parametrize(("call", "message"), OPTIONS.items(), ids=OPTIONS)
def test_an_option_of_another_type_is_a_type_error_at_the_call(
    run_of: RunOf, call: str, message: str
) -> None:
    source = f"""
import {{ createHook, sleep, setAttributes, RetryableError }} from "workflow";
export async function w() {{ try {{ {call}; }} catch (e) {{ return `${{e.name}}: ${{e.message}}`; }} }}"""
    answer = run_of(source).start()
    assert isinstance(answer.outcome, Completed), answer
    assert decode(answer.outcome.value) == f"TypeError: {message}"
    assert answer.turns[0].commands == ()


# The console is written in JavaScript that uses what workflow code may replace.
SAYS = "return {evil: 1}", "return 5", "return new Date(1)", "throw 1", "return 'z'.repeat(100000)"
SHOWN = (
    "String.prototype.toWellFormed",
    "String.prototype.slice",
    "Array.prototype.join",
    "Array.prototype.map",
)


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("method", [*SHOWN, "String.prototype.replaceAll"])
def test_a_console_line_is_a_text_of_its_length(run_of: RunOf, method: str, says: str) -> None:
    body = f"{method} = () => {{ {says} }}; console.group(); console.log('x'.repeat(70000), [1]); return 1"
    answer = run_of(f"export async function w() {{ {body} }}").start()
    assert isinstance(answer.outcome, Completed), answer
    (line,) = answer.turns[0].console
    assert len(line[1]) <= 65_537


# A step is a function that the bundle imports; nothing that a workflow can write makes another.
FORGED = {
    "a property": "const f = () => 1; f.stepId = 'steps:secret'; await work(f)",
    "a defined property": "const f = () => 1; Object.defineProperty(f, 'stepId', { value: 'steps:secret' }); await work(f)",
    "a property of every function": "Function.prototype.stepId = 'steps:secret'; await work(() => 1)",
    "a Proxy of a step": "await work(new Proxy(work, { get: () => 'steps:secret' }))",
    "a bound step": "await work(work.bind(null))",
}


@pytest.mark.parametrize("body", FORGED.values(), ids=FORGED)
def test_a_forged_reference_is_no_step(run_of: RunOf, body: str) -> None:
    answer = run_of(
        f'import {{ work }} from "python:steps"; export async function w() {{ {body} }}'
    ).start()
    assert isinstance(answer.outcome, Failed)
    assert decode_error(answer.outcome.error).name == "SerializationError"
    assert answer.turns[0].commands == ()


PASSED = """
import { work } from "python:steps";
export async function w(step) { await work(step); return await step(5); }
"""


def test_a_reference_to_what_the_bundle_imports_is_called(run_of: RunOf) -> None:
    run = run_of(PASSED)
    assert decode(run.step_of(run.start(StepRef("steps:work"))).args) == [StepRef("steps:work")]
    command = run.step_of(run.complete())
    assert (command.step, decode(command.args)) == ("steps:work", [5])


def test_a_reference_to_another_step_is_passed_on_and_not_called(run_of: RunOf) -> None:
    run = run_of(PASSED)
    assert decode(run.step_of(run.start(StepRef("steps:secret"))).args) == [StepRef("steps:secret")]
    answer = run.complete()
    assert isinstance(answer.outcome, Failed)
    assert str(decode_error(answer.outcome.error)) == (
        "StepNotImportedError: this workflow imports no step 'steps:secret'; it can pass a reference"
        " on, and call what it imports by name"
    )
