"""Types: their grammar, to know where each ends. Pure.

As TypeScript reads them, but for two freedoms: a function type may stand in a union, and the key of
a computed member may be anything. Nothing of a type is kept, so no edit is written down here.
"""

from __future__ import annotations

from .cursor import Cursor, Unreadable
from .tokens import HEAD, NAME, NUMBER, PRIVATE, RESERVED, STRING, TEMPLATE, words_of

__all__ = (
    "read_heritage",
    "read_members",
    "read_result",
    "read_type",
    "read_type_arguments",
    "read_type_parameters",
)

_OPERATORS = frozenset({"keyof", "unique", "readonly"})
_NO_TYPES = RESERVED - {"void", "null", "this", "true", "false", "const"}
_KEYWORDS = words_of(
    "any bigint boolean false never null number object string symbol this true undefined unknown "
    "void"
)
_VARIANCE = frozenset({"const", "in", "out"})


def read_type(cursor: Cursor, *, conditional: bool = True) -> None:
    """A type, ``A extends B ? C : D`` among them if that is allowed here."""
    _read_union(cursor, conditional)
    if not conditional or cursor.words[cursor.at] != "extends" or cursor.breaks[cursor.at]:
        return
    cursor.at += 1
    read_type(cursor, conditional=False)
    cursor.expect("?")
    read_type(cursor)
    cursor.expect(":")
    read_type(cursor)


def read_result(cursor: Cursor) -> None:
    """A function's result: a type, ``x is T`` or ``asserts x is T``."""
    at, words, breaks = cursor.at, cursor.words, cursor.breaks
    if (
        words[at] == "asserts"
        and cursor.is_name(1)
        and not breaks[at + 1]
        and words[at + 1] != "is"
    ):
        cursor.at += 2
        if cursor.take("is"):
            read_type(cursor)
        return
    if cursor.is_name() and cursor.word(1) == "is" and not breaks[at + 1]:
        cursor.at += 2
    read_type(cursor)


def read_type_arguments(cursor: Cursor) -> None:
    """Types in angle brackets."""
    cursor.expect("<")
    read_type(cursor)
    while cursor.take(",") and cursor.words[cursor.at] != ">":
        read_type(cursor)
    cursor.expect(">")


def read_type_parameters(cursor: Cursor) -> None:
    """``<const T extends A = B, …>``."""
    cursor.expect("<")
    while cursor.words[cursor.at] != ">":
        while cursor.words[cursor.at] in _VARIANCE and cursor.is_name(1):
            cursor.at += 1
        if cursor.name() in RESERVED:
            raise Unreadable
        if cursor.take("extends"):
            read_type(cursor)
        if cursor.take("="):
            read_type(cursor)
        if not cursor.take(","):
            break
    cursor.expect(">")


def read_heritage(cursor: Cursor) -> None:
    """The types after ``extends`` of an interface, or ``implements``."""
    read_type(cursor)
    while cursor.take(","):
        read_type(cursor)


def read_members(cursor: Cursor) -> None:
    """The braces of an interface or an object's type."""
    cursor.expect("{")
    if _is_mapped(cursor):
        _read_mapped(cursor)
    while cursor.words[cursor.at] != "}":
        _read_member(cursor)
        if not cursor.take(","):
            cursor.end_member()
    cursor.at += 1


# --- unions and what they are of ------------------------------------------------------------


def _read_union(cursor: Cursor, conditional: bool) -> None:
    words = cursor.words
    if words[cursor.at] in {"|", "&"}:
        cursor.at += 1
    while True:
        _read_operand(cursor, conditional)
        if words[cursor.at] not in {"|", "&"}:
            return
        cursor.at += 1


def _read_operand(cursor: Cursor, conditional: bool) -> None:
    words, kinds, breaks = cursor.words, cursor.kinds, cursor.breaks
    while words[cursor.at] in _OPERATORS and kinds[cursor.at] == NAME:
        cursor.at += 1
    if _read_function(cursor):
        return
    if words[cursor.at] == "infer" and cursor.is_name(1):
        _read_inferred(cursor, conditional)
    else:
        _read_primary(cursor)
    while words[cursor.at] == "[" and not breaks[cursor.at]:
        cursor.at += 1
        if not cursor.take("]"):
            read_type(cursor)
            cursor.expect("]")


def _read_function(cursor: Cursor) -> bool:
    """A function's or a constructor's type, if one is here."""
    word = cursor.words[cursor.at]
    if word == "abstract" and cursor.word(1) == "new":
        cursor.at += 2
    elif word == "new":
        cursor.at += 1
    elif word == "(":
        if not _are_parameters(cursor):
            return False
    elif word != "<":
        return False
    if cursor.words[cursor.at] == "<":
        read_type_parameters(cursor)
    _read_parameters(cursor)
    cursor.expect("=>")
    read_result(cursor)
    return True


def _are_parameters(cursor: Cursor) -> bool:
    """Whether a parenthesis opens parameters rather than a type."""
    end = cursor.tokens.pairs.get(cursor.at)
    if end is None or cursor.words[end + 1] != "=>":
        return False
    at = cursor.at + 1
    if cursor.words[at] in {")", "..."}:
        return True
    at = _pattern_end(cursor, at)
    return at > 0 and (at == end or cursor.words[at] in {":", ",", "?"})


def _pattern_end(cursor: Cursor, at: int) -> int:
    """The token after a name or a pattern of names; 0 if there is none."""
    words, kinds = cursor.words, cursor.kinds
    opening = words[at]
    if opening not in {"{", "["}:
        return at + 1 if kinds[at] == NAME and opening not in RESERVED - {"this"} else 0
    closing = "}" if opening == "{" else "]"
    at += 1
    while words[at] != closing:
        if words[at] == "..." or (words[at] == "," and opening == "["):
            at += 1
            continue
        if opening == "{" and _is_key(cursor, at - cursor.at) and words[at + 1] == ":":
            at += 2
        at = _pattern_end(cursor, at)
        if not at:
            return 0
        if words[at] == ",":
            at += 1
        elif words[at] != closing:
            return 0
    return at + 1


