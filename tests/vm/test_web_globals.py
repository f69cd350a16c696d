# ruff: noqa: E501  # one program a line
"""The web's globals where their standards leave a choice, or where a workflow refuses by name.

That they agree with Node on generated inputs is tested in tests/differential.
"""

from __future__ import annotations

from typing import cast

import pytest

from perdure._model.commands import Failed, StartWait
from perdure._protocol.codec import decode_error
from perdure._protocol.frames import Limits
from perdure._vm.image import make_delta, take_image
from tests.vm.conftest import RunOf, ValueOf


def value(run_of: RunOf, value_of: ValueOf, body: str) -> object:
    return value_of(run_of(f"export async function w() {{\n{body}\n}}").start())


@pytest.mark.parametrize(
    "code",
    [
        '(1.5).toLocaleString("de-DE")',
        '(1.5).toLocaleString(["fr", "en-US"])',
        '(1).toLocaleString("en-GB")',
        '5n.toLocaleString("hi")',
        '[1].toLocaleString("de")',
        'new Uint8Array(1).toLocaleString("de")',
        '(1).toLocaleString("en-US", { style: "currency", currency: "INR" })',
        '(1).toLocaleString("en-US", { notation: "compact" })',
        '(1).toLocaleString("en-US", { style: "unit", unit: "liter" })',
        '(1).toLocaleString("en-US", { maximumSignificantDigits: 2 })',
        '(1).toLocaleString("en-US", { signDisplay: "always" })',
        '(1).toLocaleString("en-US", { numberingSystem: "arab" })',
        'new Date(0).toLocaleString("de")',
        'new Date(0).toLocaleDateString("en-GB")',
        'new Date(0).toLocaleTimeString("ja-JP")',
        'new Date(0).toLocaleString("en-US", { timeZone: "Europe/Berlin" })',
        'new Date(0).toLocaleString(undefined, { timeZone: "+01:00" })',
        'new Date(0).toLocaleString("en-US", { calendar: "buddhist" })',
        'new Date(0).toLocaleString("en-US", { era: "short" })',
        'new Date(0).toLocaleString("en-US", { fractionalSecondDigits: 3 })',
        'new Date(0).toLocaleString("en-US", { dayPeriod: "short" })',
        'new Date(0).toLocaleString("en-US", { month: "narrow" })',
        'new Date(0).toLocaleString("en-US", { year: "numeric", day: "numeric" })',
        'new Date(0).toLocaleString("en-US", { timeZoneName: "longOffset" })',
        'new Date(0).toLocaleString("en-US", { hour: "numeric", second: "numeric" })',
        '"a".localeCompare("b", "sv")',
        '"a".localeCompare("\\u4e2d")',
        '"\\u0436".localeCompare("a")',
        '"a".localeCompare("b", "en", { caseFirst: "upper" })',
        '"a".localeCompare("b", "en", { ignorePunctuation: true })',
        '"I".toLocaleLowerCase("tr")',
        '"i".toLocaleUpperCase("az-Latn")',
    ],
)
def test_other_languages_zones_and_styles_are_refused_by_name(
    run_of: RunOf, value_of: ValueOf, code: str
) -> None:
    found = value(run_of, value_of, f"try {{ return {code}; }} catch (e) {{ return [e.name, e.message]; }}")  # fmt: skip
    assert isinstance(found, list), found
    assert found[0] == "ForbiddenGlobalError"
    assert "formats in en-US and UTC only; format in a Python step" in found[1]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ('(1).toLocaleString("no_tag")', "RangeError"),
        ("(1).toLocaleString(null)", "TypeError"),
        ("(1).toLocaleString([5])", "TypeError"),
        ('(1).toLocaleString("en", null)', "TypeError"),
        ('(1).toLocaleString("en", { style: "currency" })', "TypeError"),
        ('(1).toLocaleString("en", { currency: "dollars" })', "RangeError"),
        ('(1).toLocaleString("en", { style: "loud" })', "RangeError"),
        ('new Date(0).toLocaleString("en", { hour: "long" })', "RangeError"),
        ('new Date(0).toLocaleString("en", { dateStyle: "long", year: "numeric" })', "TypeError"),
        ('new Date(0).toLocaleDateString("en", { timeStyle: "long" })', "TypeError"),
        ("String.prototype.localeCompare.call(null, 'a')", "TypeError"),
        ("Number.prototype.toLocaleString.call('a')", "TypeError"),
        ("Date.prototype.toLocaleString.call(1)", "TypeError"),
        ("new TextDecoder('koi8-r')", "RangeError"),
        ("new TextDecoder().decode('text')", "TypeError"),
        ("new TextEncoder().encodeInto('a', [])", "TypeError"),
        ("TextDecoder()", "TypeError"),
        ("URL('http://a')", "TypeError"),
        ("Object.getOwnPropertyDescriptor(URL.prototype, 'href').get.call({})", "TypeError"),
        ("new URLSearchParams().keys().next.call({})", "TypeError"),
        ("Object.getOwnPropertyDescriptor(DOMException.prototype, 'name').get.call({})", "TypeError"),
        ("atob()", "TypeError"),
        ("structuredClone()", "TypeError"),
        ("structuredClone(1, { transfer: [{}] })", "DataCloneError"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_the_error_of_its_standard(
    run_of: RunOf, value_of: ValueOf, code: str, name: str
) -> None:
    body = f"try {{ return {code}; }} catch (e) {{ return e.name; }}"
    assert value(run_of, value_of, body) == name


BAD_DURATIONS = [
    '"1.5.5s"', '""', '" "', '"s"', '"1 fortnight"', '"1.s"', '"1..5s"', '"-1s"', '"+1s"', '"1e3s"', '"1s 2"', '"2 1s"', '"1s,"', '"1 s m"',
    '"1_0s"', '"\\u0661s"', '"Infinity"', '"NaN s"', '"0x10"', '"1" + "0".repeat(100) + "s"', '"9".repeat(60) + "y"', '"300000 years"', '"1s\\n"',
    '"constructor"', '"1 constructor"', '"1 __proto__"', "NaN", "-1", "Infinity", "-Infinity", "8.64e15", "null", "undefined", "true", "{}", "[]", "['1s']",
    "5n", "new Date(NaN)", "() => 1", "new String('1s')",
]  # fmt: skip


@pytest.mark.parametrize("duration", BAD_DURATIONS)
def test_a_bad_duration_is_an_error_at_the_call(
    run_of: RunOf, value_of: ValueOf, duration: str
) -> None:
    run = run_of(
        'import { sleep, RetryableError } from "workflow"; export async function w() { const seen = [];'
        f" try {{ sleep({duration}); }} catch (e) {{ seen.push(e.name, e.message); }}"
        f" try {{ new RetryableError('m', {{ retryAfter: {duration} }}); }} catch (e) {{ seen.push(e.name, e.message); }} return seen; }}"
    )
    answer = run.start()
    assert answer.turns[0].commands == ()
    found = value_of(answer)
    assert isinstance(found, list)
    texts = [str(item) for item in cast("list[object]", found)]
    assert texts[0] == "TypeError"
    assert texts[1].startswith('sleep takes milliseconds from 0 on, a Date, or a text like "10 minutes"')  # fmt: skip
    if duration != "undefined":  # there the default holds
        assert texts[2] == "TypeError"
        assert texts[3].startswith("retryAfter takes milliseconds")


@pytest.mark.parametrize(
    ("duration", "ms"),
    [
        ('"1s"', 1_000), ('"1.5s"', 1_500), ('".5s"', 500), ('"10 minutes"', 600_000), ('"1h 30m"', 5_400_000), ('"1h30m"', 5_400_000),
        ('"2 DAYS"', 172_800_000), ('"100"', 100), ('" 1 s "', 1_000), ('"1w"', 604_800_000), ('"1y"', 31_557_600_000), ('"0"', 0), ('"3 hrs"', 10_800_000),
        ("0", 0), ("1.2", 2), ("-0", 0), ("new Date(Date.now() + 5)", 5), ("new Date(Date.now() - 5)", -5), ("new Date(-1)", -1_700_000_000_000), ("8.6e13", 86_000_000_000_000),
    ],
)  # fmt: skip
def test_a_duration_is_what_it_says(run_of: RunOf, duration: str, ms: int) -> None:
    run = run_of(f'import {{ sleep }} from "workflow"; export async function w() {{ await sleep({duration}); }}')  # fmt: skip
    (command,) = run.start().turns[0].commands
    assert isinstance(command, StartWait)
    assert command.resume_at_ms == 1_700_000_000_000 + ms


def test_a_url_crosses_as_one_though_its_class_was_changed(
    run_of: RunOf, value_of: ValueOf
) -> None:
    body = (
        "Object.defineProperty(URL.prototype, 'href', { get: () => 'other' });"
        " return new URL('http://EXAMPLE.com/a b');"
    )
    assert value(run_of, value_of, body) == "http://example.com/a%20b"


def test_a_dom_exception_crosses_by_its_name(run_of: RunOf) -> None:
    answer = run_of('export async function w() { atob("YQ="); }').start()
    assert isinstance(answer.outcome, Failed)
    error = decode_error(answer.outcome.error)
    assert (error.name, "not base64" in error.text) == ("InvalidCharacterError", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        'for (let k = 0; k < 2000; k++) { const u = new URL("http://\\u00fc" + k + ".de/" + "\\u00e9".repeat(500)); u.search = "a".repeat(900); }',
        'const d = new TextDecoder(); for (let k = 0; k < 2000; k++) d.decode(new Uint8Array(1000).fill(200));',
        'for (let k = 0; k < 2000; k++) atob(btoa("\\u00ff".repeat(900)));',
    ],
)  # fmt: skip
def test_what_is_dropped_leaves_no_trace_in_a_snapshot(run_of: RunOf, body: str) -> None:
    """The parser's memory is zeroed and counted: the heap is as before, to some allocator words."""
    run = run_of(
        'import { work } from "python:steps"; export async function w() { (() => { SMALL })(); await work(1); (() => { BODY })(); await work(2); }'.replace(
            "BODY", body
        ).replace("SMALL", body.replace("2000", "2"))
    )
    first = run.start()
    before = take_image(run.guest)
    second = run.complete(None)
    assert abs(second.heap_bytes - first.heap_bytes) < 4_000
    assert len(make_delta(run.guest, before)) < 6_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        'const text = "http://a/" + "\\u00e9".repeat(1 << 20); for (;;) kept.push(new URL(text));',
        'const text = "\\u00e9".repeat(1 << 20); for (;;) kept.push(new TextEncoder().encode(text));',
        'const u = new URL("http://a/"); for (let k = 1;; k *= 2) u.search = "b".repeat(k);',
        'for (let k = 1;; k *= 2) kept.push(btoa("b".repeat(k)));',
    ],
)  # fmt: skip
def test_the_heap_limit_holds_in_them(run_of: RunOf, body: str) -> None:
    run = run_of(f"export async function w() {{ const kept = []; {body} }}")
    answer = run.start(limits=Limits(heap_bytes=16 << 20))
    assert isinstance(answer.outcome, Failed)
    assert decode_error(answer.outcome.error).name == "HeapLimitError"


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        'const text = "http://a/" + "b".repeat(100_000); for (;;) try { new URL(text); } catch {}',
        'const bytes = new Uint8Array(1 << 20), d = new TextDecoder(); for (;;) d.decode(bytes);',
        'const text = "a".repeat(1 << 16); for (;;) text.localeCompare(text + "b");',
    ],
)  # fmt: skip
def test_the_instruction_limit_holds_in_them(run_of: RunOf, body: str) -> None:
    run = run_of(f"export async function w() {{ {body} }}")
    answer = run.start(limits=Limits(instructions=20_000_000))
    assert isinstance(answer.outcome, Failed)
    assert decode_error(answer.outcome.error).name == "InstructionLimitError"


def test_a_clone_has_the_same_steps(run_of: RunOf, value_of: ValueOf) -> None:
    """A function is no data for HTML; a step is, for workflows: it is frozen, and its own copy."""
    run = run_of(
        'import { work } from "python:steps"; export async function w() { const seen = [];'
        " for (const it of [work, () => 1, new TextEncoder(), new URLSearchParams()])"
        " try { seen.push(structuredClone({ it }).it === it); } catch (e) { seen.push(e.name); } return seen; }"
    )
    refused = ["DataCloneError"] * 3
    assert value_of(run.start()) == [True, *refused]


def test_their_functions_show_as_native_ones_and_the_workflow_s_as_written(
    run_of: RunOf, value_of: ValueOf
) -> None:
    body = "return [URL, structuredClone, console.log, (a) => a + 1].map(String);"
    *natives, own = cast("list[str]", value(run_of, value_of, body))
    assert natives == [
        f"function {name}() {{\n    [native code]\n}}" for name in ("URL", "structuredClone", "log")
    ]
    assert own == "(a) => a + 1"
