"""Failures: whether an error that a step's body raised allows another attempt, and when.

An error is code of its author's: its text, its attributes and the members of a group may raise
themselves. They do so here, and ``step_handler`` makes one failure of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ..._core.retries import delay_ms
from ...errors import FatalError, GuestError, RetryableError, ThrownValueError
from ..payloads import text_of
from ..step_options import StepOptions

__all__ = ("asked_delay_ms", "exhausted", "is_fatal", "unhandled")

_FATAL = ("FatalError", "AbortError")  # by name: the class may be another package's
_name_of = type.__dict__["__name__"].__get__  # a metaclass may have another
_DEFAULT = StepOptions()
_SHOWN = 2000  # characters of each text in an error that names two


def is_fatal(error: BaseException, options: StepOptions = _DEFAULT) -> bool:
    """Whether no retry will help: it, or in a group any member at any depth, says so.

    Else the step's options decide: ``fatal_on`` names it, or ``retry_on`` names others. A group is
    retried if all of its members are. A ``RetryableError`` asks for a retry by itself.
    """
    members = list(_members(error))
    if any(
        _own_name(one) in _FATAL
        or getattr(one, "fatal", False) is True
        or isinstance(one, options.fatal_on)
        for one in members
    ):
        return True
    if options.retry_on is None or isinstance(error, options.retry_on):
        return False
    wanted = (RetryableError, BaseExceptionGroup, *options.retry_on)
    return not all(isinstance(one, wanted) for one in members)


def asked_delay_ms(error: BaseException, *, now_ms: int) -> int | None:
    """How long it asks to wait; of a group the longest wait that a member asks for."""
    waits = [wait for one in _members(error) if (wait := _retry_after(one)) is not None]
    return max([_delay_ms(wait, now_ms) for wait in waits], default=None)


def exhausted(step_id: str, error: BaseException, *, retries: int) -> Exception:
    """The failure of a step whose retries are used up; its cause is the last error, or value."""
    count = "1 retry" if retries == 1 else f"{retries} retries"
    text = error.text if isinstance(error, GuestError) else text_of(error)
    message = f"step {step_id} failed after {count}: {text or _own_name(error)}"
    if isinstance(error, ThrownValueError):
        return GuestError(name="FatalError", message=message, cause=error.value, fatal=True)
    failure = FatalError(message)
    failure.__cause__ = error
    return failure


def unhandled(step_id: str, error: BaseException, second: BaseException) -> FatalError:
    """The failure of a step whose *error* could not be handled, because of *second*.

    Refers to neither: they may raise wherever they are looked at.
    """
    both = [_named(one) for one in (error, second)]
    failure = FatalError(
        f"step {step_id} failed with {both[0]}, and handling that failed with {both[1]}"
    )
    failure.__cause__ = both[0]
    both[0].__cause__ = both[1]
    return failure


def _named(error: BaseException) -> GuestError:
    """Its name and text, as far as it tells."""
    try:
        text = text_of(error)[:_SHOWN]
    except BaseException:
        text = "(it cannot be printed)"
    return GuestError(name=_name_of(type(error)), message=text)


def _own_name(error: BaseException) -> str:
    """Its class, or that of the error in JavaScript which it is."""
    return error.name if isinstance(error, GuestError) else type(error).__name__


def _retry_after(error: BaseException) -> float | timedelta | datetime | None:
    """How long it asks to wait; of an error in JavaScript, its property says so."""
    if isinstance(error, RetryableError):
        return error.retry_after
    if isinstance(error, GuestError) and error.name == "RetryableError":
        after = error.props.get("retryAfter")
        return after if isinstance(after, datetime) and after.tzinfo is not None else None
    return None


def _members(error: BaseException) -> Iterator[BaseException]:
    """The error, and those in it if it is a group."""
    visits, waiting = set[int](), [error]
    while waiting:
        one = waiting.pop()
        if id(one) in visits:
            continue
        visits.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            # A group of anything.
            waiting.extend(one.exceptions)  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]


def _delay_ms(after: float | timedelta | datetime, now_ms: int) -> int:
    if isinstance(after, datetime):
        after = after - datetime.fromtimestamp(now_ms / 1000, UTC)  # by the world's clock
    return delay_ms(after.total_seconds() if isinstance(after, timedelta) else after)
