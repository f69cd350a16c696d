"""Log fields: the attributes of every record about a run or a step, beside its text.

``run_id``, ``step_id`` (the id that ``step_metadata().id`` returns), ``step``, ``attempt``, and
``event`` where the record is one of a run's life: ``step_retrying``, ``step_failed``,
``run_failed``. Records of the logger ``perdure`` have all of them; None is not known.
"""

from __future__ import annotations

from typing import TypeAlias

from .._protocol.codec import decode_error
from ..errors import GuestError
from .payloads import text_of

__all__ = ("Fields", "first_line", "of_item", "of_run", "of_step", "of_task", "told_by")

_name_of = type.__dict__["__name__"].__get__  # a metaclass may have another
_LONGEST = 300  # characters of an error in a line

Fields: TypeAlias = "dict[str, object]"


def of_run(run_id: str, *, event: str | None = None) -> Fields:
    """The fields of a record about a run."""
    return {"run_id": run_id, "event": event}


def of_step(
    step_id: str, *, step: str | None = None, attempt: int | None = None, event: str | None = None
) -> Fields:
    """The fields of a record about a step; *step_id* is the run's id, a slash and a name."""
    run_id = step_id.rpartition("/")[0]
    return {
        "run_id": run_id,
        "step_id": step_id,
        "step": step,
        "attempt": attempt,
        "event": event,
    }


def of_item(item: str, *, is_wake: bool) -> Fields:
    """The fields of a record about a claim."""
    return of_run(item) if is_wake else of_step(item)


def of_task(name: str) -> Fields:
    """The fields of a record about a step's task, by its name."""
    step, mark, item = name.removesuffix(")").rpartition(" (")
    return of_step(item, step=step) if mark and "/" in item else {}


def first_line(error: BaseException) -> str:
    """An error's name and the first line of its text, as far as it tells. Raises nothing."""
    name: str = _name_of(type(error))
    try:
        text = text_of(error)
    except BaseException:  # of a user's class
        return name
    lines = text[: 2 * _LONGEST].strip().splitlines()
    line = lines[0][:_LONGEST] if lines else ""
    return f"{name}: {line}" if line else name


def told_by(payload: bytes) -> GuestError | None:
    """The error in a failure's payload, for a record's traceback; None if it was raised nowhere.

    The error itself may take for ever to be written out; its payload has a bound.
    """
    error = decode_error(payload)
    cause = error.cause
    if not error.stack and not (isinstance(cause, GuestError) and cause.stack):
        return None  # a step's timeout, say: the record's line has all there is
    return _with_stack(error, cause)


def _with_stack(error: GuestError, cause: object) -> GuestError:
    copy = GuestError(name=error.name, message=f"{error.text}\n{error.stack}".strip())
    if isinstance(cause, GuestError):
        copy.__cause__ = _with_stack(cause, None)
    return copy
