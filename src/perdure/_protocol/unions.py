"""Unions: the form in which a value crossed says of which member it is.

Pure. Pydantic makes dates of numbers, durations of texts and lists of sets, and takes the first
member of a union that can make something of a value. Here a member is passed over where the value's
form is another member's own: a number is an ``int``, not a ``date``, and a Set is no list.
"""

# Core schemas are dictionaries of many shapes:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Flag
from typing import Any, TypeAlias, final

from .rules import before, class_of_text, read_as_crossed

__all__ = ("guards", "passed_over")

Schema: TypeAlias = "dict[str, Any]"
_OWN = {
    **dict.fromkeys(("int", "float", "timedelta"), "number"),
    **dict.fromkeys(("str", "date", "time", "uuid", "url", "multi-host-url", "decimal"), "text"),
    **dict.fromkeys(("list", "tuple", "named-tuple", "deque", "generator"), "Array"),
    **dict.fromkeys(("set", "frozenset"), "Set"),
    **dict.fromkeys(("dict", "typed-dict", "dataclass", "counter", "ordered-dict"), "object"),
    "bool": "boolean",
    "none": "null",
    "bytes": "bytes",
    "datetime": "Date",
    "fraction": "text",
}
_OF_VALUES = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "text",
    bytes: "bytes",
    datetime: "Date",
    list: "Array",
    set: "Set",
    dict: "object",
    type(None): "null",
}
_WRAPPERS = ("default", "function-after", "definitions", "model-field")
_CHANGING = ("function-wrap", "function-before")  # what they take only they know
# They take no other form by themselves.
_EXACT = frozenset({"int", "float", "str", "bool", "bytes", "none", "literal", "enum", "model"})


def guards(choices: Iterable[Schema], definitions: Mapping[str, Schema]) -> list[frozenset[str]]:
    """For each member of a union, the forms in which it is to be passed over.

    Args:
        choices: core schemas, as pydantic made them.
        definitions: definitions, by reference.
    """
    schemas = list(choices)
    own = [_Forms(definitions).of(schema) for schema in schemas]
    every = frozenset[str]().union(*[forms for forms in own if forms is not None])
    return [
        frozenset() if forms is None or schema["type"] in _EXACT else every - forms
        for schema, forms in zip(schemas, own, strict=True)
    ]


def passed_over(schema: Schema, forms: frozenset[str]) -> Any:
    """*schema* for values of other forms than these."""

    def guard(value: Any) -> Any:
        form = _OF_VALUES.get(type(value))
        if form in forms:
            raise ValueError(f"a value of this form ({form}) is another member's")
        return value

    return before(guard, schema) if forms else schema


@final
class _Forms:
    """Which forms values of a type cross in; None where nobody can tell."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._open: set[str] = set()  # references that are being followed

    def of(self, schema: Schema) -> frozenset[str] | None:
        kind = schema["type"]
        if kind in _OWN:
            return frozenset({_OWN[kind]})
        if kind == "model":
            return self.of(schema["schema"]) if schema.get("root_model") else frozenset({"object"})
        if kind in _WRAPPERS or (kind in _CHANGING and _is_pydantics(schema)):
            return self.of(schema["schema"])
        if kind == "any":
            return frozenset(_OF_VALUES.values())
        if kind == "enum":
            return _of_members(schema["cls"], schema["members"])
        if kind == "literal":
            return _of_values(schema["expected"])
        return self._of_several(kind, schema)

    def _of_several(self, kind: str, schema: Schema) -> frozenset[str] | None:
        if kind == "nullable":
            return self._together([schema["schema"], {"type": "none"}])
        if kind in ("union", "tagged-union"):
            choices = schema["choices"]
            parts = choices.values() if isinstance(choices, Mapping) else choices
            return self._together(part[0] if isinstance(part, tuple) else part for part in parts)
        if kind == "json-or-python":
            return self.of(schema["json_schema"])
        if kind == "lax-or-strict":
            is_text = class_of_text(schema) is not None
            return frozenset({"text"}) if is_text else self.of(schema["lax_schema"])
        if kind == "definition-ref" and schema["schema_ref"] not in self._open:
            self._open.add(schema["schema_ref"])
            target = self._definitions.get(schema["schema_ref"])
            return None if target is None else self.of(target)
        return None

    def _together(self, schemas: Iterable[Schema]) -> frozenset[str] | None:
        parts = [self.of(schema) for schema in schemas]
        forms = [part for part in parts if part is not None]
        return frozenset[str]().union(*forms) if len(forms) == len(parts) else None


def _is_pydantics(schema: Schema) -> bool:
    function = schema["function"]["function"]
    module: object = getattr(getattr(function, "func", function), "__module__", "")
    return str(module).partition(".")[0] == "pydantic"


def _of_members(owner: Any, members: Iterable[Any]) -> frozenset[str] | None:
    return frozenset({"number"}) if issubclass(owner, Flag) else _of_values(members)


def _of_values(values: Iterable[Any]) -> frozenset[str] | None:
    forms = [_OF_VALUES.get(type(read_as_crossed(value))) for value in values]
    names = [form for form in forms if form is not None]
    return frozenset(names) if len(names) == len(forms) else None
