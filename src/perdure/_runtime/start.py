"""Start: from a workflow and its arguments to a durable run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from weakref import WeakKeyDictionary

import anyio.to_thread

from .._compiler import Bundle
from .._core.transfer import check_here
from .._model.ids import Digest, RunId
from .._model.runs import NewRun
from .._protocol.codec import encode_scalars
from .._protocol.equality import same_value
from .._protocol.weight import SMALL_BYTES
from .._vm.guest import GuestEngine, default_engine
from ..abc import World
from ..errors import IdempotencyConflictError, RunLiveError, UsageError
from .ambient import meant_world, workers
from .arguments import checked_text
from .attributes import initial_attributes
from .base_url import public_base_url
from .check import check_bundle
from .crossings import tell_crossings
from .fresh_ids import format_id, fresh_id, fresh_secret
from .keyed_starts import claim_again, keyed_claim
from .lineage import with_lineage
from .payloads import do_aside, encode_aside
from .run import Run
from .workflow import Workflow

__all__ = ("run_id_for_key", "start", "start_again")

# Which bundles and engines this process has put into which open world: spares a read per start.
_MAX_KNOWN = 4096  # of each world
_stored: WeakKeyDictionary[World, set[str]] = WeakKeyDictionary()


async def start(
    workflow: Workflow,
    args: Sequence[object] = (),
    *,
    world: World | None = None,
    run_id: str | None = None,
    idempotency_key: str | None = None,
    attributes: Mapping[str, str] | None = None,
    allow_reserved_attributes: bool = False,
    hook: str | None = None,
    base_url: str | None = None,
) -> Run:
    """Start a run of *workflow*; durable once this returns, and any worker may carry it on.

    Args:
        args: the workflow function's arguments, as one list. Large ones are encoded in a thread:
            nobody must write to them before this returns.
        world: default: the world of the worker or ``open_world`` block around this call, else
            the one world that is open in this event loop, else the default world.
        run_id: an id of your own; starting it again returns the same run.
        idempotency_key: the run's id derives from it; the same key returns the same run. Not
            empty. Arguments are compared by value: the order of keys does not count, 1.0 is 1.
        attributes: texts by name, by which ``list_runs`` finds the run; the workflow and its
            steps may set more. At most 64, names of 1 to 256 characters, texts of 256 bytes. In a
            step, in the world of its run, ``$parentRunId`` and ``$rootRunId`` are two of them.
        allow_reserved_attributes: names may begin with ``$``.
        hook: a token that the run claims as it is created: of several starts with one token, one
            begins. Payloads that come before the workflow has created a hook with it wait for that.
        base_url: the service's public URL, kept with the run for the URLs of its webhooks;
            default: ``PERDURE_BASE_URL``, else none.

    Raises:
        CompileError: the workflow's source has errors.
        ValueNotCarriableError: an argument cannot cross to JavaScript; names its path.
        IdempotencyConflictError: the key was used with another workflow or arguments.
        HookConflictError: another run holds the token *hook*; nothing was started.
        UsageError: *world* was left out, and more than one could be meant.
    """
    _check(workflow, args)
    id_ = _choose_id(run_id, idempotency_key)
    texts = initial_attributes(attributes, allow_reserved=allow_reserved_attributes)
    target = await meant_world(world)
    bundle, engine = await _bring_code(target, workflow)
    new = NewRun(
        run_id=id_,
        workflow=bundle.name,
        bundle=Digest(bundle.digest),
        engine=Digest(engine.digest),
        input=encode_scalars(args) or await encode_aside(list(args), where="arguments"),
        created_at_ms=target.now_ms(),
        idempotency_key=idempotency_key,
        attributes=await with_lineage(texts, target),
        secret=fresh_secret(),
        base_url=public_base_url(base_url),
        hook=keyed_claim(hook),
    )
    return await _begin(target, new)


def _check(workflow: object, args: object) -> None:
    if not isinstance(workflow, Workflow):
        raise UsageError(
            f"start() takes a workflow, not {workflow!r}; make one with workflow('path/file.ts')"
        )
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise UsageError(
            f"args is a list of the workflow's arguments, not {args!r}; write [{args!r}]"
        )


async def _bring_code(world: World, workflow: Workflow) -> tuple[Bundle, GuestEngine]:
    """The workflow's bundle and the engine that it begins on, both in *world*."""
    bundle = workflow.compiled
    if bundle is None:
        bundle = await anyio.to_thread.run_sync(workflow.compile)
    engine = _Engine.default or await _Engine.load()
    digests = _known_to(world)
    if bundle.digest not in digests or engine.digest not in digests:
        await check_bundle(engine, bundle)
        await _store(world, Digest(bundle.digest), bundle.encoded)
        await _store(world, Digest(engine.digest), engine.wasm)
        digests |= {bundle.digest, engine.digest}
    return bundle, engine


