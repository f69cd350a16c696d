"""Hook schema: payloads against classes and annotations, by pydantic.

Imported only for the first such schema, since pydantic takes a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from .._protocol.typed_dicts import admit_typed_dicts
from ..errors import HookPayloadError, UsageError

__all__ = ("by_pydantic", "issues_of")


def by_pydantic(name: str, schema: object) -> Callable[[object], object]:
    """A function that returns a payload as *schema* has it, or raises ``HookPayloadError``.

    Raises:
        UsageError: pydantic cannot read the schema.
    """
    try:
        admit_typed_dicts(schema)
        adapter = TypeAdapter(cast("type[object]", schema))
        adapter.rebuild()  # of a class whose parts were not all defined yet
    except (PydanticSchemaGenerationError, PydanticUserError, NameError) as exc:
        reason = str(exc).partition("\n")[0]
        raise UsageError(f"hook_type({name!r}): pydantic cannot read its schema: {reason}") from exc

    def check(payload: object) -> object:
        try:
            return adapter.validate_python(payload)
        except ValidationError as exc:
            # Its own text shows the payload, which may be secret.
            raise HookPayloadError(name, issues=issues_of(exc)) from None

    return check


def issues_of(error: Exception) -> list[tuple[str, str]]:
    """Each issue of a validation error: its path and what is wrong there."""
    if not isinstance(error, ValidationError):
        return [("payload", str(error))]
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [("payload" + _path(problem["loc"]), problem["msg"]) for problem in problems]


def _path(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
