"""Programs: a grammar of small TypeScript programs, for the oracle to judge.

Each is valid, and much of it is of the kinds that erasing gets wrong: types on lines of their own,
lines that could join, angles that compare, words that are keywords only sometimes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

NAMES = ("a", "b", "get", "type", "of", "async", "é", "declare", "x1")
OPERATORS = ("+", "-", "*", "/", "<", ">", ">=", ">>", "<<", "&&", "??", "===", "in", "|")
TYPE_NAMES = (
    "T",
    "A.B.C",
    "number",
    "this",
    "Ünï",
    "typeof a",
    "unknown[]",
    "'日本'",
    "-1",
    "void",
)


class Programs:
    """A source of programs; the same seed gives the same ones."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._depth = 0
        self._names = 0

    def program(self) -> str:
        """Some statements."""
        return "\n".join(self.outer() for _ in range(self._random.randint(1, 4)))

    def outer(self) -> str:
        """A statement that stands at the top only."""
        return self._one(
            self.statement,
            self.statement,
            lambda: f"declare const {self.fresh()}: {self.type()}",
            lambda: f"function f{self.fresh()}(): {self.type()};\n{self.named_function()}",
            lambda: (
                f"namespace {self.fresh()} {{ export type {self.generic('O')} = {self.type()} }}"
            ),
        )

    def statement(self) -> str:
        """A statement; each ends so that another may follow on a new line."""
        return self._one(
            lambda: f"let {self.fresh()}{self.annotation()} = {self.value()}",
            lambda: f"b = {self.value()}",
            lambda: f"const [{self.fresh()} = {self.value()}]: {self.type()} = {self.value()};",
            lambda: f"void {self.unit()};",
            lambda: f"({self.value()})",
            lambda: f"[{self.value()}].map({self.function()})",
            lambda: f";;`${{{self.value()}}}`",  # Node joins a bare one with what is above a type
            lambda: f"type {self.generic(self.fresh())} ={self.gap()}{self.type()}",
            lambda: f"interface {self.generic(self.fresh())} {{ {self.members()} }}",
            self.named_function,
            lambda: f"class {self.class_tail()}",
            lambda: f"abstract class {self.class_tail()}",
            lambda: f"if ({self.value()}) {{ {self.block()} }} else {{ {self.block()} }}",
            lambda: f"for (const c of {self.unit()}) {{ {self.block()} }}",
            lambda: f"{{ {self.block()} }}",
            lambda: f"try {{ {self.block()} }} catch (e: unknown) {{}}",
            lambda: f"switch ({self.value()}) {{ case ({self.value()}): {self.block()} }}",
            lambda: f"let {self.fresh()}{self.annotation()}",
        )

    def named_function(self) -> str:
        return f"async function* {self.fresh()}{self.tail()}"

    def fresh(self) -> str:
        """A name that nothing else has."""
        self._names += 1
        return f"v{self._names}"

    def block(self) -> str:
        """No or one statement on a line."""
        return self._one(lambda: "", lambda: self.statement() + "\n")

    def name(self) -> str:
        """A variable's name."""
        return self._random.choice(NAMES)

    def gap(self) -> str:
        """Space, maybe with a comment or a new line."""
        return self._random.choice((" ", " ", " ", "\n", " /* ü */ ", " // é\n", "/* a\nb */"))

    def annotation(self) -> str:
        return self._one(
            lambda: "", lambda: f": {self.type()}", lambda: f":{self.gap()}{self.type()}"
        )

    # --- values ---------------------------------------------------------------------------

    def value(self) -> str:
        """An expression."""
        return self._one(
            lambda: self.unit(),
            lambda: f"{self.unit()} {self.operator()} {self.unit()}",
            lambda: f"{self.unit()} as {self.type()}",
            lambda: f"{self.unit()} satisfies {self.type()}",
            lambda: f"{self.unit()} ? {self.unit()} : {self.value()}",
            lambda: f"{self.unit()} ? ({self.name()}) : {self.unit()}",
            lambda: (
                f"{self.unit()} ? ({self.name()}): {self.type()} => {self.unit()} : {self.unit()}"
            ),
            lambda: self.function(),
            lambda: f"!{self.unit()}",
            lambda: f"typeof {self.unit()}",
        )

    def unit(self) -> str:
        """An operand."""
        return self._one(
            lambda: self.name(),
            lambda: self._random.choice(("1", "'ß'", "/[/]>/g", "`t`", "null", "this", "0xfn")),
            lambda: f"({self.value()})",
            lambda: f"[{self.value()}, ...{self.name()}]",
            lambda: f"({{ {self.properties()} }})",
            lambda: f"{self.name()}{self.arguments()}({self.value()})",
            lambda: f"{self.name()}.b{self.arguments()}`a${{{self.value()}}}`",
            lambda: f"new {self.name()}{self.arguments()}({self.value()})",
            lambda: f"{self.unit()}!",
            lambda: f"{self.name()}!.get![{self.value()}]",
            lambda: f"{self.name()}?.type?.{self.arguments()}({self.unit()})",
            lambda: f"f({self.name()} < {self.name()}, {self.name()} > {self.unit()})",
            lambda: f"`${{{self.value()}}}b`",
            lambda: f"(class {{ {self.fields()} }})",
        )

    def operator(self) -> str:
        return self._random.choice(OPERATORS)

    def properties(self) -> str:
        return ", ".join(
            self._one(
                lambda: f"{self.name()}: {self.value()}",
                lambda: f"{self.name()}{self.tail()}",
                lambda: f"get {self.name()}(){self.result()} {{ return {self.value()} }}",
                lambda: f"async *[{self.value()}]{self.tail()}",
                lambda: f"...{self.unit()}",
            )
            for _ in range(self._random.randint(0, 2))
        )

    # --- functions and classes ------------------------------------------------------------

    def function(self) -> str:
        """An arrow function."""
        return self._one(
            lambda: f"{self.parameters()}{self.result()} => {{ {self.block()} }}",
            lambda: f"{self.parameters()}{self.result()} => {self.unit()}",
            lambda: f"async {self.parameters()}{self.result()} => {self.unit()}",
            lambda: f"(function{self.tail()})",
        )

    def tail(self) -> str:
        return f"{self.parameters()}{self.result()} {{ {self.block()} }}"

    def parameters(self) -> str:
        """Type parameters, maybe, and parameters."""
        return self.generic("") + self._one(
            lambda: "()",
            lambda: f"({self.name()}: {self.type()})",
            lambda: f"(p?: {self.type()}, q = {self.value()})",
            lambda: f"({{ p, q: [r] }}: {self.type()}, ...s: {self.type()})",
        )

    def result(self) -> str:
        return self._one(
            lambda: "",
            lambda: f": {self.type()}",
            lambda: f":{self.gap()}({self.type()})",
        )

    def class_tail(self) -> str:
        heritage = self._one(
            lambda: "", lambda: " extends (b as any)", lambda: f" extends b{self.arguments()}"
        )
        return f"{self.generic(self.fresh())}{heritage} implements I {{ {self.fields()} }}"

    def fields(self) -> str:
        """Members of a class, each on its line."""
        return "\n".join(self.field() for _ in range(self._random.randint(0, 3)))

    def field(self) -> str:
        return self._one(
            lambda: f"private {self.key()}{self.tail()}",
            lambda: f"{self.modifiers()}{self.key()}: {self.type()}",
            lambda: f"{self.modifiers()}{self.key()} = {self.value()}",
            lambda: f"{self.modifiers()}{self.key()} = {self.value()};",
            lambda: f"{self.key()}?: {self.type()};",
            lambda: f";declare {self.key()}: {self.type()}",  # Node leaves nothing in its place
            lambda: f"m(): {self.type()}\nm{self.tail()}",
            lambda: f"[k: string]: {self.type()}",
            lambda: f"static {{ {self.block()} }}",
            lambda: f"private async *[{self.value()}]{self.tail()}",
        )

    def key(self) -> str:
        return self._one(
            lambda: self._random.choice(("p", "get", "set", "static", "type", "'é'", "7")),
            lambda: f"[{self.unit()}]",
        )

    def modifiers(self) -> str:
        return self._random.choice(("", "", "private ", "static ", "public static ", "readonly "))

    # --- types ------------------------------------------------------------------------------

    def generic(self, name: str) -> str:
        """A name with type parameters, maybe."""
        return name + self._one(
            lambda: "",
            lambda: "",
            lambda: f"<X extends {self.type()}, Y = {self.type()}>",
            lambda: "<const Z>" if not name else "<Z>",
            lambda: "<\n  W,\n>",
        )

    def arguments(self) -> str:
        return self._one(
            lambda: "", lambda: f"<{self.type()}>", lambda: f"<{self.type()},{self.gap()}V>"
        )

    def members(self) -> str:
        return "\n".join(
            self._one(
                lambda: f"readonly {self.name()}?: {self.type()}",
                lambda: f"{self.generic('')}(a: {self.type()}): {self.type()}",
                lambda: f"new {self.generic('')}(): {self.type()};",
                lambda: f"[k: string]: {self.type()},",
                lambda: f"{self.name()}{self.generic('')}(): {self.type()}",
            )
            for _ in range(self._random.randint(0, 3))
        )

    def type(self) -> str:
        """A type."""
        return self._one(
            lambda: self._random.choice(TYPE_NAMES),
            lambda: f"T<{self.type()}>",
            lambda: f"{self.type()} | null",
            lambda: f"({self.type()})[]",
            lambda: f"[a: {self.type()}, ...b: {self.type()}]",
            lambda: f"{{ p: {self.type()}; q?(): {self.type()} }}",
            lambda: f"((a: {self.type()}) => {self.type()})",
            lambda: f"(T extends infer U ? {self.type()} : U)",
            lambda: f"{{ [K in keyof T]+?: {self.type()} }}",
            lambda: f"`a${{{self.type()}}}`",
            lambda: 'import("m").T',
            lambda: f"T[{self.type()}]",
        )

    def _one(self, *choices: Callable[[], str]) -> str:
        """One of the choices; deep inside, the first, which is short."""
        self._depth += 1
        choice = choices[0] if self._depth > 8 else self._random.choice(choices)
        text = choice()
        self._depth -= 1
        return text
