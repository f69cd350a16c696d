"""Erasing: TypeScript to JavaScript by writing blanks over types, in place. Pure.

Lines never move, and columns only behind an enum, a parameter that is a property, or an accessor,
which become JavaScript where they stand. All else that has a meaning at run time beyond JavaScript
(value namespaces, decorators) is refused by name.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import chain

from .._value_class import value_class
from .cursor import Cursor, Edit, Unreadable
from .diagnostics import Diagnostic, diagnose_at
from .gaps import comments_between_lines, comments_of_many_lines, decrements, odd_letters
from .modules import drop_types
from .names import check_names
from .statements import StatementGrammar, read_program
from .tokens import END
from .top_names import check_exports, check_top_names, read_top_names

__all__ = ("Erasure", "erase")


@value_class
class Erasure:
    """A source without its types."""

    script: str
    mask: str  # of as many bytes; what tree-sitter's grammar of JavaScript lacks is masked
    problems: list[Diagnostic]
    is_unreadable: bool = False  # so that the script is the source


def erase(file: str, text: str) -> Erasure:
    """JavaScript on the same lines, and a problem for each piece that cannot be erased.

    A file of JavaScript stays as it is, but for semicolons that are understood and may be written.
    """
    cursor = Cursor(file, text, StatementGrammar())
    try:
        text.encode()
        read_program(cursor)
    except UnicodeEncodeError as exc:
        problem = diagnose_at(file, text, exc.start, "half a surrogate pair is no letter")
        return Erasure(script=text, mask=text, problems=[problem], is_unreadable=True)
    except Unreadable:
        problems = cursor.problems or [_unreadable(cursor)]
        return Erasure(script=text, mask=text, problems=problems, is_unreadable=True)
    except RecursionError:
        cursor.refuse(cursor.at, "the source is nested too deeply", "take functions out of it")
        return Erasure(script=text, mask=text, problems=cursor.problems, is_unreadable=True)
    names = read_top_names(cursor)
    check_top_names(cursor, names)
    values = {name.name for name in names}
    values.update(specifier.name for specifier in cursor.linkage.imported())
    if cursor.is_typed:
        drop_types(cursor, values)
    check_exports(cursor, values)
    tokens = cursor.tokens
    if not text.isascii() or "\\u" in text:
        check_names(cursor)
        cursor.edits = _apart(cursor.edits, comments_of_many_lines(tokens))
    gaps = decrements(tokens), comments_between_lines(tokens), odd_letters(tokens)
    script = mask = _written(text, cursor.edits, _blank_letter)
    masked = _apart(cursor.edits, chain(cursor.masks, *gaps))
    if len(masked) > len(cursor.edits) or not text.isascii():
        mask = _written(text, masked, _blank_bytes)
    return Erasure(script=script, mask=mask, problems=cursor.problems)


def _unreadable(cursor: Cursor) -> Diagnostic:
    at = max(cursor.at, cursor.furthest)
    place = cursor.tokens.starts[at]
    if cursor.kinds[at] == END:
        near = "the end of the file"
    else:
        line = cursor.tokens.text[place : place + 40].split("\n")[0].strip()
        near = repr(line)
    return diagnose_at(cursor.file, cursor.tokens.text, place, f"syntax error near {near}")


def _apart(edits: Iterable[Edit], others: Iterable[Edit]) -> list[Edit]:
    """The edits in order, and of the others each that meets none before it."""
    apart = sorted(edits, key=_place_of)
    for other in others:
        index = bisect_left(apart, _place_of(other), key=_place_of)
        if not index or apart[index - 1].end <= other.start:
            apart.insert(index, other)
    return apart


def _written(text: str, edits: Iterable[Edit], blank: Callable[[str], str]) -> str:
    pieces: list[str] = []
    place = 0
    for edit in sorted(edits, key=_place_of):
        start, end, replacement = edit.start, edit.end, edit.text
        pieces.append(text[place:start])
        pieces.append(_blank(text[start:end], blank) if replacement is None else replacement)
        place = end
    pieces.append(text[place:])
    return "".join(pieces)


def _place_of(edit: Edit) -> tuple[int, int]:
    return edit.start, edit.end


def _blank(text: str, blank: Callable[[str], str]) -> str:
    return re.sub(
        r"[^\r\n\u2028\u2029]+",
        lambda line: " " * len(line[0]) if line[0].isascii() else "".join(map(blank, line[0])),
        text,
    )


def _blank_letter(letter: str) -> str:
    """Blanks of a letter's width in bytes and in UTF-16, by which engines count columns."""
    return (" ", "\u00a0", "\u2003", "\u2003 ")[len(letter.encode("utf-8", "replace")) - 1]


def _blank_bytes(letter: str) -> str:
    """Blanks of a letter's width in bytes, each of which tree-sitter takes for one."""
    return " " * len(letter.encode("utf-8", "replace"))
