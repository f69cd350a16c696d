"""Durable workflows for asyncio services: TypeScript frozen at every await, steps in Python.

A name is imported from its home when it is first asked for: a program that starts a run imports
two thirds of what there is, which takes 60 ms of the 90 that everything would take.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import _logs as _logs
from ._lazy import lazy_names

if TYPE_CHECKING:
    __version__: str

    from ._protocol.frames import Limits as Limits
    from ._runtime.attributes import set_attributes as set_attributes
    from ._runtime.cancellation import CancelResult as CancelResult, cancel_runs as cancel_runs
    from ._runtime.health import Health as Health, check_health as check_health
    from ._runtime.hook_types import HookType as HookType, hook_type as hook_type
    from ._runtime.hooks import Hook as Hook, get_hook as get_hook, resume_hook as resume_hook
    from ._runtime.inspect.listing import list_runs as list_runs
    from ._runtime.metadata import (
        RunFeatures as RunFeatures,
        RunMetadata as RunMetadata,
        StepMetadata as StepMetadata,
        run_metadata as run_metadata,
        step_metadata as step_metadata,
        stop_event as stop_event,
        timeout_event as timeout_event,
    )
    from ._runtime.move import move_run as move_run
    from ._runtime.run import Run as Run, get_run as get_run
    from ._runtime.start import start as start
    from ._runtime.steps import Step as Step, step as step
    from ._runtime.streams.doors import writable as writable
    from ._runtime.streams.plain import PlainWritable as PlainWritable
    from ._runtime.streams.readable import Readable as Readable
    from ._runtime.streams.writable import Writable as Writable
    from ._runtime.worker.callbacks import RunEnd as RunEnd
    from ._runtime.worker.worker import Worker as Worker
    from ._runtime.workflow import Workflow as Workflow, workflow as workflow
    from ._steps.limits import StepLimits as StepLimits
    from ._steps.policy import Fetch as Fetch
    from .errors import (
        FatalError as FatalError,
        HookConflictError as HookConflictError,
        HookNotFoundError as HookNotFoundError,
        HookPayloadError as HookPayloadError,
        PerdureError as PerdureError,
        RetryableError as RetryableError,
        RunCancelledError as RunCancelledError,
        RunFailedError as RunFailedError,
        StepTimeoutError as StepTimeoutError,
    )
    from .values import UNDEFINED as UNDEFINED
    from .worlds import open_world as open_world
else:
    _HOMES = {
        "Limits": "._protocol.frames",
        "set_attributes": "._runtime.attributes",
        "CancelResult": "._runtime.cancellation",
        "cancel_runs": "._runtime.cancellation",
        "Health": "._runtime.health",
        "check_health": "._runtime.health",
        "HookType": "._runtime.hook_types",
        "hook_type": "._runtime.hook_types",
        "Hook": "._runtime.hooks",
        "get_hook": "._runtime.hooks",
        "resume_hook": "._runtime.hooks",
        "list_runs": "._runtime.inspect.listing",
        "RunFeatures": "._runtime.metadata",
        "RunMetadata": "._runtime.metadata",
        "StepMetadata": "._runtime.metadata",
        "run_metadata": "._runtime.metadata",
        "step_metadata": "._runtime.metadata",
        "stop_event": "._runtime.metadata",
        "timeout_event": "._runtime.metadata",
        "move_run": "._runtime.move",
        "Run": "._runtime.run",
        "get_run": "._runtime.run",
        "start": "._runtime.start",
        "Step": "._runtime.steps",
        "step": "._runtime.steps",
        "writable": "._runtime.streams.doors",
        "PlainWritable": "._runtime.streams.plain",
        "Readable": "._runtime.streams.readable",
        "Writable": "._runtime.streams.writable",
        "RunEnd": "._runtime.worker.callbacks",
        "Worker": "._runtime.worker.worker",
        "Workflow": "._runtime.workflow",
        "workflow": "._runtime.workflow",
        "StepLimits": "._steps.limits",
        "Fetch": "._steps.policy",
        "FatalError": ".errors",
        "HookConflictError": ".errors",
        "HookNotFoundError": ".errors",
        "HookPayloadError": ".errors",
        "PerdureError": ".errors",
        "RetryableError": ".errors",
        "RunCancelledError": ".errors",
        "RunFailedError": ".errors",
        "StepTimeoutError": ".errors",
        "UNDEFINED": ".values",
        "open_world": ".worlds",
    }
    _MODULES = ("abc", "display", "errors", "model", "values", "worldkit", "worlds")
    _find, _present = lazy_names(__name__, _HOMES)
    __all__ = tuple(_HOMES)

    def __getattr__(name: str) -> object:
        """A public name, ``__version__`` (looking for it takes 10 ms), or a public module."""
        if name == "__version__":
            from importlib.metadata import version

            return version(__name__)
        if name in _MODULES:
            return import_module(f".{name}", __name__)
        return _find(name)

    def __dir__() -> list[str]:
        return sorted({*_present(), *_MODULES, "__version__"})
