"""Errors that the author of a workflow or step must act on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from .._duration import duration_of
from ._root import UsageError, UserCodeError, text_of

__all__ = (
    "AbortError",
    "AttributeLimitError",
    "CompileError",
    "FatalError",
    "FruitlessTurnsError",
    "GuestError",
    "RetryableError",
    "RunCancelledError",
    "RunFailedError",
    "StepLimitError",
    "StepLostError",
    "StepNotRegisteredError",
    "StepStalledError",
    "StepTimeoutError",
    "ThrownValueError",
    "ValueNotCarriableError",
)


class FatalError(UserCodeError):
    """Raise it in a step to fail the step at once, without a retry."""

    fatal: ClassVar[bool] = True

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class AbortError(UserCodeError):
    """A signal was aborted: the work of the step is no longer wanted, and no retry follows.

    Args:
        reason: that of the signal; text of it is the message.
    """

    fatal: ClassVar[bool] = True

    def __init__(self, reason: object = None) -> None:
        text = reason.text if isinstance(reason, GuestError) else "it was aborted"
        super().__init__(reason if isinstance(reason, str) else text)
        self.reason = reason
        self.__cause__: BaseException | None = reason if isinstance(reason, GuestError) else None


class AttributeLimitError(FatalError):
    """An attribute is too long, its name is reserved or empty, or the run would have too many."""


class RetryableError(UserCodeError):
    """Raise it in a step to say when to try again.

    Args:
        retry_after: seconds, a ``timedelta``, an aware ``datetime``, or a text as ``sleep`` of a
            workflow takes it (``"5 minutes"``); None means the wait of the step's policy, one
            second by default. A wait asked for is at least one second and at most a hundred years.

    Raises:
        UsageError: *retry_after* is none of these.
    """

    def __init__(
        self, message: str = "", *, retry_after: float | timedelta | datetime | str | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after: float | timedelta | datetime | None = _wait(retry_after)


def _wait(after: object) -> float | timedelta | datetime | None:
    """The wait that is meant.

    Raises:
        UsageError: it is not clear which.
    """
    match after:
        case None | timedelta():
            return after
        case datetime():
            if after.tzinfo is not None:
                return after
            reason = "a naive datetime names no instant; write datetime.now(UTC) + …"
        case str():
            if (wait := duration_of(after)) is not None:
                return wait
            reason = 'a text names a duration, such as "30s", "5 minutes" or "1h 30m"'
        case int() | float():
            if -math.inf < after < math.inf:
                return after
            reason = "a number of seconds is finite"
        case _:
            reason = "it is seconds, a timedelta, an aware datetime or a text"
    raise UsageError(f"retry_after={after!r}: {reason}")


class StepLostError(UserCodeError):
    """A worker died while it ran the step, and the step must not run twice."""

    fatal: ClassVar[bool] = True

    def __init__(self, step: str, *, lost: int) -> None:
        super().__init__(
            f"step {step!r} was handed out and its worker was lost {lost} time{'s' * (lost != 1)}, "
            f"or its result; it may have run. Raise max_retries if running it again is safe."
        )
        self.step = step
        self.lost = lost


class FruitlessTurnsError(UserCodeError):
    """No turn of a run landed, however often workers tried; its cause is how the last one ended."""

    def __init__(self, run_id: str, *, claims: int) -> None:
        super().__init__(
            f"run {run_id} was taken up {claims} times since its last commit and no turn of it "
            f"landed: each failed, or its worker died or was cut off. Mend that and start the run "
            f"anew: perdure rerun {run_id}"
        )
        self.run_id = run_id
        self.claims = claims


class StepLimitError(UserCodeError):
    """An execution of a JavaScript step went past one of its limits, ``perdure.StepLimits``."""

    fatal: ClassVar[bool] = True

    def __init__(self, reason: str) -> None:
        super().__init__(f"the step went past a limit: {reason}")
        self.reason = reason


class StepStalledError(UserCodeError):
    """A JavaScript step awaits a promise that nothing can settle any more."""

    def __init__(self, step: str) -> None:
        super().__init__(
            f"step {step!r} awaits a promise, and there is no timer, request or stream that could "
            f"settle it; resolve or reject each promise that the step makes"
        )
        self.step = step


class ThrownValueError(UserCodeError):
    """A JavaScript step threw a value that is no error."""

    def __init__(self, value: object) -> None:
        super().__init__(str(value)[:2000])
        self.value = value


class StepTimeoutError(UserCodeError):
    """A step ran longer than its ``timeout``."""

    def __init__(self, step: str, *, timeout: timedelta) -> None:
        super().__init__(f"step {step!r} ran longer than its timeout of {timeout}")
        self.step = step
        self.timeout = timeout


class CompileError(UserCodeError):
    """The workflow's source was not understood; every diagnostic names file, line and column."""

    def __init__(self, diagnostics: Sequence[object]) -> None:
        super().__init__("\n\n".join(str(d) for d in diagnostics))
        self.diagnostics: tuple[object, ...] = tuple(diagnostics)


class GuestError(UserCodeError):
    """An error value that came from JavaScript (or crossed it), as data.

    Attributes:
        instance: the ``perdure.values.Instance`` that it is as well, if its class crosses.
    """

    def __init__(
        self,
        *,
        name: str,
        message: str,
        stack: str = "",
        cause: object = None,
        errors: Sequence[object] = (),
        fatal: bool = False,
        props: dict[str, object] | None = None,
        instance: object = None,
    ) -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name
        self.text = message
        self.stack = stack
        self.cause = cause
        self.errors: tuple[object, ...] = tuple(errors)
        self.fatal = fatal
        self.props: dict[str, object] = dict(props or {})
        self.instance = instance


class ValueNotCarriableError(UserCodeError):
    """A value that cannot cross between Python and JavaScript."""

    fatal: ClassVar[bool] = True

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot carry the value at {path}: {reason}")
        self.path = path
        self.reason = reason


class RunFailedError(UserCodeError):
    """The run ended in failure. Its text is one line; further lines are a note of it.

    Attributes:
        error: a ``GuestError``, or the value that the workflow threw if that is no error.
        stack: the workflow's stack, naming the user's own files and lines.
        code: the kind of failure, such as ``"USER_ERROR"``: one of ``perdure.model.RunCode``.
    """

    def __init__(
        self, run_id: str, *, error: object, stack: str = "", code: str | None = None
    ) -> None:
        line, *more = text_of(error).split("\n")
        super().__init__(f"run {run_id} failed: {line}")
        if details := "\n".join([*more, stack]).strip("\n"):
            self.add_note(details)
        self.run_id = run_id
        self.error = error
        self.stack = stack
        self.code = code


class RunCancelledError(UserCodeError):
    """The run was cancelled; *reason* is the text that came with that, or None."""

    def __init__(self, run_id: str, *, reason: str | None) -> None:
        super().__init__(f"run {run_id} was cancelled" + (f": {reason}" if reason else ""))
        self.run_id = run_id
        self.reason = reason


class StepNotRegisteredError(UserCodeError):
    """No worker that was asked has this step."""

    def __init__(self, step: str, *, known: Sequence[str] = ()) -> None:
        listed = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"step {step!r} is not registered here (registered: {listed}); import its module in "
            f"the worker, e.g. perdure worker --steps {step.partition(':')[0]}"
        )
        self.step = step
        self.known: tuple[str, ...] = tuple(known)