async def _begin(world: World, new: NewRun) -> Run:
    """Create the run, with its first turn where a worker here can take that."""
    worker = workers.get(world)
    if worker is None or new.hook is not None or not await worker.begin(new):
        await _create(world, new)
    await tell_crossings(new.input, world, new.run_id)
    return Run(new.run_id, world)


async def _create(world: World, new: NewRun) -> None:
    """Create the run; one that is there with an equal input is the same run."""
    try:
        await world.storage.create_run(new)
    except IdempotencyConflictError:
        record = await world.storage.get_run(new.run_id)
        (created,) = await world.storage.read_events(new.run_id, limit=1)
        compare = partial(same_value, created.event.payload or b"\x80", new.input)
        equal = compare() if len(new.input) <= SMALL_BYTES else await do_aside(compare)
        if record.workflow != new.workflow or not equal:
            raise


async def start_again(world: World, run_id: str) -> Run:
    """Start an ended run anew: another run of the same code, arguments and attributes.

    One that was started with a hook's token claims that again.

    Raises:
        HookConflictError: another run holds that token; nothing was started.
        RunNotFoundError: no such run.
        RunLiveError: it has not ended; it needs no other.
        RunMovedError: it goes on in another world.
    """
    record = await world.storage.get_run(RunId(run_id))
    check_here(record)
    if not record.status.is_ended:
        raise RunLiveError(run_id)
    created, *rest = await world.storage.read_events(RunId(run_id), limit=2)
    new = NewRun(
        run_id=RunId(fresh_id("run")),
        workflow=record.workflow,
        bundle=record.bundle,
        engine=record.engine,
        input=created.event.payload or b"",
        created_at_ms=world.now_ms(),
        attributes=record.attributes,
        level=record.level,
        secret=fresh_secret(),
        base_url=record.base_url,
        hook=claim_again(rest),
        entry=str(created.event.facts.get("entry") or ""),
    )
    await world.storage.create_run(new)
    await tell_crossings(new.input, world, new.run_id)
    return Run(new.run_id, world)


class _Engine:
    """The engine new runs begin on; the first call in a process loads it."""

    default: GuestEngine | None = None

    @classmethod
    async def load(cls) -> GuestEngine:
        """Load it in a thread."""
        cls.default = engine = await anyio.to_thread.run_sync(default_engine)
        return engine


def run_id_for_key(key: str) -> RunId:
    """The run id that an idempotency key stands for."""
    return RunId(format_id("run", hashlib.sha256(key.encode()).digest()[:16]))


def _choose_id(run_id: str | None, key: str | None) -> RunId:
    if run_id is not None and key is not None:
        raise UsageError("give run_id or idempotency_key, not both")
    if key == "":
        raise UsageError("an idempotency key must not be empty: all such starts would be one run")
    if key is not None:
        return run_id_for_key(checked_text("idempotency_key", key))
    if run_id is not None:
        checked_text("run_id", run_id)
        if not run_id or len(run_id) > 200 or any(c in run_id for c in "/\0 \n"):
            raise UsageError(f"run id {run_id!r} must be 1 to 200 characters without '/' or blanks")
        return RunId(run_id)
    return RunId(fresh_id("run"))


def _known_to(world: World) -> set[str]:
    digests = _stored.setdefault(world, set())
    if len(digests) > _MAX_KNOWN:
        digests.clear()
    return digests


async def _store(world: World, digest: Digest, data: bytes) -> None:
    if not await world.blobs.has(digest):
        await world.blobs.put(digest, data)
