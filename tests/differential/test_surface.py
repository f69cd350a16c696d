# ruff: noqa: E501  # one program a line
"""Each own property of the built-ins is as Node's: there, of that length, with those flags.

Differences are accepted by a pattern with its reason; one that accepts nothing is an error too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.differential.oracle import evaluate_in_guest, open_node

GLOBALS = (
    "Object Function Array String Number Boolean Symbol BigInt Math JSON Reflect Promise Proxy Map Set WeakMap WeakSet "
    "Date RegExp Error EvalError RangeError ReferenceError SyntaxError TypeError URIError AggregateError ArrayBuffer "
    "DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array BigInt64Array "
    "BigUint64Array Float16Array Float32Array Float64Array Iterator SuppressedError DisposableStack AsyncDisposableStack "
    "URL URLSearchParams TextEncoder TextDecoder DOMException structuredClone atob btoa queueMicrotask console crypto "
    "Headers Request Response AbortController AbortSignal "
    "undefined NaN Infinity parseInt parseFloat isNaN isFinite encodeURI encodeURIComponent decodeURI decodeURIComponent "
    "escape unescape"
)  # fmt: skip
# pattern of lines -> why it is accepted. "+" is there in the guest only, "-" in Node only.
ACCEPTED = {
    r"\+ (ArrayBuffer\.prototype\.(immutable|(sliceT|transferT)oImmutable)|Iterator\.(concat|zip|zipKeyed)|(Weak)?Map\.prototype\.getOrInsert|Math\.sumPrecise|Uint8Array\.(prototype\.)?(to|setFrom|from)(Hex|Base64))": "newer than Node 24",
    r"\+ Iterator\.prototype\.(chunks|includes|join|windows)": "proposals that QuickJS-NG has",
    r"[+-] Iterator\.prototype\.constructor ": "the accessors' names",
    r"[+-] Error\.(prepareStackTrace|stackTraceLimit)|\+ Error\.prototype\.stack": "stacks are each engine's own",
    r"\+ Function\.prototype\.(columnNumber|fileName|lineNumber) ": "QuickJS-NG's own",
    r"[+-] (Function|Function\.prototype|Function\.prototype\.constructor|%\w+%\.constructor.*) ": "code cannot be made from text",
    r"[+-] String\.prototype\.length ": "configurable in QuickJS-NG",
    r"- RegExp\.(\$.|input|last\w+|leftContext|rightContext) ": "statics of the last match: a proposal",
    r"- .*\[(nodejs\.util\.inspect\.custom|messaging_\w+)\]": "Node's own symbols",
    r"- URL\.(create|revoke)ObjectURL": "needs Blob",
    r"[+-] (console|crypto)": "Node prints elsewhere and has more; crypto has its random half only",
    r"- (atob|btoa|structuredClone|queueMicrotask)\.prototype": "Node's can be called with new, though Web IDL says no",
    r"[+-] structuredClone(\.length)? ": "one argument is required, as Web IDL counts",
    r"- Headers\.prototype\.(entries|forEach|keys|values)\.prototype": "Node's can be called with new, though Web IDL says no",
    r"[+-] AbortSignal\.(abort|any|timeout|prototype\.(reason|throwIfAborted)) ": "enumerable, as Web IDL says",
    r"- Abort(Controller|Signal)\.(prototype\.)?\[k\w+\]": "Node's own symbols",
    r"- Request\.prototype\.attribute ": "undefined in Node",
    r"- Request\.prototype\.signal ": "a request is data here: nothing aborts it",
    r"- Response\.prototype\.(arrayBuffer|blob|bytes|formData|json|text)( ->|\.(length|name)) ": "the functions of Request.prototype, seen there",
    r"[+-] queueMicrotask ": "not enumerable in QuickJS-NG",
}  # fmt: skip
SCRIPT = (Path(__file__).parent / "surface.js").read_text()


def differences() -> list[str]:
    source = f"const names = {json.dumps(GLOBALS.split())};\n{SCRIPT}"
    with open_node() as node:
        theirs = set(node.evaluate(source))
    ours = set(evaluate_in_guest(source))
    assert len(ours) > 2_000
    return [f"+ {line} " for line in sorted(ours - theirs)] + [f"- {line} " for line in sorted(theirs - ours)]  # fmt: skip


def test_the_built_ins_are_nodes() -> None:
    lines, used = differences(), set[str]()
    unexplained: list[str] = []
    for line in lines:
        patterns = [pattern for pattern in ACCEPTED if re.match(pattern, line)]
        used.update(patterns)
        if not patterns:
            unexplained.append(line)
    assert unexplained == []
    assert set(ACCEPTED) == used
