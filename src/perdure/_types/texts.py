"""Texts: names, literals and docstrings of Python in TypeScript, where text stays data. Pure."""

from __future__ import annotations

import inspect
import json
import re

from ..display import shown_text

__all__ = ("comment", "is_identifier", "quoted")

_IDENTIFIER = re.compile(r"[^\W\d][\w]*")


def is_identifier(name: str) -> bool:
    """Whether *name* can stand in TypeScript as it is."""
    return _IDENTIFIER.fullmatch(name) is not None


def quoted(text: str) -> str:
    """A string literal, in which nothing but what has a form of its own stands for itself."""
    return "".join(
        [
            c if shown_text(c) == c else json.dumps(c)[1:-1]
            for c in json.dumps(text, ensure_ascii=False)
        ]
    )


def comment(doc: str) -> str:
    """A docstring as a comment on lines of its own; nothing for an empty one."""
    lines = inspect.cleandoc(doc).replace("*/", "* /").split("\n") if doc else []
    if not lines:
        return ""
    lines = [shown_text(line) for line in lines]
    if len(lines) == 1:
        return f"/** {lines[0]} */\n"
    return "\n".join(["/**", *(f" * {line}".rstrip() for line in lines), " */"]) + "\n"
