"""Parameters: a step's positional parameters, and arguments in the types they ask for.

An annotation is read when the step is decorated, so one that no value from JavaScript can have is
refused there. A name that is not defined yet is looked up once more at the first call; one that
exists for type checkers only leaves its parameter, and no other, with the plain value.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

from .._protocol.annotations import Converter, converter
from ..errors import UsageError, ValueNotCarriableError
from ..values import UNDEFINED

__all__ = ("Parameters", "annotation_of")

_log = logging.getLogger("perdure")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@final
class Parameters:
    """The positional parameters of one step."""

    def __init__(
        self, function: Callable[..., object], signature: inspect.Signature, *, step_id: str
    ) -> None:
        """Read the annotations.

        Raises:
            UsageError: no value from JavaScript can be what a parameter is annotated as, or a
                workflow cannot pass a parameter that has no default.
        """
        self._step_id = step_id
        self._named: list[_Parameter] = []
        self._rest: _Parameter | None = None
        for parameter in signature.parameters.values():
            if parameter.kind in _POSITIONAL:
                self._named.append(_Parameter(function, parameter, step_id))
            elif parameter.kind is parameter.VAR_POSITIONAL:
                self._rest = _Parameter(function, parameter, step_id)
            elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
                raise UsageError(
                    f"step {step_id}: a workflow passes arguments by position, so it cannot pass"
                    f" {parameter.name!r}; give it a default"
                )

    def __repr__(self) -> str:
        return f"<Parameters of {self._step_id}: {len(self._named)}>"

    def convert(self, args: Sequence[Any]) -> list[Any]:
        """Arguments in the types that the annotations ask for.

        An argument that is ``undefined`` takes its parameter's default, as in JavaScript.

        Raises:
            ValueNotCarriableError: one is not of its annotated type; names its path.
        """
        return list(self._converted(args))

    def _converted(self, args: Sequence[Any]) -> Iterator[Any]:
        for at, value in enumerate(args):
            parameter = self._named[at] if at < len(self._named) else self._rest
            yield value if parameter is None else parameter.convert(value, f"arguments[{at}]")


class _Parameter:
    def __init__(
        self, function: Callable[..., object], parameter: inspect.Parameter, step_id: str
    ) -> None:
        self._function = function
        self._name = parameter.name
        self._step_id = step_id
        self._default: Any = parameter.default
        self._around: Mapping[str, Any] | None = _names_around(function)
        self._converter: Converter | None = None
        with contextlib.suppress(NameError):  # of a class further down in the module, perhaps
            self._converter = self._read()
        if self._converter is not None:
            self._around = None

    def convert(self, value: Any, where: str) -> Any:
        if self._converter is None:
            self._converter = self._read_again(where)
        if value is UNDEFINED and self._default is not inspect.Parameter.empty:
            return self._default
        return self._converter(value, where)

    def _read(self) -> Converter:
        try:
            return converter(annotation_of(self._function, self._name, self._around))
        except NameError:
            raise
        except Exception as exc:  # an annotation is an expression: it may raise anything
            reason = str(exc) if isinstance(exc, TypeError) else f"{type(exc).__name__}: {exc}"
            raise UsageError(
                f"step {self._step_id}: parameter {self._name!r} cannot be converted: {reason}"
            ) from exc

    def _read_again(self, where: str) -> Converter:
        try:
            annotation = annotation_of(self._function, self._name, self._around)
        except NameError as exc:
            _log.warning(
                "step %s: parameter %r gets plain values, since its annotation is for type"
                " checkers only: %s",
                self._step_id,
                self._name,
                exc,
            )
            return converter(Any)
        try:
            return converter(annotation)
        except (NameError, TypeError) as exc:
            raise ValueNotCarriableError(
                where, f"the type of parameter {self._name!r} cannot be read: {exc}"
            ) from exc


def annotation_of(
    function: Callable[..., object], name: str, around: Mapping[str, Any] | None = None
) -> Any:
    """The evaluated annotation of one parameter, or of ``return``; ``Any`` if it has none.

    Args:
        around: names that it may use besides those of its module.

    Raises:
        NameError: it names something that is not defined.
    """
    written = _written(function)
    if name not in written:
        return Any
    holder = type("annotation", (), {"__annotations__": {name: written[name]}})
    inner = inspect.unwrap(function)
    module = getattr(inner, "__globals__", {})
    variables = {kind.__name__: kind for kind in getattr(inner, "__type_params__", ())}
    names = {**module, **(around or {}), **variables} if around or variables else module
    return typing.get_type_hints(holder, globalns=names, include_extras=True)[name]


def _names_around(function: Callable[..., object]) -> Mapping[str, Any]:
    """The names of the function that *function* is being defined in."""
    outer, within, _ = getattr(inspect.unwrap(function), "__qualname__", "").rpartition(
        ".<locals>."
    )
    frame = inspect.currentframe() if within else None
    while frame is not None and frame.f_code.co_qualname != outer:
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)


def _written(function: Callable[..., object]) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(function)
