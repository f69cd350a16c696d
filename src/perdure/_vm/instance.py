"""Instance: one run's live VM.

Used by one thread at a time, save for ``interrupt``. Requests and answers go through the arena by
address. A guest that trapped, answered out of turn, was stopped or saw its interrupt flag answers
nothing more.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import final

import wasmtime

from .._model.commands import Answer, Failed, Interrupted
from .._protocol.codec import decode, encode
from .._protocol.frames import (
    LARGE_BYTES,
    GuestDelivery,
    StartFrame,
    decode_answer,
    decode_result,
    encode_evaluate,
    encode_resume,
    encode_start,
    workflow_part,
)
from .._value_class import value_class
from ..errors import GuestError, ProtocolError
from . import foreign
from .cell import Cell
from .guest import GuestEngine
from .interval import short_interval
from .stack import has_room, run_with_room
from .watch import StoppedError, StopReason

__all__ = ("Instance", "Layout", "layout_of")

ABI_VERSION = 4
MAX_RECLAIMED_FRAME_BYTES = 1 << 20  # a guest that held larger frames keeps too much memory
MAX_COMMANDS = 50_000  # of one delivery; far more than a turn should make
_FOUR = struct.Struct("<4I")
_SPAN = 16 << 10  # of the stack; most calls use less
_CLEAN = 32 << 10  # of the stack in one piece: it was not used further down
_zeros = ctypes.create_string_buffer(_CLEAN)
_ZEROS_AT = ctypes.addressof(_zeros)
_ZEROS = memoryview(_zeros).cast("B")
_REFUSALS = {
    -1: "the frame is malformed",
    -2: "its answer is larger than the arena",
    -3: "it was called in the wrong state",
}


@value_class
class Layout:
    """Where things lie in a guest's memory."""

    arena: int
    arena_bytes: int
    answer: int  # address
    stack_end: int  # and the constants'
    interrupt: int  # address of the flag
    used: int  # address of four numbers: bytes of each slot of the arena that were written to
    stack_pointer: int  # at rest
    memory_bytes: int  # at the start

    def ranges(self, size: int) -> tuple[tuple[int, int], ...]:
        """The run's part of a memory of *size* bytes: all but stack, constants and arena."""
        if self.arena < self.stack_end:
            return ((self.stack_end, size),)
        return ((self.stack_end, self.arena), (self.arena + self.arena_bytes, size))


