# ruff: noqa: E501  # one program a line
"""Programs of the language itself: control flow, generators, destructuring, classes; see inputs.py.

Each writes what happens, in order, into a list, which is its answer. Loops are bounded by a counter.
"""

from __future__ import annotations

from random import Random

from tests.differential.inputs import Area

__all__ = ("AREAS",)


_QUOTED = "'t'"


class Writer:
    """Writes one program: names are counted, the depth of statements is bounded."""

    def __init__(self, random: Random, *, yields: str = "", awaits: bool = False) -> None:
        self.random = random
        self.yields = yields
        self.awaits = awaits
        self.count = 0
        self.labels: list[tuple[str, bool]] = []

    def pick(self, *items: str) -> str:
        return self.random.choice(items)

    def note(self) -> str:
        self.count += 1
        return f"log.push({self.count});"

    def value(self) -> str:
        items = ["1", "i", "'s'", "null", "[1, 2]", "undefined"]
        if self.awaits:
            items += [
                "await 2",
                "await Promise.resolve(3)",
                "await reject('r')",
                "Promise.resolve(4)",
            ]
        return self.pick(*items)

    def simple(self) -> str:
        kind = self.random.random()
        if self.yields and kind < 0.35:
            star = self.random.random() < 0.25
            if not star:
                return f"log.push(['got', yield {self.value()}]);"
            sources = ["[1, 2]", "inner()", "[]", "'ab'", "loud([1, 2, 3])"]
            if self.awaits:
                sources += ["[Promise.resolve(1), reject('p'), 2]", "loudAsync([1, 2])", "failing()", "loud([reject('q')])"]  # fmt: skip
            return f"log.push(['star', yield* {self.pick(*sources)}]);"
        if kind < 0.45 and self.labels:
            return self.jump()
        if kind < 0.52:
            return f"throw {self.pick('new Error(1)', _QUOTED, 'new TypeError()')};"
        if kind < 0.56:
            return f"return {self.value()};"
        if self.awaits and kind < 0.65:
            return f"log.push({self.pick('await 1', 'await reject(5)', 'await Promise.resolve(5)', 'await { then(f) { f(6) } }')});"  # fmt: skip
        return self.note()

    def jump(self) -> str:
        label, is_loop = self.random.choice(self.labels)
        return f"if ({self.pick('true', 'i > 3', 'log.length % 2')}) {self.pick('break', 'continue') if is_loop else 'break'} {label};"  # fmt: skip

    def block(self, depth: int) -> str:
        return " ".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def labelled(self, depth: int, head: str, *, is_loop: bool, tail: str = "") -> str:
        label = f"L{self.count}"
        self.count += 1
        self.labels.append((label, is_loop))
        body = self.block(depth + 1)
        self.labels.pop()
        guard = "if (++i > 40) return log;" if is_loop else ""
        return f"{label}: {head} {{ {guard} {body} }}{tail}"

    def statement(self, depth: int = 0) -> str:
        if depth > 3 or self.random.random() < 0.4:
            return self.simple()
        heads = ["for (let k = 0; k < 2; k++)", "for (const x of [1, 2])", "for (const x of loud([1, 2, 3]))", "for (const x in { a: 1, b: 2 })", "while (i < 6)", "for (const [x = 7] of [[], [1]])"]  # fmt: skip
        if self.awaits:
            heads += ["for await (const x of [1, reject('f')])", "for await (const x of loudAsync([1, 2]))", "for await (const x of failing())", "for await (const x of loud([Promise.resolve(1), 2]))"]  # fmt: skip
        kind = self.random.random()
        if kind < 0.45:
            return self.labelled(depth, self.pick(*heads), is_loop=True)
        if kind < 0.5:
            return self.labelled(depth, "do", is_loop=True, tail=" while (i < 5);")
        if kind < 0.6:
            return self.labelled(depth, "", is_loop=False)
        if kind < 0.85:
            catch = self.pick("catch (e) { log.push(['caught', e]);", "catch {")
            end = f"finally {{ {self.block(depth + 1)} }}" if self.random.random() < 0.6 else ""
            return f"try {{ {self.block(depth + 1)} }} {catch} {self.block(depth + 1)} }} {end}"
        if kind < 0.93:
            cases = " ".join(f"case {n}: {self.block(depth + 1)} {self.pick('break;', '')}" for n in range(3))  # fmt: skip
            return f"switch (i % 4) {{ {cases} default: {self.block(depth + 1)} }}"
        return f"if ({self.pick('i % 2', 'true', 'log.length > 4')}) {{ {self.block(depth + 1)} }} else {{ {self.block(depth + 1)} }}"  # fmt: skip


