"""Enums: an object in place, each member on its own line, as TypeScript writes them. Pure.

A member is a key, and its number a key that leads back to it; a string leads nowhere. ``const``
makes no difference, as TypeScript has it for modules that are compiled one by one. A value that is
neither a number nor a string by its looks is asked at run time which it is.
"""

from __future__ import annotations

from .cursor import Cursor, Unreadable
from .letters import spelled
from .tokens import NAME, NUMBER, PUNCTUATOR, STRING, TEMPLATE

__all__ = ("is_enum", "read_enum")


class _Enum:
    """An enum that is being read."""

    __slots__ = ("follower", "members", "name")

    def __init__(self, name: str, members: set[str]) -> None:
        self.name = name
        self.members = members  # of all declarations that share the name
        self.follower: str | None = "0"  # the next member's value where it has none of its own


def is_enum(cursor: Cursor) -> bool:
    """Whether ``enum`` or ``const enum`` is here."""
    ahead = 1 if cursor.words[cursor.at] == "const" else 0
    return cursor.word(ahead) == "enum" and cursor.is_name(ahead + 1)


def read_enum(cursor: Cursor, start: int) -> None:
    """An enum whose statement begins at the token *start*, with ``export`` maybe."""
    if cursor.take("const"):
        cursor.blank(cursor.at - 1, cursor.at)
    keyword = cursor.at
    cursor.expect("enum")
    name = cursor.name()
    cursor.bindings.append(cursor.at - 1)
    if cursor.scope < 0:
        cursor.variables.append(cursor.at - 1)
    key = (cursor.scope, name)
    if key in cursor.enums:  # TypeScript merges them
        if start < keyword and cursor.words[start] == "export":
            cursor.blank(start, start + 1)
        opening = f";(function ({name})"
    else:
        opening = f"{'var' if cursor.scope < 0 else 'let'} {name}; (function ({name})"
    tokens = cursor.tokens
    cursor.replace(tokens.starts[keyword], tokens.ends[keyword], opening)
    cursor.blank(keyword + 1, cursor.at)
    enum = _Enum(name, cursor.enums.setdefault(key, set()))
    cursor.expect("{")
    while cursor.words[cursor.at] != "}":
        _read_member(cursor, enum)
        if not cursor.take(","):
            break
        cursor.blank(cursor.at - 1, cursor.at)
    cursor.expect("}")
    cursor.write(tokens.ends[cursor.at - 1], f")({name} || ({name} = {{}}));")


def _read_member(cursor: Cursor, enum: _Enum) -> None:
    start = cursor.at
    bracket = cursor.take("[")
    kind, word = cursor.kinds[cursor.at], cursor.words[cursor.at]
    if kind not in {NAME, STRING} and not (kind == TEMPLATE and bracket):
        raise Unreadable
    cursor.at += 1
    if bracket:
        cursor.expect("]")
    key = f'"{word}"' if kind == NAME else word
    span = cursor.tokens.starts[start], cursor.tokens.ends[cursor.at - 1]
    member = f"{enum.name}[{key}]"
    if cursor.take("="):
        before, after, enum.follower = _read_value(cursor, enum, member, key)
        cursor.replace(*span, before)
        cursor.write(cursor.tokens.ends[cursor.at - 1], after)
    elif enum.follower is None:
        cursor.refuse(start, "an enum's member after a string has no value", "write one: = …")
    else:
        cursor.replace(*span, f"{enum.name}[{member} = {enum.follower}] = {key};")
        enum.follower = _plus_one(enum.follower, member)
    enum.members.add(spelled(word if kind == NAME else word[1:-1]))


def _read_value(cursor: Cursor, enum: _Enum, member: str, key: str) -> tuple[str, str, str | None]:
    """A member's value: text before and after it, and the next member's value."""
    start, values = cursor.at, len(cursor.values)
    cursor.grammar.value(cursor)
    members = [
        token
        for token in cursor.values[values:]
        if spelled(cursor.words[token]) in enum.members and not cursor.is_hidden(token, start)
    ]
    for token in members:  # which are no names of the file's, such as imports
        cursor.write(cursor.tokens.starts[token], f"{enum.name}.")
        cursor.values.remove(token)
    kinds = set(cursor.kinds[start : cursor.at])
    if cursor.at == start + 1 and kinds <= {STRING, TEMPLATE}:
        return member, ";", None
    if kinds <= {NUMBER, PUNCTUATOR}:
        plain = "".join(cursor.words[start : cursor.at])
        return f"{enum.name}[{member}", f"] = {key};", _plus_one(plain, member)
    before, after = f"typeof ({member}", f') === "string" || ({enum.name}[{member}] = {key});'
    return before, after, f"{member} + 1"


def _plus_one(number: str, member: str) -> str:
    digits = number.removeprefix("-")
    is_plain = digits.isascii() and digits.isdecimal() and len(digits) < 16
    if is_plain and (digits == "0" or digits[0] != "0"):
        return str(int(number) + 1)
    return f"{member} + 1"
