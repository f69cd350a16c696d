"""Steps: Python functions a workflow can call, and how they are found by id.

A step's id is ``module:qualname`` unless it is named; ``import { f } from "python:pkg.mod"`` in
a workflow means the id ``pkg.mod:f``, also where that file is run as a program. Decorating
registers; a worker takes all that are registered in its process, or those it is given.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import (
    ClassVar,
    Generic,
    ParamSpec,
    TypeAlias,
    TypeVar,
    cast,
    final,
    overload,
)

from ..errors import UsageError
from .arguments import iterable
from .parameters import Parameters
from .returns import Returns
from .step_options import DEFAULT_QUEUE, StepOptions, checked_name, checked_options

__all__ = (
    "JS_TOPICS",
    "SCRIPT_MARK",
    "AnyStep",
    "Step",
    "collect_steps",
    "js_topic_of",
    "main_name",
    "registered_steps",
    "step",
    "topic_of",
    "topics_of",
)

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
SCRIPT_MARK = "step//"  # how the id of a step in JavaScript begins
JS_TOPICS = "js:"  # and the topics of their queues


@final
class Step(Generic[P, R_co]):
    """A registered step, made by ``@step``. Called directly it is the plain function it wraps.

    Args:
        function: the body.
        step_id: the id by which workflows call it.
        options: retries, timeout and queue, checked.
    """

    perform: ClassVar[None] = None  # a ``Script`` has a method here, and no function

    def __init__(self, function: Callable[P, R_co], *, step_id: str, options: StepOptions) -> None:
        self.function = function
        self.id = step_id
        self.options = options
        self.is_async: bool = inspect.iscoroutinefunction(function)
        self.signature: inspect.Signature = inspect.signature(function)
        self.topic: str = topic_of(step_id, options.queue)  # of the queue its messages go to
        self.parameters: Parameters = Parameters(function, self.signature, step_id=step_id)
        self.returns: Returns = Returns(function)
        self._accepted: set[int] = set()  # numbers of arguments it can be called with
        self.__name__: str = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Step {self.id} max_retries={self.options.max_retries}>"

    def check_call(self, args: Sequence[object], keywords: Mapping[str, object]) -> None:
        """Pass arguments that the function can be called with.

        Args:
            args: the positional ones.
            keywords: the others, by name.

        Raises:
            TypeError: there are too few, too many or others; says which.
        """
        if keywords or self.parameters.takes_keywords:
            self.signature.bind(*args, **keywords)
        elif len(args) not in self._accepted:
            self.signature.bind(*args)
            self._accepted.add(len(args))


AnyStep: TypeAlias = "Step[..., object]"
ErrorTypes: TypeAlias = "type[BaseException] | Iterable[type[BaseException]]"

_registered: dict[str, AnyStep] = {}


def topic_of(step_id: str, queue: str = DEFAULT_QUEUE) -> str:
    """The queue topic of a step's messages: queue name and step id."""
    return f"{queue}/{step_id}"


def js_topic_of(queue: str = DEFAULT_QUEUE) -> str:
    """The queue topic of all steps in JavaScript of a queue."""
    return f"{JS_TOPICS}{queue}"


def topics_of(steps: Iterable[AnyStep], queues: Collection[str]) -> set[str]:
    """The topics of these steps that are of one of the queues, and of steps in JavaScript.

    A worker that does not know a step sends its message to the default queue.
    """
    served = [one for one in steps if one.options.queue in queues]
    scripts = {js_topic_of(queue) for queue in queues}
    return scripts.union(topic for one in served for topic in (one.topic, topic_of(one.id)))


