"""Letters that end a line, are blank or stand in a name: they mean what Node says they mean."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from perdure import Workflow
from perdure._compiler import compile_workflow
from perdure._compiler.letters import odd_letter, plain_text, spelled, string_value
from perdure.errors import CompileError
from tests.compiler.modules import REFUSED, values_in_guest, values_in_node

ENDS = ("\n", "\r", "\r\n", "\u2028", "\u2029")
BLANKS = "\t\v\f \u00a0\ufeff\u1680\u2000\u2003\u200a\u202f\u205f\u3000"
# None is blank, ends a line or stands in a name, though some look it.
NEITHER = "\x00\x1c\x1f\x7f\u0085\u180e\u200b\u200e\u2060\U0001f600"

VALUE = "\nexport const value = () => [{}].join();\n"
# A line each for what a line's end does: it ends a comment, a statement, an operand, a directive.
BROKEN = [
    ("// c\nconst a: number = 1 // d\nconst b = 2", "a, b"),
    ("/* c\n*/ let a = 1 /*\n*/ let b = a /* \n d */ ++a", "a, b"),
    ("const t = `x\ny`, u = `x${1}\ny${2}\\\nz`", "t, t.length, u"),
    ("const t = String.raw`x\ny\\\nz`", "t, t.length"),
    ("const t = 'a\\\nb'", "t"),
    ("type A = string\nvar a = 1", "a"),
    ("interface A { b: 1\nc: 2 }\nclass B { a = 1\nb = 2 }\nconst b = new B", "b.a, b.b"),
    ("const f = () => {\n return\n 1 }", "f()"),
    ("#!/x 'é`\nconst a = 1", "a"),
    ("\ufeff#!/x\nconst a = 1", "a"),
    ("\ufeffconst a = 1", "a"),
    ("'use strict'\nlet a = 1", "a"),
    ("let x = 1, g = 1; let a = x\n/2/g", "a"),
    ("let a = 1; let b = a\n++\na", "a, b"),
    ("const e = 1 as number\n;[1]", "e"),
    ("export const f = 1 as any\n// c\nlet g = f", "g"),
    ("let a = /x[\n]/", "1"),
    ("let a = 'x\ny'", "1"),
]
# Lines whose names are spelled with escapes, and letters beyond ASCII that names may have.
NAMES = [
    (r"let \u0061 = 1; let b = a", "a, b"),
    (r"let \u{61}\u{000062} = 1", "ab"),
    (r"let \u{1d4b3} = 2", "𝒳"),
    ("let a\u200d = 1, b\u200c = 2", "a\u200d, b\u200c"),
    ("let ℮ = 1, ℘ = 2, 𠮷 = 3, ゛ = 4, a፩ = 5, a· = 6", "℮, ℘, 𠮷, ゛, a፩, a·"),
    (
        r"class A { \u0061 = 1; #\u0062: number = 2; g() { return this.#b } }",
        "new A().a, new A().g()",
    ),
    (r"type \u0041 = 1; let b: A = 1", "b"),
    (r"function f<\u0054>(x: T) { return x }", "f(1)"),
    (r"let o = { b\u0061r: 1, \u0073et() { return 2 } }", "o.bar, o.set(), o.b\\u0061r"),
    (r"let v\u0061r = 1", "1"),
    (r"let a = v\u0061r", "1"),
    (r"let a = 1 \u0061s number", "1"),
    (r"let a\u200b = 1", "1"),
    (r"let \u0031a = 1", "1"),
    ("let \u00b7a = 1", "1"),
    (r"let \u00b7a = 1", "1"),
    (r"import { value as \u0061b } from './other.ts'; const c = ab()", "c"),
    (r"import { value as ab } from './other.ts'; const c = \u0061b; const d = c()", "d"),
    (r"import { v\u0061lue as d } from './other.ts'; const c = d()", "c"),
    (r"import { 'v\u0061lue' as d } from './other.ts'; const c = d()", "c"),
    (r"import { value as d } from './\x6fth\u0065r.ts'; const c = d()", "c"),
    (r"import { 'a b' as d } from './other.ts'; const c = d()", "c"),
]
# Comments of HTML are none in a module: a decrement of what is not.
HTML = ["let x = 3; for (; x-->0;);", "let x = '<!--' + `-->` + /<!--/.source // <!-- -->"]
OTHER = "export const value = () => 7; export { value as 'a b' };\n"


def programs() -> dict[str, str]:
    broken = [
        (lines + VALUE.format(value)).replace("\n", end) for lines, value in BROKEN for end in ENDS
    ]
    blank = [
        source + VALUE.format("a, typeof b === 'string' ? b : 0")
        for at in BLANKS
        for source in (
            f"{at}let{at}a{at}:{at}number{at}={at}1{at};{at}{at}let b{at}={at}2{at}",
            f"const a = 1{at}\nlet b = `{at}` + '{at}' + /{at}/.source + '{at}'.trim(); // {at}",
            f"{at}const{at}b = <T,>(x: T){at}:{at}T{at}=>{at}x;{at}\nlet a = b(1){at}as{at}any",
        )
    ]
    neither = [
        source + VALUE.format("1")
        for at in NEITHER
        for source in (
            f"let{at}a = 1",
            f"let a{at} = 1",
            f"let a: number{at} = 1",
            f"let {at}a = 1",
        )
    ]
    inside = [f"let a = '{at}' // {at}\n/* {at} */ {VALUE.format('a')}" for at in NEITHER]
    names = [lines + VALUE.format(value) for lines, value in NAMES]
    html = [line + VALUE.format("x") for line in HTML]
    endings = [VALUE.format("1").rstrip() + end for end in ("", "//", "/**/", "type A = 1", "\x1a")]
    every = broken + blank + neither + inside + names + html + endings
    return {f"m{at}.ts": source for at, source in enumerate(every)}


def differences(folder: Path, sources: dict[str, str]) -> list[str]:
    ours = values_in_guest({**sources, "other.ts": OTHER})
    theirs = values_in_node(folder, {**sources, "other.ts": OTHER})
    assert len([value for value in theirs.values() if value != REFUSED]) > len(sources) / 2
    return [
        f"{source!a}\n  guest: {ours[name]!r}\n  node:  {theirs[name]!r}"
        for name, source in sources.items()
        if ours[name] != theirs[name]
    ]


@pytest.mark.slow
def test_letters_mean_what_node_says(tmp_path: Path) -> None:
    assert differences(tmp_path, programs()) == []


WORDS = """
let a = 1 as number ; var b = 2 as any ; function f ( x : number ) : any { return a + b }
let c = `x ${ a } y` ; let d = f ( 3 ) ; class D < T > { e = 4 ; g ? : T ; h ( ) { return 5 } }
type E = { i : 1 ; j : string } ; let k = new D < number > ( ) . h ( ) ;
export const value = ( ) => [ a , b , c , d , k ] . join ( )
"""
COMMENTS = ("/* c */", "/*\r\n*/", "/*\u2028*/", "// c\n", "// c\r", "// c\u2029")
GAPS = (*ENDS, *BLANKS, *COMMENTS, "\r\n\r")


def made_up(random: Random) -> str:
    """The words with gaps of all kinds between them, none where a line's end is no gap."""
    pieces = ["\ufeff" * random.randint(0, 1) + random.choice(["", "#!x\r", "#!x\r\n", "#!\u2028"])]
    words = WORDS.split()
    for at, word in enumerate(words):
        is_bound = word == "=>" or words[at - 1] in {"return", "type"} or word == "as"
        gaps = " \t\u00a0\ufeff" if is_bound else GAPS
        pieces += [*random.choices(gaps, k=random.randint(1, 2)), word]
    return "".join(pieces)


