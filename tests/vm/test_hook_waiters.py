"""Waiters: a payload goes to the first that something can come of, and losers leave nothing behind.

``PERDURE_HOOK_PROGRAMS`` says how many programs are played (200), ``PERDURE_SEED`` from which seed
on; the session ``hooks`` of nox plays 10,000.
"""

from __future__ import annotations

import os

import pytest

from perdure._model.commands import Answer, DeliveryOutput, StartWait
from perdure._protocol.codec import encode
from perdure._protocol.frames import GuestDelivery
from perdure._vm.image import make_delta
from tests.vm.conftest import Run, RunOf, ValueOf, listed
from tests.vm.hook_programs import SOURCE, check, image_of

PROGRAMS = int(os.environ.get("PERDURE_HOOK_PROGRAMS", "200"))
SEED = int(os.environ.get("PERDURE_SEED", "0"))
BATCH = 50
HEAD = 'import { work } from "python:steps"; import { createHook, sleep } from "workflow";\n'


def again(run: Run) -> Run:
    """A run of the same workflow that has not begun."""
    return Run(run.baseline, run.baseline.instantiate())


@pytest.mark.parametrize("first", range(SEED, SEED + PROGRAMS, BATCH))
@pytest.mark.slow
def test_no_payload_is_lost_or_doubled(run_of: RunOf, first: int) -> None:
    run = run_of(SOURCE)
    for seed in range(first, first + BATCH):
        one = again(run)
        check(one, seed)
        one.guest.close()


