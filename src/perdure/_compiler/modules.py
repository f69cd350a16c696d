"""Imports and exports: those of types go, and of names that nothing but types uses. Pure."""

from __future__ import annotations

from .cursor import Cursor, Edit, Unreadable
from .letters import spelled, string_value
from .linkage import Import, Specifier
from .tokens import NAME, RESERVED, STRING

__all__ = ("drop_types", "export_default", "read_exports", "read_import")


def read_import(cursor: Cursor) -> None:
    """An import declaration."""
    start = cursor.at
    cursor.at += 1
    is_type = _takes_type(cursor)
    clause = Import(start)
    if cursor.kinds[cursor.at] != STRING:
        if _read_alias(cursor, start, is_type):
            return
        _read_clause(cursor, clause)
        cursor.expect("from")
    _read_source(cursor)
    cursor.end_statement()
    clause.end = cursor.at
    if is_type:
        cursor.blank_as(start, cursor.at, ";")
        cursor.linkage.types.update(s.name for s in (*clause.heads, *clause.listed))
    else:
        cursor.linkage.imports.append(clause)


def _read_alias(cursor: Cursor, start: int, is_type: bool) -> bool:
    """``import A = …``: refused, unless it is a type's."""
    if cursor.word(1) != "=" or not cursor.is_typed:
        return False
    name = place = cursor.at
    cursor.at += 2
    if cursor.words[cursor.at] == "require" and cursor.word(1) == "(":
        what, place = "import = require()", place
    else:
        what, place = "import =", start
    cursor.grammar.value(cursor)
    cursor.end_statement()
    cursor.blank_as(start, cursor.at, ";")
    if is_type:
        cursor.linkage.types.add(spelled(cursor.words[name]))
    else:
        message = f"{what} has no meaning here without TypeScript's compiler"
        cursor.refuse(place, message, "write import … from")
    return True


def read_exports(cursor: Cursor, start: int) -> None:
    """``export { … }``, ``export * from``, with ``type`` or without, after the keyword."""
    is_type = cursor.is_typed and cursor.take("type")
    listed: list[Specifier] = []
    if cursor.take("*"):
        if cursor.take("as"):
            cursor.at += 1
        cursor.expect("from")
        _read_source(cursor)
    else:
        listed = _read_list(cursor, 0)
        if cursor.take("from"):
            _read_source(cursor)
        else:
            cursor.linkage.exports += () if is_type else (s for s in listed if not s.is_type)
    cursor.end_statement()
    if is_type or (listed and all(specifier.is_type for specifier in listed)):
        cursor.blank_as(start, cursor.at, ";")
        return
    for specifier in listed:
        if specifier.is_type:
            cursor.blank(specifier.first, specifier.last)


def export_default(cursor: Cursor, start: int, name: str) -> None:
    """``export default name``: maybe a type's."""
    cursor.linkage.defaults.append(Specifier(spelled(name), start, cursor.at))


def drop_types(cursor: Cursor, values: set[str]) -> None:
    """Take away the imports and exports of names that turned out to be types.

    Args:
        values: the names that are imported, or declared at the top.
    """
    linkage = cursor.linkage
    for clause in linkage.imports:
        linkage.types.update(s.name for s in clause.listed if s.is_type)
    types = linkage.types - values
    exports: list[Specifier] = []
    for specifier in linkage.exports:
        if specifier.name in types:
            cursor.blank(specifier.first, specifier.last)
        else:
            exports.append(specifier)
    linkage.exports = exports
    for specifier in linkage.defaults:
        if specifier.name in types:
            cursor.blank_as(specifier.first, specifier.last, ";")
    used = _used(cursor, {specifier.name for specifier in linkage.imported()})
    used.update(specifier.name for specifier in linkage.exports)
    for clause in linkage.imports:
        _drop_unused(cursor, clause, used)


