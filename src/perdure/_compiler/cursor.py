"""Cursor: a place among a source's tokens, and all that reading on has brought up. Pure.

Grammar modules move it, and write down edits: which letters of the source become blanks, and which
others. ``mark`` and ``back`` undo a reading that was only a try. A source that is none ends with
``Unreadable``, which never leaves the package.
"""

from __future__ import annotations

import re
from typing import Protocol

from .diagnostics import Diagnostic, diagnose_at
from .letters import spelled
from .linkage import Linkage
from .tokens import END, NAME, Tokens

__all__ = ("Cursor", "Edit", "Grammar", "Mark", "Unreadable")


class Unreadable(Exception):
    """The source is no TypeScript from the cursor's token on."""


class Edit:
    """Letters of the source that something else stands for; None for blanks."""

    __slots__ = ("end", "start", "text")

    def __init__(self, start: int, end: int, text: str | None) -> None:
        self.start = start
        self.end = end
        self.text = text


class Mark:
    """How far a cursor has come."""

    __slots__ = ("at", "bindings", "edits", "masks", "problems", "spans", "values", "variables")

    def __init__(self, cursor: Cursor) -> None:
        self.at = cursor.at
        self.edits = len(cursor.edits)
        self.values = len(cursor.values)
        self.problems = len(cursor.problems)
        self.masks = len(cursor.masks)
        self.bindings = len(cursor.bindings)
        self.variables = len(cursor.variables)
        self.spans = len(cursor.spans)


class Grammar(Protocol):
    """The parts of the grammar that contain each other."""

    def value(self, cursor: Cursor) -> None:
        """An expression up to a comma."""

    def callee(self, cursor: Cursor) -> None:
        """An expression that may be called, without operators."""

    def block(self, cursor: Cursor) -> None:
        """Statements in braces."""

    def statement(self, cursor: Cursor) -> None:
        """A statement or a declaration."""

    def class_tail(self, cursor: Cursor) -> None:
        """A class after its keyword."""


