"""Hostile lines: natives × sizes × contexts, each a workflow of one line that may never end.

A native is one call into the engine that loops over what it is given, in C, without a step of
JavaScript between. A context is where in a run the line is: each has other code around it, the
prelude's, the encoder's or the host's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from perdure import Workflow

__all__ = ("CONTEXTS", "ENDLESS", "Line", "hostile_lines", "spread")

ENDLESS = 2**53 - 1
_HUGE = 2**32 - 1

CONTEXTS = {
    "module scope": (
        "const x = (() => {{ {line} }})();\nexport async function flow() {{ {use} return 1 }}"
    ),
    "first turn": "export async function flow() {{ {use} {line} }}",
    "later turn": "export async function flow() {{ {use} await add(1, 2); {line} }}",
    "after a sleep": "export async function flow() {{ {use} await sleep(1); {line} }}",
    "result": "export async function flow() {{ {use} return {{ get x() {{ {line} }} }} }}",
    "result in a map": (
        "export async function flow() {{ {use} return new Map([[1, {{ get x() {{ {line} }} }}]]) }}"
    ),
    "argument": "export async function flow() {{ {use} await add({{ get x() {{ {line} }} }}, 1) }}",
    "thrown value": "export async function flow() {{ {use} throw {{ get x() {{ {line} }} }} }}",
    "thrown error": (
        "export async function flow() {{ {use} throw Object.defineProperty(new Error('x'), "
        "'message', {{ get() {{ {line} }} }}) }}"
    ),
    "hook option": (
        "export async function flow() {{ {use} createHook({{ get token() {{ {line} }} }}) }}"
    ),
    "console": "export async function flow() {{ {use} console.log({{ get x() {{ {line} }} }}) }}",
    "console text": (
        "export async function flow() {{ {use} console.log({{ toString() {{ {line} }} }}, "
        "`${{{{ toString() {{ {line} }} }}}}`) }}"
    ),
    "duration": (
        "export async function flow() {{ {use} await sleep({{ valueOf() {{ {line} }} }}) }}"
    ),
    "catch and finally": (
        "export async function flow() {{ {use} try {{ {line} }} catch {{ {line} }} "
        "finally {{ {line} }} }}"
    ),
    "job": (
        "export async function flow() {{ {use} await Promise.resolve().then(() => {{ {line} }}) }}"
    ),
}

# Of an object that says it is as long as {n}; the elements are not there.
_ON_LENGTH = (
    *("sort()", "join('')", "reverse()", "splice(1, 0, 1)", "splice(0, 1)", "unshift(1)"),
    *("shift()", "copyWithin(1, 0)", "copyWithin(0, 1)", "fill(1)", "indexOf(1)"),
    *("lastIndexOf(1)", "includes(1)", "some(Boolean)", "every(Boolean)", "find(Boolean)"),
    *("findLast(Boolean)", "forEach(Boolean)", "filter(Boolean)", "reduceRight(Boolean)"),
    *("flat()", "toString()", "toLocaleString()"),
)
_OTHERS = (
    "for (;;) {{}}",
    "for (const _ of (function* () {{ for (;;) yield 1 }})());",
    "return new Array({n})",
    "return new Array({n}).fill(1)",
    "return Array.from({{ length: {n} }})",
    "return [].concat(new Array({n}), new Array({n}))",
    "return Array.prototype.concat.call([], {{ length: {n}, [Symbol.isConcatSpreadable]: true }})",
    "return [new Array({n})].flat(9).length",
    "return new Array({n}).toSorted()",
    "return new Array({n}).join()",
    "return 'a'.repeat({n}).indexOf('a'.repeat({half}) + 'b')",
    "return 'a'.repeat({n}).lastIndexOf('b' + 'a'.repeat({half}))",
    "return 'a'.repeat({n}).includes('a'.repeat({half}) + 'b')",
    "return 'a'.repeat({n}).split('')",
    "return 'a'.repeat({n}).split('a'.repeat({half}) + 'b')",
    "return 'a'.repeat({n}).replaceAll('a', 'bb').length",
    "return 'a'.repeat({n}).replaceAll('a'.repeat({half}) + 'b', '')",
    "return '\\u0344\\u0323'.repeat({n}).normalize('NFC').length",
    "return '\\uac01'.repeat({n}).normalize('NFD').length",
    "return 'a'.repeat({n}).toUpperCase().localeCompare('A'.repeat({n}))",
    "return ''.padStart({n}, 'ab').length",
    "return encodeURIComponent('\\u20ac'.repeat({n})).length",
    "return String.raw({{ raw: {{ length: {n} }} }})",
    "return String.fromCharCode.apply(null, {{ length: {n} }})",
    "return (3n ** BigInt({n})).toString().length",
    "return BigInt('9'.repeat({n})) % 7n",
    "return (1n << BigInt({n})).toString(10).length",
    "let b = 3n; for (let i = 0; i < 64; i++) b *= b; return 1",
    "return BigInt.asUintN({n}, -1n) % 3n",
    "let g = [1]; for (let i = 0; i < {few}; i++) g = [g, g]; return JSON.stringify(g).length",
    "let g = {{}}; for (let i = 0; i < {few}; i++) g = {{ a: g, b: g }}; return structuredClone(g)",
    "let g = [1]; for (let i = 0; i < {few}; i++) g = [g, g]; return g.flat(Infinity).length",
    "let g = [1]; for (let i = 0; i < {few}; i++) g = [g, g]; return String(g).length",
    "let p = {{}}; for (let i = 0; i < {many}; i++) p = Object.create(p); for (;;) p.x",
    "let p = {{}}; for (let i = 0; i < {many}; i++) p = Object.create(p); "
    "return Array.prototype.indexOf.call(Object.create(p, {{ length: {{ value: {n} }} }}), 1)",
    "return /^(a+)+$/.test('a'.repeat({few}) + 'b')",
    "return /(x+x+)+y/.test('x'.repeat({few}))",
    "return 'a'.repeat({many}).match(/(?:a?){{1000}}a{{1000}}b/)",
    "return 'a'.repeat({n}).replace(/a*b/g, '').length",
    "return new Uint8Array({n}).sort().length",
    "return new Float64Array({n}).fill(1.5).toSorted().join().length",
    "return new Uint8Array({n}).indexOf(1)",
    "return new Map(Array.from({{ length: {many} }}, (_, i) => [i, i]))",
    "const s = new Set([1]); for (const x of s) s.add(x + 1)",
    "return Object.keys('a'.repeat({n})).length",
    "return Object.assign({{}}, 'a'.repeat({n}))",
    "return JSON.parse('['.repeat({many}) + ']'.repeat({many}))",
    "return JSON.parse('[' + '1,'.repeat({n}) + '1]').length",
    "return Math.max.apply(null, {{ length: {n} }})",
    "return Reflect.apply(Math.max, null, new Array({n}))",
    "return new Proxy([], {{ ownKeys: () => new Array({n}).fill('a') }})",
    "return Array.from({{ length: {many} }}, (_, i) => new Date(i))",
    "const a = [1]; for (const x of a) a.push(x)",
    "return 'x'.at(-1).concat('y'.repeat({n})).trim().length",
)
# Where a line is run whatever the encoder and the console look at.
_RUNS = ("module scope", "first turn", "later turn", "after a sleep", "catch and finally", "job")
_SIZES = (2**24, 2**29, _HUGE, ENDLESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One hostile line in its context."""

    context: str
    native: str
    endless: bool  # it cannot come to a value

    def __str__(self) -> str:
        return f"{self.context}: {self.native}"

    @property
    def source(self) -> str:
        """The workflow's source."""
        body = CONTEXTS[self.context].format(line=self.native, use='"use workflow";')
        return (
            'import { add } from "python:hostile_lines";\n'
            f'import {{ createHook, sleep }} from "workflow";\n{body}\n'
        )

    @property
    def workflow(self) -> Workflow:
        """The workflow that it is."""
        return Workflow.from_source(self.source, filename="flow.js")


def hostile_lines() -> Iterator[Line]:
    """Every native at every size in every context, the natives changing fastest."""
    for size, context in itertools.product(_SIZES, CONTEXTS):
        for method in _ON_LENGTH:
            native = f"return Array.prototype.{method.split('(')[0]}.call({{ length: {size} }}"
            arguments = method.split("(", 1)[1]
            native += ")" if arguments == ")" else ", " + arguments
            endless = size == ENDLESS and method != "toString()" and context in _RUNS
            yield Line(context=context, native=native, endless=endless)
        for text in _OTHERS:
            endless = text.startswith("for ") and context in _RUNS
            yield Line(context=context, native=_sized(text, size), endless=endless)


def spread(count: int) -> list[Line]:
    """So many lines, spread over natives, sizes and contexts; always the same ones."""
    lines = list(dict.fromkeys(hostile_lines()))
    step = len(lines) / count
    # A step that shares no factor with the lists' lengths meets every native and every context.
    return [lines[int(index * step)] for index in range(count)]


def _sized(text: str, size: int) -> str:
    index = _SIZES.index(size)
    return text.format(n=size, half=size // 2, few=(24, 28, 40, 60)[index], many=10 ** (index + 3))
