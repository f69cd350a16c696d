# ruff: noqa: E501  # one program a line
"""Programs that print, parse, compare and match; see inputs.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from tests.differential.inputs import Area

__all__ = ("AREAS",)


def date_parse(random: Random) -> str:
    year = random.choice(["2024", "1970", "0099", "+012345", "-000001", "0000", "+275760", "-271821"])  # fmt: skip
    month, day = random.choice(["01", "02", "12", "13", "00"]), random.choice(["01", "29", "30", "31", "32", "00"])  # fmt: skip
    clock = random.choice(["", "T00:00", "T24:00:00", "T23:59:59.999", "T12:30:15.1234567", "T12", "T12:60", "T25:00"])  # fmt: skip
    zone = random.choice(["", "Z", "+01:00", "-05:30"])
    zone = zone if clock else ""
    # Other forms than ISO's are each engine's own: what toString() and its kin write is common.
    name, plain = (
        random.choice(["Jan", "Feb", "Sep", "Dec"]),
        random.choice(["1970", "2024", "1999"]),
    )
    number = random.choice(["01", "15", "28"])
    text = random.choice([
        f"{year}-{month}-{day}{clock}{zone}", f"{year}-{month}{clock}", year, f"{year}-{month}-{day}",
        f"{name} {number} {plain}", f"{number} {name} {plain} 10:20:30 GMT", f"Tue, {number} {name} {plain} 01:02:03 GMT", f"12/{number}/{plain}", f"Tue {name} {number} {plain} 05:06:07 GMT+0100 (CET)",
    ])  # fmt: skip
    parts = ", ".join(random.choice(["0", "1", "12", "31", "-1", "99", "100", "NaN", "1.9", "2024", "1e20"]) for _ in range(random.randint(2, 7)))  # fmt: skip
    return f"const d = new Date({json.dumps(text)}); return [d, Date.UTC({parts}), new Date({parts}), isNaN(d) || [d.toISOString(), d.toUTCString(), d.toString(), d.toDateString(), d.toTimeString(), d.getDay(), JSON.stringify(d)]]"  # fmt: skip


def date_format(random: Random) -> str:
    time = random.choice([random.randrange(4_102_444_800_000), random.randrange(-8_640_000_000_000, 8_640_000_000_000), 0, 1_706_918_400_000, -62_200_000_000_000])  # fmt: skip
    method = random.choice(["toLocaleString", "toLocaleDateString", "toLocaleTimeString"])
    locale = random.choice(["undefined", "'en-US'", "'en'", "['en-US', 'de']", "[]", "'EN-us'"])
    styles = ["full", "long", "medium", "short"]
    picked: dict[str, object] = {}
    kind = random.random()
    if kind < 0.3:
        if method != "toLocaleTimeString":
            picked["dateStyle"] = random.choice(styles)
        if method != "toLocaleDateString" and random.random() < 0.6:
            picked["timeStyle"] = random.choice(styles)
    elif kind < 0.9:
        month = random.choice(["numeric", "2-digit", "long", "short"])
        have = random.choice(["", "md", "my", "mdy", "wmd", "wmdy", "m"] + ([] if month in ("long", "short") else ["w", "d", "y"]))  # fmt: skip
        if "m" in have:
            picked["month"] = month
        if "d" in have:
            picked["day"] = (
                random.choice(["numeric", "2-digit"]) if month != "numeric" else "numeric"
            )
        if "y" in have:
            picked["year"] = random.choice(["numeric", "2-digit"]) if month != "2-digit" else "numeric"  # fmt: skip
        if "w" in have:
            picked["weekday"] = random.choice(["long", "short"])
        for name in random.choice([[], [], ["hour"], ["hour", "minute"], ["hour", "minute", "second"]]):  # fmt: skip
            picked[name] = random.choice(["numeric", "2-digit"])
        if "hour" in picked and random.random() < 0.5:
            picked[random.choice(["hourCycle"])] = random.choice(["h12", "h23"])
        elif random.random() < 0.2:
            picked["hour12"] = random.choice([True, False])
        if random.random() < 0.2 and "hour" in picked:
            picked["timeZoneName"] = random.choice(["short", "long"])
    if random.random() < 0.3:
        picked["timeZone"] = random.choice(["UTC", "utc"])
    return f"return new Date({time}).{method}({locale}, {json.dumps(picked)})"


def number_format(random: Random) -> str:
    forms: list[Callable[[], str]] = [
        lambda: repr(random.uniform(-10_000, 10_000)), lambda: repr(random.random() / 10 ** random.randint(0, 9)), lambda: str(random.randint(-(10**15), 10**15)), lambda: f"{random.randint(-(10**30), 10**30)}n",
        lambda: random.choice(["0", "-0", "NaN", "Infinity", "-Infinity", "1e21", "1e-7", "0.5", "1.5", "2.5", "1.005", "-0.0001", "999.9995", "5e-324", "1.7976931348623157e308", "0n", "(-5n)", "0.05", "99.5"]),
        lambda: f"{random.randint(-99999, 99999)}.{random.choice(['5', '05', '005', '0005', '4999', '25'])}",
    ]  # fmt: skip
    number = random.choice(forms)()  # fmt: skip
    picked: dict[str, object] = {}
    for name in ("minimumFractionDigits", "maximumFractionDigits", "minimumIntegerDigits"):
        if random.random() < 0.25:
            picked[name] = random.choice([0, 1, 2, 3, 5, 20, 101] if random.random() < 0.3 else [1, 2, 3])  # fmt: skip
    style = random.choice([None, None, "percent", "currency", "decimal"])
    if style:
        picked["style"] = style
    if style == "currency" or random.random() < 0.1:
        picked["currency"] = random.choice(["USD", "EUR", "GBP", "JPY", "usd"])
    if random.random() < 0.2:
        picked["useGrouping"] = random.choice([True, False, "always", "auto", "min2"])
    return f"return [({number}).toLocaleString(), ({number}).toLocaleString('en-US', {json.dumps(picked)}), [{number}, null, 'x', [1234.5]].toLocaleString('en-US', {json.dumps(picked)})]"  # fmt: skip


_LETTERS = "aAbBzZ09 -_.,'\u00e9\u00c9\u00e8\u00f1\u00fc\u00e7\u0107\u017e1\u0301~$\t"


def compare(random: Random) -> str:
    words = ["".join(random.choice(_LETTERS) for _ in range(random.randint(0, 4))) for _ in range(6)]  # fmt: skip
    words += [f"a{random.randint(0, 120)}", f"a0{random.randint(0, 120)}b"]
    picked: dict[str, object] = {}
    if random.random() < 0.4:
        picked["numeric"] = random.choice([True, False])
    if random.random() < 0.4:
        picked["sensitivity"] = random.choice(["base", "accent", "case", "variant"])
    return f"const w = {json.dumps(words)}; return [w.map((a) => w.map((b) => a.localeCompare(b, 'en', {json.dumps(picked)}))), w.toSorted((a, b) => a.localeCompare(b)), w.map((a) => [a.toLocaleUpperCase(), a.toLocaleLowerCase('en'), a.normalize('NFD'), a.normalize()])]"  # fmt: skip


def regexp(random: Random) -> str:
    def atom(depth: int = 0) -> str:
        if depth > 2 or random.random() < 0.6:
            return random.choice(["a", "b", ".", "[ab]", "[^a]", "\\\\d", "\\\\w", "\\\\s", "\\\\b", "^", "$", "\\\\u00e9", "[a-c\\\\d]", "\\\\S", "\\\\x41", "\\\\n"])  # fmt: skip
        inner = "".join(part(depth + 1) for _ in range(random.randint(1, 3)))
        return random.choice([f"({inner})", f"(?:{inner})", f"(?={inner})", f"(?!{inner})", f"(?<={inner})", f"(?<!{inner})", f"(?:{inner}|{atom(depth + 1)})", f"({inner}|)"])  # fmt: skip

    def part(depth: int) -> str:
        item = atom(depth)
        fixed = item.startswith(("\\\\b", "^", "$", "(?"))
        return item if fixed else item + random.choice(["", "", "", "*", "+", "?", "{1,2}", "*?", "+?", "{2}"])  # fmt: skip

    source = "".join(part(0) for _ in range(random.randint(1, 4)))
    if random.random() < 0.2:
        source = f"(?<n>{source})" + random.choice(["", "\\\\k<n>"])
    flags = "".join(flag for flag in "dgimsuy" if random.random() < 0.3)
    letters = "aAb1 \n\u00e9c_" + ("" if "u" in flags else "\U0001f600")  # V8 finds half of one
    text = json.dumps("".join(random.choice(letters) for _ in range(random.randint(0, 10))))  # fmt: skip
    return f'const r = new RegExp("{source}", "{flags}"), t = {text}, plain = (m) => m && [...m, m.index, m.groups && {{ ...m.groups }}]; return [plain(r.exec(t)), r.lastIndex, r.test(t), r.flags, t.replace(r, "[$&$1$`]"), t.split(r), t.search(r), r.global ? [...t.matchAll(r)].map(plain) : plain(t.match(r))]'  # fmt: skip


def sort(random: Random) -> str:
    # A comparator that contradicts itself may sort as it likes: kinds are not mixed for those.
    items = ["1", "10", "9", "-1", "undefined", "null", "'b'", "'a'", "'B'", "NaN", "[2]", "true", "'\\u00e9'", "3n", "{ k: 1 }"]  # fmt: skip
    order = random.choice(["", "(a, b) => (a < b ? -1 : a > b ? 1 : 0)", "(a, b) => b - a", "(a, b) => String(a).length - String(b).length", "() => 0", "undefined", "null"])  # fmt: skip
    if "a < b" in order or "b - a" in order:
        items = ["1", "10", "9", "-1", "undefined", "5.5", "1e3"]
    values = ", ".join(random.choice(items) for _ in range(random.randint(0, 30)))
    holes = random.choice(["", ", , 5", ", ,"])
    pairs = ", ".join(f"[{random.randint(0, 4)}, {at}]" for at in range(random.randint(0, 40)))
    return f"const seen = []; const list = [{values}{holes}]; try {{ seen.push(list.toSorted({order})); list.sort({order}) }} catch (e) {{ seen.push(e) }} return [seen, list, [{pairs}].sort((a, b) => a[0] - b[0]), new Float64Array([3, -0, 0, NaN, -1]).sort()]"  # fmt: skip


def _json(random: Random, depth: int = 0) -> str:
    if depth > 2 or random.random() < 0.4:
        return random.choice(["1", "-0", "1e5", "1.50", '"a\\u00e9\\n"', "null", "true", "false", '""', "01", "+1", ".5", "'a'", "NaN", '"\\x"', "1e", '"\t"', "12345678901234567890", '"\\ud800"', "undefined"][: random.choice([9, 9, 9, 20])])  # fmt: skip
    inner = [_json(random, depth + 1) for _ in range(random.randint(0, 3))]
    if random.random() < 0.5:
        return "[" + ", ".join(inner) + random.choice(["]", "]", "]", ",]", ""])
    return "{" + ",".join(f'"{random.choice(["a", "b", "1", "__proto__", "a"])}" : {item}' for item in inner) + "}"  # fmt: skip


def json_text(random: Random) -> str:
    value = random.choice(["{ a: undefined, b: () => 1, c: Symbol(), d: [undefined, () => 1] }", "{ toJSON() { return 7 } }", "[NaN, Infinity, -0, new Date(0)]", "'\\ud800\\u2028'", "Object(1)", "new Map([[1, 2]])", "{ a: { b: [1, { c: 2 }] }, 1: 1 }", "10n", "[new Set([1]), /a/, Object('s'), Object(true)]", "undefined"])  # fmt: skip
    replacer = random.choice(["undefined", "null", "['a', 'b', 1]", "(k, v) => (k === 'b' ? undefined : v)", "(k, v) => (typeof v === 'number' ? v + 1 : v)"])  # fmt: skip
    space = random.choice(["undefined", "2", "'\\t'", "20", "'abcdefghijklm'", "Object(1)"])
    reviver = random.choice(["", ", (k, v) => (v === 1 ? undefined : v)", ", function (k, v) { return k && this === undefined ? 0 : v }"])  # fmt: skip
    text = json.dumps(_json(random))
    return f"const seen = []; try {{ seen.push(JSON.parse({text}{reviver})) }} catch (e) {{ seen.push(e) }} try {{ seen.push(JSON.stringify({value}, {replacer}, {space})) }} catch (e) {{ seen.push(e) }} return seen"  # fmt: skip


def numbers(random: Random) -> str:
    value = random.choice([repr(random.uniform(-1e6, 1e6)), repr(random.random() * 10 ** random.randint(-300, 300)), str(random.randint(-(2**60), 2**60)), "0.000001", "1e21", "123.456", "-0", "255"])  # fmt: skip
    places, radix = random.randint(0, 20), random.choice([2, 8, 16, 36, 7, 10])
    text = json.dumps(random.choice(["12px", " 0x1f", "1e3x", "-.5", "Infinity", "", "0b11", "1_0", "\u00a05\ufeff", "0o7", "5.", "+-1", "1e1000"]))  # fmt: skip
    return f"const n = {value}; return [n.toFixed({places}), n.toPrecision({places + 1}), n.toExponential({places}), String(n), Math.round(n), Math.fround(n), parseInt({text}), parseFloat({text}), Number({text}), Math.trunc(n) % {radix}, n | 0, n >>> 0, Number.isSafeInteger(n), {radix} === 10 || Math.trunc(n % 1e9).toString({radix})]"  # fmt: skip


AREAS: dict[str, Area] = {
    "Date parsing": date_parse,
    "Date toLocale": date_format,
    "Number toLocale": number_format,
    "localeCompare": compare,
    "RegExp": regexp,
    "sort": sort,
    "JSON": json_text,
    "Number": numbers,
}
