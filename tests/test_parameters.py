"""Public parameters: each is told by a docstring, in ``Args:`` or in a sentence as *name*.

That is the function's, its class's or its module's. In the modules for world authors a parameter
may be told by its type, if that is a documented class of ours (``commit: TurnCommit``), or by the
method of a contract that the docstring names (``Streams.append``). Values that are ours to make
have a comment beside a field. An error keeps the facts that it takes.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

import perdure
import perdure.abc
from perdure import errors
from perdure.worldkit import pure

FOR_APPLICATIONS = (
    *("perdure", "perdure.testing", "perdure.testing.conformance"),
    *("perdure.web", "perdure.web.server", "perdure.worlds"),
)
FOR_WORLDS = (
    "perdure.abc",
    "perdure.worldkit.blocking",
    "perdure.display",
    "perdure.errors",
    "perdure.worldkit.files",
    "perdure.worldkit.pure",
    "perdure.model",
    "perdure.worldkit.posting",
    "perdure.testing.clock",
    "perdure.worldkit.clock",
    "perdure.testing.faults",
    "perdure.testing.memory",
    "perdure.values",
    "perdure.worldkit.values",
    "perdure.worldkit.waiting",
)
NO_API = (  # a program, a child process, and a folder
    "perdure.cli",
    "perdure.testing.conformance.client",
    "perdure.worldkit",
)


def test_each_public_module_is_looked_at() -> None:
    found = pkgutil.walk_packages(perdure.__path__, "perdure.")
    public = {m.name for m in found if not re.search(r"\._|^perdure\.cli\.", m.name)}
    assert public | {"perdure"} == {*FOR_APPLICATIONS, *FOR_WORLDS, *NO_API}


@pytest.mark.parametrize("name", [*FOR_APPLICATIONS, *FOR_WORLDS])
def test_each_parameter_is_told(name: str) -> None:
    untold = [
        f"{where}({parameter.name})"
        for where, function, text in _functions(importlib.import_module(name))
        for parameter in inspect.signature(function).parameters.values()
        if not _is_told(parameter.name, text)
        and not (name in FOR_WORLDS and _tells(function, parameter.name, text))
    ]
    assert untold == []


def _functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., object], str]]:
    """Each function of the module's public names, its name, and all that is said of it."""
    names: list[str] = getattr(module, "__all__", None) or list(vars(module))
    for name in names:
        thing = getattr(module, name)
        if inspect.isfunction(thing) and _is_ours(name, thing):
            yield name, inspect.unwrap(thing), f"{module.__doc__}\n{thing.__doc__}"
        elif inspect.isclass(thing) and _is_ours(name, thing):
            yield from _methods(module, thing)


def _is_ours(name: str, thing: object) -> bool:
    return not name.startswith("_") and thing.__module__.startswith("perdure")


def _methods(
    module: ModuleType, cls: type[object]
) -> Iterator[tuple[str, Callable[..., object], str]]:
    for name, raw in vars(cls).items():
        method = inspect.unwrap(getattr(raw, "__func__", raw))
        if not inspect.isfunction(method) or (name.startswith("_") and name != "__init__"):
            continue
        if name == "__init__" and (issubclass(cls, Exception) or not _is_made_by_users(cls)):
            continue
        text = f"{module.__doc__}\n{cls.__doc__}\n{method.__doc__}"
        yield f"{cls.__name__}.{name}", method, text


def _is_made_by_users(cls: type[object]) -> bool:
    is_value = hasattr(cls, "__dataclass_fields__") and cls is not perdure.Limits
    return not (is_value or getattr(cls, "_is_protocol", False))


def _is_told(name: str, text: str) -> bool:
    is_listed = re.search(rf"^\s+\*{{0,2}}{name}: ", text, re.MULTILINE)
    is_named = re.search(rf"(?<![\w*])\*{name}\*(?![\w*])", text)
    return name in {"self", "cls"} or bool(is_listed or is_named)


def _tells(function: Callable[..., object], name: str, text: str) -> bool:
    """Whether the parameter's type tells it, or the method of a contract that the text names."""
    words = set(re.findall(r"\w+", str(function.__annotations__.get(name, ""))))
    words -= {"None", "Sequence", "Iterable", "tuple"}
    module = inspect.getmodule(function)
    types = [getattr(module, word, None) or getattr(pure, word, None) for word in words]
    if types and all(getattr(one, "__module__", "")[:7] == "perdure" for one in types):
        return True
    methods = (
        getattr(getattr(perdure.abc, contract, None), method, None)
        for contract, method in re.findall(r"``(\w+)\.(\w+)``", text)
    )
    return any(name in inspect.signature(one).parameters for one in methods if callable(one))


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_keeps_what_it_takes(name: str) -> None:
    error = getattr(errors, name)
    source = inspect.getsource(error.__init__)
    taken = set(inspect.signature(error.__init__).parameters) - {"self", "message"}
    assert {parameter for parameter in taken if f"self.{parameter}" not in source} == set()
