"""Step call: the body of a step's message, which says all that an execution needs."""

from __future__ import annotations

import cbor2

from ..._core.plain import load_plain
from ..._model.commands import ScheduleStep
from ..._model.ids import EntityId
from ..._value_class import constructor, value_class
from ...errors import WorldContractError
from ..steps import SCRIPT_MARK

__all__ = ("StepCall", "make_call")


@value_class
class StepCall:
    """A step message's body."""

    entity: EntityId
    step: str
    args: bytes
    workflow: str
    run_started_ms: int
    created_ms: int
    base_url: str  # of the run
    bundle: str = ""  # of the run, of a step in JavaScript: its digest
    is_cleanup: bool = False  # it was made after the run was asked to end

    @staticmethod
    def encode(
        command: ScheduleStep,
        *,
        workflow: str,
        run_started_ms: int,
        created_ms: int,
        base_url: str,
        bundle: str,
        is_cleanup: bool = False,
    ) -> bytes:
        """The body of the message that asks for it."""
        parts: list[object] = [command.id, command.step, command.args, workflow]
        parts += run_started_ms, created_ms, base_url
        if command.step[:6] == SCRIPT_MARK:
            parts.append(bundle)
        elif is_cleanup:
            parts.append("")
        if is_cleanup:
            parts.append(True)
        data: bytes = cbor2.dumps(parts)
        return data

    @classmethod
    def decoded(cls, body: bytes) -> StepCall:
        """The call in a message body.

        Raises:
            WorldContractError: it is damaged, or of a later version.
        """
        try:
            parts = load_plain(body, depth=1)
            entity, step, args, workflow, run_started_ms, created_ms, base_url, *more = parts
            if not (isinstance(step, str) and isinstance(args, bytes) and type(base_url) is str):
                raise TypeError("it is another kind of message")
            bundle: object = more[0] if more else ""
            if type(bundle) is not str or more[1:] not in ([], [True]):
                raise TypeError("it is another kind of message")
        except (TypeError, ValueError) as exc:
            raise WorldContractError(
                f"a step's message cannot be read ({type(exc).__name__}): the store is damaged, or"
                " a later version of perdure has written to it"
            ) from exc
        return cls(
            entity=entity,
            step=step,
            args=args,
            workflow=workflow,
            run_started_ms=run_started_ms,
            created_ms=created_ms,
            base_url=base_url,
            bundle=bundle,
            is_cleanup=len(more) > 1,
        )


make_call = constructor(StepCall)
