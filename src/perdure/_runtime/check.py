"""Check: errors of a bundle that only the engine finds, as the compiler would say them.

The parser lets early errors pass: ``await`` in a function that is not async, a name declared
twice, ``break`` outside a loop. A run of such a bundle could not even begin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import cbor2

from .._compiler import Bundle, Diagnostic, quoted
from .._vm.guest import GuestEngine
from .._vm.instance import Instance
from .._vm.pool import VmPool
from .._vm.watch import StoppedError, StopReason, Watch
from ..errors import CompileError, GuestError

__all__ = ("check_bundle",)

_ENTRY = "perdure:check"
SECONDS = 10.0  # for what takes a millisecond or two

_POSITION = r"(?m)at (?:.*\()?([^()\n]+?):(\d+):(\d+)\)?\s*$"  # compiled at first use


async def check_bundle(engine: GuestEngine, bundle: Bundle) -> None:
    """Have the engine compile the bundle's modules, in a thread of its own.

    Raises:
        CompileError: it does not, or not soon; names file, line and column.
    """
    pool = VmPool(1)
    try:
        await pool.run(lambda: _load(engine, bundle), Watch(SECONDS))
    except StoppedError as exc:
        if exc.reason is not StopReason.DEADLINE:
            raise
        message = f"the engine needs more than {SECONDS:g} s to compile this"
        diagnostic = Diagnostic(file=bundle.entry, line=1, column=1, message=message)
        raise CompileError([diagnostic]) from None
    finally:
        pool.close()


def _load(engine: GuestEngine, bundle: Bundle) -> None:
    error = _failure(engine, bundle.encoded)
    if error is not None:
        raise CompileError([_diagnostic(bundle, error, bundle.modules)])
    if bundle.step_modules:
        error = _failure(engine, _as_workflow(bundle.step_modules))
        if error is not None and error.name == "SyntaxError":
            raise CompileError([_diagnostic(bundle, error, bundle.step_modules)])


def _failure(engine: GuestEngine, encoded: bytes) -> GuestError | None:
    guest = Instance(engine)
    try:
        guest.load(encoded)
    except GuestError as exc:
        return exc
    finally:
        guest.close()
    return None


def _as_workflow(modules: Mapping[str, str]) -> bytes:
    """A bundle that does nothing but import these modules."""
    entry = "".join(f"import {quoted(f'./{name}')};" for name in modules)
    fields = {"entry": _ENTRY, "modules": {**modules, _ENTRY: entry}, "steps": {}}
    data: bytes = cbor2.dumps(fields)
    return data


def _diagnostic(bundle: Bundle, error: GuestError, modules: Mapping[str, str]) -> Diagnostic:
    place = re.search(_POSITION, error.stack)
    if place is None:
        return Diagnostic(file=bundle.entry, line=1, column=1, message=str(error))
    file, line, column = place[1], int(place[2]), int(place[3])
    lines = modules.get(file, "").split("\n")
    return Diagnostic(
        file=file,
        line=line,
        column=column,
        message=f"syntax error: {error.text}",
        hint='write "async" before the function' if "'await'" in error.text else "",
        excerpt=lines[line - 1].rstrip().replace("\t", " ") if line <= len(lines) else "",
    )
