// Streams: a workflow holds one as a value, a name to pass on. Steps and callers read and write it.
(function (native, helpers, builtins) {
  "use strict";
  const { create, defineProperty, freeze } = Object;
  const { uncurry, named } = helpers;
  const weakGet = uncurry(WeakMap.prototype.get), weakSet = uncurry(WeakMap.prototype.set);
  const weakHas = uncurry(WeakMap.prototype.has), isWellFormed = uncurry(String.prototype.isWellFormed);
  const { TypeError } = globalThis, { isArray } = Array;
  const handles = new WeakMap(); // handle -> [run id, name]
  const MAX_NAMESPACE = 200;
  const advice = "; a workflow passes a stream on: to a step, which reads or writes it, or as its result";
  const refusal = (what) => named("StreamNotUsableError", what + " does not work in a workflow" + advice);
  const bodies = new WeakMap(); // the streams that are bodies of requests and responses
  const isBody = (value) => typeof value === "object" && value !== null && weakHas(bodies, value);
  const refuse = (what) =>
    function () {
      if (!isBody(this)) throw refusal(what);
      const reading = "; a request's or response's body is read by its text(), json() or bytes()";
      throw named("StreamNotUsableError", what + " does not work in a workflow" + reading);
    };
  const has = (value) => typeof value === "object" && value !== null && weakHas(handles, value);
  const isReadable = (value) => has(value) || isBody(value);
  const hide = (object, name, value) =>
    defineProperty(object, name, {
      __proto__: null,
      value,
      writable: true,
      enumerable: false,
      configurable: true,
    });

  const methods = {
    ReadableStream: ["cancel", "getReader", "pipeThrough", "pipeTo", "tee", "values"],
    WritableStream: ["abort", "close", "getWriter"],
    TransformStream: [],
  };
  const instances = { ReadableStream: isReadable, WritableStream: has, TransformStream: () => false };
  const kinds = {};
  for (const kind of Object.keys(methods)) {
    const constructor = {
      [kind]: function () {
        throw refusal("new " + kind + "()");
      },
    }[kind];
    hide(constructor, Symbol.hasInstance, instances[kind]);
    kinds[kind] = constructor;
    hide(globalThis, kind, constructor);
  }
  // A handle is one of a stream, whichever side of it somebody holds.
  for (const kind of ["ReadableStream", "WritableStream"]) {
    const proto = kinds[kind].prototype;
    for (const owner of ["ReadableStream", "WritableStream"]) {
      for (const name of methods[owner]) hide(proto, name, refuse(owner + "." + name + "()"));
    }
    hide(proto, Symbol.asyncIterator, refuse("for await over a stream"));
    defineProperty(proto, "locked", {
      __proto__: null,
      get: function () {
        if (!isBody(this)) throw refusal(kind + ".locked");
        return false;
      },
      enumerable: false,
      configurable: true,
    });
    hide(proto, Symbol.toStringTag, kind);
  }
  const { prototype } = kinds.WritableStream;

  const handle = (run, name) => {
    const made = freeze(create(prototype));
    weakSet(handles, made, freeze([run, name]));
    return made;
  };
  // [run id, name] of a handle; undefined of anything else.
  helpers.streamOf = (value) =>
    typeof value === "object" && value !== null ? weakGet(handles, value) : undefined;
  helpers.isReadable = isReadable;
  helpers.bodyStream = () => {
    const made = freeze(create(kinds.ReadableStream.prototype));
    weakSet(bodies, made, true);
    return made;
  };
  helpers.streamHandle = (inner) => {
    if (!isArray(inner) || typeof inner[0] !== "string" || typeof inner[1] !== "string") {
      throw new TypeError("a stream without its run and name");
    }
    return handle(inner[0], inner[1]);
  };
  helpers.writableOf = (run, options) => {
    if (typeof options !== "object" || options === null) {
      throw new TypeError('getWritable takes an object of options: getWritable({ namespace: "progress" })');
    }
    const { namespace } = options;
    if (namespace === undefined) return handle(run, "out");
    if (typeof namespace !== "string" || !namespace || namespace.length > MAX_NAMESPACE) {
      throw new TypeError("a stream's namespace is a text of 1 to " + MAX_NAMESPACE + " characters");
    }
    if (!isWellFormed(namespace)) {
      throw new TypeError("a stream's namespace has a lone surrogate, which has no UTF-8 form");
    }
    return handle(run, "out/" + namespace);
  };
});
