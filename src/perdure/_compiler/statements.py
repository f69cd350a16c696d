"""Statements: read for the types within; they themselves are JavaScript's. Pure."""

from __future__ import annotations

from .classes import read_class_tail
from .cursor import Cursor, Unreadable
from .declarations import (
    read_abstract,
    read_alias,
    read_ambient,
    read_class,
    read_enumeration,
    read_interface,
    read_namespace,
)
from .expressions import CALLEE, COMMA, NO_IN, read_expression
from .functions import blank_annotation, read_decorator, read_function_tail, read_target
from .modules import export_default, read_exports, read_import
from .tokens import END, NAME, RESERVED

__all__ = ("StatementGrammar", "read_program")


class StatementGrammar:
    """The parts of the grammar that contain each other."""

    def value(self, cursor: Cursor) -> None:
        """An expression up to a comma."""
        read_expression(cursor)

    def callee(self, cursor: Cursor) -> None:
        """An expression that may be called, without operators."""
        read_expression(cursor, CALLEE)

    def class_tail(self, cursor: Cursor) -> None:
        """A class after its keyword."""
        read_class_tail(cursor)

    def statement(self, cursor: Cursor) -> None:
        """A statement or a declaration."""
        _read_statement(cursor)

    def block(self, cursor: Cursor) -> None:
        """Statements in braces."""
        _read_block(cursor)


def read_program(cursor: Cursor) -> None:
    """A whole source."""
    while cursor.kinds[cursor.at] != END:
        _read_statement(cursor)


def _read_block(cursor: Cursor) -> None:
    scope, cursor.scope = cursor.scope, cursor.at
    cursor.expect("{")
    while cursor.words[cursor.at] != "}":
        _read_statement(cursor)
    cursor.at += 1
    cursor.end_scope(cursor.scope)
    cursor.scope = scope


def _read_statement(cursor: Cursor) -> None:
    at = cursor.at
    word = cursor.words[at]
    if cursor.kinds[at] == NAME:
        reader = _STATEMENTS.get(word)
        if reader is not None and reader(cursor, at):
            return
        if cursor.words[at + 1] == ":" and word not in RESERVED:
            cursor.at = at + 2
            _read_statement(cursor)
            return
    elif word == "{":
        _read_block(cursor)
        return
    elif word == ";":
        cursor.at = at + 1
        return
    elif word == "@":
        read_decorator(cursor)
        _read_statement(cursor)
        return
    _read_expression_statement(cursor)


def _read_expression_statement(cursor: Cursor) -> None:
    start = cursor.at
    read_expression(cursor, COMMA)
    last = cursor.at - 1
    cursor.end_statement()
    if cursor.words[start] == "super" and cursor.tokens.pairs.get(start + 1) == last:
        cursor.supers.append((cursor.functions, cursor.at - 1))


# --- variables and functions --------------------------------------------------------------------


def _read_variables(cursor: Cursor, start: int) -> bool:
    if read_enumeration(cursor, start):
        return True
    if not _is_variable(cursor):
        return False
    _mask_using(cursor)
    _read_declarators(cursor, 0)
    cursor.end_statement()
    return True


def _is_variable(cursor: Cursor) -> bool:
    word = cursor.words[cursor.at]
    if word in {"var", "const"}:
        return True
    following = cursor.words[cursor.at + 1]
    if word == "using":
        return (
            cursor.is_name(1)
            and following not in {"of", "in", "instanceof"}
            and not cursor.breaks[cursor.at + 1]
        )
    return following in {"{", "["} or (cursor.is_name(1) and following not in {"in", "instanceof"})


def _mask_using(cursor: Cursor) -> None:
    if cursor.words[cursor.at] == "using":
        cursor.mask(cursor.at, "const")


def _read_awaited(cursor: Cursor, start: int) -> bool:
    """``await using``."""
    if cursor.words[cursor.at + 1] != "using" or not cursor.is_name(2):
        return False
    cursor.mask(cursor.at, "     ")
    cursor.at += 1
    return _read_variables(cursor, start)


