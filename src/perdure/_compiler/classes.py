"""Classes: members that are types go, parameters that are properties become both. Pure.

A member that goes leaves a semicolon, and so does a modifier where the member above ends without
one: ``a = [1]`` and then ``readonly [b] = 2`` must not join.
"""

from __future__ import annotations

from .cursor import Cursor, Unreadable
from .functions import (
    KEYS,
    blank_annotation,
    blank_type_parameters,
    read_body,
    read_decorator,
    read_function_tail,
    read_key,
)
from .tokens import NAME, PRIVATE, RESERVED, STRING
from .type_syntax import read_heritage, read_type_arguments

__all__ = ("read_class_tail",)

_TYPE_MODIFIERS = frozenset(
    {"public", "private", "protected", "readonly", "abstract", "override", "declare"}
)
_ERASING = frozenset({"abstract", "declare"})
_ACROSS_LINES = frozenset({"static", "get", "set"})
_MODIFIERS = _ACROSS_LINES | {"accessor", "async"}


class _Class:
    """A class that is being read."""

    __slots__ = ("brace", "ends_open", "is_derived", "name")

    def __init__(self, name: str, brace: int, is_derived: bool) -> None:
        self.name = name
        self.brace = brace  # the token that opens its body
        self.is_derived = is_derived
        self.ends_open = False  # whether the member above could join with the next


def read_class_tail(cursor: Cursor) -> None:
    """A class after its keyword."""
    word, name = cursor.words[cursor.at], ""
    if (
        cursor.is_name()
        and word not in RESERVED
        and not (word == "implements" and cursor.is_name(1))
    ):
        name = cursor.name()
    blank_type_parameters(cursor)
    is_derived = _read_heritage(cursor)
    reader = _Class(name, cursor.at, is_derived)
    cursor.expect("{")
    while not cursor.take("}"):
        if cursor.take(";"):
            reader.ends_open = False
        else:
            _read_member(cursor, reader)


def _read_heritage(cursor: Cursor) -> bool:
    """``extends`` and ``implements``; whether the class has a base."""
    is_derived = False
    while cursor.words[cursor.at] in {"extends", "implements"}:
        start = cursor.at
        cursor.at += 1
        if cursor.words[start] == "implements":
            read_heritage(cursor)
            cursor.blank(start, cursor.at)
            continue
        is_derived = True
        cursor.grammar.callee(cursor)
        if cursor.is_typed and cursor.words[cursor.at] == "<":
            begin = cursor.at
            read_type_arguments(cursor)
            cursor.blank(begin, cursor.at)
    return is_derived


def _read_member(cursor: Cursor, reader: _Class) -> None:
    read_decorator(cursor)
    if cursor.words[cursor.at] == "static" and cursor.word(1) == "{":
        cursor.at += 1
        read_body(cursor)
        reader.ends_open = False
        return
    mark = cursor.mark()
    modifiers = _read_modifiers(cursor, reader.ends_open)
    if cursor.is_typed and _is_index_signature(cursor):
        cursor.at = cursor.tokens.pairs[cursor.at] + 1
        blank_annotation(cursor)
        cursor.end_statement()
        stays = False
    else:
        stays = _read_declaration(cursor, reader, modifiers) and not _ERASING & modifiers.keys()
    if not stays:
        cursor.forget(mark)
        cursor.blank_as(mark.at, cursor.at, ";")
        reader.ends_open = False


def _read_modifiers(cursor: Cursor, ends_open: bool) -> dict[str, int]:
    """The words before a member, each with its token; those of TypeScript go."""
    modifiers: dict[str, int] = {}
    first = cursor.at
    while _is_modifier(cursor):
        at, word = cursor.at, cursor.words[cursor.at]
        modifiers[word] = at
        cursor.at += 1
        if word not in _TYPE_MODIFIERS:
            continue
        if ends_open and at == first:
            cursor.blank_as(at, at + 1, ";")
        else:
            cursor.blank(at, at + 1)
    return modifiers


def _is_modifier(cursor: Cursor) -> bool:
    at, word = cursor.at, cursor.words[cursor.at]
    if word not in _MODIFIERS and not (cursor.is_typed and word in _TYPE_MODIFIERS):
        return False
    if word not in _ACROSS_LINES and cursor.breaks[at + 1]:
        return False
    if word in {"get", "set"} and cursor.words[at + 1] == "*":
        return False  # a field above a generator
    return cursor.kinds[at + 1] in KEYS or cursor.words[at + 1] in {"[", "*"}


def _is_index_signature(cursor: Cursor) -> bool:
    at = cursor.at
    is_bracket = cursor.words[at] == "[" and at in cursor.tokens.pairs
    return is_bracket and cursor.is_name(1) and cursor.word(2) == ":"


