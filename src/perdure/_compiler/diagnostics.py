"""Diagnostics: an error in a source, its place, and the code to write instead. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tree_sitter import Node

from .._value_class import value_class

__all__ = ("Diagnostic", "diagnose", "diagnose_at", "is_close", "suggest")


@value_class
class Diagnostic:
    """One error in a source file."""

    file: str
    line: int  # from 1
    column: int  # from 1
    message: str
    hint: str = ""
    excerpt: str = ""
    levels_up: int = 0  # folders above the root that it asks for, where that is what is wrong

    def __str__(self) -> str:
        lines = [f"{self.file}:{self.line}:{self.column}: {self.message}"]
        if self.excerpt:
            lines += [f"  {self.excerpt}", "  " + " " * (self.column - 1) + "^"]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


def diagnose(file: str, source: bytes, node: Node, message: str, *, hint: str = "") -> Diagnostic:
    """A diagnostic at the beginning of a node."""
    row, offset = node.start_point
    line = source.split(b"\n")[row]
    return Diagnostic(
        file=file,
        line=row + 1,
        column=len(line[:offset].decode("utf-8", "replace")) + 1,
        message=message,
        hint=hint,
        excerpt=line.decode("utf-8", "replace").rstrip().replace("\t", " "),
    )


def diagnose_at(file: str, text: str, place: int, message: str, *, hint: str = "") -> Diagnostic:
    """A diagnostic at a letter of a source."""
    start = text.rfind("\n", 0, place) + 1
    end = text.find("\n", place)
    return Diagnostic(
        file=file,
        line=text.count("\n", 0, start) + 1,
        column=place - start + 1,
        message=message,
        hint=hint,
        excerpt=text[start : end if end >= 0 else None].rstrip().replace("\t", " "),
    )


def is_close(name: str, names: Iterable[str]) -> bool:
    """Whether one of *names* is so like this one that it may have been meant."""
    from difflib import get_close_matches  # for errors alone

    return bool(get_close_matches(name, list(names), n=1))


def suggest(name: str, names: Iterable[str]) -> str:
    """ "; did you mean …?" or a list of the known names."""
    from difflib import get_close_matches  # for errors alone

    choices = sorted(names)
    close = get_close_matches(name, choices, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there is: {', '.join(choices)}" if choices else "there is nothing"