def _read_declarators(cursor: Cursor, flags: int) -> None:
    is_at_top = cursor.words[cursor.at] == "var" and not cursor.functions
    cursor.at += 1
    while True:
        bindings, spans = len(cursor.bindings), len(cursor.spans)
        read_target(cursor)
        if is_at_top:
            _note_variables(cursor, cursor.bindings[bindings:], cursor.spans[spans:])
        if cursor.is_typed and cursor.take("!"):
            cursor.blank(cursor.at - 1, cursor.at)
        blank_annotation(cursor)
        if cursor.take("="):
            read_expression(cursor, flags)
        if not cursor.take(","):
            return


def _note_variables(cursor: Cursor, bindings: list[int], functions: list[tuple[int, int]]) -> None:
    """Note that ``var`` declares names at the top; not those of functions in its pattern."""
    cursor.variables += (
        token for token in bindings if not any(first <= token < last for first, last in functions)
    )


def _read_function(cursor: Cursor, start: int) -> bool:
    """A function; a signature of one goes. False where ``async`` begins an expression."""
    if cursor.words[cursor.at] == "async":
        if cursor.words[cursor.at + 1] != "function" or cursor.breaks[cursor.at + 1]:
            return False
        cursor.at += 1
    mark = cursor.mark()
    cursor.at += 1
    cursor.take("*")
    if cursor.is_name():
        cursor.bindings.append(cursor.at)
        cursor.at += 1
    if not read_function_tail(cursor):
        if not cursor.is_typed:
            raise Unreadable
        cursor.end_statement()
        cursor.forget(mark)
        cursor.blank_as(start, cursor.at, ";")
    return True


# --- branches and loops -------------------------------------------------------------------------


def _read_head(cursor: Cursor) -> None:
    cursor.expect("(")
    read_expression(cursor, COMMA)
    cursor.expect(")")


def _read_if(cursor: Cursor, start: int) -> bool:
    while True:
        cursor.at += 1
        _read_head(cursor)
        _read_statement(cursor)
        if not cursor.take("else"):
            return True
        if cursor.words[cursor.at] != "if":
            _read_statement(cursor)
            return True


def _read_while(cursor: Cursor, start: int) -> bool:
    cursor.at += 1
    _read_head(cursor)
    _read_statement(cursor)
    return True


def _read_switch(cursor: Cursor, start: int) -> bool:
    cursor.at += 1
    _read_head(cursor)
    scope, cursor.scope = cursor.scope, cursor.at
    cursor.expect("{")
    while not cursor.take("}"):
        if cursor.take("case"):
            read_expression(cursor, COMMA)
            cursor.expect(":")
        elif cursor.take("default"):
            cursor.expect(":")
        else:
            _read_statement(cursor)
    cursor.end_scope(cursor.scope)
    cursor.scope = scope
    return True


def _read_for(cursor: Cursor, start: int) -> bool:
    cursor.at += 1
    cursor.take("await")
    cursor.expect("(")
    if cursor.words[cursor.at] != ";":
        _read_initializer(cursor)
    if cursor.take("of") or cursor.take("in"):
        read_expression(cursor, COMMA)
    else:
        cursor.expect(";")
        if cursor.words[cursor.at] != ";":
            read_expression(cursor, COMMA)
        cursor.expect(";")
        if cursor.words[cursor.at] != ")":
            read_expression(cursor, COMMA)
    cursor.expect(")")
    _read_statement(cursor)
    cursor.end_scope(start)
    return True


def _read_initializer(cursor: Cursor) -> None:
    if [cursor.words[cursor.at], cursor.word(1), cursor.word(2)] == ["async", "of", "=>"]:
        cursor.mask(cursor.at + 1, "xx")
    if cursor.words[cursor.at] == "await" and cursor.word(1) == "using" and cursor.is_name(2):
        cursor.mask(cursor.at, "     ")
        cursor.at += 1
    if cursor.words[cursor.at] in _VARIABLES and _is_variable(cursor):
        _mask_using(cursor)
        _read_declarators(cursor, NO_IN)
    else:
        read_expression(cursor, COMMA | NO_IN)


