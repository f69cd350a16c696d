"""Durable workflows for asyncio services: TypeScript frozen at every await, steps in Python."""

from __future__ import annotations

from . import _logs as _logs
from ._runtime.handles import Run as Run, get_run as get_run
from ._runtime.metadata import (
    RunMetadata as RunMetadata,
    StepMetadata as StepMetadata,
    run_metadata as run_metadata,
    step_metadata as step_metadata,
)
from ._runtime.registry import Step as Step, step as step
from ._runtime.start import start as start
from ._runtime.transfer import copy_run as copy_run
from ._runtime.worker import Worker as Worker
from ._runtime.workflow import Workflow as Workflow, workflow as workflow
from .errors import FatalError as FatalError, RetryableError as RetryableError
from .values import UNDEFINED as UNDEFINED
from .worlds import open_world as open_world
