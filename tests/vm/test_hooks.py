"""Hooks as workflow code sees them: options, ends, conflicts, and a token of the run's start."""

from __future__ import annotations

import pytest

from perdure._model.commands import (
    Answer,
    AskHook,
    Command,
    DisposeHook,
    OpenHook,
    ScheduleStep,
    WatchRun,
)
from perdure._protocol.codec import decode, encode
from perdure._protocol.frames import GuestDelivery, StartFrame
from perdure.errors import GuestError
from perdure.values import RunRef
from tests.vm.conftest import Run, RunOf, ValueOf, listed

HEAD = (
    'import { work } from "python:steps";'
    'import { createHook, defineHook, sleep } from "workflow";\n'
)
CONFLICT = GuestError(
    name="HookConflictError",
    message="taken",
    props={"token": "t", "conflictingRunId": "run_other"},
)
CLAIMED = GuestError(
    name="HookForceClaimedError", message="taken", props={"token": "t", "forceClaimedBy": "run_x"}
)


def tell(run: Run, *news: tuple[str, str, object]) -> Answer:
    """Tell the run these events at once."""
    deliveries: list[GuestDelivery] = []
    for kind, entity, value in news:
        run.position += 1
        deliveries.append(
            GuestDelivery(
                position=run.position,
                at_ms=0,
                kind=kind,
                id=entity,
                value=encode(value, where="value"),
            )
        )
    return run.guest.resume(deliveries)


def commands(answer: Answer) -> list[Command]:
    return [command for turn in answer.turns for command in turn.commands]


def body(text: str) -> str:
    return f"{HEAD}export async function w() {{ {text} }}"


CAUGHT = "const caught = async (f) => { try { return await f(); } catch (e) { return e; } };"


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("{ token: 't' }", {"token": "t", "metadata": None, "webhook": False}),
        ("{ token: 't', metadata: { a: 1 } }", {"metadata": {"a": 1}}),
        ("{ token: 't', isWebhook: true }", {"webhook": True}),
        ("{ token: 't', webhook: true }", {"webhook": True}),
        ("{ token: 't', minRetention: '1h 30m' }", {"keep_ms": 5_400_000}),
        ("{ token: 't', experimental_minRetention: 1500 }", {"keep_ms": 1500}),
        ("{ token: 't', minRetention: new Date(Date.now() + 70) }", {"keep_ms": 70}),
        ("{ token: 't', minRetention: new Date(0) }", {"keep_ms": 0}),
        ("{ token: 't', experimental_force: true }", {"force": True}),
        ("{ token: 't', force: true }", {"force": True}),
    ],
)
def test_options_of_a_hook_are_its_command(
    run_of: RunOf, options: str, fields: dict[str, object]
) -> None:
    (command,) = commands(run_of(body(f"await createHook({options});")).start())
    assert isinstance(command, OpenHook)
    for name, value in fields.items():
        found = getattr(command, name)
        assert (decode(found) if isinstance(found, bytes) else found) == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{ token: '' }", "a text of 1 to 500 characters"),
        ("{ force: 1 }", "option force is true or false, not 1"),
        ("{ isWebhook: 'yes' }", "option webhook is true or false"),
        ("{ minRetention: 'soon' }", "minRetention takes milliseconds"),
        ("{ minRetention: -1 }", "minRetention takes milliseconds"),
        ("{ webhook: true, minRetention: 5 }", "takes no option minRetention"),
        ("{ metadata: () => 1 }", "metadata"),
    ],
)
def test_an_option_that_is_wrong_throws_at_once(
    run_of: RunOf, value_of: ValueOf, options: str, message: str
) -> None:
    run = run_of(body(f"try {{ createHook({options}); }} catch (e) {{ return e.message; }}"))
    answer = run.start()
    assert commands(answer) == []
    assert message in str(value_of(answer))