def _read_declaration(cursor: Cursor, reader: _Class, modifiers: dict[str, int]) -> bool:
    """A field or a method; False for a method without a body."""
    words = cursor.words
    is_generator = cursor.take("*")
    key = cursor.at
    read_key(cursor)
    if "accessor" in modifiers:
        _write_accessor(cursor, reader, modifiers, key)
    if cursor.is_typed and words[cursor.at] in {"?", "!"}:
        cursor.blank(cursor.at, cursor.at + 1)
        cursor.at += 1
    if is_generator or words[cursor.at] in {"(", "<"}:
        is_constructor = words[key] in _CONSTRUCTORS and "static" not in modifiers
        return _read_method(cursor, reader, is_constructor)
    _read_field(cursor, reader, key)
    return True


_OPERATORS = frozenset({"in", "instanceof", "as", "satisfies"})
_CONSTRUCTORS = frozenset({"constructor", '"constructor"', "'constructor'"})


def _read_method(cursor: Cursor, reader: _Class, is_constructor: bool) -> bool:
    properties: list[str] = []
    supers = len(cursor.supers)
    start = cursor.at
    brace = read_function_tail(cursor, properties if is_constructor else None)
    reader.ends_open = False
    if not brace:
        if not cursor.is_typed:
            raise Unreadable
        cursor.end_statement()
        return False
    if properties:
        _write_properties(cursor, reader, start, properties, _place(cursor, reader, brace, supers))
    del cursor.supers[supers:]
    return True


def _read_field(cursor: Cursor, reader: _Class, key: int) -> None:
    end = cursor.tokens.ends[cursor.at - 1]
    blank_annotation(cursor)
    is_bare = cursor.words[cursor.at] != "="
    if cursor.take("="):
        cursor.grammar.value(cursor)
    reader.ends_open = cursor.words[cursor.at] != ";"
    cursor.end_statement()
    joins = reader.ends_open and cursor.words[cursor.at] != "}"
    if joins and is_bare and cursor.words[key] in _ACROSS_LINES:
        # "get: T" above a method is a field; without its type it would make that a getter.
        cursor.write(end, ";")


# --- what becomes more than it was ---------------------------------------------------------------


def _place(cursor: Cursor, reader: _Class, brace: int, supers: int) -> int | None:
    """The last token of a constructor before ``this`` is there; None if there is none."""
    if reader.is_derived:
        depth = cursor.functions + 1
        return next((last for deep, last in cursor.supers[supers:] if deep == depth), None)
    at = brace
    while cursor.kinds[at + 1] == STRING and (length := _directive(cursor, at + 1)):
        at += length
    return at


def _directive(cursor: Cursor, at: int) -> int:
    """How many tokens the directive has that a string may be; 0 if it goes on as an expression."""
    following = at + 1
    if cursor.words[following] == ";":
        return 2
    is_word = cursor.kinds[following] in KEYS and cursor.words[following] not in _OPERATORS
    return int(cursor.words[following] == "}" or (cursor.breaks[following] and is_word))


def _write_properties(
    cursor: Cursor, reader: _Class, start: int, properties: list[str], place: int | None
) -> None:
    """A field for each parameter that is one, and its value once ``this`` is there."""
    if place is None:
        message = "a parameter property needs super(…) as a statement of its own"
        cursor.refuse(start, message, "call super before anything else")
        return
    fields = "".join(f" {name};" for name in properties)
    values = "".join(f" this.{name} = {name};" for name in properties)
    cursor.write(cursor.tokens.ends[reader.brace], fields)
    end = "" if cursor.words[place] in {"{", ";"} else ";"
    cursor.write(cursor.tokens.ends[place], f"{end}{values}")


def _write_accessor(cursor: Cursor, reader: _Class, modifiers: dict[str, int], key: int) -> None:
    """``accessor x`` as a getter and a setter of a private field, as TypeScript writes it."""
    name = cursor.words[key]
    if name == "[":
        hint = "write a getter and a setter"
        cursor.refuse(key, "an accessor with a name in brackets is not there", hint)
        return
    plain = name.lstrip("#") if cursor.kinds[key] in {NAME, PRIVATE} else f"_{key}"
    field = f"#{plain}_accessor_storage"
    static = "static " if "static" in modifiers else ""
    owner = reader.name if static and reader.name else "this"
    start = cursor.tokens.starts[modifiers["accessor"]]
    text = (
        f"get {name}() {{ return {owner}.{field}; }} "
        f"{static}set {name}(value) {{ {owner}.{field} = value; }} {static}{field}"
    )
    cursor.replace(start, cursor.tokens.ends[key], text)
