"""Hook types: payloads that are checked where they are sent.

A schema is a class or annotation that pydantic reads, or a function of the user's. Pydantic is
imported when a payload is first checked by it.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar, cast, final

from ..abc import World
from ..errors import HookPayloadError, UsageError
from .arguments import checked_text
from .hooks import Hook, resume_hook

__all__ = ("HookType", "hook_type")

T = TypeVar("T")
Schema: TypeAlias = type[T] | Callable[[Any], T]


@final
class HookType(Generic[T]):
    """A kind of hook, whose payloads have a schema.

    Args:
        name: for people, in errors.
        schema: as of ``hook_type``, which makes these.
    """

    def __init__(self, name: str, schema: Schema[T]) -> None:
        self.name = name
        self._schema = schema
        self._check: Callable[[object], T] | None = None  # made when it is first needed

    def __repr__(self) -> str:
        return f"<HookType {self.name}>"

    def check(self, payload: object) -> T:
        """The *payload* as the schema has it.

        Raises:
            HookPayloadError: it does not match the schema; lists each issue with its path.
            UsageError: pydantic cannot read the schema.
        """
        if self._check is None:
            self._check = _checker(self.name, self._schema)
        return self._check(payload)

    async def resume(
        self,
        token: str | Hook,
        payload: object,
        *,
        resume_id: str | None = None,
        world: World | None = None,
    ) -> Hook:
        """Check a *payload*, and send it; what the schema makes of it crosses.

        The *token*, *resume_id* and *world* are those of ``resume_hook``.

        Raises:
            HookPayloadError: it does not match the schema; nothing was sent.
            HookNotFoundError: no live hook has the token; nothing was sent.
            ValueNotCarriableError: the payload cannot cross to JavaScript; names its path.
        """
        return await resume_hook(token, self.check(payload), resume_id=resume_id, world=world)


def hook_type(name: str, schema: Schema[T]) -> HookType[T]:
    """A kind of hook whose payloads are checked, and converted, before they are sent.

    Args:
        name: for people, in errors.
        schema: a pydantic model, dataclass, TypedDict or other annotation; or a function that
            returns the value to send, and raises ``ValueError`` or ``TypeError`` for a payload
            that does not match.

    Raises:
        UsageError: *schema* is neither, or an async function.
    """
    checked_text("name", name)
    if inspect.iscoroutinefunction(schema):
        raise UsageError(f"hook_type({name!r}): its schema is an async function; write a plain one")
    if not _is_annotation(schema) and not callable(schema):
        kind = type(schema).__name__
        raise UsageError(
            f"hook_type({name!r}): a schema is a pydantic model, dataclass, TypedDict or function, "
            f"not a value of type {kind}"
        )
    return HookType(name, schema)


def _is_annotation(schema: object) -> bool:
    return isinstance(schema, type) or typing.get_origin(schema) is not None


def _checker(name: str, schema: Schema[T]) -> Callable[[object], T]:
    if not _is_annotation(schema):
        return _by_function(name, cast("Callable[[object], T]", schema))
    from .hook_schema import by_pydantic  # takes a tenth of a second

    return cast("Callable[[object], T]", by_pydantic(name, schema))


def _by_function(name: str, function: Callable[[object], T]) -> Callable[[object], T]:
    def check(payload: object) -> T:
        try:
            return function(payload)
        except (ValueError, TypeError, AssertionError) as exc:
            raise HookPayloadError(name, issues=_issues_of(exc)) from exc

    return check


def _issues_of(error: Exception) -> list[tuple[str, str]]:
    """The issues that an error of a user's function tells; of pydantic's, each."""
    if hasattr(error, "errors"):  # then pydantic, if it is pydantic's, was imported by the function
        from .hook_schema import issues_of

        return issues_of(error)
    return [("payload", str(error) or type(error).__name__)]
