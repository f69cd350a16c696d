"""Python modules: the contents of imported ones for workflows. Imports none.

Only certain facts are told. A module that is not imported, or just being imported, is not known.
A package is known in part: ``@step(name=…)`` in a module below it may give it steps.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType

from .._compiler import PythonModule
from .steps import Step, main_name, registered_steps

__all__ = ("python_module",)


def python_module(name: str) -> PythonModule | None:
    """The contents of the module of this name; None where they cannot be known."""
    module = _loaded(name)
    if module is None:
        return None
    prefix = f"{name}:"
    steps = frozenset(
        step.removeprefix(prefix) for step in registered_steps() if step.startswith(prefix)
    )
    if module is sys.modules.get("__main__") and not steps:
        return None  # it is still running, and may come to its steps
    values = {key: value for key, value in list(vars(module).items()) if key not in steps}
    return PythonModule(
        steps=steps,
        others={key: value.id for key, value in values.items() if isinstance(value, Step)},
        functions=frozenset(key for key, value in values.items() if inspect.isfunction(value)),
        is_whole=not hasattr(module, "__path__"),
    )


def _loaded(name: str) -> ModuleType | None:
    """The module, if it is there and all of it was executed."""
    main = sys.modules.get("__main__")
    if main is not None and main_name() == name:
        return main
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return None if getattr(spec, "_initializing", False) else module
