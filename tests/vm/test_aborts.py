"""Signals that come from outside any run, as the guest has them."""

from __future__ import annotations

import cbor2
import pytest

from perdure._model.commands import Abort, AwaitAbort
from perdure._protocol.codec import encode
from perdure._protocol.frames import GuestDelivery
from perdure._protocol.tags import Tag
from perdure.values import UNDEFINED, AbortController, AbortSignal
from tests.vm.conftest import Run, RunOf, ValueOf

HEAD = 'import { createHook } from "workflow";\nexport async function w() { '
HEARD = "await new Promise((r) => s.aborted ? r() : s.addEventListener('abort', r));"


def tell(run: Run, kind: str, entity: str, value: bytes) -> GuestDelivery:
    run.position += 1
    return GuestDelivery(position=run.position, at_ms=0, kind=kind, id=entity, value=value)


def test_an_abort_that_comes_before_its_signal_counts(run_of: RunOf, value_of: ValueOf) -> None:
    """A step's result may be in the log after the abort of the controller that it returned."""
    for controller in (AbortController(), AbortController()):
        run = run_of(HEAD + f"const s = (await createHook()).signal; {HEARD} return s.reason; }}")
        run.start()
        abort = tell(run, "abort_received", controller.id, encode("early", where="reason"))
        payload = tell(run, "hook_received", "hook_1", encode(controller, where="payload"))
        assert value_of(run.guest.resume([abort, payload])) == "early"


def test_its_default_reason_is_an_abort_error(run_of: RunOf, value_of: ValueOf) -> None:
    signal = AbortController().signal
    run = run_of(HEAD + f"const s = await createHook(); {HEARD} return s.reason.name; }}")
    run.start()
    answer = run.guest.resume(
        [tell(run, "hook_received", "hook_1", encode(signal, where="payload"))]
    )
    (command,) = answer.turns[-1].commands
    assert isinstance(command, AwaitAbort)
    assert (command.id, answer.open) == (signal.id, 2)
    told = tell(run, "abort_received", signal.id, encode(UNDEFINED, where="reason"))
    assert value_of(run.guest.resume([told])) == "AbortError"


def test_the_code_may_abort_it_itself(run_of: RunOf, value_of: ValueOf) -> None:
    controller = AbortController()
    run = run_of(HEAD + "(await createHook()).abort(1); return 2; }")
    run.start()
    payload = encode(controller, where="payload")
    answer = run.guest.resume([tell(run, "hook_received", "hook_1", payload)])
    assert answer.turns[-1].commands == (Abort(id=controller.id, reason=b"\x01"),)  # type: ignore[arg-type]  # a text is an id


@pytest.mark.parametrize("id", ["abort_1", "abort_", "", "hook_" + "1" * 29])
def test_a_run_s_own_ids_come_from_nobody_else(run_of: RunOf, value_of: ValueOf, id: str) -> None:
    run = run_of(
        HEAD + "try { return await createHook(); } catch (e) { return [e.name, e.message]; } }"
    )
    run.start()
    odd = cbor2.dumps(cbor2.CBORTag(Tag.ABORT, ["", id, False, False, None]))
    value = value_of(run.guest.resume([tell(run, "hook_received", "hook_1", odd)]))
    assert value == ["TypeError", "a signal of no run"]


def test_any_of_one_that_is_aborted_crosses_as_what_it_is() -> None:
    aborted = AbortSignal("run_any", "abort_1", aborted=True, reason=3)
    assert AbortSignal.any([aborted]).parts()[3:] == [True, 3]
