"""Names: each letter may stand in one, and an escape makes no name of a reserved word. Pure."""

from __future__ import annotations

import unicodedata

from .cursor import Cursor
from .letters import odd_letter, spelled
from .tokens import NAME, PRIVATE, RESERVED

__all__ = ("check_names",)


def check_names(cursor: Cursor) -> None:
    """Refuse the names that are none, by their first letter that is to blame."""
    for token, kind in enumerate(cursor.kinds):
        if kind in {NAME, PRIVATE}:
            _check_letters(cursor, token)
    for token in (*cursor.values, *cursor.bindings):
        word = cursor.words[token]
        if "\\" in word and spelled(word) in RESERVED:
            message = f"{word} spells {spelled(word)!r}, which is no name"
            cursor.refuse(token, message, "write another name")


def _check_letters(cursor: Cursor, token: int) -> None:
    word = cursor.words[token]
    if word.isascii() and "\\" not in word:
        return
    letter = odd_letter(spelled(word).removeprefix("#"))
    if letter is not None:
        named = unicodedata.name(letter, "a control letter")
        message = f"U+{ord(letter):04X} ({named.lower()}) may not stand in a name"
        cursor.refuse(token, message, "it may have come with a copied text: type the line again")