@pytest.mark.slow
def test_gaps_of_all_kinds_mean_what_node_says(tmp_path: Path) -> None:
    random = Random(0)
    sources = {f"g{at}.ts": made_up(random) for at in range(60)}
    assert differences(tmp_path, sources) == []


BAD = "export async function w() {\n  'use workflow'\n  let b = = 1\n}\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_error_names_the_line_that_an_editor_shows(end: str, mark: str) -> None:
    with pytest.raises(CompileError) as caught:
        Workflow.from_source(mark + BAD.replace("\n", end)).compile()
    head = "workflow.ts:3:11: syntax error near '= 1'"
    assert f"{head}\n    let b = = 1\n            ^" in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_the_same_lines_are_the_same_bundle(end: str) -> None:
    source = "export async function w() {\n'use workflow'\nreturn `a\nb`\n}\n"
    bundle = Workflow.from_source("\ufeff" + source.replace("\n", end)).compile()
    assert bundle.digest == Workflow.from_source(source).compile().digest


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_json_may_have_a_mark_and_any_lines(end: str) -> None:
    entry = "import data from './d.json'; export async function w() { 'use workflow'; return data }"
    data = '\ufeff{\n"a": "\u2028"\n}\n'.replace("\n", end)
    bundle = compile_workflow("w.ts", read={"w.ts": entry, "d.json": data}.get)
    assert bundle.modules["d.json"].startswith('const $ = {\n"a": "\u2028"\n}; export')


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("let a\u200b = 1", "1:5: U+200B (zero width space) may not stand in a name"),
        ("let a: b\u2060c", "1:8: U+2060 (word joiner) may not stand in a name"),
        ("class A { #\u0085 }", "1:11: U+0085 (a control letter) may not stand in a name"),
        ("let \U0001f600", "1:5: U+1F600 (grinning face) may not stand in a name"),
        (r"let a\u002d", "1:5: U+002D (hyphen-minus) may not stand in a name"),
        (r"let \u0031", "1:5: U+0031 (digit one) may not stand in a name"),
        (r"let v\u0061r", r"1:5: v\u0061r spells 'var', which is no name"),
        (r"f(v\u0061r)", r"1:3: v\u0061r spells 'var', which is no name"),
        ("let \x1fa", "1:5: syntax error near"),
    ],
)
def test_a_name_that_is_none_is_refused_by_its_letter(source: str, message: str) -> None:
    for file in ("w.ts", "w.js")[: 1 if ": b" in source else 2]:
        with pytest.raises(CompileError) as caught:
            compile_workflow(file, read={file: source}.get)
        assert f"{file}:{message}" in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        (r"export async function \u0077() { 'use workflow' }", "w"),
        (r"async function v() { 'use workflow' } export { v as \u{77} }", "w"),
        (r"async function v() { 'use workflow' } export { \u0076 as w }", "w"),
        ("async function v() { 'use workflow' } export { v as 'my flow' }", "my flow"),
        (r"async function v() { 'use workflow' } export { v as '\x77\u{1F600}' }", "w\U0001f600"),
        ("async function v() { 'use workflow' } export { v as 'default' }", "default"),
        (r"const \u0077 = async () => { 'use workflow' }; export default w", "default"),
    ],
)
def test_a_workflow_has_the_name_that_is_spelled(declared: str, name: str) -> None:
    assert compile_workflow("w.ts", read={"w.ts": declared}.get).export == name