@pytest.mark.parametrize("seed", range(SEED, SEED + max(PROGRAMS // 10, 1), 4))
@pytest.mark.slow
def test_frozen_thawed_or_told_at_once_a_program_does_the_same(run_of: RunOf, seed: int) -> None:
    run = run_of(SOURCE)
    plain = check(again(run), seed)
    # The host draws from the same seed, so a freeze between deliveries would change what it does.
    frozen, whole = again(run), again(run)
    program = plain.program
    frozen.start(program)
    whole.start(program)
    answers: list[DeliveryOutput] = []
    for delivery in plain.deliveries:
        thawed = frozen.thawed(make_delta(frozen.guest, frozen.baseline.image))
        frozen.guest.close()
        frozen = thawed
        answers += frozen.guest.resume([delivery]).turns
    assert tuple(answers) == tuple(plain.answers[1:])
    last = whole.guest.resume(plain.deliveries)
    assert last.turns == tuple(answers)
    assert image_of(whole) == image_of(frozen) == image_of(plain.run)
    for guest in (frozen.guest, whole.guest, plain.run.guest):
        guest.close()


RACERS = {
    "hook": "hook",
    "next": "iterator.next()",
    "kept next": "(kept ??= iterator.next())",
    "kept promise": "(kept ??= Promise.resolve(hook))",
    "promise": "Promise.resolve(hook)",
    "then": "hook.then()",
    "executor": "new Promise((resolve, reject) => hook.then(resolve, reject))",
    "awaited": "(async () => await hook)()",
    "returned": "(async () => hook)()",
    "race": "Promise.race([hook, new Promise(() => {})])",
    "any": "Promise.any([hook, Promise.reject(1)])",
    "all": "Promise.all([hook])",
    "settled": "Promise.allSettled([hook])",
    "kept sleep": "(kept ??= sleep(1e12))",
}


def delivery(kind: str, entity: str, position: int, value: object = None) -> GuestDelivery:
    return GuestDelivery(
        position=position,
        at_ms=1_700_000_000_000 + position,
        kind=kind,
        id=entity,
        value=encode(value, where="value"),
    )


def wait_of(answer: Answer) -> str:
    """The id of the sleep that an answer asks for."""
    waits = [c for turn in answer.turns for c in turn.commands if isinstance(c, StartWait)]
    return waits[-1].id


@pytest.mark.parametrize("racer", RACERS)
def test_a_race_in_a_loop_leaves_nothing_behind(
    run_of: RunOf, value_of: ValueOf, racer: str
) -> None:
    rounds = 1000
    run = run_of(
        f"{HEAD}export async function w(rounds) {{\n"
        "const hook = createHook(), iterator = hook[Symbol.asyncIterator](); let kept, last;\n"
        "for (let k = 0; k < rounds; k++)"
        f" last = await Promise.race([{RACERS[racer]}, sleep(1)]);\n"
        "return last; }"
    )
    answer = run.start(rounds)
    sizes: list[int] = []
    for position in range(2, rounds + 1):
        answer = run.guest.resume([delivery("wait_completed", wait_of(answer), position)])
        sizes.append(answer.heap_bytes)
    assert max(sizes[500:]) - max(sizes[:500]) < 8 << 10
    if racer != "kept sleep":  # and the last of them gets what comes
        answer = run.guest.resume([delivery("hook_received", "hook_1", rounds + 1, "payload")])
        assert "payload" in str(value_of(answer))


@pytest.mark.parametrize("racer", [name for name in RACERS if name != "kept sleep"])
def test_a_racer_that_lost_takes_nothing(run_of: RunOf, value_of: ValueOf, racer: str) -> None:
    run = run_of(
        f"{HEAD}export async function w() {{\n"
        "const hook = createHook(), iterator = hook[Symbol.asyncIterator](); let kept;\n"
        f"const first = await Promise.race([{RACERS[racer]}, sleep(1).then(() => 'late')]);\n"
        "await work();\n"  # meanwhile nobody waits
        f"return [first, await {RACERS[racer]}]; }}"
    )
    wait = wait_of(run.start())
    run.guest.resume([delivery("wait_completed", wait, 2)])
    answer = run.guest.resume(
        [
            delivery("hook_received", "hook_1", 3, "payload"),
            delivery("step_completed", "step_3", 4),
        ]
    )
    first, second = listed(value_of(answer))
    assert first == "late"
    assert "payload" in str(second)


TAKERS = {
    "a function that waits": "const v = await hook; got.push(v);",
    "a function in a try": "try { return await hook; } finally { got.push('finally'); }",
    "a callback": "await hook.then((v) => { got.push(v); });",
    "a finally": "await Promise.resolve(hook).finally(() => got.push('finally'));",
    "a generator": "for await (const v of (async function* () { yield await hook; })())"
    " got.push(v);",
    "an array": "for await (const v of [hook]) got.push(v);",
    "a loop": "for await (const v of hook) { got.push(v); break; }",
}


@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS)
def test_code_that_goes_on_after_a_lost_race_takes_its_payload(
    run_of: RunOf, value_of: ValueOf, taker: str
) -> None:
    run = run_of(
        f"{HEAD}export async function w() {{\n"
        "const hook = createHook(), got = [];\n"
        f"await Promise.race([(async () => {{ {taker} }})(), sleep(1)]);\n"
        "await work();\n"
        "return got; }"
    )
    wait = wait_of(run.start())
    answer = run.guest.resume(
        [
            delivery("wait_completed", wait, 2),
            delivery("hook_received", "hook_1", 3, "payload"),
            delivery("step_completed", "step_3", 4),
        ]
    )
    assert value_of(answer) in (["payload"], ["finally"])


RETURNS = {
    "awaited": "return await hook;",
    "a hook": "return hook;",
    "a promise": "return Promise.race([hook, new Promise(() => {})]);",
    "a function's": "return await (async () => await (async () => hook)())();",
    "an iterator's": "return await hook[Symbol.asyncIterator]().next();",
}


@pytest.mark.parametrize("returned", RETURNS.values(), ids=RETURNS)
def test_a_workflow_that_returns_what_it_waits_for_gets_it(
    run_of: RunOf, value_of: ValueOf, returned: str
) -> None:
    run = run_of(f"{HEAD}export async function w() {{ const hook = createHook(); {returned} }}")
    run.start()
    answer = run.guest.resume([delivery("hook_received", "hook_1", 2, "payload")])
    assert "payload" in str(value_of(answer))


def test_payloads_go_out_in_the_order_in_which_they_came(run_of: RunOf, value_of: ValueOf) -> None:
    run = run_of(
        f"{HEAD}export async function w() {{\n"
        "const a = createHook(), b = createHook(), got = [];\n"
        "await work();\n"
        "for (let k = 0; k < 6; k++) got.push(await Promise.race([a, b]));\n"
        "return got; }"
    )
    run.start()
    hooks = ("hook_1", "hook_2", "hook_2", "hook_1", "hook_2", "hook_1")
    answer = run.guest.resume(
        [
            *(delivery("hook_received", hook, n, n) for n, hook in enumerate(hooks, start=2)),
            delivery("step_completed", "step_3", 8),
        ]
    )
    assert value_of(answer) == [2, 3, 4, 5, 6, 7]


def test_waiters_get_payloads_in_the_order_in_which_they_came(
    run_of: RunOf, value_of: ValueOf
) -> None:
    run = run_of(
        f"{HEAD}export async function w() {{\n"
        "const hook = createHook(), iterator = hook[Symbol.asyncIterator]();\n"
        "const first = iterator.next(), second = iterator.next(), third = hook.then((v) => v);\n"
        "return [(await second).value, await third, (await first).value]; }"
    )
    run.start()
    answer = run.guest.resume([delivery("hook_received", "hook_1", n, n) for n in (2, 3, 4)])
    assert value_of(answer) == [3, 4, 2]


@pytest.mark.slow
@pytest.mark.parametrize("settles", ["await hook.then(settle)", "settle(1)"])
def test_a_chain_of_functions_that_settle_traps_nothing(
    run_of: RunOf, value_of: ValueOf, settles: str
) -> None:
    """Each ``Promise.all`` settles by a function of the one before, 10,000 deep."""
    run = run_of(
        f"{HEAD}export async function w() {{\n"
        "const hook = createHook(); let settle = () => {};\n"
        "const all = (item) => {\n"
        "  const before = settle;\n"
        "  function Made(executor) { executor(before, before); }\n"
        "  Made.resolve = (x) => x;\n"
        "  Promise.all.call(Made, [item]);\n"
        "};\n"
        "for (let k = 0; k < 10_000; k++) all({ then(element) { settle = element; } });\n"
        "for (let k = 0; k < 100; k++) hook.then();\n"
        "await work();\n"
        f"try {{ {settles}; }} catch (error) {{ return error.message; }} }}"
    )
    run.start()
    answer = run.guest.resume([delivery("step_completed", "step_2", 2)])
    if answer.outcome is None:
        received = [delivery("hook_received", "hook_1", n, n) for n in range(3, 105)]
        answer = run.guest.resume(received)
    assert value_of(answer) == "Maximum call stack size exceeded"


@pytest.mark.parametrize(
    "kept", ["iterator.next()", "Promise.resolve(hook)", "Promise.all([hook])"]
)
def test_a_promise_that_somebody_has_is_not_left_out(
    run_of: RunOf, value_of: ValueOf, kept: str
) -> None:
    """However often it lost, and however many others were left out meanwhile."""
    rounds = 100
    run = run_of(
        f"{HEAD}export async function w(rounds) {{\n"
        "const hook = createHook(), iterator = hook[Symbol.asyncIterator]();\n"
        f"const kept = {kept};\n"
        "await Promise.race([kept, sleep(1)]);\n"
        "for (let k = 1; k < rounds; k++) await Promise.race([hook, sleep(1)]);\n"
        "return await kept; }"
    )
    answer = run.start(rounds)
    for position in range(2, rounds + 2):
        answer = run.guest.resume([delivery("wait_completed", wait_of(answer), position)])
    assert answer.outcome is None
    answer = run.guest.resume([delivery("hook_received", "hook_1", rounds + 2, "payload")])
    assert "payload" in str(value_of(answer))
