"""Expressions: where a value stands and where an operator, and the types between them. Pure.

An expression is read as it is written: operands and operators by turns, without a tree, since types
do not depend on precedence. Brackets and functions are the only recursion. Code that JavaScript
itself forbids may pass; the parser of JavaScript has the last word.
"""

from __future__ import annotations

from .cursor import Cursor, Unreadable
from .functions import (
    read_body,
    read_decorator,
    read_function_tail,
    read_parameters,
)
from .literals import read_list, read_object
from .tokens import (
    HEAD,
    NAME,
    NUMBER,
    PRIVATE,
    PUNCTUATOR,
    REGEX,
    RESERVED,
    STRING,
    TEMPLATE,
    words_of,
)
from .type_syntax import read_result, read_type, read_type_arguments, read_type_parameters

__all__ = ("CALLEE", "COMMA", "NO_IN", "read_expression")

COMMA = 1  # commas join expressions
NO_IN = 2  # in the head of a for, "in" is no operator
NO_RESULT = 4  # between ? and :, where "(a): b => c" is an arrow function only before another ":"
CALLEE = 8  # no operators
_ARGUMENTS = 16  # of a miss: type arguments were tried

_PREFIXES = frozenset({"typeof", "void", "delete", "await"})
_SIGNS = frozenset({"!", "~", "+", "-", "++", "--"})
_LITERALS = frozenset({"this", "super", "null", "true", "false", "import"})
_BINARY = words_of(
    "* % ** & | ^ && || ?? == != === !== <= + - instanceof = += -= *= %= **= &= |= ^= &&= ||= ??="
    " /="
)
_ENDS_YIELD = words_of(") ] } , ; : in of")
_VALUES = frozenset({NUMBER, STRING, TEMPLATE, REGEX, PRIVATE})
# After type arguments: what makes them two comparisons, if the line goes on.
_STARTS_VALUE = frozenset({"[", "{", "~", "!", "++", "--", "@", "<", ">", "+", "-"})
_OPERATOR_WORDS = frozenset({"instanceof", "in", "as", "satisfies"})


def read_expression(cursor: Cursor, flags: int = 0) -> None:
    """An expression; its flags are those above."""
    chain: list[int] = []  # the operators so far, each by its last token
    while True:
        if _read_operand(cursor, flags):
            if not _read_operators(cursor, flags, chain):
                return
            chain.append(cursor.at - 1)
        elif not (flags & COMMA and cursor.take(",")):
            return


# --- operands -----------------------------------------------------------------------------------


def _read_operand(cursor: Cursor, flags: int) -> bool:
    """A value with the operators before it; returns whether an operator may follow."""
    words, kinds = cursor.words, cursor.kinds
    while True:
        at = cursor.at
        word, kind = words[at], kinds[at]
        if kind == NAME:
            if word in _PREFIXES:
                cursor.at = at + 1
                continue
            if word == "new" and words[at + 1] != ".":
                cursor.at = at + 1
                continue
            return _read_named(cursor, flags, word)
        if kind in _VALUES:
            if kind == TEMPLATE:
                _read_template(cursor)
            else:
                cursor.at = at + 1
            return True
        if kind == HEAD:
            _read_template(cursor)
            return True
        if word in _SIGNS:
            cursor.at = at + 1
            continue
        if word == "(":
            return _read_parenthesis(cursor, flags)
        if word == "[":
            read_list(cursor, "]")
            return True
        if word == "{":
            read_object(cursor)
            return True
        if kind == PUNCTUATOR and word in {"/", "/="}:
            cursor.reread(regex=True)
            continue
        if word == "<":
            return _read_angle(cursor, flags)
        if word == "@":
            read_decorator(cursor)
            continue
        raise Unreadable


def _read_named(cursor: Cursor, flags: int, word: str) -> bool:
    """An operand that begins with a word."""
    at, words = cursor.at, cursor.words
    follower = words[at + 1]
    if follower == "=>" and word not in RESERVED:
        return _read_short_arrow(cursor, flags)
    if word == "function":
        _read_function(cursor)
    elif word == "async" and _is_async(cursor):
        return _read_async(cursor, flags)
    elif word == "class":
        cursor.at = at + 1
        cursor.grammar.class_tail(cursor)
    elif word == "new":
        cursor.at = at + 3  # new.target
    elif word == "yield":
        return _read_yield(cursor, flags)
    elif word in _LITERALS:
        cursor.at = at + 1
    elif word in RESERVED:
        raise Unreadable
    else:
        cursor.values.append(at)
        cursor.at = at + 1
    return True


