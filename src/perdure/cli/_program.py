"""Program: the outermost command. Usage errors and defects are told as all text is: as data."""

from __future__ import annotations

import traceback
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from ..display import shown_text
from ._errors import DEFECT
from ._output import help_unread_in_peace, say

__all__ = ("Program",)

E = TypeVar("E", bound=Exception)


class Program(TyperGroup):
    """All commands."""

    def make_context(self, *args: Any, **named: Any) -> Any:
        """The context of the arguments. Raises a usage error whose message can be shown."""
        try:
            with help_unread_in_peace():
                return super().make_context(*args, **named)
        except Exception as exc:
            raise _displayable(exc) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an exception that it has no message for ends it with ``DEFECT``."""
        try:
            with help_unread_in_peace():
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as exc:
            if hasattr(exc, "format_message"):
                raise _displayable(exc) from None
            say("".join(traceback.format_exception(exc)))
            say("error: this is a defect of perdure; please report it with the lines above")
            raise typer.Exit(DEFECT) from None


def _displayable(error: E) -> E:
    """A usage error, whose message may repeat an argument."""
    if isinstance(message := getattr(error, "message", None), str):
        error.message = shown_text(message)  # type: ignore[attr-defined]  # looked for above
    return error
