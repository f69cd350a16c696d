// What workflow code must not have: gone, or a named error that says what to use instead.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty } = Object;
  const advice = {
    fetch: "do it in a Python step: import { get } from \"python:your.module\"",
    setTimeout: "use sleep: import { sleep } from \"workflow\"",
    setInterval: "use a loop with sleep: import { sleep } from \"workflow\"",
    setImmediate: "use queueMicrotask, or sleep from \"workflow\"",
    clearTimeout: "use sleep and Promise.race: import { sleep } from \"workflow\"",
    clearInterval: "use a loop with sleep and break",
    require: "use import; only relative modules, \"workflow\" and \"python:…\" are there",
    eval: "write the code out; source made at run time cannot be pinned to a run",
    XMLHttpRequest: "do it in a Python step",
    WebSocket: "do it in a Python step",
    Buffer: "use Uint8Array, TextEncoder, atob and btoa",
    process: "pass what you need as an argument; workflows have no environment",
  };
  const refuse = (name) => { throw helpers.named("ForbiddenGlobalError", `${name} is not there in a workflow; ${advice[name]}`); };
  for (const name of Object.keys(advice)) {
    if (name === "process" || name === "Buffer") defineProperty(globalThis, name, { get: () => refuse(name), configurable: false });
    else defineProperty(globalThis, name, { value: freezeCall(name), writable: false, configurable: false });
  }
  function freezeCall(name) {
    const call = function () { refuse(name); };
    defineProperty(call, "name", { value: name });
    return Object.freeze(call);
  }
  for (const name of ["WeakRef", "FinalizationRegistry", "Atomics", "SharedArrayBuffer", "WebAssembly", "performance", "navigator", "gc"]) delete globalThis[name];
  const makers = [Function, (async () => {}).constructor, (function* () {}).constructor, (async function* () {}).constructor];
  for (const maker of makers) {
    const blocked = function Function() { throw helpers.named("ForbiddenGlobalError", "new Function is not there in a workflow; " + advice.eval); };
    blocked.prototype = maker.prototype;
    defineProperty(maker.prototype, "constructor", { value: blocked, writable: false, configurable: false });
    if (maker === Function) defineProperty(globalThis, "Function", { value: blocked, writable: false, configurable: false });
  }
});
