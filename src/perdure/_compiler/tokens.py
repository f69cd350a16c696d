"""Tokens: the lexical grammar of JavaScript and TypeScript. Pure.

A file is cut into tokens at once. Whether a ``/`` divides or begins a regular expression only the
parser knows; here it is guessed by the token before, and ``reread`` cuts again from there.
``<`` and ``>`` are tokens of their own: two may be brackets of types or an operator.
Never raises: a letter that begins nothing is a token of its own kind, and the parser's to name.
"""

from __future__ import annotations

import re

__all__ = (
    "END",
    "HEAD",
    "NAME",
    "NUMBER",
    "PRIVATE",
    "PUNCTUATOR",
    "REGEX",
    "RESERVED",
    "STRING",
    "TEMPLATE",
    "WRONG",
    "Tokens",
    "words_of",
)


def words_of(text: str) -> frozenset[str]:
    """The words of a text, for tables."""
    return frozenset(text.split())


NAME, NUMBER, STRING, PRIVATE, PUNCTUATOR, WRONG = range(1, 7)
REGEX, TEMPLATE, HEAD, END = range(7, 11)  # a head is a template's piece that ends with ${

RESERVED = words_of(
    "break case catch class const continue debugger default delete do else enum export extends "
    "false finally for function if import in instanceof new null return super switch this "
    "throw true try typeof var void while with"
)
# After one of these a value begins, so "/" begins a regular expression.
_BEFORE_A_VALUE = words_of(
    "return typeof case do else in instanceof void delete throw new yield await of default"
)
_ENDS_A_VALUE = frozenset({")", "]", "}", "++", "--"})
_CLOSERS = {")": "(", "]": "[", "}": "{"}
# As ECMA-262 has them: a few of what Python takes for blanks are none.
_BLANKS = r"\t-\r \xa0\ufeff\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_BLANK = f"[{_BLANKS}]"
# Compiled when they are first used: a process that compiles no workflow has no use for them.
_LETTER = rf"[\w$\u200c\u200d]|[^\x00-\x7f{_BLANKS}]|\\u(?:[\da-fA-F]{{4}}|\{{[\da-fA-F]+\}})"
_TOKEN = (
    rf"{_BLANK}*(?:(?://[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/){_BLANK}*)*"
    rf"(?:((?!\d)(?:{_LETTER})+)"
    r"|(0[xX][\da-fA-F_]+n?|0[oO][0-7_]+n?|0[bB][01_]+n?"
    r"|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?[\d_]+)?n?)"
    r"|(\"(?:[^\"\\\n\r]|\\(?:\r\n|[\s\S]))*\"|'(?:[^'\\\n\r]|\\(?:\r\n|[\s\S]))*')"
    rf"|(\#(?:{_LETTER})+)"
    r"|(\.\.\.|=>|[!=]==?|\*\*=?|&&=?|\|\|=?|\?\?=?|\?\.(?!\d)|\+\+|--|[-+*/%&|^]=?|<="
    r"|[(){}\[\];,.:?<>=!~@])"
    r"|([\s\S])"
    r"|\Z)"
)
_PIECE = r"[`}](?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|(\$\{))"
_REGEX = (
    rf"/(?![*/])(?:[^/\\\[\n\r\u2028\u2029]|\\[^\n\r\u2028\u2029]"
    rf"|\[(?:[^\]\\\n\r\u2028\u2029]|\\[^\n\r\u2028\u2029])*\])+/(?:{_LETTER})*"
)
_BREAK = r"[\n\r\u2028\u2029]"


class Tokens:
    """A source's tokens, as lists of equal length; the last one is its end."""

    __slots__ = ("_open", "breaks", "ends", "kinds", "pairs", "starts", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.kinds: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.breaks: list[bool] = []  # whether a line ends before the token
        self.pairs: dict[int, int] = {}  # opening bracket -> its closing one
        self._open: list[int] = []
        self._read(re.match(r"(?:#![^\n\r\u2028\u2029]*)?", text).end())  # type: ignore[union-attr] # it matches nothing at all, too

    def reread(self, at: int, *, regex: bool) -> None:
        """Cut again from a token that begins with ``/``: it was guessed wrong."""
        start = self.starts[at]
        for column in (self.words, self.kinds, self.starts, self.ends):
            del column[at:]
        is_first = self.breaks[at]
        del self.breaks[at:]
        self.pairs = {a: b for a, b in self.pairs.items() if b < at}
        self._open = [a for a in range(at) if self._opens(a) and a not in self.pairs]
        if regex:
            whole = re.compile(_REGEX).match(self.text, start)
            self._add(WRONG if whole is None else REGEX, start, whole.end() if whole else start + 1)
        else:
            length = 2 if self.text.startswith("/=", start) else 1
            self._add(PUNCTUATOR, start, start + length)
        self.breaks.append(is_first)
        self._read(self.ends[-1])

    def _opens(self, at: int) -> bool:
        return self.kinds[at] == HEAD or self.words[at] in {"(", "[", "{"}

    def _add(self, kind: int, start: int, end: int) -> None:
        self.words.append(self.text[start:end])
        self.kinds.append(kind)
        self.starts.append(start)
        self.ends.append(end)

    def _read(self, place: int) -> None:
        text, match = self.text, re.compile(_TOKEN).match
        words, kinds, starts = self.words, self.kinds, self.starts
        find_break = re.compile(_BREAK).search
        ends, breaks, stack, pairs = self.ends, self.breaks, self._open, self.pairs
        while True:
            token = match(text, place)
            assert token is not None
            kind = token.lastindex or END
            start, end = token.span(kind) if kind != END else (token.end(), token.end())
            word = text[start:end]
            breaks.append(start > place and find_break(text, place, start) is not None)
            if kind == PUNCTUATOR:
                at = len(words)
                if word in "([{":
                    stack.append(at)
                elif word in _CLOSERS:
                    if stack and kinds[stack[-1]] == HEAD and word == "}":
                        kind, end = self._piece(start)
                        pairs[stack.pop()] = at
                        if kind == HEAD:
                            stack.append(at)
                    elif stack and words[stack[-1]] == _CLOSERS[word]:
                        pairs[stack.pop()] = at
                    word = text[start:end]
                elif word[0] == "/" and self._value_begins():
                    whole = re.compile(_REGEX).match(text, start)
                    if whole is not None:
                        kind, end, word = REGEX, whole.end(), whole[0]
            elif word == "`":
                kind, end = self._piece(start)
                word = text[start:end]
                if kind == HEAD:
                    stack.append(len(words))
            words.append(word)
            kinds.append(kind)
            starts.append(start)
            ends.append(end)
            if kind == END:
                return
            place = end

    def _piece(self, start: int) -> tuple[int, int]:
        """A template's piece: its kind and its end."""
        piece = re.compile(_PIECE).match(self.text, start)
        if piece is None:
            return WRONG, start + 1
        return (TEMPLATE if piece[1] is None else HEAD), piece.end()

    def _value_begins(self) -> bool:
        if not self.words:
            return True
        kind, word = self.kinds[-1], self.words[-1]
        if kind == NAME:
            return word in _BEFORE_A_VALUE
        return kind == HEAD or (kind == PUNCTUATOR and word not in _ENDS_A_VALUE)
