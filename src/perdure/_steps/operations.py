"""Operations: what the code of a step asks of the host, done on the event loop.

Each has a number, under which its outcome is delivered. One that fails is delivered as an error
with a name; nothing but a limit ends the step from here.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, final

from ..errors import ProtocolError, StepLimitError
from .frames import Delivery, Operation
from .operation_error import OperationError

__all__ = ("Operations",)

_log = logging.getLogger("perdure")
Perform: TypeAlias = "Callable[..., Awaitable[object]]"
_HASHES = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


@final
class Operations:
    """The operations of one execution."""

    def __init__(
        self,
        performers: Mapping[str, Perform],
        *,
        most: int,
        drop: Callable[[int], None] = lambda number: None,
    ) -> None:
        """Perform nothing yet.

        Args:
            performers: by kind, functions of an operation's fields.
            most: operations under way at a time.
            drop: called with a response's number when nobody reads on.
        """
        self._drop = drop
        self._performers = {**_OWN, **performers}
        self._most = most
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._deliver: Callable[[Delivery], None] | None = None

    def __repr__(self) -> str:
        return f"<Operations, {len(self._tasks)} under way>"

    def begin(self, deliver: Callable[[Delivery], None]) -> None:
        """Have what comes of operations delivered to the guest."""
        self._deliver = deliver

    @property
    def are_under_way(self) -> bool:
        """Whether something can still come."""
        return bool(self._tasks)

    def perform(self, operation: Operation) -> None:
        """Begin an operation.

        Raises:
            ProtocolError: the guest asks for something that there is not.
            StepLimitError: too many are under way.
        """
        if operation.kind in ("cancel", "drop"):
            self._end(operation)
            return
        performer = self._performers.get(operation.kind)
        if performer is None:
            raise ProtocolError(f"the step guest asks for {operation.kind!r:.80}, which is nothing")
        if len(self._tasks) >= self._most:
            raise StepLimitError(f"it has more than {self._most} requests under way at a time")
        running = self._run(operation, performer)
        self._tasks[operation.id] = asyncio.get_running_loop().create_task(running)

    async def aclose(self) -> None:
        """Cancel what is under way, and return once that has ended. Idempotent."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, operation: Operation) -> None:
        """Nobody waits for an operation any more, or reads a response."""
        number = operation.fields[0] if operation.fields else None
        if type(number) is not int:
            raise ProtocolError(f"the step guest ends {number!r:.80}, which is no operation")
        if operation.kind == "drop":
            self._drop(number)
        elif (task := self._tasks.get(number)) is not None:
            task.cancel()

    async def _run(self, operation: Operation, performer: Perform) -> None:
        delivery: Delivery
        try:
            delivery = "done", operation.id, await performer(*operation.fields)
        except Exception as exc:
            delivery = "failed", operation.id, _described(operation, exc)
        finally:
            self._tasks.pop(operation.id, None)
        if self._deliver is not None:
            self._deliver(delivery)


def _described(operation: Operation, error: Exception) -> list[object]:
    """Name, message and fields of the error that the step's code gets."""
    if isinstance(error, OperationError):
        return [error.name, str(error)[:2000], dict(error.fields)]
    _log.debug("operation %s of a step failed", operation.kind, exc_info=error)
    fatal = {"fatal": True} if getattr(error, "fatal", False) is True else {}
    return [type(error).__name__, str(error)[:2000], fatal]


# --- those that need nobody else ------------------------------------------------------------------


async def _digest(algorithm: object, data: object) -> bytes:
    return hashlib.new(_hash(algorithm), _checked(data)).digest()


async def _hmac(algorithm: object, key: object, data: object) -> bytes:
    return hmac.new(_checked(key), _checked(data), _hash(algorithm)).digest()


def _hash(algorithm: object) -> str:
    name = _HASHES.get(algorithm) if isinstance(algorithm, str) else None
    if name is None:
        raise ProtocolError(f"there is no hash {algorithm!r:.80}")
    return name


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise ProtocolError("what is hashed is bytes")
    return data


_OWN: dict[str, Perform] = {"digest": _digest, "hmac": _hmac}
