// Streams, as WHATWG has them: readable, writable, and transforms between these.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty } = Object, { TypeError, RangeError, Promise: P } = globalThis;
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  const deferred = () => {
    const d = { settled: false };
    d.promise = new P((resolve, reject) => {
      d.resolve = (value) => {
        d.settled = true;
        resolve(value);
      };
      d.reject = (error) => {
        d.settled = true;
        reject(error);
      };
    });
    d.promise.catch(() => {}); // whoever looks at it gets it all the same
    return d;
  };
  const settled = (value) => new P((resolve) => resolve(value));
  const rejected = (error) => new P((_, reject) => reject(error));
  const attempt = (call) => {
    try {
      return settled(call());
    } catch (error) {
      return rejected(error);
    }
  };
  const method = (object, name) => {
    const value = object[name];
    if (value === undefined) return undefined;
    if (typeof value !== "function") {
      throw new TypeError(`${name} of a stream's source or sink is a function`);
    }
    return value.bind(object);
  };
  const strategyOf = (strategy, usual) => {
    const { highWaterMark = usual, size = () => 1 } = strategy ?? {};
    const mark = Number(highWaterMark);
    if (!(mark >= 0)) throw new RangeError("highWaterMark is a number from 0 on");
    return { mark, size };
  };
  const objectOf = (value) => {
    if (value === undefined || value === null) return {};
    if (typeof value !== "object" && typeof value !== "function") {
      throw new TypeError("a stream is made of an object");
    }
    return value;
  };
  class CountQueuingStrategy {
    constructor({ highWaterMark }) {
      this.highWaterMark = highWaterMark;
      this.size = () => 1;
    }
  }
  class ByteLengthQueuingStrategy {
    constructor({ highWaterMark }) {
      this.highWaterMark = highWaterMark;
      this.size = (chunk) => chunk.byteLength;
    }
  }

  // --- readable ---------------------------------------------------------------------------------------
  let stateOf, lock, isReadable;
  const pull = (s) => {
    if (s.state !== "readable" || !s.isStarted || s.isClosing || !s.pull) return;
    if (s.size >= s.mark && !s.requests.length) return;
    if (s.isPulling) {
      s.pullAgain = true;
      return;
    }
    s.isPulling = true;
    attempt(() => s.pull(s.controller)).then(
      () => {
        s.isPulling = false;
        if (s.pullAgain) {
          s.pullAgain = false;
          pull(s);
        }
      },
      (error) => failReadable(s, error),
    );
  };
  const closeReadable = (s) => {
    if (s.state !== "readable") return;
    s.state = "closed";
    for (const request of s.requests) request.resolve({ value: undefined, done: true });
    s.requests = [];
    s.reader?.closed.resolve();
  };
  const failReadable = (s, error) => {
    if (s.state !== "readable") return;
    s.state = "errored";
    s.error = error;
    s.queue = [];
    s.size = 0;
    for (const request of s.requests) request.reject(error);
    s.requests = [];
    s.reader?.closed.reject(error);
  };
  const enqueue = (s, chunk) => {
    if (s.state !== "readable" || s.isClosing) throw new TypeError("the stream is closed, or is closing");
    if (s.requests.length) s.requests.shift().resolve({ value: chunk, done: false });
    else {
      let size;
      try {
        size = Number(s.sizeOf(chunk));
        if (!(size >= 0 && size < Infinity)) throw new RangeError("a chunk's size is a finite number");
      } catch (error) {
        failReadable(s, error);
        throw error;
      }
      s.queue.push({ chunk, size });
      s.size += size;
    }
    pull(s);
  };
  const readFrom = (s) => {
    s.isDisturbed = true;
    if (s.state === "errored") return rejected(s.error);
    if (s.queue.length) {
      const { chunk, size } = s.queue.shift();
      s.size -= size;
      if (s.isClosing && !s.queue.length) closeReadable(s);
      else pull(s);
      return settled({ value: chunk, done: false });
    }
    if (s.state === "closed") return settled({ value: undefined, done: true });
    const request = deferred();
    s.requests.push(request);
    pull(s);
    return request.promise;
  };
  const cancelReadable = async (s, reason) => {
    s.isDisturbed = true;
    if (s.state === "closed") return;
    if (s.state === "errored") throw s.error;
    s.queue = [];
    s.size = 0;
    closeReadable(s);
    if (s.cancel) await s.cancel(reason);
  };
  class ReadableStreamDefaultController {
    #s;
    constructor(s) {
      this.#s = s;
    }
    get desiredSize() {
      const s = this.#s;
      return s.state === "errored" ? null : s.state === "closed" ? 0 : s.mark - s.size;
    }
    get byobRequest() {
      return null;
    }
    enqueue(chunk) {
      enqueue(this.#s, chunk);
    }
    close() {
      const s = this.#s;
      if (s.state !== "readable" || s.isClosing) throw new TypeError("the stream is closed already");
      s.isClosing = true;
      if (!s.queue.length) closeReadable(s);
    }
    error(error) {
      failReadable(this.#s, error);
    }
  }
  class ReadableStreamDefaultReader {
    #s;
    #r = { closed: deferred() };
    constructor(stream) {
      const s = (this.#s = lock(stream, this.#r));
      if (s.state === "closed") this.#r.closed.resolve();
      if (s.state === "errored") this.#r.closed.reject(s.error);
    }
    get closed() {
      return this.#r.closed.promise;
    }
    read() {
      return this.#s === null ? rejected(new TypeError("the reader's lock was released")) : readFrom(this.#s);
    }
    cancel(reason) {
      return this.#s === null
        ? rejected(new TypeError("the reader's lock was released"))
        : cancelReadable(this.#s, reason);
    }
    releaseLock() {
      const s = this.#s;
      if (s === null) return;
      const error = new TypeError("the reader's lock was released");
      for (const request of s.requests) request.reject(error);
      s.requests = [];
      if (this.#r.closed.settled) this.#r.closed = deferred();
      this.#r.closed.reject(error);
      s.reader = null;
      this.#s = null;
    }
  }
  class ReadableStream {
    #s;
    constructor(source = undefined, strategy = undefined) {
      const given = objectOf(source), isBytes = given.type === "bytes";
      if (given.type !== undefined && !isBytes) throw new RangeError("the type of a source is bytes");
      const { mark, size } = strategyOf(strategy, isBytes ? 0 : 1);
      const s = {
        state: "readable",
        queue: [],
        size: 0,
        requests: [],
        reader: null,
        mark,
        sizeOf: isBytes ? (chunk) => chunk.byteLength : size,
        pull: method(given, "pull"),
        cancel: method(given, "cancel"),
        isStarted: false,
        isClosing: false,
        isPulling: false,
        isDisturbed: false,
        pullAgain: false,
      };
      this.#s = s;
      s.controller = new ReadableStreamDefaultController(s);
      const start = method(given, "start"), begun = start === undefined ? undefined : start(s.controller);
      settled(begun).then(() => {
        s.isStarted = true;
        pull(s);
      }, (error) => failReadable(s, error));
    }
    static {
      isReadable = (value) => typeof value === "object" && value !== null && #s in value;
      stateOf = (stream) => stream.#s;
      lock = (stream, reader) => {
        const s = stream.#s;
        if (s.reader !== null) throw new TypeError("the stream is locked to a reader");
        s.reader = reader;
        return s;
      };
    }
    static from(items) {
      const make = items[Symbol.asyncIterator] ?? items[Symbol.iterator];
      if (typeof make !== "function") throw new TypeError("ReadableStream.from takes something iterable");
      const iterator = make.call(items);
      return new ReadableStream({
        async pull(controller) {
          const { value, done } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(await value);
        },
        async cancel(reason) {
          if (iterator.return) await iterator.return(reason);
        },
      }, { highWaterMark: 0 });
    }
    get locked() {
      return this.#s.reader !== null;
    }
    getReader(options = {}) {
      if (options?.mode !== undefined) throw new TypeError("a reader of a mode is not there in a step");
      return new ReadableStreamDefaultReader(this);
    }
    cancel(reason) {
      if (this.locked) return rejected(new TypeError("the stream is locked to a reader"));
      return cancelReadable(this.#s, reason);
    }
    tee() {
      const reader = this.getReader(), branches = [];
      let reading = null;
      const cancelled = [false, false], reasons = [], gone = deferred();
      const step = async () => {
        try {
          const { value, done } = await reader.read();
          for (let k = 0; k < 2; k++) {
            if (cancelled[k]) continue;
            if (done) branches[k].close();
            else branches[k].enqueue(value);
          }
          if (done) gone.resolve();
        } catch (error) {
          for (let k = 0; k < 2; k++) branches[k].error(error);
          gone.resolve();
        } finally {
          reading = null;
        }
      };
      const branch = (k) =>
        new ReadableStream({
          start(controller) {
            branches[k] = controller;
          },
          pull() {
            reading ??= step();
            return reading;
          },
          cancel(reason) {
            cancelled[k] = true;
            reasons[k] = reason;
            if (cancelled[0] && cancelled[1]) gone.resolve(reader.cancel(reasons));
            return gone.promise;
          },
        }, { highWaterMark: 0 });
      return [branch(0), branch(1)];
    }
    pipeThrough(pair, options) {
      this.pipeTo(pair.writable, options).catch(() => {});
      return pair.readable;
    }
    async pipeTo(target, { preventClose, preventAbort, preventCancel, signal } = {}) {
      const reader = this.getReader();
      let writer;
      try {
        writer = target.getWriter();
      } catch (error) {
        reader.releaseLock();
        throw error;
      }
      const stopped = deferred(), stop = () => stopped.reject(signal.reason);
      if (signal?.aborted) stop();
      else signal?.addEventListener("abort", stop, { once: true });
      let source = true; // which end an error came from
      try {
        for (;;) {
          source = false;
          await P.race([writer.ready, stopped.promise]);
          source = true;
          const { value, done } = await P.race([
            reader.read(),
            stopped.promise,
            writer.closed.then(() => {
              source = false;
              throw new TypeError("the stream that is written to was closed");
            }, (error) => {
              source = false;
              throw error;
            }),
          ]);
          if (done) break;
          source = false;
          writer.write(value).catch(() => {});
        }
        if (!preventClose) await writer.close();
        else await writer.ready;
      } catch (error) {
        const jobs = [];
        if ((source || stopped.settled) && !preventAbort) jobs.push(writer.abort(error));
        if ((!source || stopped.settled) && !preventCancel) jobs.push(reader.cancel(error));
        await P.allSettled(jobs);
        throw error;
      } finally {
        signal?.removeEventListener("abort", stop);
        reader.releaseLock();
        writer.releaseLock();
      }
    }
    async *values({ preventCancel = false } = {}) {
      const reader = this.getReader();
      let isOver = false;
      try {
        for (;;) {
          const { value, done } = await reader.read().catch((error) => {
            isOver = true;
            throw error;
          });
          if (done) {
            isOver = true;
            return;
          }
          yield value;
        }
      } finally {
        if (!isOver && !preventCancel) await reader.cancel();
        reader.releaseLock();
      }
    }
    [Symbol.asyncIterator](options) {
      return this.values(options);
    }
  }

  // --- writable ---------------------------------------------------------------------------------------
  let writableStateOf, lockWritable, isWritable;
  const isFull = (s) => s.size >= s.mark;
  const tellReady = (s) => {
    const w = s.writer;
    if (w === null) return;
    if (s.state === "writable" && isFull(s)) {
      if (w.ready.settled) w.ready = deferred();
    } else if (!w.ready.settled) w.ready.resolve();
  };
  const failWritable = (s, error) => {
    if (s.state === "errored" || s.state === "closed") return;
    s.state = "errored";
    s.error = error;
    s.abortion.abort(error);
    for (const job of s.queue) job.done.reject(error);
    for (const idle of s.idle.splice(0)) idle.reject(error);
    s.queue = [];
    s.size = 0;
    if (s.writer !== null) {
      if (s.writer.ready.settled) s.writer.ready = deferred();
      s.writer.ready.reject(error);
      s.writer.closed.reject(error);
    }
  };
  const advance = (s) => {
    if (!s.isStarted || s.isBusy || !s.queue.length || s.state === "errored") return;
    const job = s.queue[0];
    s.isBusy = true;
    attempt(() => job.isClose ? s.close?.(s.controller) : s.write?.(job.chunk, s.controller)).then(
      () => {
        s.isBusy = false;
        if (s.state === "errored") return job.done.reject(s.error);
        s.queue.shift();
        s.size -= job.size;
        job.done.resolve();
        if (job.isClose) {
          s.state = "closed";
          s.writer?.closed.resolve();
        } else tellReady(s);
        if (!s.queue.length) { for (const idle of s.idle.splice(0)) idle.resolve(); }
        advance(s);
      },
      (error) => {
        s.isBusy = false;
        failWritable(s, error);
        job.done.reject(error);
      },
    );
  };
  const put = (s, job) => {
    if (s.state === "errored") return rejected(s.error);
    if (s.state === "closed" || s.isClosing) {
      return rejected(new TypeError("the stream is closed, or is closing"));
    }
    if (job.isClose) s.isClosing = true;
    else {
      try {
        job.size = Number(s.sizeOf(job.chunk));
      } catch (error) {
        failWritable(s, error);
        return rejected(error);
      }
    }
    job.done = deferred();
    s.queue.push(job);
    s.size += job.size;
    tellReady(s);
    advance(s);
    return job.done.promise;
  };
  const abortWritable = async (s, reason) => {
    if (s.state === "closed" || s.state === "errored") return;
    failWritable(s, reason);
    if (s.abort) await s.abort(reason);
  };
  class WritableStreamDefaultController {
    #s;
    constructor(s) {
      this.#s = s;
    }
    get signal() {
      return this.#s.abortion.signal;
    }
    error(error) {
      failWritable(this.#s, error);
    }
  }
  class WritableStreamDefaultWriter {
    #s;
    #w = { ready: deferred(), closed: deferred() };
    constructor(stream) {
      const s = (this.#s = lockWritable(stream, this.#w));
      if (s.state === "errored") {
        this.#w.ready.reject(s.error);
        this.#w.closed.reject(s.error);
      } else if (s.state === "closed") {
        this.#w.ready.resolve();
        this.#w.closed.resolve();
      } else tellReady(s);
    }
    get ready() {
      return this.#w.ready.promise;
    }
    get closed() {
      return this.#w.closed.promise;
    }
    get desiredSize() {
      const s = this.#held();
      return s.state === "errored" ? null : s.state === "closed" ? 0 : s.mark - s.size;
    }
    write(chunk) {
      return attempt(() => put(this.#held(), { chunk, size: 0, isClose: false }));
    }
    close() {
      return attempt(() => put(this.#held(), { size: 0, isClose: true }));
    }
    abort(reason) {
      return attempt(() => abortWritable(this.#held(), reason));
    }
    releaseLock() {
      const s = this.#s;
      if (s === null) return;
      const error = new TypeError("the writer's lock was released");
      for (const name of ["ready", "closed"]) {
        if (this.#w[name].settled) this.#w[name] = deferred();
        this.#w[name].reject(error);
      }
      s.writer = null;
      this.#s = null;
    }
    #held() {
      if (this.#s === null) throw new TypeError("the writer's lock was released");
      return this.#s;
    }
  }
  class WritableStream {
    #s;
    constructor(sink = undefined, strategy = undefined) {
      const given = objectOf(sink);
      if (given.type !== undefined) throw new RangeError("a sink has no type");
      const { mark, size } = strategyOf(strategy, 1);
      const s = {
        state: "writable",
        queue: [],
        size: 0,
        writer: null,
        mark,
        sizeOf: size,
        write: method(given, "write"),
        close: method(given, "close"),
        abort: method(given, "abort"),
        abortion: helpers.newAbortion(),
        idle: [],
        isStarted: false,
        isClosing: false,
        isBusy: false,
      };
      this.#s = s;
      s.controller = new WritableStreamDefaultController(s);
      const start = method(given, "start"), begun = start === undefined ? undefined : start(s.controller);
      settled(begun).then(() => {
        s.isStarted = true;
        advance(s);
      }, (error) => failWritable(s, error));
    }
    static {
      isWritable = (value) => typeof value === "object" && value !== null && #s in value;
      writableStateOf = (stream) => stream.#s;
      lockWritable = (stream, writer) => {
        const s = stream.#s;
        if (s.writer !== null) throw new TypeError("the stream is locked to a writer");
        s.writer = writer;
        return s;
      };
    }
    get locked() {
      return this.#s.writer !== null;
    }
    getWriter() {
      return new WritableStreamDefaultWriter(this);
    }
    close() {
      if (this.locked) return rejected(new TypeError("the stream is locked to a writer"));
      return put(this.#s, { size: 0, isClose: true });
    }
    abort(reason) {
      if (this.locked) return rejected(new TypeError("the stream is locked to a writer"));
      return abortWritable(this.#s, reason);
    }
  }

  // --- transforms -------------------------------------------------------------------------------------
  class TransformStreamDefaultController {
    #c;
    #fail;
    #told;
    constructor(c, fail, told) {
      this.#c = c;
      this.#fail = fail;
      this.#told = told;
    }
    get desiredSize() {
      return this.#c().desiredSize;
    }
    enqueue(chunk) {
      this.#c().enqueue(chunk);
      this.#told();
    }
    error(error) {
      this.#fail(error);
    }
    terminate() {
      this.#c().close();
      this.#fail(new TypeError("the transform was terminated"), true);
    }
  }
  class TransformStream {
    #readable;
    #writable;
    constructor(transformer = undefined, writableStrategy = undefined, readableStrategy = undefined) {
      const given = objectOf(transformer);
      const transform = method(given, "transform") ?? ((chunk, controller) => controller.enqueue(chunk));
      const flush = method(given, "flush"), cancel = method(given, "cancel");
      let readable, writable, room = deferred(), isFull = true;
      const fail = (error, isOnlyWritable = false) => {
        if (!isOnlyWritable) readable.error(error);
        writable.error(error);
        room.resolve();
      };
      const controller = new TransformStreamDefaultController(() => readable, fail, () => {
        if (readable.desiredSize > 0 || isFull) return;
        isFull = true;
        room = deferred();
      });
      this.#readable = new ReadableStream({
        start(c) {
          readable = c;
        },
        pull() {
          isFull = false;
          room.resolve();
        },
        async cancel(reason) {
          writable.error(reason);
          room.resolve();
          if (cancel) await cancel(reason);
        },
      }, readableStrategy ?? { highWaterMark: 0 });
      const begun = method(given, "start")?.(controller);
      this.#writable = new WritableStream({
        start(c) {
          writable = c;
          return begun;
        },
        async write(chunk) {
          if (isFull) await room.promise;
          try {
            await transform(chunk, controller);
          } catch (error) {
            readable.error(error);
            throw error;
          }
        },
        async close() {
          try {
            if (flush) await flush(controller);
          } catch (error) {
            readable.error(error);
            throw error;
          }
          if (readable.desiredSize !== 0 || stateOf(streams.readable).state === "readable") {
            try {
              readable.close();
            } catch {} // it was terminated
          }
        },
        async abort(reason) {
          readable.error(reason);
          if (cancel) await cancel(reason);
        },
      }, writableStrategy);
      const streams = { readable: this.#readable };
    }
    get readable() {
      return this.#readable;
    }
    get writable() {
      return this.#writable;
    }
  }

  for (
    const maker of [
      ReadableStream,
      ReadableStreamDefaultReader,
      ReadableStreamDefaultController,
      WritableStream,
      WritableStreamDefaultWriter,
      WritableStreamDefaultController,
      TransformStream,
      TransformStreamDefaultController,
      CountQueuingStrategy,
      ByteLengthQueuingStrategy,
    ]
  ) {
    defineProperty(maker.prototype, Symbol.toStringTag, { value: maker.name, configurable: true });
    define(maker.name, maker);
  }
  helpers.isReadable = isReadable;
  helpers.isWritable = isWritable;
  // A promise of the moment when nothing waits to be written; it rejects if writing failed.
  helpers.whenIdle = (stream) => {
    const s = writableStateOf(stream);
    if (s.state === "errored") return rejected(s.error);
    if (!s.queue.length) return settled();
    const idle = deferred();
    s.idle.push(idle);
    return idle.promise;
  };

  // --- bodies -----------------------------------------------------------------------------------------
  const { bytes: joined } = {
    bytes(chunks) {
      let length = 0;
      for (const chunk of chunks) length += chunk.byteLength;
      const whole = new Uint8Array(length);
      let at = 0;
      for (const chunk of chunks) {
        whole.set(chunk, at);
        at += chunk.byteLength;
      }
      return whole;
    },
  };
  const asBytes = (chunk) => {
    if (typeof chunk === "string") return native.utf8(chunk);
    if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (native.kind(chunk) === "buffer") return new Uint8Array(chunk);
    throw new TypeError("a chunk of a body is a Uint8Array");
  };
  // What a body comes from, where it is a stream.
  helpers.sourceOfStream = (stream) => {
    if (!isReadable(stream)) throw new TypeError("a body that is a stream is a ReadableStream");
    const s = stateOf(stream);
    if (s.isDisturbed || s.reader !== null) {
      throw new TypeError("the stream of a body is locked, or was read");
    }
    return {
      stream: () => stream,
      isUsed: () => stateOf(stream).isDisturbed,
      isLocked: () => stream.locked,
      async all() {
        const chunks = [];
        for await (const chunk of stream) chunks.push(asBytes(chunk));
        return joined(chunks);
      },
      tee() {
        return stream.tee().map(helpers.sourceOfStream);
      },
    };
  };
  helpers.bodyStream = (state) => {
    if (state.source !== null) return state.source.stream();
    const stream = new ReadableStream({
      pull(controller) {
        if (state.bytes.byteLength) controller.enqueue(new Uint8Array(state.bytes));
        controller.close();
      },
    }, { highWaterMark: 0 });
    state.source = helpers.sourceOfStream(stream);
    return stream;
  };
});
