"""Ambient: the module "workflow" and the globals that workflows have, as TypeScript sees them.

The globals beyond ECMAScript's are declared only where no other library declares them, so a
project that has ``lib.dom`` or Node's types keeps those.
"""

from __future__ import annotations

from .builtin_modules import BUILTIN_MODULES

__all__ = ("AMBIENT",)

_GLOBALS = """\
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
    /** The public base URL that the run was started with; "" is none. */
    readonly url: string;
    readonly features: { readonly encryption: boolean };
  }
  /** About the run that is executing. */
  export function getWorkflowMetadata(): WorkflowMetadata;

  /** The run's stream, as a value: pass it to a step, which writes to it. */
  export function getWritable<W = any>(options?: { namespace?: string }): WritableStream<W>;

  /** A point at which the run goes on when something is sent to its token. */
  export interface Hook<T> extends PromiseLike<T>, AsyncIterable<T>, Disposable {
    readonly token: string;
    /** Once the token is taken: null, or the run that holds it. */
    getConflict(): Promise<import("workflow/api").Run | null>;
    /** Frees the token; nothing comes any more. To `break` out of a loop does not. */
    dispose(): void;
  }
  export interface HookOptions {
    /** Unique among all runs; without it one that nobody can guess. */
    token?: string;
    metadata?: unknown;
    webhook?: boolean;
    /** Keeps the token from others for so long, or until then, also past the run's end. */
    minRetention?: number | string | Date;
    /** Takes the token from a run that holds it. */
    force?: boolean;
    isWebhook?: boolean;
    experimental_minRetention?: number | string | Date;
    experimental_force?: boolean;
  }
  export function createHook<T = unknown>(options?: HookOptions): Hook<T>;
  export interface TypedHook<T> {
    create(options?: HookOptions): Hook<T>;
    /** Not in a workflow. */
    resume(token: string, payload: T): Promise<unknown>;
  }
  export function defineHook<T = unknown>(options?: { schema?: unknown }): TypedHook<T>;
  /** Not in a workflow. */
  export function getStepMetadata(): never;

  /** What a webhook with `respondWith: "manual"` receives; it is answered by a step. */
  export interface RequestWithResponse extends Request {
    respondWith(response: Response): Promise<void>;
  }
  export interface Webhook<T = Request> extends Hook<T> {
    /** Where its requests go to: below the public URL that the run was started with. */
    readonly url: string;
  }
  export interface WebhookOptions {
    metadata?: unknown;
    /** How each request is answered: by this response, or by a step. Default: status 202. */
    respondWith?: Response | "manual";
  }
  /** A hook that HTTP requests resume. Its token is made by the run. */
  export function createWebhook(
    options: WebhookOptions & { respondWith: "manual" },
  ): Webhook<RequestWithResponse>;
  export function createWebhook(options?: WebhookOptions): Webhook;

  /** A request that a step makes, where the worker allows it; its response is whole. */
  export function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;

  export interface SetAttributesOptions {
    /** Names may begin with "$". */
    allowReservedAttributes?: boolean;
  }
  /** Merges into the run's attributes; null and undefined remove. A FatalError past a limit. */
  export function setAttributes(
    changes: Record<string, string | number | boolean | null | undefined>,
    options?: SetAttributesOptions,
  ): Promise<void>;
}

interface SymbolConstructor {
  readonly dispose: unique symbol;
}
interface Disposable {
  [Symbol.dispose](): void;
}

interface Console {
  assert(condition?: unknown, ...data: any[]): void;
  clear(): void;
  count(label?: string): void;
  countReset(label?: string): void;
  debug(...data: any[]): void;
  dir(value?: any): void;
  error(...data: any[]): void;
  group(...data: any[]): void;
  groupCollapsed(...data: any[]): void;
  groupEnd(): void;
  info(...data: any[]): void;
  log(...data: any[]): void;
  table(value?: any): void;
  time(label?: string): void;
  timeEnd(label?: string): void;
  timeLog(label?: string, ...data: any[]): void;
  trace(...data: any[]): void;
  warn(...data: any[]): void;
}
/** Goes to the run's log. */
declare var console: Console;

declare function atob(data: string): string;
declare function btoa(data: string): string;
declare function queueMicrotask(callback: () => void): void;
declare function structuredClone<T = any>(value: T): T;

/** A stream of a run. A workflow passes it on, and neither reads nor writes it. */
interface WritableStream<W = any> {
  readonly locked: boolean;
}
interface URL {
  hash: string;
  host: string;
  hostname: string;
  href: string;
  toString(): string;
  readonly origin: string;
  password: string;
  pathname: string;
  port: string;
  protocol: string;
  search: string;
  readonly searchParams: URLSearchParams;
  username: string;
  toJSON(): string;
}
interface URLSearchParams {
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  toString(): string;
  forEach(callback: (value: string, key: string, parent: URLSearchParams) => void): void;
  [Symbol.iterator](): IterableIterator<[string, string]>;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
}
interface TextEncoder {
  readonly encoding: string;
  encode(input?: string): Uint8Array;
  encodeInto(source: string, destination: Uint8Array): { read: number; written: number };
}
interface TextDecoder {
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(input?: ArrayBuffer | ArrayBufferView, options?: { stream?: boolean }): string;
}
interface Headers {
  append(name: string, value: string): void;
  delete(name: string): void;
  get(name: string): string | null;
  getSetCookie(): string[];
  has(name: string): boolean;
  set(name: string, value: string): void;
  forEach(callback: (value: string, key: string, parent: Headers) => void): void;
  [Symbol.iterator](): IterableIterator<[string, string]>;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
}
type PerdureHeadersInit = Headers | Record<string, string> | Iterable<[string, string]>;
type PerdureBody = string | Uint8Array | ArrayBuffer | ArrayBufferView | URLSearchParams;
/** Told apart and passed on in a workflow; steps and clients read it. */
interface ReadableStream<R = any> {
  readonly locked: boolean;
}
/** Made of bytes that are there already: each reader answers at once, without a step. */
interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: ReadableStream | null;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  bytes(): Promise<Uint8Array>;
  clone(): Request;
  json(): Promise<any>;
  text(): Promise<string>;
}
interface Response {
  readonly headers: Headers;
  readonly ok: boolean;
  readonly redirected: boolean;
  readonly status: number;
  readonly statusText: string;
  readonly url: string;
  readonly body: ReadableStream | null;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  bytes(): Promise<Uint8Array>;
  clone(): Response;
  json(): Promise<any>;
  text(): Promise<string>;
}
interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: any;
  onabort: ((this: AbortSignal, event: any) => any) | null;
  throwIfAborted(): void;
  addEventListener(
    type: "abort",
    listener: (this: AbortSignal, event: any) => any,
    options?: boolean | { once?: boolean },
  ): void;
  removeEventListener(type: "abort", listener: (event: any) => any): void;
}
/** Its signal may be passed to steps, which then hear of the abort while they run. */
interface AbortController {
  readonly signal: AbortSignal;
  abort(reason?: any): void;
}
interface PerdureAbortSignalConstructor {
  readonly prototype: AbortSignal;
  abort(reason?: any): AbortSignal;
  any(signals: Iterable<AbortSignal>): AbortSignal;
}
interface PerdureAbortControllerConstructor {
  new (): AbortController;
  readonly prototype: AbortController;
}
interface PerdureHeadersConstructor {
  new (init?: PerdureHeadersInit): Headers;
  readonly prototype: Headers;
}
interface PerdureRequestConstructor {
  new (
    input: string | URL | Request,
    init?: { method?: string; headers?: PerdureHeadersInit; body?: PerdureBody | null },
  ): Request;
  readonly prototype: Request;
}
interface PerdureResponseInit {
  status?: number;
  statusText?: string;
  headers?: PerdureHeadersInit;
}
interface PerdureResponseConstructor {
  new (body?: PerdureBody | null, init?: PerdureResponseInit): Response;
  readonly prototype: Response;
  error(): Response;
  json(data: any, init?: PerdureResponseInit): Response;
  redirect(url: string | URL, status?: number): Response;
}
/** Seeded from the run: the same values when the run's log is read again. */
interface PerdureCrypto {
  getRandomValues<T extends ArrayBufferView>(array: T): T;
  randomUUID(): `${string}-${string}-${string}-${string}-${string}`;
}
interface PerdureURLConstructor {
  new (url: string | URL, base?: string | URL): URL;
  readonly prototype: URL;
  canParse(url: string | URL, base?: string | URL): boolean;
  parse(url: string | URL, base?: string | URL): URL | null;
}
interface DOMException extends Error {
  readonly code: number;
}
interface PerdureDOMExceptionConstructor {
  new (message?: string, name?: string): DOMException;
  readonly prototype: DOMException;
}
interface PerdureURLSearchParamsConstructor {
  new (
    init?: string | URLSearchParams | Record<string, string> | Iterable<[string, string]>,
  ): URLSearchParams;
  readonly prototype: URLSearchParams;
}
interface PerdureTextEncoderConstructor {
  new (): TextEncoder;
  readonly prototype: TextEncoder;
}
interface PerdureTextDecoderConstructor {
  new (label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }): TextDecoder;
  readonly prototype: TextDecoder;
}
declare var crypto: typeof globalThis extends { onmessage: any; crypto: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; crypto: infer T }
    ? T
    : PerdureCrypto;
declare var DOMException: typeof globalThis extends { onmessage: any; DOMException: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; DOMException: infer T }
    ? T
    : PerdureDOMExceptionConstructor;
declare var URL: typeof globalThis extends { onmessage: any; URL: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; URL: infer T }
    ? T
    : PerdureURLConstructor;
declare var URLSearchParams: typeof globalThis extends { onmessage: any; URLSearchParams: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; URLSearchParams: infer T }
    ? T
    : PerdureURLSearchParamsConstructor;
declare var TextEncoder: typeof globalThis extends { onmessage: any; TextEncoder: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; TextEncoder: infer T }
    ? T
    : PerdureTextEncoderConstructor;
declare var TextDecoder: typeof globalThis extends { onmessage: any; TextDecoder: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; TextDecoder: infer T }
    ? T
    : PerdureTextDecoderConstructor;
declare var Headers: typeof globalThis extends { onmessage: any; Headers: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; Headers: infer T }
    ? T
    : PerdureHeadersConstructor;
declare var Request: typeof globalThis extends { onmessage: any; Request: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; Request: infer T }
    ? T
    : PerdureRequestConstructor;
declare var Response: typeof globalThis extends { onmessage: any; Response: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; Response: infer T }
    ? T
    : PerdureResponseConstructor;
declare var AbortController: typeof globalThis extends { onmessage: any; AbortController: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; AbortController: infer T }
    ? T
    : PerdureAbortControllerConstructor;
declare var AbortSignal: typeof globalThis extends { onmessage: any; AbortSignal: infer T }
  ? T
  : typeof globalThis extends { Buffer: any; AbortSignal: infer T }
    ? T
    : PerdureAbortSignalConstructor;
"""
AMBIENT = _GLOBALS + BUILTIN_MODULES