@final
class Instance:
    """A guest in memory. ``close`` it when done."""

    __slots__ = (
        "__weakref__",
        "_cell",
        "_flagged",
        "_lock",
        "_reclaim",
        "_widest",
        "dead",
        "engine",
        "layout",
    )

    def __init__(
        self,
        engine: GuestEngine,
        *,
        cell: Cell | None = None,
        reclaim: Callable[[Cell, Callable[[], None]], bool] | None = None,
    ) -> None:
        """Instantiate.

        Args:
            cell: memory to use instead of new; the instance owns it from now on.
            reclaim: is offered the cell of a sound guest at ``close``, with a call that clears its
                memory outside the image, and returns whether it took it.
        """
        self.engine = engine
        self.layout = layout_of(engine)
        self.dead = False
        self._lock = threading.Lock()  # an interrupt must not meet memory that is being freed
        self._flagged = False  # the interrupt flag may be set
        self._widest = 0
        self._reclaim = reclaim
        self._cell: Cell | None = cell or Cell(engine.prepared, engine.engine)

    def __repr__(self) -> str:
        state = "closed" if self._cell is None else "dead" if self.dead else "live"
        return f"<Instance {state} {self.memory_bytes >> 10} KiB>"

    def _live_cell(self) -> Cell:
        if self._cell is None:
            raise ProtocolError("this guest was closed")
        return self._cell

    @property
    def memory_bytes(self) -> int:
        """The memory's size, arena included; 0 once closed."""
        return 0 if self._cell is None else self._cell.memory_bytes

    @property
    def heap_bytes(self) -> int:
        """Bytes of the run's part of memory; 0 once closed."""
        size = self.memory_bytes
        return sum(end - start for start, end in self.layout.ranges(size)) if size else 0

    @property
    def address(self) -> int:
        """Where memory lies in this process, until it grows."""
        return self._live_cell().address

    def grow_to(self, size: int) -> None:
        """Make memory at least *size* bytes."""
        self._live_cell().grow_to(size)

    def load(self, bundle: bytes) -> None:
        """Compile a bundle's modules.

        Raises:
            GuestError: they do not compile.
        """
        ok, payload = decode_result(self._call(b"load", workflow_part(bundle)))
        if not ok:
            raise _as_error(payload)

    def start(self, frame: StartFrame) -> Answer:
        """Deliver ``run_created``. A trap, or an answer that is none, is a failed outcome.

        Raises:
            ProtocolError: host and guest disagree; the guest is dead.
        """
        return self._turn(b"start", encode_start(frame))

    def resume(self, deliveries: Sequence[GuestDelivery]) -> Answer:
        """Deliver events, in order, each drained before the next.

        A trap, or an answer that is none, is a failed outcome.

        Raises:
            ProtocolError: host and guest disagree; the guest is dead.
        """
        return self._turn(b"resume", encode_resume(deliveries))

    def evaluate(self, source: str) -> bytes:
        """The payload of an expression's value, for inspection of a copy.

        Raises:
            GuestError: it threw.
        """
        ok, payload = decode_result(self._call(b"evaluate", encode_evaluate(source)))
        if not ok:
            raise _as_error(payload)
        return payload

    def exchange(self, name: bytes, request: bytes) -> bytes:
        """The answer of an export to a frame; both are the caller's to understand.

        Raises:
            ProtocolError: host and guest disagree; the guest is dead.
            StoppedError: this thread's watch was stopped; the guest is dead.
            wasmtime.Trap: it trapped; the guest is dead.
        """
        return self._call(name, request)

    def interrupt(self) -> None:
        """Ask a call that is running in another thread to end soon; any thread may.

        The guest answers where it looks at the flag; a watch stops it anywhere.
        """
        with self._lock:
            if self._cell is not None:
                self._flagged = True
                foreign.copy(self._cell.address + self.layout.interrupt, b"\1", 1)

    def close(self) -> None:
        """Free memory. Idempotent."""
        with self._lock:
            cell, self._cell = self._cell, None
        if cell is None:
            return
        sound = not self.dead and self._widest <= MAX_RECLAIMED_FRAME_BYTES
        self.dead = True
        wipe = partial(_wipe, cell, self.layout, self._widest)
        if not (sound and self._reclaim is not None and self._reclaim(cell, wipe)):
            cell.close()

    def _turn(self, name: bytes, request: bytes) -> Answer:
        try:
            raw = self._call(name, request)
        except wasmtime.Trap as trap:
            return _ended(_failed("GuestTrapError", f"the guest trapped: {_reason(trap)}"))
        except StoppedError:
            return _ended(Interrupted())
        try:
            answer = decode_answer(raw) if len(raw) < LARGE_BYTES else _large_answer(raw)
        except ProtocolError as exc:  # asked again it would answer the same
            self.dead = True
            return _ended(_failed("GuestAnswerError", str(exc)))
        if isinstance(answer.outcome, Interrupted):
            self.dead = True
        return answer

    def _call(self, name: bytes, request: bytes) -> bytes:
        layout, cell = self.layout, self._cell
        if self.dead or cell is None:
            raise ProtocolError("this guest has ended")
        if len(request) > layout.answer - layout.arena:
            raise ProtocolError(f"a frame of {len(request)} bytes is larger than the arena")
        address = cell.address
        at = address + layout.arena
        foreign.memory[at : at + len(request)] = request
        if self._flagged:  # too late for the last call: it must not stop this one
            self._flagged = False
            foreign.copy(address + layout.interrupt, b"\0", 1)
        try:
            if has_room():
                raw = cell.call(name, len(request))
            else:
                raw = run_with_room(partial(cell.call, name, len(request)))
        except (wasmtime.Trap, wasmtime.WasmtimeError, StoppedError):
            self.dead = True
            raise
        size = (raw & 0xFFFFFFFF) - ((raw & 0x80000000) << 1)
        if size < 0:
            self.dead = True
            if self._flagged:  # while it read the frame
                raise StoppedError(StopReason.ABANDONED)
            reason = _REFUSALS.get(size, f"it answered {size}")
            raise ProtocolError(f"the guest refused {name.decode()}: {reason}")
        if size > self._widest or len(request) > self._widest:
            self._widest = max(size, len(request))
        at = cell.address + layout.answer
        return bytes(foreign.memory[at : at + size])


