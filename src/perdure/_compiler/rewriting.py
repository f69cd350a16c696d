"""Rewriting: pieces of a script become others, and no line moves. Pure."""

from __future__ import annotations

from tree_sitter import Node

from .parse import Source

__all__ = ("Rewriting", "quoted")

_UNQUOTED = frozenset('"\\\x7f\u2028\u2029')


class Rewriting:
    """The changes to one script; they are apart, or at one place in the order they were made."""

    def __init__(self, source: Source) -> None:
        self._script = source.script
        self._changes: list[tuple[int, int, str]] = []

    def insert(self, place: int, text: str) -> None:
        """Text of one line between two bytes."""
        self._changes.append((place, place, text))

    def replace(self, start: int, end: int, text: str) -> None:
        """Text of one line for the bytes of a piece, then its ends of lines, then blanks."""
        piece = self._script[start:end].decode()
        lines = piece.split("\n")
        if len(lines) > 1:
            text += "\n" * (len(lines) - 1) + " " * _width(lines[-1])
        self._changes.append((start, end, text))

    def drop(self, start: int, end: int) -> None:
        """Only the ends of a piece's lines stay, and a semicolon."""
        self.replace(start, end, ";")

    def of(self, node: Node) -> str:
        """A node's text in the script."""
        return self._script[node.start_byte : node.end_byte].decode()

    def text(self) -> str:
        """The script as it is now."""
        pieces: list[str] = []
        place = 0
        for start, end, text in sorted(self._changes, key=_place_of):
            pieces.append(self._script[place:start].decode())
            pieces.append(text)
            place = end
        pieces.append(self._script[place:].decode())
        return "".join(pieces)


def _place_of(change: tuple[int, int, str]) -> tuple[int, bool]:
    start, end, _ = change
    return start, end > start  # what is inserted comes before what is there


def _width(line: str) -> int:
    """Its columns, which engines count in UTF-16."""
    return len(line.encode("utf-16-le")) // 2


def quoted(text: str) -> str:
    """A string literal."""
    inner = "".join(
        f"\\u{ord(letter):04x}" if letter < " " or letter in _UNQUOTED else letter
        for letter in text
    )
    return f'"{inner}"'
