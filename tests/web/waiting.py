"""Runs that wait at a webhook, written straight into a world: no guest takes part."""

from __future__ import annotations

from perdure import Run, start
from perdure._protocol.codec import decode, encode
from perdure.abc import World
from perdure.model import EntityId, Event, EventType, HookClaim, TurnCommit
from perdure.values import Request, Response
from tests.web.flows import WORKFLOWS

__all__ = ("answer", "requests_of", "wait_at", "waiting_run", "webhook_path")


def webhook_path(token: str) -> str:
    """The route of a webhook."""
    return f"/.well-known/workflow/v1/webhook/{token}"


async def waiting_run(
    world: World,
    token: str,
    respond_with: object = None,
    *,
    is_webhook: bool = True,
    base_url: str | None = None,
) -> Run:
    """A run that waits at a hook with this token."""
    run = await start(WORKFLOWS["sleep"], world=world, base_url=base_url)
    await wait_at(world, run, token, respond_with, is_webhook=is_webhook)
    return run


async def wait_at(
    world: World, run: Run, token: str, respond_with: object = None, *, is_webhook: bool = True
) -> None:
    """Have the run wait at a hook with this token, too."""
    record = await run.info()
    hook_id = EntityId(f"hook_{record.turn + 1}")
    metadata = encode({"respondWith": respond_with, "metadata": None}, where="metadata")
    claim = HookClaim(hook_id=hook_id, token=token, metadata=metadata, is_webhook=is_webhook)
    created = Event(
        type=EventType.HOOK_CREATED,
        key=f"{hook_id}/created",
        at_ms=world.now_ms(),
        entity=hook_id,
        facts={"token": token, "webhook": is_webhook, "at": "flow.ts:1:1"},
    )
    commit = TurnCommit(
        run_id=run.id,
        commit_id=f"{run.id}-{hook_id}",
        turn=record.turn,
        expected_position=record.position,
        consumed=1,
        log_digest=b"digest",
        events=(created,),
        hooks_claimed=(claim,),
    )
    await world.storage.commit(commit)


async def requests_of(run: Run) -> list[Request]:
    """The payloads that the run's hook received."""
    requests: list[Request] = []
    async for logged in run.events():
        if logged.event.type is EventType.HOOK_RECEIVED:
            request: object = decode(logged.event.payload or b"")
            assert isinstance(request, Request)
            requests.append(request)
    return requests


async def answer(world: World, run: Run, request: Request, response: Response) -> None:
    """Answer as a step does."""
    assert request.reply is not None
    chunk = encode(response, where="response")
    await world.streams.append(run.id, request.reply, [chunk], writer="step_1", sequence=0)
    await world.streams.close(run.id, request.reply)