def _used(cursor: Cursor, names: set[str]) -> set[str]:
    """Those of the imported names that stand for a value where nothing else has that name."""
    words = cursor.words
    scopes: dict[str, list[tuple[int, int]]] = {}
    for at in cursor.bindings:
        name = spelled(words[at])
        if name in names:
            around = [span for span in cursor.spans if span[0] <= at < span[1]]
            scopes.setdefault(name, []).append(min(around, key=_length, default=(0, 0)))
    return {
        name
        for at in cursor.values
        if (name := spelled(words[at])) in names
        and not any(first <= at < last for first, last in scopes.get(name, ()))
    }


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]


def _drop_unused(cursor: Cursor, clause: Import, used: set[str]) -> None:
    every = (*clause.heads, *clause.listed)
    unused = [s for s in every if s.is_type or s.name not in used]
    if every and len(unused) == len(every):
        cursor.blank_as(clause.start, clause.end, ";")
        return
    for specifier in unused:
        # The comma between a default and a namespace is the default's.
        is_second = specifier in clause.heads and specifier is not clause.heads[0]
        cursor.blank(specifier.first - is_second, specifier.last)


def _takes_type(cursor: Cursor) -> bool:
    """Step over ``type`` where it says that an import is of types."""
    if not cursor.is_typed or cursor.words[cursor.at] != "type":
        return False
    following = cursor.word(1)
    is_name = cursor.is_name(1) and (following != "from" or cursor.word(2) in {"from", "="})
    if not is_name and following not in {"{", "*"}:
        return False
    cursor.at += 1
    return True


def _read_clause(cursor: Cursor, clause: Import) -> None:
    """The names between ``import`` and ``from``."""
    if cursor.kinds[cursor.at] == NAME:
        first = cursor.at
        if cursor.words[first] in {"defer", "source"} and cursor.word(1) not in {",", "from"}:
            cursor.at += 1
        if cursor.words[cursor.at] != "*":
            name = cursor.name()
            comma = cursor.take(",")
            clause.heads.append(Specifier(spelled(name), first, cursor.at))
            if not comma:
                return
    if cursor.take("*"):
        first = cursor.at - 1
        cursor.expect("as")
        clause.heads.append(Specifier(spelled(cursor.name()), first, cursor.at))
    else:
        clause.listed = _read_list(cursor, -1)


def _read_list(cursor: Cursor, local: int) -> list[Specifier]:
    """Names in braces; *local* is the place of the name that this module uses: 0 or -1."""
    cursor.expect("{")
    listed: list[Specifier] = []
    while cursor.words[cursor.at] != "}":
        first = cursor.at
        while cursor.kinds[cursor.at] in {NAME, STRING}:
            cursor.at += 1
        words = cursor.words[first : cursor.at]
        is_type = len(words) in {2, 4} and words[0] == "type" and cursor.is_typed
        plain = words[1:] if is_type else words
        if len(plain) not in {1, 3} or (len(plain) == 3 and plain[1] != "as"):
            raise Unreadable
        for at in range(first + is_type, cursor.at):
            if cursor.words[at] in RESERVED:
                cursor.mask(at, "x" * len(cursor.words[at]))
        comma = cursor.take(",")
        listed.append(Specifier(spelled(plain[local]), first, cursor.at, is_type))
        if not comma:
            break
    cursor.expect("}")
    return listed


def _read_source(cursor: Cursor) -> None:
    """Another module's name, and attributes."""
    at = cursor.at
    if cursor.kinds[at] != STRING:
        raise Unreadable
    cursor.at += 1
    if cursor.words[cursor.at] not in {"with", "assert"} or cursor.word(1) != "{":
        return
    start = cursor.at
    cursor.at += 1
    end = cursor.tokens.pairs.get(cursor.at)
    if end is None:
        raise Unreadable
    cursor.at = end + 1
    place = Edit(cursor.tokens.starts[start], cursor.tokens.ends[end], None)
    # The guest reads JSON as a module like any other; the rest only tree-sitter does not know.
    (cursor.edits if string_value(cursor.words[at]).endswith(".json") else cursor.masks).append(
        place
    )
