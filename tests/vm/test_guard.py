# ruff: noqa: E501  # one use a line
"""What workflow code must not have is gone, or says by name what to use instead, and where."""

from __future__ import annotations

import pytest

from perdure._model.commands import Failed
from perdure._protocol.codec import decode_error
from perdure.errors import GuestError
from tests.vm.conftest import RunOf, ValueOf


def failure(run_of: RunOf, body: str) -> GuestError:
    """What a workflow with this second line fails with."""
    answer = run_of(f"export async function w() {{\n  {body}\n}}").start()
    assert isinstance(answer.outcome, Failed), answer
    return decode_error(answer.outcome.error)


@pytest.mark.parametrize(
    ("body", "name", "advice"),
    [
        ('return fetch("http://a/");', "fetch", "Python step"),
        ("setTimeout(() => 1, 5);", "setTimeout", 'import { sleep } from "workflow"'),
        ("setInterval(() => 1, 5);", "setInterval", "a loop with sleep"),
        ("setImmediate(() => 1);", "setImmediate", "queueMicrotask"),
        ("clearTimeout(1);", "clearTimeout", "Promise.race"),
        ("clearInterval(1);", "clearInterval", "break"),
        ("const r = require; r('x');", "require", "use import"),
        ("eval('1');", "eval", "write the code out"),
        ("new Function('return 1');", "new Function", "write the code out"),
        ("(async () => 1).constructor('return 1');", "new Function", "write the code out"),
        ("(function* () {}).constructor('yield 1');", "new Function", "write the code out"),
        ("new XMLHttpRequest();", "XMLHttpRequest", "Python step"),
        ("new Blob(['a']);", "Blob", "Uint8Array"),
        ("new FormData();", "FormData", "URLSearchParams"),
        ("new WebSocket('ws://a/');", "WebSocket", "Python step"),
        ("Buffer.from('a');", "Buffer", "Uint8Array"),
        ("return process.env.HOME;", "process", "as an argument"),
    ],
)
def test_a_forbidden_global_says_what_to_use_and_where_it_was(
    run_of: RunOf, body: str, name: str, advice: str
) -> None:
    error = failure(run_of, body)
    assert error.name == "ForbiddenGlobalError"
    assert error.text.startswith(f"{name} is not there in a workflow; ")
    assert advice in error.text
    assert "w.ts:2:" in error.stack


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("WeakRef", "ForbiddenGlobalError"),
        ("FinalizationRegistry", "ForbiddenGlobalError"),
        ("Atomics", "ForbiddenGlobalError"),
        ("SharedArrayBuffer", "ForbiddenGlobalError"),
        ("WebAssembly", "ForbiddenGlobalError"),
        ("gc", "gone"),
    ],
)
def test_what_would_make_a_replay_differ_is_gone(
    run_of: RunOf, value_of: ValueOf, name: str, found: str
) -> None:
    run = run_of(
        f"export async function w() {{ if (!('{name}' in globalThis)) return 'gone';"
        f" try {{ {name}.use; return 'there'; }} catch (e) {{ return e.name; }} }}"
    )
    assert value_of(run.start()) == found


def test_workflow_code_cannot_put_a_forbidden_global_back(run_of: RunOf) -> None:
    error = failure(run_of, "globalThis.fetch = () => 1;")
    assert error.name == "TypeError"
    error = failure(run_of, "delete globalThis.process;")
    assert error.name == "TypeError"


LOOKS = """export async function w() {
  const table = {}, names = Object.getOwnPropertyNames(globalThis);
  for (const name of NAMES) {
    const it = globalThis[name];
    table[name] = [typeof it, it == null, it == undefined, !it, it === undefined, name in globalThis, names.includes(name)];
  }
  return table;
}"""
FORBIDDEN = (
    "fetch", "Blob", "File", "FormData", "XMLHttpRequest", "WebSocket", "EventSource", "Worker", "setTimeout",
    "setInterval", "setImmediate", "clearTimeout", "clearInterval", "clearImmediate",
    "WeakRef", "FinalizationRegistry", "SharedArrayBuffer", "require", "eval", "Buffer", "process", "navigator",
    "localStorage", "sessionStorage", "window", "document", "global", "Atomics", "WebAssembly", "performance", "Intl",
)  # fmt: skip


def test_code_that_looks_for_a_forbidden_global_finds_none(
    run_of: RunOf, value_of: ValueOf
) -> None:
    """Only ``===`` and ``in`` tell that something stands in its place."""
    run = run_of(LOOKS.replace("NAMES", repr(list(FORBIDDEN))))
    looks = ["undefined", True, True, True, False, True, True]
    assert value_of(run.start()) == dict.fromkeys(FORBIDDEN, looks)


USES = """export async function w() {
  const uses = [
    (x) => x(), (x) => new x(), (x) => x.y, (x) => { x.y = 1; }, (x) => "y" in x, (x) => delete x.y, (x) => x?.(), (x) => x?.y,
    (x) => (x ?? 1).y, (x) => ({}) instanceof x, (x) => x instanceof Object, (x) => `${x}`, (x) => Object.keys(x), (x) => ({ ...x }),
    (x) => [...x], (x) => { const { y } = x; }, (x) => Object.getPrototypeOf(x), (x) => Object.setPrototypeOf(x, null),
    (x) => class extends x {}, (x) => Object.freeze(x), (x) => Object.isExtensible(x), (x) => Object.defineProperty(x, "y", {}),
    (x) => Object.getOwnPropertyDescriptor(x, "y"), (x) => x + 1, (x) => JSON.stringify({ x }), (x) => x < 1,
  ];
  const missed = [];
  for (const use of uses) for (const x of [WeakRef, process, setTimeout, Intl, eval]) {
    try { use(x); missed.push(String(use)); } catch (e) { if (e.name !== "ForbiddenGlobalError" && !/must be constructor|not a (function|constructor)|not iterable|instanceof/.test(e.message)) missed.push(String(use) + e); }
  }
  return missed;
}"""


def test_every_use_of_a_forbidden_global_throws(run_of: RunOf, value_of: ValueOf) -> None:
    assert value_of(run_of(USES).start()) == []
