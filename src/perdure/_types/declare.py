"""Declare: Python steps as a TypeScript module, from their signatures.

Pure. Signatures and evaluated annotations come in, text goes out. The types are those that values
have in JavaScript: each follows the form in which ``_protocol.codec`` writes such a value and
``_protocol.annotations`` reads it. A type without a form of its own is ``unknown``.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from .._frozen import frozen
from .forms import Forms, listed
from .texts import RESERVED, comment, quoted

__all__ = ("Declared", "declare_module")


@frozen
class Declared:
    """A step to declare."""

    name: str
    signature: inspect.Signature
    hints: Mapping[str, Any]  # evaluated annotations, "return" included
    doc: str = ""


def declare_module(module: str, steps: Sequence[Declared]) -> str:
    """The declaration of ``python:<module>`` with these steps."""
    forms = Forms()
    functions = [_function(declared, forms) for declared in steps]
    body = "\n".join([*forms.declarations(), *functions])
    indented = "\n".join(f"  {line}" if line else "" for line in body.splitlines())
    return f"declare module {quoted(f'python:{module}')} {{\n{indented}\n}}\n"


def _function(declared: Declared, forms: Forms) -> str:
    """One exported function."""
    hints = declared.hints
    parameters: list[str] = []
    for name, parameter in declared.signature.parameters.items():
        kind = forms.of(hints.get(name, Any), taken=True)
        if name in RESERVED:
            name += "_"
        if parameter.kind is parameter.VAR_POSITIONAL:
            parameters.append(f"...{name}: {listed(kind)}")
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            mark = "" if parameter.default is parameter.empty else "?"
            parameters.append(f"{name}{mark}: {kind}")
    result = forms.of(hints.get("return", Any))
    variables = _type_parameters(declared, forms)
    head = comment(declared.doc)
    taken = ", ".join(parameters)
    rest = f"{variables}({taken}): Promise<{result}>;"
    if declared.name in RESERVED:
        own = f"{declared.name}_"
        return f"{head}function {own}{rest}\nexport {{ {own} as {declared.name} }};"
    return f"{head}export function {declared.name}{rest}"


def _type_parameters(declared: Declared, forms: Forms) -> str:
    variables: dict[TypeVar, None] = {}
    for annotation in declared.hints.values():
        variables.update(dict.fromkeys(_variables(annotation)))
    return forms.parameters(variables)


def _variables(annotation: Any) -> list[TypeVar]:
    if isinstance(annotation, TypeVar):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _variables(part)]
