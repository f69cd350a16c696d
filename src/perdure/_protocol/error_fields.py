"""Error fields: the parts of an exception that cross to JavaScript. Pure.

The time at which a ``RetryableError`` is to be tried again crosses as ``retryAfter``, a Date, as
its twin in JavaScript has it.
"""

# Members of a group are of any kind:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..errors import GuestError, RetryableError
from ..values import Instance
from .tracebacks import user_traceback

__all__ = ("error_fields",)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def error_fields(error: BaseException, *, now_ms: int | None = None) -> dict[str, object]:
    """The parts of an error that cross.

    Args:
        now_ms: when it was raised; without it a wait that is counted from then does not cross.
    """
    fields: dict[str, object]
    if isinstance(error, GuestError):
        fields = {"name": error.name, "message": error.text, "stack": error.stack}
        optional: dict[str, object] = {
            "errors": list(error.errors),
            "fatal": error.fatal,
            "props": error.props,
        }
        if isinstance(error.instance, Instance):
            optional["class"] = [error.instance.class_id, error.instance.data]
        cause = error.cause if error.cause is not None else error.__cause__
    else:
        fields = {"name": type(error).__name__, "message": str(error)}
        fields["stack"] = user_traceback(error)
        members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        optional = {
            "errors": list(members),
            "fatal": getattr(error, "fatal", False) is True,
        }
        if isinstance(error, RetryableError):
            optional["props"] = _retry_props(error, now_ms)
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        fields["cause"] = cause
    fields.update({key: item for key, item in optional.items() if item})
    if not fields["stack"]:
        del fields["stack"]
    return fields


def _retry_props(error: RetryableError, now_ms: int | None) -> dict[str, object]:
    after = error.retry_after
    if isinstance(after, datetime):
        return {"retryAfter": after - timedelta(microseconds=after.microsecond % 1000)}
    if after is None or now_ms is None:
        return {}
    try:
        wait = after if isinstance(after, timedelta) else timedelta(seconds=after)
        ms = now_ms + round(wait / _MILLISECOND)
        return {"retryAfter": _EPOCH + timedelta(milliseconds=ms)}
    except OverflowError:
        return {"retryAfter": _LATEST}
