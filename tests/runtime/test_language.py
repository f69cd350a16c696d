"""The language of a workflow: what is there, and what is not and says what to use instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure import Run, Worker, Workflow, start, step, workflow
from perdure._runtime.inspect.audit import verify_run
from perdure.abc import World
from tests.worlds import IN_MEMORY

pytestmark = [pytest.mark.anyio, IN_MEMORY]


@step(name="language:echo")
async def echo(value: object) -> object:
    return value


@step(name="language:late", max_retries=0)
async def late() -> None:
    raise ValueError("late")


async def run_of(world: World, body: str, outside: str = "") -> tuple[object, tuple[str, ...]]:
    """The workflow's value, and what it wrote to the console; the run verifies."""
    source = (
        "import { sleep, FatalError, RetryableError, getWorkflowMetadata } "
        'from "workflow";\nimport { echo, late } from "python:language";\n'
        f"{outside}\n"
        f'export async function w(): Promise<any> {{\n  "use workflow";\n{body}\n}}\n'
    )
    async with Worker(world, steps=[echo, late]):
        run: Run = await start(Workflow.from_source(source))
        value = await run.result(timeout=20)
    assert (await verify_run(world, run.id)).problems == []
    return value, await run.log_lines()


CLASS = """
class Pages {
  #size = 2; static limit = 3;
  get size() { return this.#size; }
  async *[Symbol.asyncIterator]() { for (let i = 0; i < Pages.limit; i++) yield await echo(i); }
}
function* count(): Generator<number> { yield 1; yield* [2, 3]; }
"""


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("return await Promise.all([echo(1), sleep(1).then(() => 2), 3])", [1, 2, 3]),
        ('return await Promise.race([sleep("1 day"), echo(2)])', 2),
        ("return await Promise.any([late(), echo(3)])", 3),
        (
            "return (await Promise.allSettled([late(), echo(4)])).map((r) => r.status)",
            ["rejected", "fulfilled"],
        ),
        (
            "const e = await Promise.any([late(), late()]).catch((e) => e);"
            " return [e.name, e.errors.map((x: any) => x.cause.message)]",
            ["AggregateError", ["late", "late"]],
        ),
        ("const a = []; for await (const v of new Pages()) a.push(v); return a", [0, 1, 2]),
        ("return [...count()]", [1, 2, 3]),
        ("return [new Pages().size, Pages.limit]", [2, 3]),
        (
            "const p = late(); await sleep(5); try { await p } catch (e) { return e.name }",
            "FatalError",
        ),
        (
            "const s = { d: new Date(5), m: new Map([[1, [2]]]), s: new Set([3]) } as any;"
            " s.self = s; const c = structuredClone(s);"
            " return [c !== s, c.self === c, c.d.getTime(), c.m.get(1), c.s.has(3)]",
            [True, True, 5, [2], True],
        ),
        (
            "const bytes = new TextEncoder().encode('hé€😀'); const into = new Uint8Array(4);"
            " return [new TextDecoder().decode(bytes), bytes.length,"
            " new TextEncoder().encodeInto('hé€', into)]",
            ["hé€😀", 10, {"read": 2, "written": 3}],
        ),
        (
            "const u = new URL('../x y?a=1&a=2#h', 'https://u:p@Example.com:443/a/b/c');"
            " u.searchParams.append('b', 'ü'); return [u.href, u.origin,"
            " u.searchParams.getAll('a')]",
            [
                "https://u:p@example.com/a/x%20y?a=1&a=2&b=%C3%BC#h",
                "https://example.com",
                ["1", "2"],
            ],
        ),
        (
            "const u = new URL('https://a.b/c'); u.username = 'z'; u.password = 'q';"
            " u.host = 'H.I:8080'; return u.href",
            "https://z:q@h.i:8080/c",
        ),
        ("const u = new URL('https://a.b:1/c'); u.host = ''; return u.host", "a.b:1"),
        (
            "return [new URLSearchParams({ a: '1 2', b: '&' }).toString(),"
            " [...new URLSearchParams('?x=1&y')]]",
            ["a=1+2&b=%26", [["x", "1"], ["y", ""]]],
        ),
        ("return [btoa('hi\\xff'), atob('aGn/') === 'hi\\xff']", ["aGn/", True]),
        (
            "return [crypto.randomUUID().split('-').length,"
            " crypto.getRandomValues(new Uint8Array(4)).length]",
            [5, 4],
        ),
        ("const o = []; queueMicrotask(() => o.push(1)); o.push(0); await null; return o", [0, 1]),
        ("return getWorkflowMetadata().workflowName", "w"),
        (
            "return [new FatalError('').fatal, new RetryableError('') instanceof Error]",
            [True, True],
        ),
        (
            "const t = Date.now(); await sleep('20ms'); await sleep(5);"
            " await sleep(new Date(Date.now() + 7)); return Date.now() - t >= 32",
            True,
        ),
        (
            "const t = Date.now(); void sleep('3 days').then(() => { throw t }); return 'ended'",
            "ended",
        ),
    ],
)
async def test_it_is_there(world: World, body: str, value: object) -> None:
    found, _ = await run_of(world, body, CLASS)
    assert found == value


