"""Hooks: which run may hold a hook's token, in an object for each token.

The object only bars others; whether a run holds the token is said by its head. A run claims the
object after it has read the version of its head that it is about to replace, and with a new mark
each time. So a run that takes over from another whose head does not hold the token writes that head
again first: no write that relies on an earlier claim can land after that, and a later claim changes
the object under the one who takes over. Doubt is an error that may be retried, never a conflict.

A run that is refused takes its objects away. Not those that had its own name before, for another
commit of the run may rely on them; nor where a write that holds them may land yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import anyio

from perdure.errors import HookNotFoundError, WorldUnavailableError
from perdure.model import HookRecord, RunId
from perdure.worldkit.pure import REVOKE_LEVEL, is_blocking

from ._cas import UNCHANGED, Cas, Refusal
from ._head import Claimed, Head
from ._heads import Heads
from ._index import GUARD_MS
from ._page import Page
from ._schema import Layout, dumps, loads, new_mark, readable

__all__ = ("Hooks",)

_TRIES = 20
_PATIENCE = 0.05  # seconds for a run that is just claiming to land
_CREATION = 5.0  # seconds for a run that is just being created with the token


@dataclass(frozen=True, slots=True)
class _Object:
    run_id: RunId
    claim: bytes
    at_ms: int
    before: RunId | None  # whose token it was when it was claimed by force, and is until that lands
    etag: str


@final
class Hooks:
    """The tokens of one open world."""

    def __init__(self, cas: Cas, runs: Heads) -> None:
        self._cas = cas
        self._runs = runs

    async def find(self, token: str, *, now_ms: int) -> HookRecord:
        """The hook that holds *token* now.

        Raises:
            HookNotFoundError: nobody.
        """
        for _ in range(2):  # again where it may be changing hands just now
            reply = await self._read(token)
            if reply is None:
                break
            for run_id in (reply.run_id, reply.before):
                head = None if run_id is None else await self._runs.read(run_id)
                hook = None if head is None else _blocking(head, token, now_ms=now_ms)
                if hook is not None:
                    return hook
        raise HookNotFoundError(token)

    async def claim(self, page: Page, token: str, *, force: bool = False) -> HookRecord | None:
        """Claim *token* for the run that *page* changes. Returns another run's hook that has it.

        With *force* the token is claimed even so, unless that run cannot be told: it remains its
        holder's until the claim lands.

        Raises:
            WorldUnavailableError: its holder cannot be told now.
        """
        if page.found is not None and token in page.found.hooks:
            return None
        for _ in range(_TRIES):
            mark, own = new_mark(), True
            hook: HookRecord | None = None
            body = _body(page, mark, token, None)
            etag = await self._cas.create(Layout.token(token), body)
            if isinstance(etag, Refusal):
                reply = await self._read(token)
                if reply is None:
                    if etag is Refusal.DOUBTFUL:
                        break
                    continue
                if reply.claim == mark:
                    etag = reply.etag
                else:
                    hook = await self._holder(reply, token, page)
                    if hook is not None and not (force and hook.level >= REVOKE_LEVEL):
                        return hook
                    own = reply.run_id != page.run_id or page.reserved.get(token) == reply.etag
                    own = own and hook is None
                    body = _body(page, mark, token, hook)
                    etag = await self._cas.replace(Layout.token(token), body, reply.etag)
            if etag is Refusal.DOUBTFUL:
                reply = await self._read(token)
                if reply is None or reply.claim != mark:
                    break
                etag = reply.etag
            if not isinstance(etag, Refusal):
                page.granted[token] = Claimed(mark, etag)
                page.reserved.pop(token, None)
                if own:
                    page.reserved[token] = etag
                return hook
        raise WorldUnavailableError(f"hook token {token!r} could not be claimed now; try again")

    async def _read(self, token: str) -> _Object | None:
        data = await self._cas.get(Layout.token(token))
        if data is None or data is UNCHANGED:
            return None
        with readable(f"the object of hook token {token!r}"):
            run_id, claim, at_ms, _, before = loads(data.body)
        return _Object(RunId(run_id), claim, at_ms, before, data.etag)

    async def _holder(self, reply: _Object, token: str, page: Page) -> HookRecord | None:
        """Another run's hook that has the token, if there is one."""
        if reply.run_id != page.run_id:
            hook = await self._bar(reply, token, page)
            if hook is not None:
                return hook
        if reply.before is None or reply.before == page.run_id:
            return None
        head = await self._runs.read(reply.before)
        return None if head is None else _blocking(head, token, now_ms=page.now_ms)

    async def _bar(self, reply: _Object, token: str, page: Page) -> HookRecord | None:
        """The other run's hook; None once that run cannot land a claim it made before.

        Or once it has let go of the object, which is not as it was read then.
        """
        head = await self._runs.read(reply.run_id)
        if head is None and page.now_ms >= reply.at_ms + GUARD_MS:
            return None  # who was creating it has died
        until = anyio.current_time() + _CREATION
        while head is None:
            if anyio.current_time() > until:
                raise WorldUnavailableError(
                    f"hook token {token!r} is claimed by run {reply.run_id}, which is not there "
                    f"yet; try again"
                )
            await anyio.sleep(_PATIENCE)
            latest = await self._read(token)
            if latest is None or latest.claim != reply.claim:
                return None
            head = await self._runs.read(reply.run_id)
        for patience in (_PATIENCE, 0.0):
            hook = _blocking(head, token, now_ms=page.now_ms)
            if hook is not None:
                return hook
            if head.record.status.is_ended:
                return None
            if patience:
                await anyio.sleep(patience)
                head = await self._runs.read(reply.run_id) or head
            elif await self._runs.bump(head):
                return None
        raise WorldUnavailableError(f"run {reply.run_id}, which had {token!r}, moves on; try again")


def _body(page: Page, mark: bytes, token: str, hook: HookRecord | None) -> bytes:
    """The object of a token that this run claims from *hook*, if that has it."""
    return dumps([page.run_id, mark, page.now_ms, token, None if hook is None else hook.run_id])


def _blocking(head: Head, token: str, *, now_ms: int) -> HookRecord | None:
    """The run's hook that has the token, if nobody else may have it now."""
    hook, has_ended = head.hooks.get(token), head.record.status.is_ended
    if hook is None or not is_blocking(hook, has_ended=has_ended, now_ms=now_ms):
        return None
    return hook