def _is_async(cursor: Cursor) -> bool:
    """Whether ``async`` begins a function, as far as its line tells."""
    following = cursor.word(1)
    if cursor.breaks[cursor.at + 1]:
        return False
    return following in {"function", "(", "<"} or (cursor.is_name(1) and cursor.word(2) == "=>")


def _read_async(cursor: Cursor, flags: int) -> bool:
    at = cursor.at
    following = cursor.words[at + 1]
    cursor.at = at + 1
    if following == "function":
        _read_function(cursor)
        return True
    if following == "(" and _read_arrow(cursor, flags):
        return False
    if following == "<" and cursor.is_typed and _read_arrow(cursor, flags):
        return False
    if following in {"(", "<"}:
        cursor.values.append(at)
        return True
    return _read_short_arrow(cursor, flags)


def _read_yield(cursor: Cursor, flags: int) -> bool:
    cursor.at += 1
    if cursor.take("*"):
        return _read_operand(cursor, flags)
    at = cursor.at
    if cursor.breaks[at] or cursor.words[at] in _ENDS_YIELD or not cursor.words[at]:
        return True
    return _read_operand(cursor, flags)


def _read_function(cursor: Cursor) -> None:
    cursor.expect("function")
    cursor.take("*")
    if cursor.is_name():
        cursor.at += 1
    if not read_function_tail(cursor):
        raise Unreadable


def _read_template(cursor: Cursor) -> None:
    kinds = cursor.kinds
    while kinds[cursor.at] == HEAD:
        cursor.mask_escapes()
        cursor.at += 1
        read_expression(cursor, COMMA)
        if kinds[cursor.at] not in {HEAD, TEMPLATE} or cursor.words[cursor.at][0] != "}":
            raise Unreadable
    cursor.mask_escapes()
    cursor.at += 1


# --- arrow functions ------------------------------------------------------------------------------


def _read_parenthesis(cursor: Cursor, flags: int) -> bool:
    if _read_arrow(cursor, flags):
        return False
    cursor.at += 1
    read_expression(cursor, COMMA)
    cursor.expect(")")
    return True


def _read_angle(cursor: Cursor, flags: int) -> bool:
    """A generic arrow function, or a cast; where JSX may be, that is refused."""
    if cursor.is_typed and _read_arrow(cursor, flags):
        return False
    if cursor.is_jsx:
        message, hint = (
            "JSX has no meaning here without",
            "workflows render nothing; do it in a step",
        )
        cursor.refuse(cursor.at, f"{message} TypeScript's compiler", hint)
        raise Unreadable
    if not cursor.is_typed:
        raise Unreadable
    return _read_old_cast(cursor, flags)


def _read_old_cast(cursor: Cursor, flags: int) -> bool:
    """``<T>value``: goes; brackets stay where the value would be a block or begin a line."""
    start = cursor.at
    read_type_arguments(cursor)
    value, word = cursor.at, cursor.words[cursor.at]
    is_split = any(cursor.breaks[start + 1 : value + 1])
    if not is_split and word not in {"{", "function", "class"}:
        cursor.blank(start, value)
        return _read_operand(cursor, flags)
    cursor.blank_as(start, value, "(")
    if word in _SIGNS or word in _PREFIXES or word in {"new", "<", "yield"}:
        message = "a <T> cast on a line above its value has no meaning here"
        cursor.refuse(start, message, "write value as T")
    follows = _read_operand(cursor, flags)
    cursor.write(cursor.tokens.ends[cursor.at - 1], ")")
    return follows


def _read_arrow(cursor: Cursor, flags: int) -> bool:
    """An arrow function from its parameters on; returns whether this is one."""
    words, start = cursor.words, cursor.at
    generic = words[start] == "<"
    if not generic:
        end = cursor.tokens.pairs.get(start)
        following = "" if end is None else words[end + 1]
        if following != "=>" and (following != ":" or not cursor.is_typed):
            return False
        if following == "=>":
            read_parameters(cursor)
            cursor.expect("=>")
            _read_arrow_body(cursor, flags, start)
            return True
    # Without a memory of misses, tries within tries would double the time at each level.
    miss = (start, flags & NO_RESULT)
    if miss in cursor.misses:
        return False
    mark = cursor.mark()
    depth = cursor.functions
    try:
        _read_typed_arrow(cursor, flags, generic)
    except Unreadable:
        cursor.functions = depth
        cursor.back(mark)
        cursor.misses.add(miss)
        return False
    return True