@pytest.mark.parametrize("duration", ["'soon'", "''", "NaN", "undefined", "{}", "new Date(NaN)"])
async def test_a_sleep_that_says_no_time_is_told(world: World, duration: str) -> None:
    body = f"try {{ await sleep({duration} as any) }} catch (e) {{ return [e.name, e.message] }}"
    found, _ = await run_of(world, body)
    assert isinstance(found, list)
    assert found[0] == "TypeError"
    assert 'a text like "10 minutes"' in found[1]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("setTimeout(() => {}, 1)", "sleep"),
        ("setInterval(() => {}, 1)", "loop with sleep"),
        ("setImmediate(() => {})", "queueMicrotask"),
        ("clearTimeout(1)", "Promise.race"),
        ("fetch('http://x')", "Python step"),
        ("new EventSource('http://x')", "Python step"),
        ("new WebSocket('ws://x')", "Python step"),
        ("process.env.HOME", "argument"),
        ("process.env = 1", "argument"),
        ("'env' in process", "argument"),
        ("require('fs' as any)", "import"),
        ("eval('1')", "write the code out"),
        ("new Function('1')", "write the code out"),
        ("(async () => {}).constructor('1')", "write the code out"),
        ("Buffer.from('a')", "Uint8Array"),
        ("new WeakRef({})", "plain reference"),
        ("new FinalizationRegistry(() => {})", "plain reference"),
        ("Atomics.load", "plain variables"),
        ("new SharedArrayBuffer(1)", "ArrayBuffer"),
        ("WebAssembly.compile", "Python step"),
        ("performance.now()", "Date.now()"),
        ("Intl.NumberFormat", "Python step"),
        ("localStorage.getItem('a')", "durable already"),
        ("crypto.subtle", "hashlib"),
        ("delete process.env", "argument"),
    ],
)
async def test_it_is_not_there_and_says_what_to_use(world: World, code: str, advice: str) -> None:
    code = code.replace("require(", "(globalThis as any).require(")
    found, _ = await run_of(world, f"try {{ {code} }} catch (e) {{ return [e.name, e.message] }}")
    assert isinstance(found, list), found
    assert found[0] == "ForbiddenGlobalError"
    assert "is not there in a workflow" in found[1]
    assert advice in found[1]


async def test_looking_whether_it_is_there_is_harmless(world: World) -> None:
    found, _ = await run_of(
        world, "return [typeof process, typeof fetch, typeof WeakRef, typeof gc]"
    )
    assert found == ["undefined", "undefined", "undefined", "undefined"]


async def test_it_cannot_be_put_back(world: World) -> None:
    found, _ = await run_of(
        world, "try { globalThis.fetch = () => 1 } catch (e) { return [e.name, typeof fetch] }"
    )
    assert found == ["TypeError", "undefined"]


async def test_every_kind_of_console_call_goes_to_the_runs_log(world: World) -> None:
    _, lines = await run_of(
        world,
        """
      console.log("%s is %d", "x", 2, { y: [1] });
      console.group("g"); console.warn("in\\nside"); console.groupEnd();
      console.count(); console.count(); console.countReset(); console.count();
      console.table([{ a: 1 }, { a: 2 }]); console.dir({ z: 1 });
      console.time("t"); await sleep(5); console.timeEnd("t"); console.timeLog("gone");
      console.assert(1 > 2, "math"); console.trace("here");
      console.error(new TypeError("shown"));
      console.log("half a pair", "\\ud83d"); console.log("a".repeat(65_535) + "\\ud83d\\ude00");
    """,
    )
    assert lines[0] == "x is 2 { y: [1] }"
    assert lines[1:3] == ("g", "[warn]   in\n  side")
    assert lines[3:6] == ("default: 1", "default: 2", "default: 1")
    assert lines[6:8] == ("0 | { a: 1 }\n1 | { a: 2 }", "{ z: 1 }")
    assert lines[8].startswith("t: ")
    assert lines[8].endswith(" ms")
    assert lines[9:11] == ("[warn] there is no timer gone", "[error] Assertion failed math")
    assert lines[11].startswith("[debug] Trace: here\n    at w (workflow.ts:")
    assert lines[12].startswith("[error] TypeError: shown\n    at w (workflow.ts:")
    assert lines[13] == "half a pair \ufffd"
    assert lines[14] == "a" * 65_535 + "\ufffd…"  # cut within a pair


async def test_what_one_file_exports_another_imports(world: World, tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_text(
        'import twice, { type N, one } from "./lib/b";\nimport * as c from "./c.js";\n'
        "export async function w(): Promise<N[]> {\n"
        '  "use workflow";\n  return [twice(one), c.three];\n}\n'
    )
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "b.ts").write_text(
        'export type N = number;\nexport { one } from "../c";\n'
        "export default function twice(n: N): N { return 2 * n; }\n"
    )
    (tmp_path / "c.ts").write_text("export const one = 1;\nexport const three: number = 3;\n")
    async with Worker(world, steps=[]):
        run = await start(workflow(tmp_path / "a.ts"))
        assert await run.result(timeout=10) == [2, 3]