def _large_answer(data: bytes) -> Answer:
    """An answer that takes long to decode; a failed one if it asks for too much."""
    with short_interval():
        answer = decode_answer(data)
    if any(len(turn.commands) > MAX_COMMANDS for turn in answer.turns):
        message = f"one turn made more than {MAX_COMMANDS:,} commands; make them in batches"
        return _ended(_failed("OutputLimitError", message))
    return answer


def _reason(trap: wasmtime.Trap) -> str:
    return trap.message.splitlines()[0]


def _failed(name: str, message: str) -> Failed:
    return Failed(encode(GuestError(name=name, message=message), where="error"))


def _ended(outcome: Failed | Interrupted) -> Answer:
    """The answer in place of one that the guest did not come to."""
    return Answer(
        turns=(),
        consumed=0,
        outcome=outcome,
        unhandled=(),
        instructions=0,
        heap_bytes=0,
        clock_ms=0,
        open=0,
    )


def _as_error(payload: bytes) -> GuestError:
    value = decode(payload)
    if isinstance(value, GuestError):
        return value
    return GuestError(name="Error", message=str(value))


def _wipe(cell: Cell, layout: Layout, widest: int) -> None:
    """Zero the remains of calls outside the image: the arena's slots, the flag and the stack.

    Args:
        widest: bytes of the longest request; the guest has noted the rest that it wrote.
    """
    base, slot = cell.address, layout.answer - layout.arena
    at = base + layout.used
    used = _FOUR.unpack(foreign.memory[at : at + _FOUR.size])
    _zero(at, _FOUR.size)
    _zero(base + layout.interrupt, 1)
    at = base + layout.arena
    for length in (max(widest, used[0]), *used[1:]):
        if length:
            _zero(at, min(length, slot))
        at += slot
    at = base + layout.stack_pointer
    while at > base:  # it grows down
        length = min(_SPAN, at - base)
        at -= length
        foreign.zero(at, 0, length)
        rest = min(_CLEAN, at - base)
        if not foreign.compare(at - rest, _ZEROS_AT, rest):
            return


def _zero(at: int, length: int) -> None:
    """Zero memory; a few bytes in half the time of a foreign call."""
    if length <= _CLEAN:
        foreign.memory[at : at + length] = _ZEROS[:length]
    else:
        foreign.zero(at, 0, length)


@functools.cache
def layout_of(engine: GuestEngine) -> Layout:
    """The layout of an engine's guests, asked of one.

    Raises:
        ProtocolError: the guest speaks another version of the ABI.
    """
    store = wasmtime.Store(engine.engine)
    store.set_epoch_deadline(1 << 40)  # it is not worth stopping
    exports = engine.prepared.instantiate(store).exports(store)
    memory, locate = exports["memory"], exports["perdure_layout"]
    pointer = exports["__stack_pointer"]
    if not (
        isinstance(memory, wasmtime.Memory)
        and isinstance(locate, wasmtime.Func)
        and isinstance(pointer, wasmtime.Global)
    ):
        raise ProtocolError("the guest's exports are not those of docs/protocol.md")
    at = locate(store)
    words = bytes(memory.read(store, at, at + 32))
    number = [int.from_bytes(words[k : k + 4], "little") for k in range(0, 32, 4)]
    if number[6] != ABI_VERSION:
        raise ProtocolError(
            f"the guest speaks ABI version {number[6]}, this host version {ABI_VERSION}"
        )
    layout = Layout(
        arena=number[0],
        arena_bytes=number[1],
        answer=number[0] + number[2],
        stack_end=number[3],
        interrupt=number[4],
        used=number[7],
        stack_pointer=int(pointer.value(store)),
        memory_bytes=memory.data_len(store),
    )
    store.close()
    return layout