def _read_do(cursor: Cursor, start: int) -> bool:
    cursor.at += 1
    _read_statement(cursor)
    cursor.expect("while")
    _read_head(cursor)
    cursor.take(";")
    return True


def _read_jump(cursor: Cursor, start: int) -> bool:
    """return, throw, break, continue, debugger."""
    cursor.at += 1
    at = cursor.at
    if cursor.words[start] in {"break", "continue"}:  # a label is no value
        cursor.at += int(cursor.kinds[at] == NAME and not cursor.breaks[at])
    elif not (cursor.breaks[at] or cursor.words[at] in {";", "}"} or cursor.kinds[at] == END):
        read_expression(cursor, COMMA)
    cursor.end_statement()
    return True


def _read_try(cursor: Cursor, start: int) -> bool:
    cursor.at += 1
    _read_block(cursor)
    start = cursor.at
    if cursor.take("catch"):
        if cursor.take("("):
            read_target(cursor)
            blank_annotation(cursor)
            cursor.expect(")")
        _read_block(cursor)
        cursor.end_scope(start)
    if cursor.take("finally"):
        _read_block(cursor)
    return True


# --- modules --------------------------------------------------------------------------------------


def _read_import(cursor: Cursor, start: int) -> bool:
    if cursor.words[cursor.at + 1] in {"(", "."}:
        return False
    read_import(cursor)
    return True


def _read_export(cursor: Cursor, start: int) -> bool:
    cursor.at += 1
    word, following = cursor.words[cursor.at], cursor.word(1)
    if word in {"{", "*"} or (word == "type" and following in {"{", "*"}):
        read_exports(cursor, start)
    elif word == "default":
        cursor.at += 1
        _read_default(cursor, start)
    elif word == "=" and cursor.is_typed:
        cursor.at += 1
        read_expression(cursor)
        cursor.end_statement()
        cursor.blank_as(start, cursor.at, ";")
        hint = "write export default, or export { … }"
        cursor.refuse(start, "export = has no meaning here", hint)
    elif word == "as" and cursor.is_typed:
        cursor.at += 3  # export as namespace A
        cursor.end_statement()
        cursor.blank_as(start, cursor.at, ";")
    elif word == "import":
        read_import(cursor)
    else:
        read_decorator(cursor)
        word = cursor.words[cursor.at]
        if word not in _EXPORTED or not _STATEMENTS[word](cursor, start):
            raise Unreadable
    return True


def _read_default(cursor: Cursor, start: int) -> None:
    read_decorator(cursor)
    at = cursor.at
    word = cursor.words[at]
    if word in _DEFAULTS and _STATEMENTS[word](cursor, start):
        return
    read_expression(cursor)
    is_name = cursor.at == at + 1 and cursor.kinds[at] == NAME
    cursor.end_statement()
    if is_name:
        export_default(cursor, start, word)


_VARIABLES = frozenset({"var", "let", "const", "using"})
_DEFAULTS = frozenset({"async", "function", "class", "abstract", "interface"})
_EXPORTED = _VARIABLES | _DEFAULTS | {"await", "enum", "type", "namespace", "module", "declare"}
_STATEMENTS = {
    "var": _read_variables,
    "let": _read_variables,
    "const": _read_variables,
    "using": _read_variables,
    "await": _read_awaited,
    "function": _read_function,
    "async": _read_function,
    "class": read_class,
    "if": _read_if,
    "while": _read_while,
    "with": _read_while,
    "switch": _read_switch,
    "for": _read_for,
    "do": _read_do,
    "return": _read_jump,
    "throw": _read_jump,
    "break": _read_jump,
    "continue": _read_jump,
    "debugger": _read_jump,
    "try": _read_try,
    "import": _read_import,
    "export": _read_export,
    "enum": read_enumeration,
    "abstract": read_abstract,
    "interface": read_interface,
    "type": read_alias,
    "declare": read_ambient,
    "namespace": read_namespace,
    "module": read_namespace,
}
