"""Ambient: the module "workflow" and the few globals it stands for, as TypeScript sees them."""

from __future__ import annotations

__all__ = ("AMBIENT",)

AMBIENT = """\
declare module "workflow" {
  /** A durable sleep: milliseconds, a text such as "10 minutes", or the time at which it ends. */
  export function sleep(duration: number | string | Date): Promise<void>;

  /** Ends a step or a run for good: it is never tried again. */
  export class FatalError extends Error {
    constructor(message?: string, options?: { cause?: unknown });
    readonly fatal: true;
    static is(value: unknown): value is FatalError;
  }

  /** Asks for another try, after a while. */
  export class RetryableError extends Error {
    constructor(
      message?: string,
      options?: { cause?: unknown; retryAfter?: number | string | Date },
    );
    readonly retryAfter: Date;
    static is(value: unknown): value is RetryableError;
  }

  export interface WorkflowMetadata {
    readonly workflowName: string;
    readonly workflowRunId: string;
    readonly workflowStartedAt: Date;
  }
  /** About the run that is executing. */
  export function getWorkflowMetadata(): WorkflowMetadata;

  /** A point at which the run goes on when something is sent to its token. */
  export interface Hook<T> extends PromiseLike<T>, AsyncIterable<T> {
    readonly token: string;
    dispose(): void;
  }
  export function createHook<T = unknown>(
    options?: { token?: string; metadata?: unknown },
  ): Hook<T>;

  /** Merges into the run's attributes; null removes. */
  export function setAttributes(
    changes: Record<string, string | number | boolean | null>,
  ): void;
}
"""