def test_tokens_are_made_where_none_is_named(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(body("const a = createHook(), b = createHook(); return [a.token, b.token];"))
    first, second = listed(value_of(run.start()))
    assert len(first) == len(second) == 32
    assert first != second


def test_payloads_are_kept_until_somebody_waits(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(body("const h = createHook(); await work(); return [await h, await h, await h];"))
    run.start()
    tell(run, ("hook_received", "hook_1", 1), ("hook_received", "hook_1", 2))
    answer = tell(run, ("step_completed", "step_2", None), ("hook_received", "hook_1", 3))
    assert value_of(answer) == [1, 2, 3]


def test_break_leaves_a_hook_open(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        body(
            "const h = createHook(); const got = [];"
            "for await (const item of h) { got.push(item); break; }"
            "for await (const item of h) { got.push(item); if (item === 3) break; }"
            "got.push(await h); return got;"
        )
    )
    assert len(commands(run.start())) == 1
    answer = tell(run, *(("hook_received", "hook_1", n) for n in (1, 2, 3, 4)))
    assert commands(answer) == []
    assert value_of(answer) == [1, 2, 3, 4]


def test_an_iterator_that_was_returned_takes_nothing(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        body(
            "const h = createHook();"
            "const it = h[Symbol.asyncIterator](), other = h[Symbol.asyncIterator]();"
            "const pending = it.next(), theirs = other.next(); await work();"
            "return [await it.return(7), await pending, await it.next(), await theirs];"
        )
    )
    run.start()
    answer = tell(run, ("step_completed", "step_2", None), ("hook_received", "hook_1", 1))
    returned, pending, following, theirs = listed(value_of(answer))
    assert returned == {"value": 7, "done": True}
    assert (pending["done"], following["done"]) == (True, True)
    assert theirs == {"value": 1, "done": False}


@pytest.mark.parametrize(
    "dispose", ["h.dispose();", "h[Symbol.dispose]();", "h.dispose(); h.dispose();"]
)
def test_dispose_ends_what_waits(run_of: RunOf, value_of: ValueOf, dispose: str) -> None:
    run = run_of(
        body(
            f"{CAUGHT} const h = createHook({{ token: 't' }}), it = h[Symbol.asyncIterator]();"
            "const next = it.next(), then = caught(() => h), asked = caught(() => h.getConflict());"
            "await work();"
            f"{dispose}"
            "const later = await caught(() => h), after = [];"
            "for await (const item of h) after.push(item);"
            "const error = await then;"
            "return [await next, error.name, error.token, later.name, after, await it.next(),"
            " (await asked).name, (await caught(() => h.getConflict())).name];"
        )
    )
    assert [type(c) for c in commands(run.start())] == [OpenHook, AskHook, ScheduleStep]
    answer = tell(run, ("step_completed", "step_2", None))
    assert commands(answer) == [DisposeHook(id=commands(answer)[0].id)]
    first, name, token, later, after, following, asked, asked_after = listed(value_of(answer))
    assert (first["done"], following["done"]) == (True, True)
    assert (name, token, later, after) == ("HookDisposedError", "t", "HookDisposedError", [])
    assert (asked, asked_after) == ("HookDisposedError", "HookDisposedError")


def test_using_disposes_of_a_hook_at_the_end_of_its_block(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        body(
            "let first; { using h = createHook({ token: 't' }); first = await h; }"
            "const again = createHook({ token: 't' }); return [first, await again];"
        )
    )
    run.start()
    answer = tell(run, ("hook_received", "hook_1", 1))
    dispose, reopen = commands(answer)
    assert isinstance(dispose, DisposeHook)
    assert isinstance(reopen, OpenHook)
    assert (dispose.id, reopen.id, reopen.token) == ("hook_1", "hook_2", "t")
    assert value_of(tell(run, ("hook_received", "hook_2", 2))) == [1, 2]


def test_what_came_before_a_dispose_goes_to_who_waited_before(
    run_of: RunOf, value_of: ValueOf
) -> None:
    run = run_of(
        body(
            f"{CAUGHT} const h = createHook(); await work();"
            "const it = h[Symbol.asyncIterator](), a = it.next(), b = it.next(); h.dispose();"
            "return [await a, (await b).done, (await caught(() => h)).name];"
        )
    )
    run.start()
    answer = tell(run, ("hook_received", "hook_1", 1), ("step_completed", "step_2", None))
    assert value_of(answer) == [{"value": 1, "done": False}, True, "HookDisposedError"]


ASKS = (
    f"{CAUGHT} const h = createHook({{ token: 't' }});"
    "const first = await h.getConflict(), second = await h.getConflict();"
)


def test_a_hook_without_a_conflict_says_so_once_it_is_registered(
    run_of: RunOf, value_of: ValueOf
) -> None:
    run = run_of(body(f"{ASKS} return [first, second, await h, await h.getConflict()];"))
    assert [type(c) for c in commands(run.start())] == [OpenHook, AskHook]
    answer = tell(run, ("hook_registered", "hook_1", None))
    assert (commands(answer), answer.outcome, answer.open) == ([], None, 1)
    assert value_of(tell(run, ("hook_received", "hook_1", 5))) == [None, None, 5, None]


def test_a_payload_tells_that_a_hook_is_registered(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        body("const h = createHook(); const v = await h; return [v, await h.getConflict()];")
    )
    run.start()
    assert value_of(tell(run, ("hook_received", "hook_1", 5))) == [5, None]


def test_a_conflict_names_the_other_run_every_time(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        body(
            f"{ASKS} const errors = [await caught(() => h), await caught(() => h),"
            " await caught(() => h[Symbol.asyncIterator]().next())]; h.dispose();"
            " errors.push(await caught(() => h));"
            "return [first, first === second, first === await h.getConflict(),"
            " errors.map((e) => [e.name, e.token, e.conflictingRunId, e.stack.includes('w.ts')])];"
        )
    )
    run.start()
    answer = tell(run, ("hook_conflict", "hook_1", CONFLICT), ("hook_registered", "hook_1", None))
    assert (commands(answer), answer.open) == ([], 0)
    owner, same, later, errors = listed(value_of(answer))
    assert (owner, same, later) == (RunRef("run_other"), True, True)
    assert errors == [["HookConflictError", "t", "run_other", True]] * 4


def test_a_conflict_s_run_is_one_that_can_be_waited_for(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        body(
            "const h = createHook({ token: 't' }), run = await h.getConflict();"
            "return [run instanceof Run, run.runId, await run.returnValue];"
        ).replace("{ createHook", "{ Run } from 'workflow/api'; import { createHook")
    )
    run.start()
    answer = tell(run, ("hook_conflict", "hook_1", CONFLICT))
    (watch,) = commands(answer)
    assert isinstance(watch, WatchRun)
    assert watch.run_id == "run_other"
    ended = ["completed", None, None, 7]
    assert value_of(tell(run, ("child_ended", watch.id, ended))) == [True, "run_other", 7]


@pytest.mark.parametrize("owner", [None, 7, ""])
def test_a_conflict_of_an_unknown_run_rejects_who_asks(
    run_of: RunOf, value_of: ValueOf, owner: object
) -> None:
    run = run_of(
        body(
            f"{CAUGHT} const h = createHook({{ token: 't' }}), ask = () => h.getConflict();"
            "return [(await caught(ask)).name, (await caught(ask)).name];"
        )
    )
    run.start()
    odd = GuestError(name="HookConflictError", message="x", props={"conflictingRunId": owner})
    assert value_of(tell(run, ("hook_conflict", "hook_1", odd))) == ["HookConflictError"] * 2


def test_a_conflict_that_nobody_catches_fails_the_run_at_its_place(run_of: RunOf) -> None:
    run = run_of(body("await createHook({ token: 't' });"))
    run.start()
    outcome = tell(run, ("hook_conflict", "hook_1", CONFLICT)).outcome
    error = decode(getattr(outcome, "error", b""))
    assert isinstance(error, GuestError)
    assert (error.name, error.props) == (
        "HookConflictError",
        {"token": "t", "conflictingRunId": "run_other"},
    )
    assert "w.ts:2" in error.stack


def test_a_hook_whose_token_was_taken_gives_out_what_came_before(
    run_of: RunOf, value_of: ValueOf
) -> None:
    run = run_of(
        body(
            f"{CAUGHT} const h = createHook({{ token: 't' }}); await work();"
            "const got = [await h, await h], error = await caught(() => h);"
            "return [got, error.name, error.forceClaimedBy, await h.getConflict()];"
        )
    )
    run.start()
    received = [("hook_received", "hook_1", n) for n in (1, 2)]
    told = tell(run, *received, ("hook_revoked", "hook_1", CLAIMED))
    assert told.open == 1
    answer = tell(run, ("step_completed", "step_2", None))
    assert value_of(answer) == [[1, 2], "HookForceClaimedError", "run_x", None]


def test_who_waits_for_a_hook_hears_that_its_token_was_taken(
    run_of: RunOf, value_of: ValueOf
) -> None:
    run = run_of(
        body(
            f"{CAUGHT} const h = createHook(), it = h[Symbol.asyncIterator]();"
            "const all = await Promise.all([caught(() => h), caught(() => it.next())]);"
            "return all.map((e) => e.name);"
        )
    )
    run.start()
    answer = tell(run, ("hook_revoked", "hook_1", CLAIMED))
    assert value_of(answer) == ["HookForceClaimedError"] * 2


def start_keyed(run: Run, hook: str | None) -> Answer:
    return run.guest.start(
        StartFrame(
            run_id="run_a",
            workflow="w",
            seed=bytes(32),
            at_ms=0,
            input=b"\x80",
            url="https://example.com",
            hook=hook,
        )
    )


KEYED = (
    "await work(); const h = createHook({ token: 'order-17', metadata: 1 });"
    "const got = [await h, await h, await h.getConflict()]; h.dispose();"
    "const again = createHook({ token: 'order-17' }); return [...got, await again];"
)


def test_a_run_that_began_with_a_token_finds_its_hook(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(body(KEYED))
    answer = start_keyed(run, "order-17")
    assert (len(commands(answer)), answer.open) == (1, 2)
    tell(run, ("hook_received", "hook_0", 1), ("hook_received", "hook_0", 2))
    dispose, reopen = commands(tell(run, ("step_completed", "step_1", None)))
    assert (dispose, type(reopen), reopen.id) == (DisposeHook(id=dispose.id), OpenHook, "hook_2")
    assert dispose.id == "hook_0"
    assert value_of(tell(run, ("hook_received", "hook_2", 3))) == [1, 2, None, 3]


def test_a_token_of_another_name_is_a_hook_of_its_own(run_of: RunOf) -> None:
    run = run_of(body("await createHook({ token: 'other' });"))
    (command,) = commands(start_keyed(run, "order-17"))
    assert isinstance(command, OpenHook)
    assert (command.id, command.token) == ("hook_1", "other")


def test_a_run_knows_its_base_url(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        'import { getWorkflowMetadata } from "workflow";\n'
        "export async function w() { return getWorkflowMetadata().url; }"
    )
    assert value_of(start_keyed(run, None)) == "https://example.com"


def test_a_defined_hook_is_created_here_and_resumed_elsewhere(
    run_of: RunOf, value_of: ValueOf
) -> None:
    run = run_of(
        body(
            "const approval = defineHook({ schema: { anything: 1 } });"
            "const h = approval.create({ token: 't' }); let refusal;"
            "try { approval.resume('t', 1); } catch (e) { refusal = [e.name, e.message]; }"
            "let wrong; try { defineHook(5); } catch (e) { wrong = e.message; }"
            "return [await h, ...refusal, wrong];"
        )
    )
    run.start()
    payload, name, message, wrong = listed(
        value_of(tell(run, ("hook_received", "hook_1", {"odd": 1})))
    )
    assert (payload, name) == ({"odd": 1}, "UnavailableInWorkflowContextError")
    assert "perdure.resume_hook" in message
    assert wrong == "defineHook takes an object of options, not 5"


def test_hooks_are_made_by_create_hook_alone(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        body(
            "const h = createHook();"
            "try { new h.constructor('hook_0', 't'); } catch (e) { return e.name; }"
        )
    )
    assert value_of(run.start()) == "TypeError"
