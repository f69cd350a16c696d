"""Gaps: blanks and comments between tokens that JavaScript's other readers take otherwise. Pure.

tree-sitter's grammar ends no statement at some blanks, takes ``<!--`` for a comment and NUL for an
error. Neither it nor the engine sees each line's end that ECMA-262 sees in a comment.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from .cursor import Edit
from .letters import SEPARATORS
from .tokens import PUNCTUATOR, Tokens

__all__ = ("comments_between_lines", "comments_of_many_lines", "decrements", "odd_letters")

_HASHBANG = rf"\A#![^\n{SEPARATORS}]*(?=[{SEPARATORS}])"
_COMMENT = rf"{_HASHBANG}|//[^\n{SEPARATORS}]*|/\*[\s\S]*?\*/"  # compiled when it is used


def comments_of_many_lines(tokens: Tokens) -> Iterator[Edit]:
    """Blanks for each comment that U+2028 or U+2029 ends or goes through."""
    last, find = -1, re.compile(_COMMENT).finditer
    for separator in re.finditer(f"[{SEPARATORS}]", tokens.text):
        at = bisect_right(tokens.starts, separator.start())  # the token behind
        start = tokens.ends[at - 1] if at else 0
        if at == last or start > separator.start():
            continue
        last = at
        for comment in find(tokens.text, start, tokens.starts[at]):
            whole = tokens.text[comment.start() : comment.end() + 1]
            if any(letter in whole for letter in SEPARATORS):
                yield Edit(comment.start(), comment.end(), None)


def comments_between_lines(tokens: Tokens) -> Iterator[Edit]:
    """Blanks for the comments at which tree-sitter ends a statement that goes on, or goes on."""
    text, starts, ends, words = tokens.text, tokens.starts, tokens.ends, tokens.words
    find = re.compile(_COMMENT).finditer
    for at, kind in enumerate(tokens.kinds):
        if not tokens.breaks[at]:
            continue
        start = ends[at - 1] if at else 0
        goes_on = kind == PUNCTUATOR and words[at] not in "{};"
        if goes_on or text.find("/*", start, starts[at]) >= 0:
            for comment in find(text, start, starts[at]):
                yield Edit(comment.start(), comment.end(), None)


def odd_letters(tokens: Tokens) -> Iterator[Edit]:
    """Blanks for odd ones between tokens, and for each NUL."""
    for odd in re.finditer("[\0\u00a0\u202f\ufeff]", tokens.text):
        at = bisect_right(tokens.starts, odd.start()) - 1
        if odd[0] == "\0" or at < 0 or tokens.ends[at] <= odd.start():
            yield Edit(odd.start(), odd.end(), " " * len(odd[0].encode()))


def decrements(tokens: Tokens) -> Iterator[Edit]:
    """Other letters for each ``<!--``: a module has operators there, no comment."""
    for arrow in re.finditer("<!--", tokens.text):
        at = bisect_right(tokens.starts, arrow.start()) - 1
        if at >= 0 and tokens.words[at] == "<" and tokens.starts[at] == arrow.start():
            yield Edit(arrow.start(), arrow.end(), "< --")