_HELPERS = """
let i = 0; const log = []; const note = (x) => { log.push(x); return x; };
const reject = (x) => { const p = Promise.reject(x); p.catch(() => {}); return p; };
function* inner() { try { log.push(['in', yield 8]); yield 9; return 10; } finally { log.push('inner end'); } }
const loud = (list) => ({ [Symbol.iterator]() { let k = 0; return {
  next(v) { log.push(['next', v]); return k < list.length ? { value: list[k++], done: false } : { value: 'end', done: true }; },
  return(v) { log.push(['return', v]); return { value: v, done: true }; } }; } });
const loudAsync = (list) => ({ [Symbol.asyncIterator]() { let k = 0; return {
  async next(v) { log.push(['anext', v]); return k < list.length ? { value: list[k++], done: false } : { value: 'aend', done: true }; },
  async return(v) { log.push(['areturn', v]); return { value: v, done: true }; },
  async throw(e) { log.push(['athrow', e]); return { value: 'thrown', done: true }; } }; } });
const failing = () => ({ [Symbol.asyncIterator]() { let k = 0; return {
  next() { log.push('fnext'); return k++ ? reject('no') : { value: 1, done: false }; },
  return() { log.push('freturn'); return {}; } }; } });
""".replace("\n", " ")


def loops(random: Random) -> str:
    return f"{_HELPERS} const f = () => {{ {Writer(random).block(0)} return 'end'; }}; let r; try {{ r = f(); }} catch (e) {{ r = ['thrown', e]; }} return [r, log]"  # fmt: skip


def _requests(random: Random) -> list[str]:

    def call() -> str:
        return random.choice(["next", "next", "next", "next", "return", "throw"])

    return [f"{call()}({random.choice(['1', _QUOTED, 'undefined'])})" for _ in range(random.randint(1, 6))]  # fmt: skip


def generators(random: Random) -> str:
    body = Writer(random, yields="*").block(0)
    calls = " ".join(f"try {{ log.push(g.{call}); }} catch (e) {{ log.push(['thrown', e]); }}" for call in _requests(random))  # fmt: skip
    return f"{_HELPERS} const f = function* () {{ {body} }}; const g = f(); {calls} return log"


def async_functions(random: Random) -> str:
    bodies = [Writer(random, awaits=True).block(0) for _ in range(2)]
    return f"{_HELPERS} const a = async () => {{ {bodies[0]} return 'a'; }}, b = async () => {{ {bodies[1]} return 'b'; }}; return [await Promise.allSettled([a(), b(), Promise.race([a(), 1])]), log]"  # fmt: skip


def async_generators(random: Random) -> str:
    body = Writer(random, yields="*", awaits=True).block(0)
    asked = [f"g.{call}" for call in _requests(random)]
    if random.random() < 0.5:  # all at once, or one after another
        asked = [call.replace(_QUOTED, "Promise.resolve('pv')") for call in asked]
        asked = [f"{call}.then((v) => note(v), (e) => note(['no', e]))" for call in asked]
        return f"{_HELPERS} const f = async function* () {{ {body} }}; const g = f(); const all = await Promise.allSettled([{', '.join(asked)}]); return [all, log]"  # fmt: skip
    calls = " ".join(f"try {{ log.push(await {call}); }} catch (e) {{ log.push(['thrown', e]); }}" for call in asked)  # fmt: skip
    return (
        f"{_HELPERS} const f = async function* () {{ {body} }}; const g = f(); {calls} return log"
    )


