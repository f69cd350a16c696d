"""Keyed starts: runs that claim a hook's token as they are created.

The claim is that of ``hook_0``, an id that no hook of the workflow's own has; the guest takes it
for the first hook that the workflow creates with this token.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._model.events import EventType, LoggedEvent
from .._model.hooks import HookClaim
from .._model.ids import EntityId
from ..errors import UsageError
from .arguments import checked_text

__all__ = ("claim_again", "keyed_claim")

_KEYED = EntityId("hook_0")
_MAX_TOKEN = 500  # characters, as of createHook


def keyed_claim(token: object) -> HookClaim | None:
    """The claim of a run that is started with this token; None without one.

    Raises:
        UsageError: no hook can have it.
    """
    if token is None:
        return None
    text = checked_text("hook", token)
    length = len(text.encode("utf-16-le")) // 2
    if not 0 < length <= _MAX_TOKEN:
        raise UsageError(f"hook has {length:,} characters: a token has 1 to {_MAX_TOKEN}")
    return HookClaim(hook_id=_KEYED, token=text)


def claim_again(events: Iterable[LoggedEvent]) -> HookClaim | None:
    """The claim of a run whose log goes on with *events* after its creation, if it was keyed."""
    for logged in events:
        event = logged.event
        if event.type is EventType.HOOK_CREATED and event.entity == _KEYED:
            return keyed_claim(event.facts.get("token"))
    return None
