"""Parameters: a step's parameters, and arguments in the types they ask for.

A workflow calls by position. Keyword-only parameters are the members of an object that follows the
positional arguments: ``f(a, { b: 1 })`` for ``def f(a, *, b)``.

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
from typing import Any, cast, final

from .._protocol.annotations import Converter, converter, unconverted_types
from ..errors import UsageError, ValueNotCarriableError
from ..values import UNDEFINED

__all__ = ("Keywords", "Parameters", "annotation_of")

_log = logging.getLogger("perdure")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@final
class Keywords(dict[str, object]):
    """Converted arguments for keyword-only parameters, by name."""


@final
class Parameters:
    """The parameters of one step."""

    def __init__(
        self, function: Callable[..., object], signature: inspect.Signature, *, step_id: str
    ) -> None:
        """Read the annotations.

        Raises:
            UsageError: no value from JavaScript can be of a parameter's annotated type.
        """
        self._step_id = step_id
        self._named: list[_Parameter] = []
        self._rest: _Parameter | None = None
        self._keywords: dict[str, _Parameter] = {}
        self._others: _Parameter | None = None  # of keywords
        for parameter in signature.parameters.values():
            if parameter.kind in _POSITIONAL:
                where = f"arguments[{len(self._named)}]"
                self._named.append(_Parameter(function, parameter, step_id, where))
            elif parameter.kind is parameter.VAR_POSITIONAL:
                self._rest = _Parameter(function, parameter, step_id)
            elif parameter.kind is parameter.KEYWORD_ONLY:
                with contextlib.suppress(*_spared(parameter)):
                    self._keywords[parameter.name] = _Parameter(function, parameter, step_id)
            elif self._keywords:
                self._others = _Parameter(function, parameter, step_id)
        self.takes_keywords: bool = bool(self._keywords)

    def __repr__(self) -> str:
        return f"<Parameters of {self._step_id}: {len(self._named)}>"

    def convert(self, args: Sequence[object]) -> list[object]:
        """Arguments in the types that the annotations ask for.

        An argument that is ``undefined`` takes its parameter's default, as in JavaScript. Where
        there are keyword-only parameters, the last may be the ``Keywords`` for them.

        Raises:
            ValueNotCarriableError: one is not of its annotated type; names its path.
        """
        if not self.takes_keywords and len(args) <= len(self._named):
            return [
                value if type(value) in one.as_it_is else one.convert(value, one.where)
                for one, value in zip(self._named, args, strict=False)
            ]
        if not self._is_last_keywords(args):
            return list(self._converted(args))
        where = f"arguments[{len(args) - 1}]"
        members = cast("dict[str, object]", args[-1])
        return [*self._converted(args[:-1]), Keywords(self._converted_keywords(members, where))]

    def _is_last_keywords(self, args: Sequence[object]) -> bool:
        """Whether the last argument is the object for keyword-only parameters.

        It follows all that are positional. Behind ``*rest``, where nothing else tells, it is one
        if it has no other members than these parameters.
        """
        if not self.takes_keywords or not args or not isinstance(args[-1], dict):
            return False
        if len(args) <= len(self._named):
            return False
        if self._rest is None:
            return len(args) == len(self._named) + 1
        return self._keywords.keys() >= cast("dict[object, object]", args[-1]).keys()

    def _converted_keywords(
        self, members: Mapping[str, object], where: str
    ) -> Iterator[tuple[str, object]]:
        for name, value in members.items():
            parameter = self._keywords.get(name, self._others)
            at = f"{where}.{name}"
            yield name, value if parameter is None else parameter.convert(value, at)

    def _converted(self, args: Sequence[object]) -> Iterator[object]:
        for at, value in enumerate(args):
            parameter = self._named[at] if at < len(self._named) else self._rest
            yield value if parameter is None else parameter.convert(value, f"arguments[{at}]")


def _spared(parameter: inspect.Parameter) -> tuple[type[UsageError], ...]:
    """Errors that do not refuse it: a parameter with a default may be for Python callers only."""
    return () if parameter.default is parameter.empty else (UsageError,)


class _Parameter:
    def __init__(
        self,
        function: Callable[..., object],
        parameter: inspect.Parameter,
        step_id: str,
        where: str = "",
    ) -> None:
        self.where = where  # an argument for it is among positional ones
        self._function = function
        self._name = parameter.name
        self._step_id = step_id
        self._default: object = parameter.default
        self._around: Mapping[str, object] | None = _names_around(function)
        self._converter: Converter | None = None
        self.as_it_is: frozenset[type] = frozenset()  # types of values that need no conversion
        with contextlib.suppress(NameError):  # of a class further down in the module, perhaps
            self._converter = self._read()
        if self._converter is not None:
            self._around = None

    def convert(self, value: object, where: str) -> object:
        if self._converter is None:
            self._converter = self._read_again(where)
        if value is UNDEFINED and self._default is not inspect.Parameter.empty:
            return self._default
        return self._converter(value, where)

    def _read(self) -> Converter:
        try:
            annotation = annotation_of(self._function, self._name, self._around)
            converted = converter(annotation)
        except NameError:
            raise
        except Exception as exc:  # an annotation is an expression: it may raise anything
            reason = str(exc) if isinstance(exc, TypeError) else f"{type(exc).__name__}: {exc}"
            raise UsageError(
                f"step {self._step_id}: parameter {self._name!r} cannot be converted: {reason}"
            ) from exc
        self.as_it_is = unconverted_types(annotation)
        return converted

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
    function: Callable[..., object], name: str, around: Mapping[str, object] | None = None
) -> Any:
    """The evaluated annotation of one parameter, or of ``return``; ``Any`` if it has none.

    Args:
        around: names that it may use besides those of its module.

    Raises:
        NameError: it names something that is not defined.
    """
    annotations = _written(function)
    if name not in annotations:
        return Any
    holder = type("annotation", (), {"__annotations__": {name: annotations[name]}})
    inner = inspect.unwrap(function)
    module = getattr(inner, "__globals__", {})
    variables = {kind.__name__: kind for kind in getattr(inner, "__type_params__", ())}
    names = {**module, **(around or {}), **variables} if around or variables else module
    return typing.get_type_hints(holder, globalns=names, include_extras=True)[name]


def _names_around(function: Callable[..., object]) -> Mapping[str, object]:
    """The names of the function that *function* is being defined in."""
    outer, within, _ = getattr(inspect.unwrap(function), "__qualname__", "").rpartition(
        ".<locals>."
    )
    frame = inspect.currentframe() if within else None
    while frame is not None and frame.f_code.co_qualname != outer:
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)


def _written(function: Callable[..., object]) -> Mapping[str, object]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(function)
