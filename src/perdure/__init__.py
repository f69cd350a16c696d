"""Durable workflows for asyncio services: TypeScript frozen at every await, steps in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _logs as _logs
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

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """``__version__``, which is looked up when it is asked for: that takes 10 ms."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        return version(__name__)
