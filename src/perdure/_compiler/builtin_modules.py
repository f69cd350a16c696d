"""Builtin modules: those that the guest brings along, and the names that each exports. Pure.

Names that have no meaning in a workflow are there too, so that a module which is also used
elsewhere compiles: in a workflow they throw, and say what to use.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ("MODULES",)

_WORKFLOW = frozenset(
    {
        "FatalError",
        "RetryableError",
        "createHook",
        "createWebhook",
        "defineHook",
        "fetch",
        "getStepMetadata",
        "getWorkflowMetadata",
        "getWritable",
        "setAttributes",
        "sleep",
    }
)
_API = frozenset(
    {
        "Run",
        "getHookByToken",
        "getRun",
        "registerLifecycleHooks",
        "resumeHook",
        "resumeWebhook",
        "runStep",
        "start",
    }
)
_ERRORS = frozenset(
    {
        "EntityConflictError",
        "HookConflictError",
        "HookDisposedError",
        "HookForceClaimedError",
        "HookNotFoundError",
        "PreconditionFailedError",
        "RunCancelledError",
        "RunExpiredError",
        "RunNotSupportedError",
        "StepNotRegisteredError",
        "StreamError",
        "ThrottleError",
        "TooEarlyError",
        "WorkflowError",
        "WorkflowNotRegisteredError",
        "WorkflowRunCancelledError",
        "WorkflowRunFailedError",
        "WorkflowRunNotCompletedError",
        "WorkflowRunNotFoundError",
        "WorkflowRuntimeError",
        "WorkflowWorldError",
    }
)
_MORE_ERRORS = frozenset(
    {
        "CorruptedEventLogError",
        "FatalError",
        "MaxEventsExceededError",
        "RUN_ERROR_CODES",
        "ReplayDivergenceError",
        "RetryableError",
        "RuntimeDecryptionError",
        "SerializationError",
        "StreamExpiredError",
        "WorkflowBuildError",
        "WorkflowDeploymentMismatchError",
    }
)
MODULES: Mapping[str, frozenset[str]] = {
    "workflow": _WORKFLOW,
    "@workflow/core": _WORKFLOW | {"resumeHook"},
    "workflow/api": _API,
    "workflow/errors": _ERRORS,
    "workflow/internal/errors": _ERRORS,
    "@workflow/errors": _ERRORS | _MORE_ERRORS,
    "@workflow/serde": frozenset({"WORKFLOW_DESERIALIZE", "WORKFLOW_SERIALIZE"}),
}