def _read_inferred(cursor: Cursor, conditional: bool) -> None:
    cursor.at += 2
    mark = cursor.mark()
    if not cursor.take("extends"):
        return
    read_type(cursor, conditional=False)
    if conditional and cursor.words[cursor.at] == "?":
        cursor.back(mark)


def _read_primary(cursor: Cursor) -> None:
    word, kind = cursor.words[cursor.at], cursor.kinds[cursor.at]
    if kind == NAME:
        _read_reference(cursor)
    elif word == "{":
        read_members(cursor)
    elif word == "(":
        cursor.at += 1
        read_type(cursor)
        cursor.expect(")")
    elif word == "[":
        _read_tuple(cursor)
    elif kind == HEAD:
        _read_template(cursor)
    elif kind in {STRING, NUMBER, TEMPLATE}:
        cursor.at += 1
    elif word == "-" and cursor.kinds[cursor.at + 1] == NUMBER:
        cursor.at += 2
    else:
        raise Unreadable


def _read_reference(cursor: Cursor) -> None:
    """A name, the type of a value (``typeof``), or another module's type."""
    if cursor.take("typeof"):
        cursor.name()
        cursor.at -= 1
    if cursor.take("import"):
        cursor.expect("(")
        read_type(cursor)
        if cursor.take(","):
            cursor.at = _closing(cursor, cursor.at)
        cursor.take(",")
        cursor.expect(")")
    else:
        word = cursor.name()
        if word in _NO_TYPES:
            raise Unreadable
        if word in _KEYWORDS and cursor.words[cursor.at] != ".":
            return  # "a as number < 3" compares
    while cursor.take("."):
        if cursor.kinds[cursor.at] not in {NAME, PRIVATE}:
            raise Unreadable
        cursor.at += 1
    if cursor.words[cursor.at] == "<" and not cursor.breaks[cursor.at]:
        read_type_arguments(cursor)


def _closing(cursor: Cursor, brace: int) -> int:
    """The token after a bracket's closing one."""
    end = cursor.tokens.pairs.get(brace)
    if end is None:
        raise Unreadable
    return end + 1


def _read_template(cursor: Cursor) -> None:
    while cursor.kinds[cursor.at] == HEAD:
        cursor.at += 1
        read_type(cursor)
    if cursor.kinds[cursor.at] != TEMPLATE:
        raise Unreadable
    cursor.at += 1


def _read_tuple(cursor: Cursor) -> None:
    cursor.expect("[")
    while cursor.words[cursor.at] != "]":
        cursor.take("...")
        if cursor.is_name() and (
            cursor.word(1) == ":" or (cursor.word(1) == "?" and cursor.word(2) == ":")
        ):
            cursor.at += 2
            cursor.take(":")
        read_type(cursor)
        cursor.take("?")
        if not cursor.take(","):
            break
    cursor.expect("]")


# --- members ----------------------------------------------------------------------------------


def _is_mapped(cursor: Cursor) -> bool:
    ahead = 1 if cursor.words[cursor.at] in {"+", "-"} else 0
    ahead += cursor.word(ahead) == "readonly"
    return (
        cursor.word(ahead) == "[" and cursor.is_name(ahead + 1) and cursor.word(ahead + 2) == "in"
    )


def _read_mapped(cursor: Cursor) -> None:
    while cursor.words[cursor.at] != "in":
        cursor.at += 1
    cursor.at += 1
    read_type(cursor)
    if cursor.take("as"):
        read_type(cursor)
    cursor.expect("]")
    if cursor.words[cursor.at] in {"+", "-"}:
        cursor.at += 1
    cursor.take("?")
    if cursor.take(":"):
        read_type(cursor)
    cursor.end_member()


def _read_member(cursor: Cursor) -> None:
    words = cursor.words
    if words[cursor.at] in {"readonly", "get", "set"} and _is_key(cursor, 1):
        cursor.at += 1
    if words[cursor.at] == "new" and cursor.word(1) in {"(", "<"}:
        cursor.at += 1
    elif words[cursor.at] not in {"(", "<"}:
        _read_key(cursor)
        cursor.take("?")
    if words[cursor.at] == "<":
        read_type_parameters(cursor)
        if words[cursor.at] != "(":
            raise Unreadable
    if words[cursor.at] == "(":
        _read_parameters(cursor)
    if cursor.take(":"):
        read_result(cursor)


def _is_key(cursor: Cursor, ahead: int) -> bool:
    at = cursor.at + ahead
    return cursor.kinds[at] in {NAME, STRING, NUMBER, PRIVATE} or cursor.words[at] == "["


def _read_key(cursor: Cursor) -> None:
    if cursor.words[cursor.at] == "[":
        if cursor.is_name(1) and cursor.word(2) != ":":
            cursor.values.append(cursor.at + 1)  # TypeScript keeps an import that is used here
        cursor.at = _closing(cursor, cursor.at)
    elif _is_key(cursor, 0):
        cursor.at += 1
    else:
        raise Unreadable


def _read_parameters(cursor: Cursor) -> None:
    cursor.expect("(")
    while cursor.words[cursor.at] != ")":
        cursor.take("...")
        if cursor.words[cursor.at] in {"{", "["}:
            cursor.at = _closing(cursor, cursor.at)
        else:
            cursor.name()
        cursor.take("?")
        if cursor.take(":"):
            read_type(cursor)
        if not cursor.take(","):
            break
    cursor.expect(")")
