"""Classes: parameters that are properties, accessors, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from perdure._compiler.erase import erase
from tests.compiler.oracle import Oracle, open_oracle


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with open_oracle() as asked:
        yield asked


def script_of(source: str) -> str:
    erasure = erase("a.ts", source)
    assert erasure.problems == []
    assert erasure.script.count("\n") == source.count("\n")
    return erasure.script


def test_a_parameter_that_is_a_property_becomes_both_in_place() -> None:
    source = "class A {\n  constructor(\n    private a: B,\n    c = 1,\n  ) { d() }\n}"
    assert script_of(source).split("\n") == [
        "class A { a;",
        "  constructor(",
        "            a   ,",
        "    c = 1,",
        "  ) { this.a = a; d() }",
        "}",
    ]


@pytest.mark.parametrize(
    ("source", "column", "message", "hint"),
    [
        (
            "class A extends B { constructor(private a) { if (a) { c(super(a)) } } }",
            32,
            "a parameter property needs super(…) as a statement of its own",
            "call super before anything else",
        ),
        (
            "class A { accessor [a] = 1 }",
            20,
            "an accessor with a name in brackets is not there",
            "write a getter and a setter",
        ),
    ],
)
def test_what_has_no_place_is_refused(source: str, column: int, message: str, hint: str) -> None:
    (problem,) = erase("a.ts", source).problems
    assert (problem.column, problem.message, problem.hint) == (column, message, hint)


@pytest.mark.parametrize(
    "source",
    [
        "function f(private a) {}",
        "class A { f(private a) {} }",
        "class A { constructor(private { a }) {} }",
        "class A { static constructor(private a) {} }",
        "const f = (private a) => a",
    ],
)
def test_only_a_constructors_parameter_is_a_property(source: str) -> None:
    (problem,) = erase("a.ts", source).problems
    assert problem.message.startswith("syntax error near ")


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("class A { accessor a = 1; accessor b }; const c = new A(); c.b = 2; c.a++", "[2,2]"),
        ("class A { static accessor a: B = 1; static b = 3 }; const c = A", "[1,3]"),
        ("class A { accessor a = 1; accessor 'b' = this.a }; const c = new A()", "[1,1]"),
        (
            "class A { accessor #a = 4; get a() { return this.#a } b = 1 }; const c = new A()",
            "[4,1]",
        ),
        ("const c = new (class { static accessor d = 1; accessor a; b = 2 })", "[null,2]"),
        (
            "class A { accessor: C\n a = 1; b }; const c = new A(); c.b = 'accessor' in c",
            "[1,true]",
        ),
        ("class A { accessor() { return 5 }; b = this.a }; const c = new A(); c.a = 1", "[1,null]"),
    ],
)
def test_an_accessor_is_a_getter_and_a_setter(oracle: Oracle, source: str, out: str) -> None:
    assert oracle.ask("outcome", ours=f"{script_of(source)}; out.push(c.a, c.b)").detail == out


MEMBERS = st.sampled_from(
    [
        *(
            "log('f')",
            "x = log(this.a)",
            "static y = log('static')",
            "declare z: T",
            "abstract_ = 1",
        ),
        *("get: T\n m() {}", "['c'] = log('c')", "private p = () => this.a", "m(): void {}"),
        *("readonly r: T", "[k: string]: T", "static { log('block') }", "#h = log('h')"),
    ]
)
PARAMETERS = st.sampled_from(
    [
        *("private a", "public b = 2", "readonly c: T = a", "d", "protected e?: T", "override f"),
        *("private readonly g: () => T = () => 1", "h = log('h')"),
    ]
)


@st.composite
def classes(draw: st.DrawFn) -> str:
    """A class, maybe derived, with a constructor whose parameters are properties."""
    is_derived = draw(st.booleans())
    others = draw(st.lists(PARAMETERS, unique=True, max_size=4))
    names = [p for p in others if is_derived or not p.startswith("override")]
    parameters = ", ".join(["private a: T", *(p for p in names if p != "private a")])
    members = [m for m in draw(st.lists(MEMBERS, unique=True, max_size=4)) if m != "log('f')"]
    prologue = draw(st.sampled_from(["", "'x';", "'x'\n"]))
    call = (
        draw(st.sampled_from(["super(a);", "super(a)\n", "log(a); super();"])) if is_derived else ""
    )
    body = f"{{ {prologue} {call} log(Object.keys(this)) }}"
    constructor = f"constructor({parameters}) {body}"
    place = draw(st.integers(0, len(members)))
    members[place:place] = [constructor]
    end = draw(st.sampled_from([";\n", "; "]))
    head = "class A extends B" if is_derived else "class A"
    return f"{head} {{ {end.join(members)} }}"


@pytest.mark.slow
@given(classes())
def test_a_class_does_what_nodes_does(oracle: Oracle, source: str) -> None:
    source = (
        "const log = (x: any) => { out.push(typeof x === 'function' ? 'f' : x); return x };\n"
        "class B { constructor(x?: any) { log('B') } }\n"
        f"{source}\nconst o = new (A as any)(1); log(Object.entries(o)); log(o)"
    )
    answer = oracle.ask("run", source=source, ours=script_of(source))
    assert answer.verdict == "equal", answer.detail