def _read_typed_arrow(cursor: Cursor, flags: int, generic: bool) -> None:
    words, start = cursor.words, cursor.at
    if generic:
        read_type_parameters(cursor)
        if cursor.is_jsx and words[start + 2] not in {",", "extends"}:
            raise Unreadable
    opening = cursor.at
    if generic:
        _blank_before(cursor, start, opening)
    read_parameters(cursor)
    closing = cursor.at - 1
    if cursor.take(":"):
        read_result(cursor)
        _blank_result(cursor, closing)
    typed = cursor.at > closing + 1
    cursor.expect("=>")
    _read_arrow_body(cursor, flags, start)
    if typed and flags & NO_RESULT and words[cursor.at] != ":":
        raise Unreadable


def _blank_before(cursor: Cursor, start: int, opening: int) -> None:
    """Blanks for an arrow function's type parameters; its parenthesis stays on their first line."""
    if any(cursor.breaks[start + 1 : opening + 1]):
        cursor.blank_as(start, opening, "(")
        cursor.blank(opening, opening + 1)
    else:
        cursor.blank(start, opening)


def _blank_result(cursor: Cursor, closing: int) -> None:
    """Blanks for an arrow function's result; its parenthesis stays on the arrow's line."""
    if not any(cursor.breaks[closing + 1 : cursor.at + 1]):
        cursor.blank(closing + 1, cursor.at)
        return
    cursor.blank(closing, closing + 1)
    cursor.blank_ending(closing + 1, cursor.at, ")")


def _read_short_arrow(cursor: Cursor, flags: int) -> bool:
    """An arrow function with a name for parameters; no operator follows."""
    start = cursor.at
    cursor.bindings.append(start)
    cursor.at += 2
    _read_arrow_body(cursor, flags, start)
    return False


def _read_arrow_body(cursor: Cursor, flags: int, start: int) -> None:
    """A block or an expression, of a function that begins at the token *start*."""
    if cursor.words[cursor.at] == "{":
        read_body(cursor)
    else:
        read_expression(cursor, flags & (NO_IN | NO_RESULT))
    cursor.end_scope(start)


# --- operators --------------------------------------------------------------------------------


def _read_operators(cursor: Cursor, flags: int, chain: list[int]) -> bool:
    """The operators after a value; returns whether another value must follow."""
    words, kinds = cursor.words, cursor.kinds
    while True:
        at = cursor.at
        word = words[at]
        step = _MEMBERS.get(word)
        if step is not None:
            if not step(cursor, at):
                break
        elif kinds[at] >= TEMPLATE and kinds[at] <= HEAD and word[0] == "`":
            _read_template(cursor)
        else:
            break
    return not flags & CALLEE and _read_operator(cursor, flags, chain)


def _read_operator(cursor: Cursor, flags: int, chain: list[int]) -> bool:
    words = cursor.words
    while True:
        at = cursor.at
        word = words[at]
        if word in _BINARY:
            cursor.at = at + 1
            return True
        if word == ",":
            if not flags & COMMA:
                return False
            cursor.at = at + 1
            return True
        if word == "?":
            cursor.at = at + 1
            read_expression(cursor, NO_RESULT)
            cursor.expect(":")
            return True
        if word in {"<", ">"}:
            return _read_angles(cursor)
        if word == "in" and not flags & NO_IN:
            cursor.at = at + 1
            return True
        if word in {"as", "satisfies"} and cursor.is_typed and not cursor.breaks[at]:
            _read_cast(cursor, chain)
            continue
        if word[:1] == "/":
            if cursor.kinds[at] == REGEX:
                cursor.reread(regex=False)
            cursor.at = at + 1
            return True
        return False


def _read_angles(cursor: Cursor) -> bool:
    """A comparison or a shift: angles and a sign of equality without a blank between."""
    words, starts, ends = cursor.words, cursor.tokens.starts, cursor.tokens.ends
    cursor.at += 1
    while words[cursor.at] in {"<", ">", "=", "<="} and starts[cursor.at] == ends[cursor.at - 1]:
        cursor.at += 1
    return True


def _read_cast(cursor: Cursor, chain: list[int]) -> None:
    """``as T``, ``satisfies T``: goes."""
    start = cursor.at
    cursor.at += 1
    read_type(cursor)
    cursor.blank(start, cursor.at)
    if chain and _regroups(cursor, chain):
        hint = "write parentheses around what the cast is of"
        cursor.refuse(start, "a cast that holds operators together, before another operator", hint)


