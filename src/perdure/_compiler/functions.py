"""Functions: their parameters, and the patterns that bind names; types in them go. Pure."""

from __future__ import annotations

from .cursor import Cursor, Unreadable
from .tokens import NAME, NUMBER, PRIVATE, RESERVED, STRING
from .type_syntax import read_result, read_type, read_type_parameters

__all__ = (
    "KEYS",
    "blank_annotation",
    "blank_type_parameters",
    "read_body",
    "read_decorator",
    "read_function_tail",
    "read_key",
    "read_parameters",
    "read_target",
)

KEYS = frozenset({NAME, STRING, NUMBER, PRIVATE})
_MODIFIERS = frozenset({"public", "private", "protected", "readonly", "override"})


def read_function_tail(cursor: Cursor, properties: list[str] | None = None) -> int:
    """A function from its parameters on; the token that opens its body, 0 if it has none.

    Args:
        properties: takes the names of parameters that are properties; None where none may be.
    """
    start = cursor.at
    blank_type_parameters(cursor)
    read_parameters(cursor, properties)
    if cursor.is_typed and cursor.take(":"):
        colon = cursor.at - 1
        read_result(cursor)
        cursor.blank(colon, cursor.at)
    brace = cursor.at
    if cursor.words[brace] != "{":
        return 0
    read_body(cursor)
    cursor.end_scope(start)
    return brace


def read_body(cursor: Cursor) -> None:
    """A function's statements in braces."""
    cursor.functions += 1
    cursor.grammar.block(cursor)
    cursor.functions -= 1


def blank_type_parameters(cursor: Cursor) -> None:
    """Blanks for type parameters, if any are here."""
    if cursor.is_typed and cursor.words[cursor.at] == "<":
        start = cursor.at
        read_type_parameters(cursor)
        cursor.blank(start, cursor.at)


def blank_annotation(cursor: Cursor) -> None:
    """Blanks for ``: T``, if that is here."""
    if cursor.is_typed and cursor.words[cursor.at] == ":":
        start = cursor.at
        cursor.at += 1
        read_type(cursor)
        cursor.blank(start, cursor.at)


def read_parameters(cursor: Cursor, properties: list[str] | None = None) -> None:
    """Parameters in parentheses."""
    cursor.expect("(")
    while cursor.words[cursor.at] != ")":
        if cursor.is_typed and cursor.words[cursor.at] == "this":
            _blank_this(cursor)
            continue
        _read_parameter(cursor, properties)
        if not cursor.take(","):
            break
    cursor.expect(")")


def _blank_this(cursor: Cursor) -> None:
    start = cursor.at
    cursor.at += 1
    if cursor.take(":"):
        read_type(cursor)
    if not cursor.take(",") and cursor.words[cursor.at] != ")":
        raise Unreadable
    cursor.blank(start, cursor.at)


def _read_parameter(cursor: Cursor, properties: list[str] | None) -> None:
    if cursor.words[cursor.at] == "@":
        read_decorator(cursor)
    start = cursor.at
    while cursor.words[cursor.at] in _MODIFIERS and (
        cursor.is_name(1) or cursor.word(1) in {"{", "["}
    ):
        cursor.at += 1
    if cursor.at > start:
        _read_property(cursor, start, properties)
    cursor.take("...")
    read_target(cursor)
    if cursor.is_typed and cursor.take("?"):
        cursor.blank(cursor.at - 1, cursor.at)
    blank_annotation(cursor)
    if cursor.take("="):
        cursor.grammar.value(cursor)


def _read_property(cursor: Cursor, start: int, properties: list[str] | None) -> None:
    """The modifiers of a parameter that is a property as well."""
    if properties is None or not cursor.is_name() or not cursor.is_typed:
        raise Unreadable
    properties.append(cursor.words[cursor.at])
    cursor.blank(start, cursor.at)


def read_decorator(cursor: Cursor) -> None:
    """Refuse decorators, and step over them."""
    while cursor.words[cursor.at] == "@":
        message = "a decorator has no meaning here without TypeScript's compiler"
        cursor.refuse(cursor.at, message, "call the function yourself")
        mark = cursor.mark()
        cursor.at += 1
        cursor.grammar.callee(cursor)
        cursor.forget(mark)
        cursor.blank(mark.at, cursor.at)


def read_target(cursor: Cursor) -> None:
    """A name, or a pattern of names."""
    word = cursor.words[cursor.at]
    if word == "{":
        _read_object(cursor)
    elif word == "[":
        _read_array(cursor)
    elif cursor.kinds[cursor.at] == NAME and word not in RESERVED:
        cursor.bindings.append(cursor.at)
        cursor.at += 1
    else:
        raise Unreadable


def _read_object(cursor: Cursor) -> None:
    cursor.expect("{")
    while cursor.words[cursor.at] != "}":
        if cursor.take("..."):
            read_target(cursor)
        else:
            key = cursor.at
            read_key(cursor)
            if cursor.take(":"):
                read_target(cursor)
            else:
                cursor.bindings.append(key)
            _read_default(cursor)
        if not cursor.take(","):
            break
    cursor.expect("}")


def _read_array(cursor: Cursor) -> None:
    cursor.expect("[")
    while cursor.words[cursor.at] != "]":
        if cursor.take(","):
            continue
        cursor.take("...")
        read_target(cursor)
        _read_default(cursor)
        if not cursor.take(","):
            break
    cursor.expect("]")


def _read_default(cursor: Cursor) -> None:
    if cursor.take("="):
        cursor.grammar.value(cursor)


def read_key(cursor: Cursor) -> None:
    """The name of a property: a word, a literal, or an expression in brackets."""
    if cursor.take("["):
        cursor.grammar.value(cursor)
        cursor.expect("]")
    elif cursor.kinds[cursor.at] in KEYS:
        cursor.at += 1
    else:
        raise Unreadable
