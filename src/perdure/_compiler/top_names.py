"""Top names: those that a module has at its top, each declared once; it exports no others. Pure.

The engine's word on these comes late and does not always come: it names no file for an export,
takes a ``var`` beside a function of its name, and never sees an import that went because nothing
uses it as a value.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._value_class import value_class
from .cursor import Cursor
from .diagnostics import is_close, suggest
from .letters import spelled
from .linkage import Specifier

__all__ = ("TopName", "check_exports", "check_top_names", "read_top_names")


@value_class(kw_only=False)
class TopName:
    """A declaration at the top, or a ``var`` below it that counts as one."""

    name: str
    token: int
    is_var: bool  # another ``var`` may declare it again


def read_top_names(cursor: Cursor) -> list[TopName]:
    """The declarations of a source that has been read, in its order; no imports."""
    variables = set(cursor.variables)
    spans = sorted(cursor.spans, reverse=True)
    names: list[TopName] = []
    end = 0  # of the scopes that began before the token
    for token in sorted(cursor.bindings):
        while spans and spans[-1][0] <= token:
            end = max(end, spans.pop()[1])
        if token >= end or token in variables:
            names.append(TopName(spelled(cursor.words[token]), token, token in variables))
    return names


def check_top_names(cursor: Cursor, names: Iterable[TopName]) -> None:
    """Refuse each name that is imported or declared where it is declared or imported already."""
    imports: dict[str, Specifier] = {}
    for specifier in cursor.linkage.imported():
        first = imports.setdefault(specifier.name, specifier)
        if first is not specifier:
            message = f"{specifier.name!r} is imported twice"
            hint = f"line {_line(cursor, first.first)} has it, too: write … as another name"
            cursor.refuse(specifier.first, message, hint)
    declarations: dict[str, TopName] = {}
    for name in names:
        earlier = declarations.setdefault(name.name, name)
        if earlier is not name:
            if not (earlier.is_var and name.is_var):
                message = f"{name.name!r} is declared twice"
                hint = f"line {_line(cursor, earlier.token)} declares it, too: rename one of them"
                cursor.refuse(name.token, message, hint)
        elif name.name in imports:
            line = _line(cursor, name.token)
            message = f"{name.name!r} is imported here and declared on line {line}"
            hint = "write import type if its type alone is meant, else … as another name"
            cursor.refuse(imports[name.name].first, message, hint)


def check_exports(cursor: Cursor, names: set[str]) -> None:
    """Refuse each name that is exported and is none of the *names* at the top."""
    for specifier in cursor.linkage.exports:
        if specifier.name not in names:
            message = f"{specifier.name!r} is exported, but this file does not declare it"
            hint = "declare or import it; a global is exported by export const … = "
            if is_close(specifier.name, names):
                hint = suggest(specifier.name, names)
            cursor.refuse(specifier.first, message, hint)


def _line(cursor: Cursor, token: int) -> int:
    return cursor.tokens.text.count("\n", 0, cursor.tokens.starts[token]) + 1
