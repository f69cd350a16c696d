"""Declare: Python steps as a TypeScript module, from their signatures.

Pure. Signatures and evaluated annotations come in, text goes out. The types are those that values
have in JavaScript: each follows the form in which ``_protocol.codec`` writes such a value and
``_protocol.annotations`` reads it. A type without a form of its own is ``unknown``.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

from .._value_class import value_class
from .forms import Forms, listed
from .texts import RESERVED, comment, is_identifier, quoted

__all__ = ("Declared", "declare_module")


@value_class
class Declared:
    """A step to declare."""

    name: str
    signature: inspect.Signature
    hints: Mapping[str, object]  # evaluated annotations, "return" included
    doc: str = ""


def declare_module(
    module: str, steps: Sequence[Declared], classes: Iterable[type[object]] = ()
) -> str:
    """The declaration of ``python:<module>`` with these steps.

    Args:
        classes: to be declared whether a step names them or not, as a workflow may take and return
            them itself; see ``is_declarable``.
    """
    forms = Forms()
    functions = [_function(declared, forms) for declared in steps]
    for owner in classes:
        forms.declare(owner)
    body = "\n".join([*forms.declarations(), *functions])
    indented = "\n".join(f"  {line}" if line else "" for line in body.splitlines())
    return f"declare module {quoted(f'python:{module}')} {{\n{indented}\n}}\n"


def _function(declared: Declared, forms: Forms) -> str:
    """One exported function."""
    open_ = _type_variables(declared)
    with forms.within(open_):
        parameters = _parameters(declared, forms)
        result = forms.of(declared.hints.get("return", Any))
    variables = forms.parameters(open_)
    head = comment(declared.doc)
    parameter_list = ", ".join(parameters)
    rest = f"{variables}({parameter_list}): Promise<{result}>;"
    if declared.name in RESERVED:
        own = f"{declared.name}_"
        return f"{head}function {own}{rest}\nexport {{ {own} as {declared.name} }};"
    return f"{head}export function {declared.name}{rest}"


def _parameters(declared: Declared, forms: Forms) -> list[str]:
    """Positional parameters, and the object that keyword-only ones are members of."""
    members = declared.signature.parameters.values()
    options = _options(declared, forms)
    needed = options is not None and not options.is_optional  # so nothing before may miss
    parameters: list[str] = []
    rest: tuple[str, str] | None = None
    for parameter in members:
        kind = forms.of(declared.hints.get(parameter.name, Any), is_input=True)
        name = f"{parameter.name}_" if parameter.name in RESERVED else parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = name, kind
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            may_miss = parameter.default is not parameter.empty
            mark, kind = ("", f"{kind} | undefined") if may_miss and needed else ("?", kind)
            parameters.append(f"{name}{mark if may_miss else ''}: {kind}")
    if rest is not None:
        parameters.append(f"...{rest[0]}: {_rest(rest[1], options)}")
    elif options is not None:
        mark = "?" if options.is_optional else ""
        parameters.append(f"{options.name}{mark}: {options.kind}")
    return parameters


@value_class
class _Options:
    """The object of keyword-only parameters."""

    name: str
    kind: str
    is_optional: bool


def _options(declared: Declared, forms: Forms) -> _Options | None:
    members: list[str] = []
    is_optional = True
    names = declared.signature.parameters
    for parameter in names.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            kind = forms.of(declared.hints.get(parameter.name, Any), is_input=True)
            may_miss = parameter.default is not parameter.empty
            is_optional = is_optional and may_miss
            name = parameter.name if is_identifier(parameter.name) else quoted(parameter.name)
            members.append(f"{name}{'?' if may_miss else ''}: {kind}")
    if not members:
        return None
    name = next(name for name in _names("options") if name not in names)
    return _Options(name=name, kind=f"{{ {'; '.join(members)} }}", is_optional=is_optional)


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{number}" for number in count(2))


def _rest(kind: str, options: _Options | None) -> str:
    """The type of the rest after the named parameters, the object at its end included."""
    items = listed(kind)
    if options is None:
        return items
    tail = f"[...{items}, {options.kind}]"
    return f"{items} | {tail}" if options.is_optional else tail


def _type_variables(declared: Declared) -> list[TypeVar]:
    """Those of the function; a model that has some left open only adds them as a parameter."""
    variables: dict[TypeVar, None] = {}
    for name, annotation in declared.hints.items():
        variables.update(dict.fromkeys(_variables(annotation, in_models=name != "return")))
    return list(variables)


def _variables(annotation: object, *, in_models: bool) -> list[TypeVar]:
    if isinstance(annotation, TypeVar):
        return [annotation]
    generic: dict[str, tuple[object, ...]] = (
        getattr(annotation, "__pydantic_generic_metadata__", None) or {}
    )
    parts: tuple[object, ...] = (
        *typing.get_args(annotation),
        *(generic.get("parameters", ()) if in_models else ()),
    )
    return [variable for part in parts for variable in _variables(part, in_models=in_models)]