def registered_steps() -> Mapping[str, AnyStep]:
    """Every step decorated in this process, by id."""
    return dict(_registered)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    max_retries: int = 3,
    retry_delay: float | timedelta = 1.0,
    backoff: float = 1.0,
    max_delay: float | timedelta | None = None,
    jitter: float = 0.0,
    retry_on: ErrorTypes | None = None,
    fatal_on: ErrorTypes = (),
    timeout: float | timedelta | None = None,
    queue: str = DEFAULT_QUEUE,
    cancellable: bool = False,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    max_retries: int = 3,
    retry_delay: float | timedelta = 1.0,
    backoff: float = 1.0,
    max_delay: float | timedelta | None = None,
    jitter: float = 0.0,
    retry_on: ErrorTypes | None = None,
    fatal_on: ErrorTypes = (),
    timeout: float | timedelta | None = None,
    queue: str = DEFAULT_QUEUE,
    cancellable: bool = False,
) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
    """Make *function*, ``async def`` or ``def``, callable from workflows.

    A plain ``def`` runs in a thread. The body runs at least once; its result counts exactly once.

    Args:
        name: the id; default ``module:qualname``.
        max_retries: retries after a failed first execution; 3 are 4 executions.
        retry_delay: seconds or a ``timedelta`` before the first retry. An error with a
            ``retry_after`` of its own is tried again after that time instead.
        backoff: each further wait is so many times the one before; 2 doubles them.
        max_delay: the longest wait; None is a hundred years.
        jitter: the share of a wait, 0 to 1, by which it may be shorter, so that steps that failed
            together are not tried again together. It follows from the step's id.
        retry_on: errors that are tried again, and no others; None is all that are not fatal.
        fatal_on: errors that fail the step at once, also if ``retry_on`` has them.
        timeout: seconds or a ``timedelta`` for one execution; None is no limit. Past it an
            ``async def`` is cancelled. A plain ``def`` is told by ``timeout_event()``;
            the execution has failed then, its result is dropped, and a retry waits for its end.
        queue: only workers that serve this queue run the step: ``Worker(queues=["gpu"])``.
        cancellable: an ``async def`` is cancelled when an ``AbortSignal`` among its arguments is
            aborted, or its run has ended. It fails with an ``AbortError``, also before it begins.

    Raises:
        UsageError: not a function, an invalid option, or an id taken by another function.
    """
    if name is not None:
        checked_name("name", name)
    options = checked_options(
        max_retries=max_retries,
        retry_delay=retry_delay,
        backoff=backoff,
        max_delay=max_delay,
        jitter=jitter,
        retry_on=retry_on,
        fatal_on=fatal_on,
        timeout=timeout,
        queue=queue,
        cancellable=cancellable,
    )

    def decorate(target: Callable[P, R]) -> Step[P, R]:
        return _register(target, name, options)

    return decorate if function is None else decorate(function)


def _register(target: Callable[P, R], name: str | None, options: StepOptions) -> Step[P, R]:
    if not inspect.isfunction(cast(object, target)):
        raise UsageError(f"@step takes a function, not {target!r}; decorate a def or async def")
    if inspect.isasyncgenfunction(target) or inspect.isgeneratorfunction(target):
        raise UsageError(f"@step takes a function that returns its result; {target!r} yields")
    step_id = name or f"{_module_of(target)}:{target.__qualname__}"
    step = Step(target, step_id=step_id, options=options)
    namesake = _registered.get(step_id)
    if namesake is not None and not _is_same_source(namesake.function, target):
        raise UsageError(
            f"step id {step_id!r} is taken by {namesake.function!r}; give another name="
        )
    _registered[step_id] = cast("AnyStep", step)
    return step


def _is_same_source(namesake: Callable[..., object], target: Callable[..., object]) -> bool:
    # A module that is imported again (a reload, or once as __main__) registers again.
    return (_module_of(namesake), namesake.__qualname__) == (
        _module_of(target),
        target.__qualname__,
    )


def _module_of(target: Callable[..., object]) -> str:
    """The name a workflow imports the function's module by."""
    name = target.__module__
    return main_name(name) if name in ("__main__", "__mp_main__") else name


def main_name(name: str = "__main__") -> str:
    """The name a workflow imports the program itself by."""
    main = sys.modules.get(name)
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m pkg.mod
        return str(spec.name)
    return name if file is None else Path(file).stem


def collect_steps(
    sources: Iterable[AnyStep | ModuleType | Callable[..., Awaitable[object]]] | None,
) -> dict[str, AnyStep]:
    """Steps by id from steps and modules; None means every one registered.

    Raises:
        UsageError: something that is neither a step nor a module.
    """
    if sources is None:
        return dict(_registered)
    by_id: dict[str, AnyStep] = {}
    for source in iterable("steps", sources, "steps=[charge]"):
        if isinstance(source, Step):
            by_id[source.id] = source
        elif isinstance(source, ModuleType):
            values = cast("list[object]", list(vars(source).values()))
            steps = [cast("AnyStep", value) for value in values if isinstance(value, Step)]
            by_id.update((step.id, step) for step in steps)
        else:
            raise UsageError(f"{source!r} is not a step; decorate it with @step")
    return by_id
