"""Builtin modules beside "workflow", as TypeScript sees them: errors, and names of other places."""

from __future__ import annotations

__all__ = ("BUILTIN_MODULES",)

# class -> its base and the facts that its constructor takes, in order
_FACTS: dict[str, tuple[str, dict[str, str]]] = {
    "WorkflowError": ("Error", {}),
    "WorkflowWorldError": ("WorkflowError", {}),
    "WorkflowRuntimeError": ("WorkflowError", {}),
    "EntityConflictError": ("WorkflowWorldError", {}),
    "PreconditionFailedError": ("WorkflowWorldError", {}),
    "TooEarlyError": ("WorkflowWorldError", {"message": "string", "retryAfter": "number"}),
    "ThrottleError": ("WorkflowWorldError", {"message": "string", "retryAfter": "number"}),
    "HookConflictError": ("WorkflowError", {"token": "string", "conflictingRunId": "string"}),
    "HookForceClaimedError": ("WorkflowError", {"token": "string", "forceClaimedBy": "string"}),
    "HookDisposedError": ("WorkflowError", {"token": "string"}),
    "HookNotFoundError": ("WorkflowError", {"token": "string"}),
    "RunCancelledError": (
        "WorkflowError",
        {"reason": "string | null", "deadline": "Date", "stepStarted": "boolean | undefined"},
    ),
    "RunExpiredError": (
        "WorkflowError",
        {"runId": "string", "runStatus": "string", "expiredAt": "Date"},
    ),
    "RunNotSupportedError": (
        "WorkflowError",
        {"runSpecVersion": "number", "worldSpecVersion": "number"},
    ),
    "StepNotRegisteredError": ("WorkflowRuntimeError", {"stepName": "string"}),
    "WorkflowNotRegisteredError": ("WorkflowRuntimeError", {"workflowName": "string"}),
    "StreamError": ("WorkflowError", {}),
    "WorkflowRunCancelledError": ("WorkflowError", {"runId": "string"}),
    "WorkflowRunFailedError": ("WorkflowError", {"runId": "string", "errorCode": "string"}),
    "WorkflowRunNotCompletedError": ("WorkflowError", {"runId": "string", "runStatus": "string"}),
    "WorkflowRunNotFoundError": ("WorkflowError", {"runId": "string"}),
}
_MORE: dict[str, tuple[str, dict[str, str]]] = {
    "CorruptedEventLogError": ("WorkflowRuntimeError", {}),
    "ReplayDivergenceError": ("WorkflowRuntimeError", {}),
    "MaxEventsExceededError": ("WorkflowRuntimeError", {}),
    "RuntimeDecryptionError": ("WorkflowRuntimeError", {}),
    "WorkflowBuildError": ("WorkflowError", {}),
    "SerializationError": ("WorkflowError", {}),
    "WorkflowDeploymentMismatchError": ("WorkflowRuntimeError", {}),
    "StreamExpiredError": ("WorkflowError", {}),
}


def _class(name: str, base: str, facts: dict[str, str]) -> str:
    arguments = facts or {"message": "string"}
    parameters = "".join(f"{fact}?: {kind}, " for fact, kind in arguments.items())
    fields = "".join(
        f"    readonly {fact}: {kind};\n" for fact, kind in facts.items() if fact != "message"
    )
    return (
        f"  export class {name} extends {base} {{\n"
        f"    constructor({parameters}options?: {{ cause?: unknown }});\n"
        f"{fields}"
        f"    static is(value: unknown): value is {name};\n"
        "  }\n"
    )


def _classes(table: dict[str, tuple[str, dict[str, str]]]) -> str:
    return "".join(_class(name, base, facts) for name, (base, facts) in table.items())


_HEAD = '  import { WorkflowError, WorkflowRuntimeError } from "workflow/errors";\n'
BUILTIN_MODULES = f"""\
declare module "workflow/errors" {{
{_classes(_FACTS)}}}
declare module "workflow/internal/errors" {{
  export * from "workflow/errors";
}}
declare module "@workflow/errors" {{
{_HEAD}  export * from "workflow/errors";
  export {{ FatalError, RetryableError }} from "workflow";
  export const RUN_ERROR_CODES: {{ readonly [code: string]: string }};
{_classes(_MORE)}}}
declare module "@workflow/core" {{
  export * from "workflow";
  /** Not in a workflow. */
  export function resumeHook(token: string, payload: unknown): Promise<unknown>;
}}
/** Nothing of this works in a workflow: each throws, and says what to call in a Python step. */
declare module "workflow/api" {{
  export interface StartOptions {{
    attributes?: Record<string, string>;
    allowReservedAttributes?: boolean;
    hook?: string;
    runId?: string;
  }}
  type Workflow<A extends any[], R> = (...args: A) => R | Promise<R>;
  export function start<R>(workflow: Workflow<[], R>, options?: StartOptions): Promise<Run<R>>;
  export function start<A extends any[], R>(
    workflow: Workflow<A, R>, args: A, options?: StartOptions,
  ): Promise<Run<R>>;
  export class Run<R = any> {{
    constructor(runId: string);
    readonly runId: string;
    readonly returnValue: Promise<R>;
    readonly readable: WritableStream;
    readonly writable: WritableStream;
    getReadable(options?: {{ namespace?: string }}): WritableStream;
    getWritable(options?: {{ namespace?: string }}): WritableStream;
    /** Not of the run itself. With `graceful` the other run has that time to clean up. */
    cancel(options?: {{
      reason?: string;
      cancelReason?: string;
      graceful?: string | number | Date;
      children?: "cancel" | "leave";
    }}): Promise<void>;
  }}
  export function getRun(runId: string): any;
  export function getHookByToken(token: string): Promise<any>;
  export function resumeHook(token: any, payload: unknown): Promise<any>;
  export function resumeWebhook(token: string, request: any): Promise<any>;
  export function registerLifecycleHooks(hooks: any): () => void;
  export function runStep(...args: any[]): Promise<any>;
}}
"""
