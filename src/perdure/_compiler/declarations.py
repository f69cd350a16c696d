"""Declarations that only TypeScript has: those of types go, the others become JavaScript. Pure.

One that goes leaves a semicolon, so that its neighbours do not join. Each reader takes the token at
which its statement begins, ``export`` included, and returns False where the word is but a name.
"""

from __future__ import annotations

from .classes import read_class_tail
from .cursor import Cursor, Edit, Mark
from .enums import is_enum, read_enum
from .letters import spelled
from .linkage import Linkage
from .tokens import STRING, words_of
from .type_syntax import read_heritage, read_members, read_type, read_type_parameters

__all__ = (
    "read_abstract",
    "read_alias",
    "read_ambient",
    "read_class",
    "read_enumeration",
    "read_interface",
    "read_namespace",
)

_AMBIENT = words_of(
    "const let var using function class abstract interface type enum namespace module global "
    "async import"
)


def _is_declared(cursor: Cursor) -> bool:
    """Whether a name follows on the line, as it must after a word that is a keyword only there."""
    return cursor.is_typed and cursor.is_name(1) and not cursor.breaks[cursor.at + 1]


def read_enumeration(cursor: Cursor, start: int) -> bool:
    """An enum."""
    if not cursor.is_typed or not is_enum(cursor):
        return False
    read_enum(cursor, start)
    return True


def read_class(cursor: Cursor, start: int) -> bool:
    """A class."""
    cursor.at += 1
    if cursor.is_name():
        cursor.bindings.append(cursor.at)
    read_class_tail(cursor)
    return True


def read_abstract(cursor: Cursor, start: int) -> bool:
    """An abstract class: loses the word."""
    if not _is_declared(cursor) or cursor.word(1) != "class":
        return False
    cursor.blank(cursor.at, cursor.at + 1)
    cursor.at += 1
    return read_class(cursor, start)


def read_interface(cursor: Cursor, start: int) -> bool:
    """An interface: goes."""
    if not _is_declared(cursor):
        return False
    _read_name(cursor)
    if cursor.take("extends"):
        read_heritage(cursor)
    read_members(cursor)
    cursor.blank_as(start, cursor.at, ";")
    return True


def read_alias(cursor: Cursor, start: int) -> bool:
    """A type's name: goes."""
    if not _is_declared(cursor) or cursor.word(2) not in {"=", "<"}:
        return False
    _read_name(cursor)
    cursor.expect("=")
    read_type(cursor)
    cursor.end_member()
    cursor.blank_as(start, cursor.at, ";")
    return True


def _read_name(cursor: Cursor) -> None:
    """A type's name and parameters after the keyword."""
    cursor.at += 1
    _note_type(cursor, cursor.name())
    if cursor.words[cursor.at] == "<":
        read_type_parameters(cursor)


def _note_type(cursor: Cursor, name: str) -> None:
    if cursor.scope < 0:
        cursor.linkage.types.add(spelled(name))


def read_ambient(cursor: Cursor, start: int) -> bool:
    """``declare``: the whole declaration goes."""
    if not cursor.is_typed or cursor.breaks[cursor.at + 1] or cursor.word(1) not in _AMBIENT:
        return False
    mark, enums, linkage = cursor.mark(), dict(cursor.enums), cursor.linkage
    cursor.linkage = Linkage()
    cursor.at += 1
    is_module = cursor.words[cursor.at] == "module" and cursor.kinds[cursor.at + 1] == STRING
    if is_module or cursor.words[cursor.at] == "global":
        cursor.at += 1 + is_module
        if cursor.words[cursor.at] == "{":
            cursor.grammar.block(cursor)
        else:
            cursor.end_statement()
    else:
        cursor.grammar.statement(cursor)
    linkage.types |= cursor.linkage.types
    cursor.linkage, cursor.enums = linkage, enums
    cursor.forget(mark)
    cursor.blank_as(start, cursor.at, ";")
    return True


def read_namespace(cursor: Cursor, start: int) -> bool:
    """A namespace: goes if all in it are types, else it is refused."""
    if not _is_declared(cursor):
        return False
    keyword, mark, linkage = cursor.at, cursor.mark(), cursor.linkage
    cursor.linkage = Linkage()
    cursor.at += 1
    name = cursor.name()
    while cursor.take("."):
        cursor.name()
    brace = cursor.at
    cursor.grammar.block(cursor)
    cursor.linkage = linkage
    is_type = _is_blank(cursor, mark, brace)
    cursor.forget(mark)
    cursor.blank_as(start, cursor.at, ";")
    if is_type:
        _note_type(cursor, name)
    else:
        message = "a namespace has no meaning here without TypeScript's compiler"
        cursor.refuse(keyword, message, "export its members from a file of their own")
    return True


def _start_of(edit: Edit) -> int:
    return edit.start


def _is_blank(cursor: Cursor, mark: Mark, brace: int) -> bool:
    """Whether all that has been read in braces since the mark is to go."""
    if len(cursor.problems) > mark.problems:
        return False
    edits = sorted(cursor.edits[mark.edits :], key=_start_of)
    index = 0
    for at in range(brace + 1, cursor.at - 1):
        place = cursor.tokens.starts[at]
        while index < len(edits) and edits[index].end <= place:
            index += 1
        is_inside = index < len(edits) and edits[index].start <= place
        if cursor.words[at] != ";" and not (is_inside and edits[index].text in {None, ";"}):
            return False
    return True