def test_steps_have_the_names_that_are_spelled() -> None:
    source = (
        r"import { \u0061, 'b' as c } from 'python:\x6dod'; export { 'd' as e } from 'python:mod';"
        "export async function w() { 'use workflow'; return [a, c] }"
    )
    bundle = compile_workflow("w.ts", read={"w.ts": source}.get)
    assert bundle.steps == {"python:mod": {"a": "mod:a", "b": "mod:b", "d": "mod:d"}}


def test_letters_are_spelled_as_ecma_262_says() -> None:
    assert spelled(r"a\u0062\u{63}") == "abc"
    assert spelled("plain") == "plain"
    assert spelled(r"\u{110000}") == "\ufffd"
    assert string_value("'a'") == "a"
    assert string_value(r'"\n\0\q\x41\\\"\u{1F600}\ud83d\ude00\ud83d"') == '\n\0qA\\"😀😀\ufffd'
    assert string_value("'a\\\nb\\\u2028c'") == "abc"
    assert plain_text("\ufeff\ufeffa\rb\r\nc\n\rd") == "\ufeffa\nb\nc\n\nd"
    assert [odd_letter(name) for name in ("a1", "$", "é", "1", "a-", "·", "")] == [
        *(None, None, None, "1", "-", "·", None)
    ]


def test_an_arrow_hides_nothing_from_the_compiler() -> None:
    source = "export async function w() { 'use workflow' }\nlet x = 1, a = 5 <!--x; import('b')"
    with pytest.raises(CompileError, match=r"w.js:2:25: import\(\) is not there"):
        compile_workflow("w.js", read={"w.js": source}.get)