def _pattern(random: Random, names: list[str], depth: int = 0) -> str:
    def target() -> str:
        if depth < 2 and random.random() < 0.35:
            return _pattern(random, names, depth + 1)
        names.append(f"v{len(names)}")
        return names[-1]

    def default() -> str:
        return random.choice(["", "", " = note(5)", " = note('d')", " = []"])

    if random.random() < 0.5:
        parts = [random.choice(["", f"{target()}{default()}"]) for _ in range(random.randint(0, 3))]
        rest = f"...{target()}" if random.random() < 0.3 else ""
        return f"[{', '.join([*parts, *([rest] if rest else [])])}]"
    keys = random.sample(["a", "b", "c", "[note('k')]", "length", "0"], random.randint(0, 3))
    parts = [f"{key}: {target()}{default()}" for key in keys]
    if random.random() < 0.3:
        names.append(f"v{len(names)}")
        parts.append(f"...{names[-1]}")
    return f"{{ {', '.join(parts)} }}"


def destructuring(random: Random) -> str:
    source = random.choice(["[1, [2, 3], { a: 4 }]", "{ a: 1, b: { c: 2 }, c: [3] }", "'text'", "loud([1, [2], 3])", "null", "[undefined, null]", "{ a: undefined, get b() { return note('g') } }", "new Map([[1, 2]])", "[]", "[[], {}, '']", "5"])  # fmt: skip
    names: list[str] = []
    pattern = _pattern(random, names)
    read = f"[{', '.join(names)}]"
    form = random.choice([
        f"const {pattern} = {source}; return {read};", f"let {', '.join([*names, 'z'])}; ({pattern} = {source}); return {read};",
        f"return (({pattern}, z = 1) => {read})({source});", f"for (const {pattern} of [{source}]) return {read};", f"try {{ throw {source}; }} catch ({pattern}) {{ return {read}; }}",
    ])  # fmt: skip
    return f"{_HELPERS} const f = () => {{ {form} }}; let r; try {{ r = f(); }} catch (e) {{ r = ['thrown', e]; }} return [r, log]"  # fmt: skip


def classes(random: Random) -> str:
    def member(number: int) -> str:
        name = random.choice(["a", "b", "['c']", "#p", "[note('k')]"])
        secret = "static " if random.random() < 0.3 else ""
        body = random.choice([f"return note('m{number}');", "return this.a;", "return super.a;", "return new.target;", "throw new Error('m');"])  # fmt: skip
        return random.choice([
            f"{secret}{name}{number if name == '#p' else ''} = {random.choice(['note(1)', 'this', '() => this', '4', 'super.b'])};",
            f"{secret}{name}{number if name == '#p' else ''}() {{ {body} }}", f"{secret}get {name}{number if name == '#p' else ''}() {{ {body} }}",
            f"{secret}async {name}{number if name == '#p' else ''}() {{ {body} }}", f"{secret}*{name}{number if name == '#p' else ''}() {{ {body} }}",
            "static { log.push('static'); }", f"{secret}set {name}{number if name == '#p' else ''}(v) {{ log.push(v); }}",
        ])  # fmt: skip

    def maker(name: str, parent: str) -> str:
        members = " ".join(member(k) for k in range(random.randint(1, 4)))
        calls = random.choice(["", "super();", "super(1); log.push(this);", "return { r: 1 };", "super(); return 1;"]) if parent else "log.push(new.target?.name);"  # fmt: skip
        own = f"constructor(...x) {{ log.push(x); {calls} }}" if random.random() < 0.5 else ""
        return f"class {name} {f'extends {parent}' if parent else ''} {{ {own} {members} }}"

    parent = random.choice(["A", "A", "A", "Array", "Error", "Map", "null", "(class { a = 2 })", "function () {}"])  # fmt: skip
    reads = "for (const o of [x, C]) for (const k of ['a', 'b', 'c']) try { const v = o[k]; log.push([k, typeof v === 'function' ? [v.name, v.length] : v]); } catch (e) { log.push(e); }"  # fmt: skip
    text = "try { " + maker("A", "") + " " + maker("C", parent).replace("function () {}", "F") + " "
    text += f"const x = new C(1, 2); {reads} return [log.map((v) => (typeof v === 'function' ? v.name : v)), x instanceof C, Object.getOwnPropertyNames(C.prototype), Reflect.ownKeys(C), C.name, C.length];"  # fmt: skip
    return f"{_HELPERS} function F() {{ this.a = 3; }} {text} }} catch (e) {{ return [log, e]; }}"


AREAS: dict[str, Area] = {
    "labelled loops": loops,
    "generators": generators,
    "async functions": async_functions,
    "async generators": async_generators,
    "destructuring": destructuring,
    "classes": classes,
}
