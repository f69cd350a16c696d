# ruff: noqa: E501  # one program a line
"""Programs that give one global generated input; each area is a function of a random source.

A program is the body of an async function, in ASCII, so that lone surrogates cross as escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random

__all__ = ("AREAS", "Area")

Area = Callable[[Random], str]

_SCHEMES = [
    "http",
    "https",
    "ws",
    "wss",
    "ftp",
    "file",
    "mailto",
    "data",
    "javascript",
    "x",
    "non-special",
    "HTTP",
    "about",
    "",
]
_HOSTS = [
    "example.com", "EXAMPLE.com", "a.b.c", "127.0.0.1", "0x7f.1", "0300.168.0.1", "1.2.3", "256.1.1.1", "4294967295", "4294967296", "[::1]", "[::FFFF:1.2.3.4]", "[1:2:3:4:5:6:7:8]",
    "[1::]", "[::g]", "[]", "b\u00fccher.de", "\u4f8b\u3048.jp", "xn--bcher-kva.de", "XN--BCHER-KVA.de", "fa\u00df.de", "%41.com", "a%00b", "a b", "a<b", "a^b", "a_b", "-a-", "a..b", ".", "..", "localhost", "a.", "\u3002com", "\uff41.com", "\u00ad", "user@host", "1e2", "0x", "09.1", "ex%61mple.com",
]  # fmt: skip
_PATHS = ["", "/", "/a/b", "/a/../b", "/./a/", "/%2e/a", "/%2E%2e/b", "//x", "/a b", "/\u00e9", "/%zz", "/a\\b", "/C:/x", "/C|/x", "/..", "/a;b=1", "/{}`", "/\ud83d\ude00", "/\ud800", "a/b", "../c", ".", "/a'b\"c", "/^|"]  # fmt: skip
_QUERIES = ["", "?", "?a=1", "?a=1&a=2", "?q=a+b%20c", "?\u00e9='\"<>", "?a&&=b", "?#", "?a=%zz", "?x=\ud800", "?%00"]  # fmt: skip
_HASHES = ["", "#", "#a", "#a b`<>", "#\u00e9", "##", "#%zz"]
_PORTS = [
    "",
    "",
    "",
    ":80",
    ":443",
    ":8080",
    ":0",
    ":65535",
    ":65536",
    ":",
    ":x",
    ":00080",
    ":8 0",
    ":21",
]
_USERS = ["", "", "", "u@", "u:p@", ":p@", "u:@", "a%40b:c d@", "\u00e9:\u00e9@", "@", "u:p:q@"]
_ODD = "\t\n \x00\x7f\u00a0\ufeff\u200d%/\\?#@:[]"
_GET_ALL = "const all = (u) => [u.href, u.origin, u.protocol, u.username, u.password, u.host, u.hostname, u.port, u.pathname, u.search, u.hash, [...u.searchParams]];"  # fmt: skip


def _odd(random: Random, text: str) -> str:
    """The text with, at times, an odd character in it."""
    if random.random() < 0.2:
        at = random.randrange(len(text) + 1)
        return text[:at] + random.choice(_ODD) + text[at:]
    return text


def _host(random: Random) -> str:
    if random.random() < 0.7:
        return random.choice(_HOSTS)
    if random.random() < 0.5:
        return ".".join(random.choice(["0", "1", "0x10", "010", "255", "256", "99999", "a", ""]) for _ in range(random.randint(1, 5)))  # fmt: skip
    groups = ":".join(random.choice(["", "0", "1", "abcd", "12345", "0db8", "1.2.3.4"]) for _ in range(random.randint(2, 9)))  # fmt: skip
    return f"[{groups}]"


def _url(random: Random) -> str:
    """A URL of none of the kinds that are read as WHATWG says since Node's parser was made.

    These are hosts in Punycode that are not sound, and file paths that only begin as a drive does.
    """
    while True:
        text = _any_url(random)
        is_odd_host = re.search(r"xn--(?!bcher-kva\.de)", text, re.IGNORECASE)
        if not is_odd_host and not re.search(r"[/\\][a-zA-Z][:|][^/\\?#]", text):
            return text


def _any_url(random: Random) -> str:
    if random.random() < 0.15:
        return _odd(
            random, random.choice(_PATHS) + random.choice(_QUERIES) + random.choice(_HASHES)
        )
    slashes = random.choice(["//", "//", "//", "//", "/", "", "\\\\", "///"])
    rest = random.choice(_PATHS) + random.choice(_QUERIES) + random.choice(_HASHES)
    scheme = random.choice(_SCHEMES)
    head = f"{scheme}:" if scheme else ""
    users = [""] if scheme == "file" else _USERS  # Node takes "u:p" for a drive there
    return _odd(random, head + slashes + random.choice(users) + _host(random) + random.choice(_PORTS) + rest)  # fmt: skip


def _base(random: Random) -> str:
    """A URL to stand under another: not one whose path is opaque, as Node takes some of those."""
    while True:
        base = _url(random)
        if re.match(r"(https?|wss?|ftp|file):[/\\]|[a-z-]+:/|[^:]*$", base, re.IGNORECASE):
            return base


def url(random: Random) -> str:
    base = f", {json.dumps(_base(random))}" if random.random() < 0.5 else ""
    text = json.dumps(_url(random))
    return f"{_GET_ALL} return [URL.canParse({text}{base}), URL.parse({text}{base})?.href, all(new URL({text}{base}))]"  # fmt: skip


def url_setters(random: Random) -> str:
    names = ["href", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"]  # fmt: skip
    values = {
        "href": lambda: _url(random),
        "protocol": lambda: random.choice([*_SCHEMES, "https:", "ftp://x", "1a", "ws:foo"]),
        "host": lambda: _host(random) + random.choice(_PORTS),
        "hostname": lambda: _host(random) + random.choice(["", "", ":80", "/x", "?a", "#b"]),
        "port": lambda: random.choice([*_PORTS, "80", "8080", "65536", "12a", "-1", " 9"]).lstrip(
            ":" if random.random() < 0.8 else ""
        ),
        "pathname": lambda: _odd(random, random.choice(_PATHS) + random.choice(["", "?x=1", "#y"])),
        "search": lambda: _odd(random, random.choice(_QUERIES)),
        "hash": lambda: _odd(random, random.choice(_HASHES)),
    }
    steps: list[str] = []
    for _ in range(random.randint(1, 3)):
        name = random.choice(names)
        value = values.get(name, lambda: _odd(random, random.choice(["u", "a b", "\u00e9", "a:b@c", ""])))()  # fmt: skip
        steps.append(f"try {{ u.{name} = {json.dumps(value)} }} catch (e) {{ seen.push(e.name) }} seen.push(all(u));")  # fmt: skip
    start = json.dumps(random.choice(["http://u:p@h:81/p?q#f", "https://x/", "file:///a/b", "mailto:a", "x://h/p", "data:a ?b#c", "blob:https://a/b", "file://h/c:/d"]))  # fmt: skip
    return f"{_GET_ALL} const u = new URL({start}), seen = [], p = u.searchParams; {' '.join(steps)} return [seen, [...p], p === u.searchParams]"  # fmt: skip


def _word(random: Random) -> str:
    return "".join(random.choice(["a", "b", "+", " ", "%20", "%", "=", "&", "\u00e9", "\U0001f600", "\ud800", "*", "~", "'", "a", "c"]) for _ in range(random.randint(0, 4)))  # fmt: skip


def _query(random: Random) -> str:
    pairs = "&".join(f"{_word(random)}={_word(random)}" for _ in range(random.randint(0, 4)))
    if re.search("%(?![0-9A-F]{2})", pairs):  # Node decodes what is not ASCII wrongly then
        pairs = "".join(character for character in pairs if character.isascii())
    return "?" * random.randint(0, 2) + pairs


def search_params(random: Random) -> str:

    def pair() -> str:
        return json.dumps([_word(random), _word(random)])

    def entry() -> str:
        return f"{json.dumps(_word(random))}: {json.dumps(_word(random))}"

    forms: list[Callable[[], str]] = [
        lambda: json.dumps(_query(random)),
        lambda: f"[{', '.join(pair() for _ in range(random.randint(0, 3)))}]",
        lambda: f"{{ {', '.join(entry() for _ in range(random.randint(0, 3)))} }}",
        lambda: f"new Map([{', '.join(pair() for _ in range(random.randint(0, 3)))}])",
        lambda: random.choice(["undefined", "null", "1", "[[1]]", "[1]", "[['a','b','c']]", "[new Set('ab')]", "'a'", "true", "Symbol()", "[null]", "new URLSearchParams('a=1')"]),
    ]  # fmt: skip
    init = random.choice(forms)()  # fmt: skip
    calls: list[str] = []
    for _ in range(random.randint(1, 4)):
        a, b = json.dumps(_word(random)), json.dumps(_word(random))
        calls.append(random.choice([f"p.append({a}, {b})", f"p.delete({a})", f"p.delete({a}, {b})", f"p.has({a})", f"p.has({a}, {b})", f"p.get({a})", f"p.getAll({a})", f"p.set({a}, {b})", "p.sort()", "p.size", "[...p.keys()]", "[...p.values()]", "p.forEach((v, k) => seen.push([k, v]))", f"p.has({a}, undefined)"]))  # fmt: skip
    body = " ".join(f"seen.push({call});" for call in calls)
    return (
        f"const p = new URLSearchParams({init}), seen = []; {body} return [seen, String(p), [...p]]"
    )


def _bytes(random: Random) -> list[int]:
    pieces: list[int] = []
    for _ in range(random.randint(0, 5)):
        pieces += random.choice([
            [random.randrange(128)], list("\u00e9".encode()), list("\u20ac".encode()), list("\U0001f600".encode()), [0xED, 0xA0, 0x80], [0xEF, 0xBB, 0xBF], [0xC0, 0xAF], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80],
            [random.randrange(256)], [0xE0, 0x80, 0x80], [0xF8, 0x88], [0xFF, 0xFE], [0xFE, 0xFF], [0x3D, 0xD8, 0x00, 0xDE], [0x00, 0xD8],
        ])  # fmt: skip
    return pieces


def decoder(random: Random) -> str:
    label = json.dumps(random.choice(["utf-8", "utf-8", "utf-8", "UTF8", " utf-8\n", "utf-16le", "utf-16be", "unicode", "windows-1252", "latin1", "ascii", "utf-7", ""]))  # fmt: skip
    flags = f"{{ fatal: {random.choice(['true', 'false'])}, ignoreBOM: {random.choice(['true', 'false'])} }}"  # fmt: skip
    calls: list[str] = []
    for _ in range(random.randint(1, 4)):
        stream = random.choice(["", ", { stream: true }", ", { stream: false }"])
        data = f"new Uint8Array({_bytes(random)})" + random.choice(
            ["", "", ".buffer", ".subarray(1)"]
        )
        calls.append(f"try {{ seen.push(d.decode({data}{stream})) }} catch (e) {{ return [seen, e.name, e.code] }}")  # fmt: skip
    return f"const d = new TextDecoder({label}, {flags}), seen = [d.encoding, d.fatal, d.ignoreBOM]; {' '.join(calls)} return seen"  # fmt: skip


def _text(random: Random) -> str:
    return "".join(random.choice(["a", "Z", "\u00e9", "\u20ac", "\U0001f600", "\ud800", "\udc00", "\x00", "\uffff", "\u00ff", "="]) for _ in range(random.randint(0, 8)))  # fmt: skip


def encoder(random: Random) -> str:
    text, room = json.dumps(_text(random)), random.randint(0, 12)
    return f"const e = new TextEncoder(), v = new Uint8Array({room}); return [e.encoding, e.encode({text}), e.encodeInto({text}, v), v, new TextDecoder().decode(e.encode({text}))]"  # fmt: skip


def base64(random: Random) -> str:
    coded = "".join(random.choice(["Y", "Q", "=", "+", "/", "A", " ", "\n", "-", "_", "z", "9", "\u00e9"][: random.choice([2, 6, 13])]) for _ in range(random.randint(0, 9)))  # fmt: skip
    plain = "".join(chr(random.choice([0, 65, 200, 255, 256, 10][: random.choice([4, 5, 6])])) for _ in range(random.randint(0, 7)))  # fmt: skip

    def half(call: str) -> str:
        return f"try {{ seen.push({call}) }} catch (e) {{ seen.push(e) }}"

    return f"const seen = []; {half(f'atob({json.dumps(coded)})')} {half(f'btoa({json.dumps(plain)})')} {half(f'atob(btoa({json.dumps(plain)}))')} return seen"  # fmt: skip


def _value(random: Random, depth: int = 0) -> str:
    leaves = ["1", "-0", "NaN", "'a'", "'\\ud800'", "null", "undefined", "true", "10n", "new Date(5)", "new Date(NaN)", "/a+/gi", "Object(1)", "Object('ab')", "Object(false)", "Object(7n)", "buffer", "new Uint8Array(buffer)", "new Uint16Array(buffer, 2, 1)", "new DataView(buffer, 1)", "new Float64Array(2)", "new Error('e')", "new TypeError('t', { cause: 1 })", "new RangeError()", "new (class A { x = 1; #y = 2; get z() { return 3 } })()", "Object.create({ inherited: 1 })", "Object.assign(new Error('m'), { name: 'Custom' })", "Object.freeze([1, , 3])", "new DOMException('m', 'AbortError')", "new Array(3)", "Object.assign([1], { extra: 2 })", "Object.defineProperty({}, 'hidden', { value: 1 })", "{ get a() { return 4 } }", "{ ['__proto__']: 1 }", "shared", "new AggregateError([1], 'g')", "new ArrayBuffer(2, { maxByteLength: 4 })"]  # fmt: skip
    refused = ["() => 1", "Symbol('s')", "new WeakMap()", "Promise.resolve()", "new Proxy({}, {})", "[][Symbol.iterator]()", "Object(Symbol())", "(function () { return arguments })(1)", "new Map().entries()", "(function* () {})()", "new WeakSet()", "class B {}", "new URL('http://a')"]  # fmt: skip
    if depth > 2 or random.random() < 0.5:
        return f"({random.choice(refused if random.random() < 0.04 else leaves)})"

    def inner() -> str:
        return _value(random, depth + 1)

    forms: list[Callable[[], str]] = [
        lambda: f"[{', '.join(inner() for _ in range(random.randint(0, 3)))}]",
        lambda: f"({{ {', '.join(f'{key}: {inner()}' for key in random.sample('abc12', random.randint(0, 3)))} }})",
        lambda: f"new Map([[{inner()}, {inner()}]])",
        lambda: f"new Set([{inner()}, {inner()}])",
        lambda: f"cycle({inner()})",
    ]  # fmt: skip
    return random.choice(forms)()  # fmt: skip


def clone(random: Random) -> str:
    options = random.choice(["", "", "", ", { transfer: [buffer] }", ", { transfer: [buffer, buffer] }", ", {}", ", null"])  # fmt: skip
    return (
        "const buffer = new ArrayBuffer(8), shared = { s: 1 }, cycle = (v) => { const o = { v }; o.self = o; return o; };"
        f" const value = {_value(random)}; const copy = structuredClone(value{options}); return [copy, buffer.byteLength]"
    )


AREAS: dict[str, Area] = {
    "URL": url,
    "URL setters": url_setters,
    "URLSearchParams": search_params,
    "TextDecoder": decoder,
    "TextEncoder": encoder,
    "atob, btoa": base64,
    "structuredClone": clone,
}