def _regroups(cursor: Cursor, chain: list[int]) -> bool:
    """Whether ``a + b as T * c`` is here: without the type, ``b`` would go to ``c``."""
    word = cursor.words[cursor.at]
    # A division may have been taken for a regular expression so far.
    following = _BINDING.get("/" if cursor.kinds[cursor.at] == REGEX else word, 0)
    if word in {"<", ">"} and cursor.words[cursor.at + 1] == word:
        following = _SHIFT
    for at in reversed(chain):
        binding = _binding(cursor, at)
        if binding < _RELATION:
            return False
        if following > binding or following == _POWER:
            return True
    return False


def _binding(cursor: Cursor, at: int) -> int:
    """How strongly an operator binds, by its last token; 0 for less than a cast does."""
    words, tokens = cursor.words, cursor.tokens
    joined = words[at - 1] in {"<", ">"} and tokens.starts[at] == tokens.ends[at - 1]
    if words[at] in {"<", ">"}:
        return _SHIFT if joined else _RELATION
    if words[at] == "=":
        return _RELATION if joined and words[at - 2] != ">" else 0
    return 0 if joined and words[at] == "<=" else _BINDING.get(words[at], 0)


_RELATION, _SHIFT, _POWER = 1, 2, 5
_BINDING = {
    **dict.fromkeys(("<", ">", "<=", "in", "instanceof"), _RELATION),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("*", "/", "%"), 4),
    "**": _POWER,
}


def _read_member(cursor: Cursor, at: int) -> bool:
    if cursor.kinds[at + 1] not in {NAME, PRIVATE}:
        raise Unreadable
    cursor.at = at + 2
    return True


def _read_optional(cursor: Cursor, at: int) -> bool:
    if cursor.kinds[at + 1] in {NAME, PRIVATE}:
        cursor.at = at + 2
        return True
    cursor.at = at + 1
    if cursor.words[at + 1] == "<" and cursor.is_typed:
        read_type_arguments(cursor)
        cursor.blank(at + 1, cursor.at)
    return cursor.words[cursor.at] in {"(", "["} or cursor.kinds[cursor.at] in {TEMPLATE, HEAD}


def _read_call(cursor: Cursor, at: int) -> bool:
    read_list(cursor, ")")
    return True


def _read_index(cursor: Cursor, at: int) -> bool:
    cursor.at = at + 1
    read_expression(cursor, COMMA)
    cursor.expect("]")
    return True


def _read_update(cursor: Cursor, at: int) -> bool:
    if cursor.breaks[at]:
        return False
    cursor.at = at + 1
    return True


def _read_non_null(cursor: Cursor, at: int) -> bool:
    if cursor.breaks[at] or not cursor.is_typed:
        return False
    cursor.at = at + 1
    cursor.blank(at, at + 1)
    return True


def _read_arguments(cursor: Cursor, at: int) -> bool:
    """Type arguments, by TypeScript's own rule for telling them from comparisons."""
    if not cursor.is_typed or (at, _ARGUMENTS) in cursor.misses:
        return False
    mark = cursor.mark()
    try:
        read_type_arguments(cursor)
        is_followed = _may_follow_arguments(cursor)
    except Unreadable:
        is_followed = False
    if not is_followed:
        cursor.back(mark)
        cursor.misses.add((at, _ARGUMENTS))
        return False
    cursor.blank(at, cursor.at)
    return True


def _may_follow_arguments(cursor: Cursor) -> bool:
    at = cursor.at
    word, kind = cursor.words[at], cursor.kinds[at]
    if word in {">", "="} and cursor.tokens.starts[at] == cursor.tokens.ends[at - 1]:
        return False  # the operators >>, >=
    if word[:1] == "=" and word != "=" and cursor.tokens.starts[at] == cursor.tokens.ends[at - 1]:
        return False
    if word == "(" or word[:1] == "`":
        return True
    if word in {"<", ">", "+", "-"}:
        return False
    if cursor.breaks[at] or word in _OPERATOR_WORDS:
        return True
    if kind == NAME:
        return word in RESERVED and word not in _STARTING_WORDS
    return kind not in {NUMBER, STRING, PRIVATE} and word not in _STARTS_VALUE


_STARTING_WORDS = words_of(
    "this super null true false function class new import delete typeof void"
)
_MEMBERS = {
    ".": _read_member,
    "?.": _read_optional,
    "(": _read_call,
    "[": _read_index,
    "++": _read_update,
    "--": _read_update,
    "!": _read_non_null,
    "<": _read_arguments,
}
