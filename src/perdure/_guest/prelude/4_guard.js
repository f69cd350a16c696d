// What workflow code must not have: a named error that says what to use instead.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, keys } = Object;
  const inStep = 'do it in a Python step: import { get } from "python:your.module"';
  const later = 'use sleep: import { sleep } from "workflow"';
  const source = "write the code out; source made at run time cannot be pinned to a run";
  const collected = "what the garbage collector does cannot be replayed; keep a plain reference";
  const shared = "a workflow is one thread; use plain variables";
  const bytes = "use Uint8Array";
  const argument = "pass what you need as an argument; workflows have no environment";
  const callables = {
    fetch: inStep,
    Blob: bytes,
    File: bytes,
    FormData: "read a form with URLSearchParams, or in a Python step",
    XMLHttpRequest: inStep,
    WebSocket: inStep,
    EventSource: inStep,
    Worker: "start a step, or several at once with Promise.all",
    setTimeout: later,
    setInterval: 'use a loop with sleep: import { sleep } from "workflow"',
    setImmediate: 'use queueMicrotask, or sleep from "workflow"',
    clearTimeout: 'use sleep and Promise.race: import { sleep } from "workflow"',
    clearInterval: "use a loop with sleep and break",
    clearImmediate: 'use queueMicrotask, or sleep from "workflow"',
    WeakRef: collected,
    FinalizationRegistry: collected,
    SharedArrayBuffer: shared + ", and ArrayBuffer",
    require: 'use import; only relative modules, "workflow" and "python:…" are there',
    eval: source,
    Buffer: "use Uint8Array, TextEncoder, atob and btoa",
  };
  const namespaces = {
    process: argument,
    navigator: argument,
    localStorage: "what a workflow keeps in its variables is durable already",
    sessionStorage: "what a workflow keeps in its variables is durable already",
    window: "use globalThis",
    document: inStep,
    global: "use globalThis",
    Atomics: shared,
    WebAssembly: inStep,
    performance: "use Date.now(), the run's own clock",
    Intl: "format in a Python step; the language data would tie a run to a machine",
  };
  const forbidden = (name, advice) =>
    helpers.named("ForbiddenGlobalError", name + " is not there in a workflow; " + advice);
  // Code that looks before it leaps finds typeof "undefined" and a value that is not truthy; any use throws.
  const everything = [
    ...["get", "set", "has", "deleteProperty", "defineProperty", "getOwnPropertyDescriptor", "ownKeys"],
    ...["getPrototypeOf", "setPrototypeOf", "isExtensible", "preventExtensions", "apply", "construct"],
  ];
  const traps = (name, advice) => {
    const refuse = () => {
      throw forbidden(name, advice);
    };
    const table = { __proto__: null };
    for (const trap of everything) table[trap] = refuse;
    return table;
  };
  const refused = (target, name, advice) => {
    const value = new Proxy(target, traps(name, advice));
    native.hide(value);
    return value;
  };
  const install = (name, value) => {
    delete globalThis[name];
    defineProperty(globalThis, name, { value, writable: false, configurable: false });
  };
  for (const name of keys(callables)) install(name, refused(function () {}, name, callables[name]));
  for (const name of keys(namespaces)) install(name, refused({}, name, namespaces[name]));
  delete globalThis.gc;
  const makers = [
    Function,
    (async () => {}).constructor,
    (function* () {}).constructor,
    (async function* () {}).constructor,
  ];
  for (const maker of makers) {
    const blocked = function Function(text) {
      throw forbidden("new Function", source);
    };
    blocked.prototype = maker.prototype;
    defineProperty(maker.prototype, "constructor", { value: blocked, writable: false, configurable: false });
    if (maker === Function) install("Function", blocked);
  }
});
