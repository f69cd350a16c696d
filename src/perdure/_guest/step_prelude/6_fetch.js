// fetch: requests that the host makes, where the worker's policy allows it.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty } = Object, { TypeError, Promise: P } = globalThis;
  const { request: operate, forget, isObject, workflow } = helpers;
  const weakGet = helpers.uncurry(WeakMap.prototype.get), weakSet = helpers.uncurry(WeakMap.prototype.set);
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  const signals = helpers.requestSignals;
  defineProperty(Request.prototype, "signal", {
    get() {
      const signal = weakGet(signals, this);
      if (signal !== undefined) return signal;
      const own = new AbortController().signal;
      weakSet(signals, this, own);
      return own;
    },
    enumerable: true,
    configurable: true,
  });

  // A promise of an operation that ends when a signal is aborted.
  const abortable = (kind, fields, signal) => {
    const stack = native.trace(), caller = native.caller();
    return new P((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const stop = () => {
        forget(id);
        native.emit(["cancel", 0, id]);
        reject(signal.reason);
      };
      const id = operate(kind, fields, (isDone, value) => {
        forget(id);
        signal?.removeEventListener("abort", stop);
        if (isDone) return resolve(value);
        helpers.define(value, "stack", stack + native.waitingFrames(caller));
        reject(value);
      });
      signal?.addEventListener("abort", stop, { once: true });
    });
  };
  const isNull = (status) => status === 101 || status === 204 || status === 205 || status === 304;
  const bodyOf = (number, signal) => {
    let stop;
    const stream = new ReadableStream({
      type: "bytes",
      start(controller) {
        stop = () => {
          native.emit(["drop", 0, number]);
          controller.error(signal.reason);
        };
        signal?.addEventListener("abort", stop, { once: true });
      },
      async pull(controller) {
        const chunk = await abortable("read", [number], signal);
        if (chunk !== null) return controller.enqueue(chunk);
        signal?.removeEventListener("abort", stop);
        controller.close();
      },
      cancel() {
        signal?.removeEventListener("abort", stop);
        native.emit(["drop", 0, number]);
      },
    }, { highWaterMark: 0 });
    return helpers.sourceOfStream(stream);
  };
  const send = async (request, signal) => {
    const { url, method, headers, state, redirect } = helpers.requestParts(request);
    const bytes = state === null ? null : state.source === null ? state.bytes : await state.source.all();
    const head = await abortable("fetch", [[method, url, headers, bytes, redirect]], signal);
    if (method === "HEAD" || isNull(head.status)) {
      native.emit(["drop", 0, head.number]);
      head.body = undefined;
      return helpers.receivedResponse(head, null);
    }
    if (head.body !== undefined) return helpers.receivedResponse(head, null);
    return helpers.receivedResponse(head, bodyOf(head.number, signal));
  };
  const schemes = { __proto__: null, "data:": 1, "blob:": 1, "file:": 1 };
  const fetch = async function fetch(input, init = undefined) {
    if (!arguments.length) throw new TypeError("fetch takes a URL or a Request");
    const request = new Request(input, init);
    if (schemes[new URL(request.url).protocol]) {
      throw new TypeError(
        "fetch failed: only http and https URLs are fetched, not " + request.url.slice(0, 100),
      );
    }
    const signal = weakGet(signals, request);
    if (signal?.aborted) throw signal.reason;
    return send(request, signal);
  };
  define("fetch", fetch);
  workflow.fetch = fetch;
  // As a step of its own, where a workflow calls it: what it returns crosses whole.
  helpers.builtinSteps = {
    __proto__: null,
    "step//workflow//fetch": async (input, init) => {
      const response = await fetch(input, init), { status, statusText, headers } = response;
      const body = isNull(status) || response.body === null ? null : await response.bytes();
      return new Response(body, { status, statusText, headers });
    },
  };
});
