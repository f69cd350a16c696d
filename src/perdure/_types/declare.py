"""Declare: Python steps as a TypeScript module, from their signatures.

Pure: signatures and evaluated annotations come in, text goes out. What has no better form in
TypeScript is ``unknown``; a caller then says what it expects.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections import abc
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from .._frozen import frozen
from ..display import shown_text

__all__ = ("Declared", "declare_module")

_IDENTIFIER = re.compile(r"[^\W\d][\w]*")

_PLAIN: dict[Any, str] = {
    int: "number",
    float: "number",
    bool: "boolean",
    str: "string",
    bytes: "Uint8Array",
    bytearray: "Uint8Array",
    None: "null",
    type(None): "null",
    datetime: "Date",
    timedelta: "number",
    UUID: "string",
    Decimal: "string",
    date: "string",
    time: "string",
    object: "unknown",
    Any: "any",
    dict: "Record<string, any>",
    list: "any[]",
    tuple: "any[]",
    set: "Set<any>",
    frozenset: "Set<any>",
}
_LISTS = (list, abc.Sequence, abc.Iterable, abc.Collection, abc.MutableSequence)
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_MAPS = (dict, abc.Mapping, abc.MutableMapping)


@frozen
class Declared:
    """A step to declare."""

    name: str
    signature: inspect.Signature
    hints: Mapping[str, Any]  # evaluated annotations, "return" included
    doc: str = ""


def declare_module(module: str, steps: Sequence[Declared]) -> str:
    """The declaration of ``python:<module>`` with these steps."""
    writer = _Writer()
    functions = [writer.function(declared) for declared in steps]
    body = "\n".join([*writer.interfaces.values(), *functions])
    indented = "\n".join(f"  {line}" if line else "" for line in body.splitlines())
    return f"declare module {_quoted(f'python:{module}')} {{\n{indented}\n}}\n"


class _Writer:
    """One module's declarations."""

    def __init__(self) -> None:
        self.interfaces: dict[Any, str] = {}

    def function(self, declared: Declared) -> str:
        """One exported function."""
        parameters: list[str] = []
        for name, parameter in declared.signature.parameters.items():
            kind = self.of(declared.hints.get(name, Any))
            if parameter.kind is parameter.VAR_POSITIONAL:
                parameters.append(f"...{name}: {_listed(kind)}")
            elif parameter.kind in (
                parameter.POSITIONAL_ONLY,
                parameter.POSITIONAL_OR_KEYWORD,
            ):
                mark = "" if parameter.default is parameter.empty else "?"
                parameters.append(f"{name}{mark}: {kind}")
        gives = self.of(declared.hints.get("return", Any))
        head = _comment(declared.doc)
        return f"{head}export function {declared.name}({', '.join(parameters)}): Promise<{gives}>;"

    def of(self, annotation: Any) -> str:
        """An annotation as a TypeScript type."""
        plain = _PLAIN.get(annotation) if _is_hashable(annotation) else None
        if plain is not None:
            return plain
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Annotated, typing.Required, typing.NotRequired):
            return self.of(arguments[0])
        if origin is typing.Literal:
            return " | ".join(_literal(value) for value in arguments)
        if origin in (typing.Union, types.UnionType):
            return " | ".join(dict.fromkeys(self.of(member) for member in arguments))
        if origin is not None:
            return self._generic(origin, arguments)
        if isinstance(annotation, type):
            return self._class(cast("type[Any]", annotation))
        return "unknown"

    def _generic(self, origin: Any, arguments: tuple[Any, ...]) -> str:
        if origin is tuple:
            if len(arguments) == 2 and arguments[1] is ...:
                return _listed(self.of(arguments[0]))
            return f"[{', '.join(self.of(item) for item in arguments)}]"
        if origin in _LISTS:
            return _listed(self.of(arguments[0]))
        if origin in _SETS:
            return f"Set<{self.of(arguments[0])}>"
        if origin in _MAPS:
            key, value = self.of(arguments[0]), self.of(arguments[1])
            return f"Record<string, {value}>" if key == "string" else f"Map<{key}, {value}>"
        return "unknown"

    def _class(self, made: type[Any]) -> str:
        if issubclass(made, Enum):
            members = cast("Iterable[Enum]", made)
            return " | ".join(_literal(member.value) for member in members) or "never"
        if not (dataclasses.is_dataclass(made) or typing.is_typeddict(made)):
            return "unknown"
        if not _IDENTIFIER.fullmatch(made.__name__):
            return "unknown"
        if made not in self.interfaces:
            self.interfaces[made] = ""  # it may name itself
            self.interfaces[made] = self._interface(made)
        return made.__name__

    def _interface(self, made: type) -> str:
        optional: frozenset[str] = getattr(made, "__optional_keys__", frozenset())
        lines: list[str] = []
        for name, kind in typing.get_type_hints(made, include_extras=True).items():
            may_miss = name in optional or typing.get_origin(kind) is typing.NotRequired
            shown = name if _IDENTIFIER.fullmatch(name) else _quoted(name)
            lines.append(f"  {shown}{'?' if may_miss else ''}: {self.of(kind)};")
        doc = made.__doc__ or ""
        head = "" if doc.startswith(f"{made.__name__}(") else _comment(doc)
        return "\n".join([f"{head}export interface {made.__name__} {{", *lines, "}"])


def _listed(item: str) -> str:
    return f"({item})[]" if " " in item else f"{item}[]"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Enum):
        return _literal(value.value)
    return "null" if value is None else _quoted(str(value))


def _quoted(text: str) -> str:
    """A string literal, in which nothing but what has a form of its own stands for itself."""
    return "".join(
        [
            c if shown_text(c) == c else json.dumps(c)[1:-1]
            for c in json.dumps(text, ensure_ascii=False)
        ]
    )


def _comment(doc: str) -> str:
    lines = inspect.cleandoc(doc).replace("*/", "* /").split("\n") if doc else []
    if not lines:
        return ""
    lines = [shown_text(line) for line in lines]
    if len(lines) == 1:
        return f"/** {lines[0]} */\n"
    return "\n".join(["/**", *(f" * {line}".rstrip() for line in lines), " */"]) + "\n"


def _is_hashable(value: object) -> bool:
    return isinstance(value, abc.Hashable)
