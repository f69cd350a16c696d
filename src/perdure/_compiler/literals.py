"""Literals: the values in brackets and braces, with the types in them. Pure."""

from __future__ import annotations

from .cursor import Cursor, Unreadable
from .functions import KEYS, read_function_tail, read_key

__all__ = ("read_list", "read_object")


def read_list(cursor: Cursor, end: str) -> None:
    """Values between brackets, spread ones and holes among them."""
    words = cursor.words
    cursor.at += 1
    while words[cursor.at] != end:
        if words[cursor.at] == "," and end == "]":
            cursor.at += 1
            continue
        cursor.take("...")
        cursor.grammar.value(cursor)
        if words[cursor.at] != ",":
            break
        cursor.at += 1
    cursor.expect(end)


def read_object(cursor: Cursor) -> None:
    """An object in braces."""
    words = cursor.words
    cursor.at += 1
    while words[cursor.at] != "}":
        if cursor.take("..."):
            cursor.grammar.value(cursor)
        else:
            _read_property(cursor)
        if words[cursor.at] != ",":
            break
        cursor.at += 1
    cursor.expect("}")


def _read_property(cursor: Cursor) -> None:
    words = cursor.words
    start = cursor.at
    if words[start] in {"get", "set", "async"} and _is_key(cursor, start + 1):
        cursor.at += 1
    cursor.take("*")
    read_key(cursor)
    word = words[cursor.at]
    if word == ":":
        cursor.at += 1
        cursor.grammar.value(cursor)
    elif word in {"(", "<"}:
        if not read_function_tail(cursor):
            raise Unreadable
    else:
        if cursor.at != start + 1 or not cursor.is_name(-1):
            raise Unreadable
        cursor.values.append(start)
        if cursor.take("="):
            cursor.grammar.value(cursor)


def _is_key(cursor: Cursor, at: int) -> bool:
    return cursor.kinds[at] in KEYS or cursor.words[at] in {"[", "*"}
