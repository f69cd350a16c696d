# ruff: noqa: E501  # one program a line
"""Programs about Headers, Request, Response and AbortSignal; each area is a function of a random source.

Left out are the causes and codes that Node adds to its errors, and where it differs from the standard:
a BigInt for a status, the hidden properties of an object for headers, null for the options of
``Response.json``; where a Request is made of another, the referrer and the mode no-cors; listeners that are added while
listeners are called, and a listener's removal by a boolean or a signal, several signals that ``AbortSignal.any`` made of one, or one made of another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

__all__ = ("AREAS",)

_NAMES = ["a", "A", "b", "X-Long-Name", "set-cookie", "Set-Cookie", "content-type", "Content-Type", "!#$", "a b", "", "\u00e9", "a:", "1", "\u0100"]  # fmt: skip
_VALUES = ["", "1", " 2 ", "a, b", "\t\n x\r\n", "x\ny", "\0", "\u00e9\u00ff", "\u0100", "a=1; Path=/", "text/html"]  # fmt: skip
_METHODS = ["GET", "get", "Head", "post", "PUT", "patch", "PATCH", "delete", "OPTIONS", "x-own", "trace", "CONNECT", "a b", ""]  # fmt: skip
_URLS = ["http://a/", "http://a/b?c=d#e", "https://EXAMPLE.com:443/../x", "data:text/plain,x", "x:y", "http://[::1]/"]  # fmt: skip
_BODIES = [
    "'text'", "'h\\u00e9\\ud83d\\ude00'", "'\\ud800'", "''", "'{\"a\": [1, 2]}'", "'\\ufeff[1]'", "new Uint8Array([1, 2, 255])", "new Uint8Array([123, 125])", "new Uint16Array([1, 256])", "new Uint8Array([9, 8, 7]).subarray(1)",
    "new Uint8Array([1, 2]).buffer", "new DataView(new ArrayBuffer(3), 1)", "new URLSearchParams('a=1&b=\\u00e9 c')", "{}", "[1, [2]]", "1", "true", "null", "undefined", "12n", "new Date(NaN)", "Symbol()", "{ toString() { return 'own' } }",
]  # fmt: skip
_READERS = ["text()", "json()", "bytes()", "arrayBuffer()"]
_SHOWN = "const shown = (m) => [m.constructor.name, m.method, m.url, m.status, m.statusText, m.ok, m.type, m.redirected, [...m.headers], m.bodyUsed, m.body === null, m.mode, m.credentials, m.cache, m.redirect, m.referrer, m.referrerPolicy, m.integrity, m.keepalive, m.duplex]; const seen = []; const attempt = async (f) => { try { const v = await f(); seen.push(v instanceof Request || v instanceof Response ? shown(v) : v); return v } catch (e) { seen.push(e.name) } };"


def _pair(random: Random) -> str:
    return f"[{json.dumps(random.choice(_NAMES))}, {json.dumps(random.choice(_VALUES))}]"


def _good_pair(random: Random) -> str:
    name, value = (
        random.choice(_NAMES[:9]),
        random.choice([v for v in _VALUES[:5] if "x\r" not in v]),
    )
    return f"[{json.dumps(name)}, {json.dumps(value)}]"


def _headers_init(random: Random) -> str:
    pairs = [
        (_pair if random.random() < 0.1 else _good_pair)(random)
        for _ in range(random.randint(0, 4))
    ]
    listed = f"[{', '.join(pairs)}]"
    odd = ["undefined", "null", "1", "'ab'", "[1]", "[['a']]", "[['a', 'b', 'c']]", "[new Set(['a', 'b'])]", "['ab']", "{ a: null, b: undefined, c: 1 }", "{ [Symbol('s')]: 1 }", "{ a: Symbol() }", "[[1, 2]]"]  # fmt: skip
    forms = [listed, listed, f"Object.fromEntries({listed})", f"new Map({listed})", f"new Headers({listed})", random.choice(odd)]  # fmt: skip
    return random.choice(forms)


def headers(random: Random) -> str:
    calls: list[str] = []
    for _ in range(random.randint(1, 5)):
        name = json.dumps(random.choice(_NAMES if random.random() < 0.1 else _NAMES[:9]))
        value = json.dumps(random.choice(_VALUES if random.random() < 0.2 else _VALUES[:5]))
        call = random.choice([
            f"h.append({name}, {value})", f"h.set({name}, {value})", f"h.delete({name})", f"h.get({name})", f"h.has({name})", "h.getSetCookie()", "[...h.keys()]", "[...h.values()]",
            f"h.append({name})", "h.get()", f"h.append({name}, 1)", f"[...h.entries()].length && h.delete({name})", "h.forEach((v, k, o) => seen.push(k, v, o === h))", "[...new Headers(h)]",
        ])  # fmt: skip
        calls.append(f"try {{ seen.push({call}) }} catch (e) {{ seen.push(e.name) }}")
    live = f"for (const [k] of h) {{ seen.push(k); if (seen.length < 20) h.{random.choice(['append', 'delete'])}(k + 'x', k) }}"
    return f"const h = new Headers({_headers_init(random)}), seen = []; {' '.join(calls)} {live if random.random() < 0.2 else ''} return [seen, [...h]]"


def _options(random: Random, members: dict[str, Callable[[], str]]) -> str:
    chosen = random.sample(sorted(members), random.randint(0, min(3, len(members))))
    return f"{{ {', '.join(f'{name}: {members[name]()}' for name in chosen)} }}"


def _body(random: Random) -> str:
    return random.choice(_BODIES[:13] if random.random() < 0.7 else _BODIES)


def _reads(random: Random, name: str) -> str:
    calls = [
        random.choice([f"{name}.{random.choice(_READERS)}", f"{name}.{random.choice(_READERS)}", f"{name}.clone()", f"{name}.clone().{random.choice(_READERS)}", name, f"{name}.body === {name}.body", f"{name}.headers.append('z', 'q')"])
        for _ in range(random.randint(1, 4))
    ]  # fmt: skip
    return " ".join(f"await attempt(() => {call});" for call in calls)


def _response_init(random: Random) -> str:
    return _options(random, {
        "status": lambda: random.choice(["200", "201", "204", "304", "404", "599", "600", "199", "'202'", "200.7", "65736", "NaN", "null", "undefined", "{}", "-1"]),
        "statusText": lambda: random.choice(["'OK'", "''", "'\\u00e9'", "'a\\nb'", "'\\u0100'", "null", "undefined", "1"]),
        "headers": lambda: _headers_init(random),
    })  # fmt: skip


def response(random: Random) -> str:
    init = random.choice([_response_init(random)] * 8 + ["undefined", "null", "1", "'a'"])
    url = random.choice([*_URLS, "/relative", ""]) if random.random() < 0.2 else _URLS[0]
    made = random.choice([f"new Response({_body(random)}, {init})"]* 6 + [
        f"Response.json({_body(random)}, {'undefined' if init == 'null' else init})", "Response.error()", f"Response.redirect({json.dumps(_URLS[1])}, {random.choice([301, 302, 303, 307, 308, 200, 304])})", "new Response()",
        f"new Response(new Response({_body(random)}).body, {init})",
    ])  # fmt: skip
    if url == "/relative" or url == "":
        made = f"(() => {{ try {{ return Response.redirect({json.dumps(url)}) }} catch (e) {{ throw new Error(e.name) }} }})()"
    return f"{_SHOWN} const r = await attempt(() => {made}); if (r instanceof Response) {{ {_reads(random, 'r')} }} return seen"


def _request_init(random: Random) -> str:
    return _options(random, {
        "method": lambda: json.dumps(random.choice(_METHODS[3:10] if random.random() < 0.8 else _METHODS)),
        "headers": lambda: _headers_init(random),
        "body": lambda: _body(random),
        "mode": lambda: random.choice(["'cors'", "'same-origin'", "'no-cors'", "'navigate'", "'x'"]),
        "credentials": lambda: random.choice(["'omit'", "'include'", "1"]),
        "cache": lambda: random.choice(["'no-store'", "'only-if-cached'", "'x'"]),
        "redirect": lambda: random.choice(["'manual'", "'error'", "null"]),
        "referrer": lambda: random.choice(["''", "'http://r/s'", "'about:client'"]),
        "referrerPolicy": lambda: random.choice(["''", "'no-referrer'", "'x'"]),
        "integrity": lambda: random.choice(["'sha256-x'", "1"]),
        "keepalive": lambda: random.choice(["true", "0"]),
        "window": lambda: random.choice(["null", "undefined", "1"]),
        "duplex": lambda: random.choice(["'half'", "'full'"]),
    })  # fmt: skip


def request(random: Random) -> str:
    init = random.choice([_request_init(random)] * 9 + ["undefined", "null", "1"])
    url = json.dumps(random.choice(_URLS))
    if "referrer" in init or "no-cors" in init:
        return f"{_SHOWN} const r = await attempt(() => new Request({url}, {init})); return seen"
    again = random.choice(["", "", f"const s = await attempt(() => new Request(r, {_request_init(random)})); if (s instanceof Request) {{ {_reads(random, 's')} }} seen.push(r.bodyUsed);"])  # fmt: skip
    post = f"{{ method: 'POST', body: {_body(random)} }}" if random.random() < 0.4 else init
    return f"{_SHOWN} const r = await attempt(() => new Request({random.choice([url, f'new URL({url})'])}, {post})); if (r instanceof Request) {{ {_reads(random, 'r')} {again} }} return seen"


_SIGNALS = ["a.signal", "b.signal", "AbortSignal.any([a.signal, b.signal])", "AbortSignal.any([a.signal])", "AbortSignal.abort(7)", "AbortSignal.any([])"]  # fmt: skip
_OPTIONS = ["", "", ", true", ", false", ", { once: true }", ", { capture: true }"]  # fmt: skip


def abort(random: Random) -> str:
    lines = [
        f"const s{n} = {random.choice(_SIGNALS if n == 0 else _SIGNALS[:2])};" for n in range(3)
    ]
    for n in range(random.randint(1, 6)):
        s = f"s{random.randrange(3)}"
        lines.append(random.choice([
            f"{s}.addEventListener('abort', f{random.randrange(3)}{random.choice(_OPTIONS)});",
            f"{s}.removeEventListener('abort', f{random.randrange(3)}{random.choice(['', ', false', ', { capture: true }'])});",
            f"{s}.addEventListener('abort', (e) => {{ seen.push({n}, e.type, e.target === {s}); {random.choice(['', 'e.stopImmediatePropagation();', 'e.stopPropagation();', 'e.preventDefault();'])} }});",
            f"{s}.onabort = {random.choice([f'f{random.randrange(3)}', f'() => seen.push({n})'])};",
            f"{s}.addEventListener('abort', {{ handleEvent(e) {{ seen.push('h{n}', this !== {s}, e.isTrusted) }} }});",
            f"{s}.addEventListener('other', f0);",
            f"attempt(() => {s}.throwIfAborted());",
            f"a.abort({random.choice(['', 'null', '1', 'undefined'])});",
            f"{s}.addEventListener('abort', () => {{ seen.push('in{n}'); b.abort('nested') }});",
        ]))  # fmt: skip
    fs = " ".join(
        f"const f{n} = function (e) {{ seen.push('f{n}', this === e.target) }};" for n in range(3)
    )
    state = "[s0, s1, s2].map((s) => [s.aborted, s.reason instanceof Error ? [s.reason.name, s.reason.code] : s.reason, s.onabort])"
    return (
        f"const a = new AbortController(), b = new AbortController(), seen = []; {fs}"
        " const attempt = (f) => { try { seen.push(f()) } catch (e) { seen.push(e instanceof Error ? e.name : e) } };"
        f" {' '.join(lines)} seen.push({state}); a.abort('a'); b.abort('b'); return [seen, {state}]"
    )


AREAS = {"AbortSignal": abort, "Headers": headers, "Response": response, "Request": request}