class Cursor:
    """A reader's place, and its findings so far."""

    __slots__ = (
        "at",
        "bindings",
        "breaks",
        "edits",
        "enums",
        "file",
        "functions",
        "furthest",
        "grammar",
        "is_jsx",
        "is_typed",
        "kinds",
        "linkage",
        "masks",
        "misses",
        "problems",
        "scope",
        "spans",
        "supers",
        "tokens",
        "values",
        "variables",
        "words",
    )

    def __init__(self, file: str, text: str, grammar: Grammar) -> None:
        self.file = file
        self.grammar = grammar
        self.tokens = Tokens(text)
        self.words, self.kinds, self.breaks = (
            self.tokens.words,
            self.tokens.kinds,
            self.tokens.breaks,
        )
        self.at = 0
        self.furthest = 0  # the last token that a try came to
        self.misses: set[tuple[int, int]] = set()  # tries that failed: token and flags
        self.is_typed = file.endswith((".ts", ".tsx", ".mts", ".cts"))
        self.is_jsx = file.endswith((".tsx", ".jsx"))
        self.edits: list[Edit] = []
        self.masks: list[Edit] = []  # further ones, for a parser that lacks a piece of the grammar
        self.values: list[int] = []  # names that stand for values
        self.bindings: list[int] = []  # names that are declared, in whatever scope
        self.variables: list[int] = []  # those of ``var`` and enums that count at the top
        self.spans: list[tuple[int, int]] = []  # scopes below the top: first and last token
        self.enums: dict[tuple[int, str], set[str]] = {}  # scope and name -> members
        self.scope = -1  # the token that opens the innermost block; -1 at the top
        self.supers: list[tuple[int, int]] = []  # statements super(…): depth and last token
        self.linkage = Linkage()
        self.functions = 0  # how deep in functions
        self.problems: list[Diagnostic] = []

    # --- moving ---------------------------------------------------------------------------

    def mark(self) -> Mark:
        """The place to come back to."""
        return Mark(self)

    def back(self, mark: Mark) -> None:
        """As if nothing since the mark had been read."""
        self.furthest = max(self.furthest, self.at)
        self.at = mark.at
        self.forget(mark)

    def reread(self, *, regex: bool) -> None:
        """Cut again from here, where a ``/`` was guessed wrong."""
        self.tokens.reread(self.at, regex=regex)
        self.misses = {miss for miss in self.misses if miss[0] < self.at}

    def forget(self, mark: Mark) -> None:
        """Stay, but drop all findings since the mark."""
        del self.edits[mark.edits :]
        del self.values[mark.values :]
        del self.problems[mark.problems :]
        del self.masks[mark.masks :]
        del self.bindings[mark.bindings :]
        del self.variables[mark.variables :]
        del self.spans[mark.spans :]

    def take(self, word: str) -> bool:
        """Step over a word if it is the next."""
        if self.words[self.at] != word:
            return False
        self.at += 1
        return True

    def expect(self, word: str) -> None:
        """Step over a word.

        Raises:
            Unreadable: something else is there.
        """
        if self.words[self.at] != word:
            raise Unreadable
        self.at += 1

    def name(self) -> str:
        """Step over a name, reserved or not."""
        if self.kinds[self.at] != NAME:
            raise Unreadable
        self.at += 1
        return self.words[self.at - 1]

    def is_name(self, ahead: int = 0) -> bool:
        """Whether the next token, or one *ahead* of it, is a name."""
        at = self.at + ahead
        return at < len(self.kinds) and self.kinds[at] == NAME

    def word(self, ahead: int) -> str:
        """The word *ahead* of the next; "" past the end."""
        at = self.at + ahead
        return self.words[at] if at < len(self.words) else ""

    def end_member(self) -> None:
        """A semicolon, written or understood.

        Raises:
            Unreadable: the line goes on.
        """
        if self.take(";"):
            return
        at = self.at
        if not (self.breaks[at] or self.words[at] == "}" or self.kinds[at] == END):
            raise Unreadable

    def end_statement(self) -> None:
        """Likewise; one that is understood before a bracket is written.

        Without the type between, two lines could join: ``a as B`` and ``(c)()`` below it.
        """
        last = self.at - 1
        self.end_member()
        if self.at == last + 1 and self.words[self.at][:1] in {"(", "[", "`", "*"}:
            self.write(self.tokens.ends[last], ";")

    def is_hidden(self, at: int, start: int) -> bool:
        """Whether a scope around the name at a token declares it, from the token *start* on."""
        for binding in self.bindings:
            if binding >= start and spelled(self.words[binding]) == spelled(self.words[at]):
                around = [s for s in self.spans if s[0] >= start and s[0] <= binding < s[1]]
                first, last = min(around, key=lambda span: span[1] - span[0], default=(0, 0))
                if first <= at < last:
                    return True
        return False

    def end_scope(self, first: int) -> None:
        """A scope from the token *first* up to here."""
        self.spans.append((first, self.at))

    # --- findings -------------------------------------------------------------------------

    def blank(self, first: int, last: int) -> None:
        """Blanks for the tokens from *first* up to, not including, *last*."""
        self.edits.append(Edit(self.tokens.starts[first], self.tokens.ends[last - 1], None))

    def blank_as(self, first: int, last: int, text: str) -> None:
        """Likewise, but *text* for the first letters."""
        start = self.tokens.starts[first]
        self.edits.append(Edit(start, start + len(text), text))
        self.edits.append(Edit(start + len(text), self.tokens.ends[last - 1], None))

    def blank_ending(self, first: int, last: int, text: str) -> None:
        """Likewise, but *text* for the last letters."""
        end = self.tokens.ends[last - 1]
        self.edits.append(Edit(self.tokens.starts[first], end - len(text), None))
        self.edits.append(Edit(end - len(text), end, text))

    def replace(self, start: int, end: int, text: str) -> None:
        """Text, however long, for letters among which no line ends."""
        self.edits.append(Edit(start, end, text))

    def write(self, place: int, text: str) -> None:
        """Text at a place, between the letters that are there."""
        self.edits.append(Edit(place, place, text))

    def mask(self, token: int, text: str) -> None:
        """For the parser of JavaScript: *text* in the place of a token's first letters."""
        start = self.tokens.starts[token]
        self.masks.append(Edit(start, start + len(text), text))

    def mask_escapes(self) -> None:
        """Mask the escapes of a template's piece that only a tag may read: ``\\u``, ``\\x``."""
        if "\\" in self.words[self.at]:
            start = self.tokens.starts[self.at]
            for escape in re.finditer(r"\\[\s\S]", self.words[self.at]):
                if escape[0] in {"\\u", "\\x"}:
                    place = start + escape.start()
                    self.masks.append(Edit(place, place + 2, "  "))

    def refuse(self, token: int, message: str, hint: str) -> None:
        """A problem at a token."""
        text, start = self.tokens.text, self.tokens.starts[token]
        self.problems.append(diagnose_at(self.file, text, start, message, hint=hint))
