// Headers, Request and Response by the fetch standard, with bodies that are whole: nothing is read
// from anywhere, so each reader answers at once. As in 1_values, values are encoded and decoded
// without reaching what workflow code replaces or adds.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, keys } = Object;
  const { uncurry, define, append, usvString, textOf, publish, unavailable } = helpers;
  const { TypeError, RangeError, Uint8Array: U8, Boolean: Bool, Promise: P } = globalThis;
  const { trunc } = Math, { isArray } = Array, { isReadable } = helpers;
  const { iterator, asyncIterator } = Symbol, { apply, ownKeys } = Reflect, { parse, stringify } = JSON;
  const getter = (proto, name) => uncurry(getOwnPropertyDescriptor(proto, name).get);
  const exec = uncurry(RegExp.prototype.exec), charCodeAt = uncurry(String.prototype.charCodeAt);
  const slice = uncurry(String.prototype.slice), toLowerCase = uncurry(String.prototype.toLowerCase);
  const toUpperCase = uncurry(String.prototype.toUpperCase);
  const weakGet = uncurry(WeakMap.prototype.get), weakSet = uncurry(WeakMap.prototype.set);
  const then = uncurry(Promise.prototype.then);
  const typedProto = getPrototypeOf(U8.prototype), sliceBytes = uncurry(typedProto.slice);
  const typedBuffer = getter(typedProto, "buffer"), typedOffset = getter(typedProto, "byteOffset");
  const typedLength = getter(typedProto, "byteLength");
  const viewBuffer = getter(DataView.prototype, "buffer"),
    viewOffset = getter(DataView.prototype, "byteOffset");
  const viewLength = getter(DataView.prototype, "byteLength");
  const paramsText = uncurry(URLSearchParams.prototype.toString);
  const isObject = (value) => value !== null && (typeof value === "object" || typeof value === "function");
  const HEADERS = 1347571210, REQUEST = 1347571211, RESPONSE = 1347571212;

  const needs = (args, count, what) => {
    if (args.length < count) {
      throw new TypeError(what + " takes " + count + " argument" + (count > 1 ? "s" : ""));
    }
  };
  const notLatin = /[^\0-\xff]/, notInValue = /[\0\r\n]/, notInReason = /[^\t\x20-\x7e\x80-\xff]/;
  const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
  const byteString = (value) => {
    const text = textOf(value);
    if (exec(notLatin, text)) throw new TypeError("a character above U+00FF cannot be in a header: " + text);
    return text;
  };
  // Members of a dictionary, as Web IDL reads one.
  const dictionary = (value, what) => {
    if (value === undefined || value === null) return { __proto__: null };
    if (!isObject(value)) throw new TypeError("the options of " + what + " are an object");
    return value;
  };

  // --- headers: [lower-case name, value] in the order of names, and in theirs those of one name ----
  const isBlank = (unit) => unit === 32 || unit === 9 || unit === 10 || unit === 13;
  const trimmed = (text) => {
    let first = 0, end = text.length;
    while (first < end && isBlank(charCodeAt(text, first))) first++;
    while (end > first && isBlank(charCodeAt(text, end - 1))) end--;
    return slice(text, first, end);
  };
  const nameOf = (text) => {
    if (!exec(token, text)) throw new TypeError('"' + text + '" is no header name');
    return toLowerCase(text);
  };
  const valueOf = (text) => {
    const value = trimmed(text);
    if (exec(notInValue, value)) throw new TypeError("a header's value has no line end and no NUL in it");
    return value;
  };
  const COOKIE = "set-cookie";
  const without = (list, name) => {
    const rest = [];
    for (let k = 0; k < list.length; k++) if (list[k][0] !== name) append(rest, list[k]);
    return rest;
  };
  const withPair = (list, pair) => {
    if (!list.length || list[list.length - 1][0] <= pair[0]) {
      append(list, pair);
      return list;
    }
    const next = [];
    let isIn = false;
    for (let k = 0; k < list.length; k++) {
      if (!isIn && list[k][0] > pair[0]) {
        append(next, pair);
        isIn = true;
      }
      append(next, list[k]);
    }
    return next;
  };
  // As iteration has them: each name once, its values joined, but for cookies.
  const combined = (list) => {
    const out = [];
    for (let k = 0; k < list.length; k++) {
      const last = out.length ? out[out.length - 1] : undefined, pair = list[k];
      if (last !== undefined && last[0] === pair[0] && pair[0] !== COOKIE) last[1] += ", " + pair[1];
      else append(out, [pair[0], pair[1]]);
    }
    return out;
  };

  const pairsOf = (init) => {
    if (!isObject(init)) {
      throw new TypeError("headers are an object of names, or pairs of a name and a value");
    }
    const method = init[iterator], out = [];
    if (method === undefined || method === null) {
      for (const key of ownKeys(init)) {
        if (!getOwnPropertyDescriptor(init, key)?.enumerable) continue;
        append(out, [byteString(key), byteString(init[key])]);
      }
      return out;
    }
    if (typeof method !== "function") throw new TypeError("the pairs of headers must be iterable");
    for (const pair of init) {
      if (!isObject(pair) || typeof pair[iterator] !== "function") throw new TypeError("a header is a pair");
      const parts = [];
      for (const part of pair) append(parts, byteString(part));
      append(out, parts);
    }
    return out;
  };

  let listOf, appendAll, setList, fixHeaders, isFixed, isHeaders, pairAt;
  class Headers {
    #list = [];
    #combined = null;
    #isFixed = false;
    constructor(init = undefined) {
      if (init !== undefined) appendAll(this, pairsOf(init));
    }
    #check() {
      if (this.#isFixed) throw new TypeError("these headers cannot be changed");
    }
    #keep(list) {
      this.#list = list;
      this.#combined = null;
    }
    static {
      isHeaders = (value) => #list in value;
      listOf = (headers) => headers.#list;
      setList = (headers, list) => {
        headers.#keep(list);
        return headers;
      };
      pairAt = (headers, at) => {
        headers.#combined ??= combined(headers.#list);
        return headers.#combined[at];
      };
      isFixed = (headers) => headers.#isFixed;
      fixHeaders = (headers) => {
        headers.#isFixed = true;
      };
      appendAll = (headers, pairs) => {
        if (!isArray(pairs)) throw new TypeError("headers are a list of pairs");
        for (let k = 0; k < pairs.length; k++) {
          if (pairs[k].length !== 2) throw new TypeError("a header is a pair of a name and a value");
          const name = nameOf(pairs[k][0]), value = valueOf(pairs[k][1]);
          headers.#keep(withPair(headers.#list, [name, value]));
        }
        return headers;
      };
    }
    append(name, value) {
      this.#list;
      needs(arguments, 2, "Headers.append");
      const pair = [byteString(name), byteString(value)];
      const checked = [nameOf(pair[0]), valueOf(pair[1])];
      this.#check();
      this.#keep(withPair(this.#list, checked));
    }
    delete(name) {
      this.#list;
      needs(arguments, 1, "Headers.delete");
      const key = nameOf(byteString(name));
      this.#check();
      this.#keep(without(this.#list, key));
    }
    get(name) {
      const list = this.#list;
      needs(arguments, 1, "Headers.get");
      const key = nameOf(byteString(name));
      let text = null;
      for (let k = 0; k < list.length; k++) {
        if (list[k][0] === key) text = text === null ? list[k][1] : text + ", " + list[k][1];
      }
      return text;
    }
    getSetCookie() {
      const list = this.#list, out = [];
      for (let k = 0; k < list.length; k++) if (list[k][0] === COOKIE) append(out, list[k][1]);
      return out;
    }
    has(name) {
      const list = this.#list;
      needs(arguments, 1, "Headers.has");
      const key = nameOf(byteString(name));
      for (let k = 0; k < list.length; k++) if (list[k][0] === key) return true;
      return false;
    }
    set(name, value) {
      this.#list;
      needs(arguments, 2, "Headers.set");
      const pair = [byteString(name), byteString(value)];
      const checked = [nameOf(pair[0]), valueOf(pair[1])];
      this.#check();
      this.#keep(withPair(without(this.#list, checked[0]), checked));
    }
    entries() {
      this.#list;
      return iterate(this, 2);
    }
    forEach(callback, self = undefined) {
      this.#list;
      needs(arguments, 1, "Headers.forEach");
      if (typeof callback !== "function") throw new TypeError("Headers.forEach takes a function");
      for (let at = 0, pair; (pair = pairAt(this, at)) !== undefined; at++) {
        apply(callback, self, [pair[1], pair[0], this]);
      }
    }
    keys() {
      this.#list;
      return iterate(this, 0);
    }
    values() {
      this.#list;
      return iterate(this, 1);
    }
  }
  const iterate = helpers.pairIterators("Headers", (headers, at) => pairAt(headers, at));
  publish(Headers);
  define(Headers.prototype, iterator, Headers.prototype.entries);
  const copyOf = (list) => {
    const out = [];
    for (let k = 0; k < list.length; k++) append(out, [list[k][0], list[k][1]]);
    return out;
  };
  const H = Headers;
  const addType = (headers, type) => {
    const list = listOf(headers);
    for (let k = 0; k < list.length; k++) if (list[k][0] === "content-type") return;
    setList(headers, withPair(list, ["content-type", type]));
  };

  // --- bodies: bytes that are read once; a state is shared by all who have its stream --------------
  const FORM = "application/x-www-form-urlencoded;charset=UTF-8", TEXT = "text/plain;charset=UTF-8";
  const states = new WeakMap(); // of the streams that are bodies
  const bytesOf = (state) => {
    if (state === null) return null;
    const { bytes } = state; // a view of its own: two of one body are not one value
    return new U8(typedBuffer(bytes), typedOffset(bytes), typedLength(bytes));
  };
  // Why a body does not cross; undefined: it does.
  const unread = (state) =>
    state === null || state.source === null
      ? undefined
      : "a body that is still to come does not cross; read it, and make a new Response of it";
  // A body, or null, that crossed.
  const revivedBody = (bytes) => {
    if (bytes === null) return null;
    typedLength(bytes); // a TypeError of anything else
    return bodyOfBytes(bytes);
  };
  // A source, which only a step has, is read as it comes: its read() and all() return promises.
  const bodyOfBytes = (bytes, source = null) => ({
    __proto__: null,
    bytes,
    isUsed: false,
    stream: null,
    source,
  });
  const streamState = (value) => {
    const state = weakGet(states, value);
    if (state === undefined && helpers.sourceOfStream !== undefined) {
      const made = bodyOfBytes(nothing, helpers.sourceOfStream(value));
      made.stream = value;
      return made;
    }
    if (state === undefined) {
      throw unavailable("a stream for a body", "pass the whole body, or send it from a step");
    }
    if (state.isUsed) throw new TypeError("the body of this stream has been read");
    return state;
  };
  // A body's state and its type, "" without one.
  const extracted = (value) => {
    const kind = isObject(value) ? native.classOf(value) : "primitive";
    if (kind === "typed") {
      return [
        bodyOfBytes(sliceBytes(new U8(typedBuffer(value), typedOffset(value), typedLength(value)))),
        "",
      ];
    }
    if (kind === "view") {
      return [bodyOfBytes(sliceBytes(new U8(viewBuffer(value), viewOffset(value), viewLength(value)))), ""];
    }
    if (kind === "buffer") return [bodyOfBytes(sliceBytes(new U8(value))), ""];
    const content = helpers.contentOf === undefined ? undefined : helpers.contentOf(value);
    if (content !== undefined) return [bodyOfBytes(content[0]), content[1]];
    if (kind === "object" && helpers.isParams(value)) {
      return [bodyOfBytes(native.utf8(paramsText(value))), FORM];
    }
    if (kind === "object" && isReadable(value)) return [streamState(value), ""];
    if (kind !== "primitive" && typeof value[asyncIterator] === "function") {
      throw unavailable("an async iterable for a body", "pass the whole body");
    }
    return [bodyOfBytes(native.utf8(usvString(value))), TEXT];
  };
  const textOfBytes = (bytes) => {
    const text = native.decodeText(bytes, 0, false, true)[0];
    return charCodeAt(text, 0) === 0xfeff ? slice(text, 1) : text;
  };
  const nothing = new U8(0);
  let bodyOf; // of a Request or a Response: its state or null; a TypeError of anything else
  const isUsed = (state) =>
    state !== null && (state.isUsed || (state.source !== null && state.source.isUsed()));
  // What *use* makes of the whole body, which is read now.
  const read = (target, use) =>
    new P((resolve) => {
      const state = bodyOf(target);
      if (state === null) return resolve(use(nothing));
      if (isUsed(state)) throw new TypeError("the body has been read already; read a clone() made before");
      if (state.source !== null && state.source.isLocked()) {
        throw new TypeError("the body's stream is locked");
      }
      state.isUsed = true;
      resolve(state.source === null ? use(state.bytes) : then(state.source.all(), use));
    });
  const copied = (state) => {
    if (isUsed(state)) throw new TypeError("the body has been read; clone() before that");
    if (state === null) return null;
    if (state.source === null) return bodyOfBytes(state.bytes);
    const [own, other] = state.source.tee();
    state.source = own;
    state.stream = null;
    return bodyOfBytes(state.bytes, other);
  };
  const typeOf = (target) => {
    const list = listOf(target.headers);
    for (let k = 0; k < list.length; k++) if (list[k][0] === "content-type") return list[k][1];
    return "";
  };
  const formAdvice = "read a form with new URLSearchParams(await request.text()), another kind in a step";
  const refused = (target, what, instead) => {
    bodyOf(target);
    throw unavailable(what, instead);
  };
  const bodyMembers = {
    get body() {
      const state = bodyOf(this);
      if (state === null) return null;
      if (state.stream === null) {
        state.stream = helpers.bodyStream(state);
        weakSet(states, state.stream, state);
      }
      return state.stream;
    },
    get bodyUsed() {
      return isUsed(bodyOf(this));
    },
    arrayBuffer() {
      return read(this, native.buffer);
    },
    blob() {
      if (helpers.blobOf !== undefined) return read(this, (bytes) => helpers.blobOf(bytes, typeOf(this)));
      return new P(() => refused(this, "blob()", "read the body with bytes(), arrayBuffer() or text()"));
    },
    bytes() {
      return read(this, (bytes) => sliceBytes(bytes));
    },
    formData() {
      if (helpers.formOf !== undefined) return read(this, (bytes) => helpers.formOf(bytes, typeOf(this)));
      return new P(() => refused(this, "formData()", formAdvice));
    },
    json() {
      return read(this, (bytes) => parse(textOfBytes(bytes)));
    },
    text() {
      return read(this, textOfBytes);
    },
  };
  const publishMessage = (maker) => {
    const names = keys(bodyMembers);
    for (let k = 0; k < names.length; k++) {
      defineProperty(maker.prototype, names[k], getOwnPropertyDescriptor(bodyMembers, names[k]));
    }
    publish(maker);
  };

  // --- responses ------------------------------------------------------------------------------------
  const unsignedShort = (value) => {
    const number = trunc(+value);
    return number - number === 0 ? ((number % 65536) + 65536) % 65536 : 0;
  };
  const isNullStatus = (status) => status === 204 || status === 205 || status === 304;
  const responseInit = (value) => {
    const init = dictionary(value, "a Response"), { status, statusText, headers } = init;
    return {
      __proto__: null,
      status: status === undefined ? 200 : unsignedShort(status),
      statusText: statusText === undefined ? "" : byteString(statusText),
      pairs: headers === undefined ? [] : pairsOf(headers),
    };
  };
  let isResponse, responseBody, responseForm, reviveResponse;
  class Response {
    #body = null;
    #headers = new H();
    #status = 200;
    #statusText = "";
    #type = "default";
    #url = "";
    #isRedirected = false;
    constructor(body = null, init = undefined) {
      const content = body === null ? null : extracted(body);
      this.#start(content, responseInit(init));
    }
    #start(content, { status, statusText, pairs }) {
      if (status < 200 || status > 599) {
        throw new RangeError("a status is a number from 200 to 599, not " + status);
      }
      if (exec(notInReason, statusText)) throw new TypeError("a status text is one line");
      this.#status = status;
      this.#statusText = statusText;
      appendAll(this.#headers, pairs);
      if (content === null) return;
      if (isNullStatus(status)) throw new TypeError("a response with the status " + status + " has no body");
      this.#body = content[0];
      if (content[1]) addType(this.#headers, content[1]);
    }
    static {
      isResponse = (value) => #status in value;
      responseBody = (response) => response.#body;
      helpers.statusOf = (response) => response.#status;
      // One that came from the network.
      helpers.receivedResponse = (head, source) => {
        const response = new Response(), { status, statusText, headers, url, redirected } = head;
        response.#status = status;
        response.#statusText = statusText;
        response.#url = url;
        response.#isRedirected = redirected;
        response.#type = "basic";
        appendAll(response.#headers, headers);
        if (source !== null) response.#body = bodyOfBytes(nothing, source);
        else if (head.body !== undefined) response.#body = bodyOfBytes(head.body);
        fixHeaders(response.#headers);
        return response;
      };
      responseForm = (r) =>
        unread(r.#body) ?? [r.#status, r.#statusText, copyOf(listOf(r.#headers)), bytesOf(r.#body)];
      reviveResponse = (status, statusText, pairs, bytes) => {
        const response = new Response();
        if (status === 0) return response.#fail();
        const body = revivedBody(bytes);
        response.#start(body === null ? null : [body, ""], {
          __proto__: null,
          status: unsignedShort(status),
          statusText: byteString(statusText),
          pairs,
        });
        return response;
      };
    }
    #fail() {
      this.#status = 0;
      this.#type = "error";
      fixHeaders(this.#headers);
      return this;
    }
    static error() {
      return new Response().#fail();
    }
    static json(data, init = {}) {
      needs(arguments, 1, "Response.json");
      const text = stringify(data);
      if (text === undefined) throw new TypeError("this value has no form in JSON");
      const response = new Response();
      response.#start([bodyOfBytes(native.utf8(text)), "application/json"], responseInit(init));
      return response;
    }
    static redirect(url, status = 302) {
      needs(arguments, 1, "Response.redirect");
      const text = usvString(url), number = unsignedShort(status), parts = native.parseUrl(text);
      if (parts === null) throw new TypeError("a redirect goes to an absolute URL, not to " + text);
      if (number !== 301 && number !== 302 && number !== 303 && number !== 307 && number !== 308) {
        throw new RangeError("the status of a redirect is 301, 302, 303, 307 or 308, not " + number);
      }
      const response = new Response();
      response.#status = number;
      fixHeaders(setList(response.#headers, [["location", parts[0]]]));
      return response;
    }
    get type() {
      return this.#type;
    }
    get url() {
      return this.#url;
    }
    get redirected() {
      return this.#isRedirected;
    }
    get status() {
      return this.#status;
    }
    get ok() {
      return this.#status >= 200 && this.#status < 300;
    }
    get statusText() {
      return this.#statusText;
    }
    get headers() {
      return this.#headers;
    }
    clone() {
      const body = copied(this.#body), response = new Response();
      response.#body = body;
      response.#status = this.#status;
      response.#statusText = this.#statusText;
      response.#type = this.#type;
      response.#url = this.#url;
      response.#isRedirected = this.#isRedirected;
      setList(response.#headers, copyOf(listOf(this.#headers)));
      if (isFixed(this.#headers)) fixHeaders(response.#headers);
      return response;
    }
  }
  publishMessage(Response);

  // --- requests -------------------------------------------------------------------------------------
  const usual = { __proto__: null, DELETE: 1, GET: 1, HEAD: 1, OPTIONS: 1, POST: 1, PUT: 1 };
  const simple = { __proto__: null, GET: 1, HEAD: 1, POST: 1 };
  const forbidden = { __proto__: null, CONNECT: 1, TRACE: 1, TRACK: 1 };
  const methodOf = (text) => {
    if (!exec(token, text)) throw new TypeError('"' + text + '" is no method of HTTP');
    const upper = toUpperCase(text);
    if (forbidden[upper]) throw new TypeError("a request with the method " + upper + " is not allowed");
    return usual[upper] ? upper : text;
  };
  const END = 1, USERNAME = 2, HOST = 3; // of the parts of a URL
  const urlOf = (text) => {
    const parts = native.parseUrl(text);
    if (parts === null) throw new TypeError("a request goes to an absolute URL, not to " + text);
    if (parts[END] + 2 < parts[USERNAME] || parts[HOST] > parts[USERNAME]) {
      throw new TypeError("the URL of a request has no user and no password");
    }
    return parts[0];
  };
  // How a browser would fetch. They can be set and read, and only default values cross.
  const defaults = {
    __proto__: null,
    referrer: "about:client",
    referrerPolicy: "",
    mode: "cors",
    credentials: "same-origin",
    cache: "default",
    redirect: "follow",
    integrity: "",
    keepalive: false,
  };
  const table = (list) => {
    const words = { __proto__: null };
    for (const word of list.split(" ")) words[word] = 1;
    return words;
  };
  const choices = {
    __proto__: null,
    referrerPolicy: table(
      " no-referrer no-referrer-when-downgrade same-origin origin strict-origin origin-when-cross-origin" +
        " strict-origin-when-cross-origin unsafe-url",
    ),
    mode: table("same-origin no-cors cors"),
    credentials: table("omit same-origin include"),
    cache: table("default no-store reload no-cache force-cache only-if-cached"),
    redirect: table("follow manual error"),
    duplex: table("half"),
  };
  const choice = (name, value) => {
    const text = textOf(value);
    if (!choices[name][text]) throw new TypeError('"' + text + '" is no ' + name + " of a request");
    return text;
  };
  const referrerOf = (value) => {
    const text = usvString(value);
    if (text === "") return "";
    const parts = native.parseUrl(text);
    if (parts === null) throw new TypeError("a referrer is a URL, not " + text);
    return parts[0];
  };
  const converters = {
    __proto__: null,
    method: byteString,
    headers: pairsOf,
    body: (value) => value,
    referrer: referrerOf,
    referrerPolicy: (value) => choice("referrerPolicy", value),
    mode: (value) => choice("mode", value),
    credentials: (value) => choice("credentials", value),
    cache: (value) => choice("cache", value),
    redirect: (value) => choice("redirect", value),
    integrity: textOf,
    keepalive: Bool,
    signal: (value) => {
      if (value !== null && helpers.checkedSignal === undefined) {
        throw unavailable("the signal of a Request", "pass it to the step that fetches");
      }
      return value === null ? value : helpers.checkedSignal(value);
    },
    window: (value) => {
      if (value !== null) throw new TypeError("a request has no window");
      return value;
    },
    duplex: (value) => choice("duplex", value),
  };
  const optionNames = keys(defaults), memberNames = keys(converters);
  const requestInit = (value) => {
    const init = dictionary(value, "a Request"), out = { __proto__: null };
    for (let k = 0; k < memberNames.length; k++) {
      const name = memberNames[k], member = init[name];
      if (member !== undefined) out[name] = converters[name](member);
    }
    return out;
  };
  const optionsOf = (init, inherited) => {
    if (!keys(init).length) return inherited;
    const options = { __proto__: null };
    for (let k = 0; k < optionNames.length; k++) {
      const name = optionNames[k], isReset = name === "referrer" || name === "referrerPolicy";
      options[name] = name in init ? init[name] : isReset ? defaults[name] : inherited[name];
    }
    if (options.cache === "only-if-cached" && options.mode !== "same-origin") {
      throw new TypeError("only-if-cached is for the mode same-origin");
    }
    return options;
  };
  const respondWith = function (response) {
    if (helpers.respond !== undefined) return helpers.respond(this, response);
    throw unavailable(
      "request.respondWith()",
      "pass the request to a step; there: await request.respond_with(Response(...))",
    );
  };

  let isRequest, requestBody, requestForm, reviveRequest;
  class Request {
    #body = null;
    #headers = new H();
    #method = "GET";
    #options = defaults;
    #reply = null;
    #url;
    constructor(input, init = {}) {
      needs(arguments, 1, "Request");
      const source = isObject(input) && isRequest(input) ? input : null;
      const url = source === null ? usvString(input) : "", given = requestInit(init);
      this.#url = source === null ? urlOf(url) : source.#url;
      if (source !== null) this.#inherit(source);
      this.#options = optionsOf(given, this.#options);
      if (helpers.keepSignal !== undefined) helpers.keepSignal(this, given.signal, source);
      if (given.method !== undefined) this.#method = methodOf(given.method);
      if (this.#options.mode === "no-cors" && !simple[this.#method]) {
        throw new TypeError("the mode no-cors is for GET, HEAD and POST");
      }
      if (given.headers !== undefined) appendAll(setList(this.#headers, []), given.headers);
      this.#carry(given, source);
    }
    #inherit(source) {
      this.#method = source.#method;
      this.#options = source.#options;
      setList(this.#headers, copyOf(listOf(source.#headers)));
    }
    #carry(given, source) {
      const own = given.body ?? null, inherited = source === null ? null : source.#body;
      if ((own !== null || inherited !== null) && (this.#method === "GET" || this.#method === "HEAD")) {
        throw new TypeError("a request with the method " + this.#method + " has no body");
      }
      if (own !== null) {
        const content = extracted(own);
        if (content[0].stream === own && given.duplex === undefined) {
          throw new TypeError('a request with a stream for a body needs duplex: "half"');
        }
        this.#body = content[0];
        if (content[1]) addType(this.#headers, content[1]);
      } else if (inherited !== null) {
        this.#body = copied(inherited);
        inherited.isUsed = true;
      }
    }
    static {
      isRequest = (value) => #url in value;
      requestBody = (request) => request.#body;
      requestForm = (r) => {
        for (let k = 0; k < optionNames.length; k++) {
          if (r.#options[optionNames[k]] === defaults[optionNames[k]]) continue;
          return "the option " + optionNames[k] + " of a Request does not cross; pass it by itself";
        }
        return unread(r.#body) ??
          [r.#method, r.#url, copyOf(listOf(r.#headers)), bytesOf(r.#body), replyOf(r.#reply)];
      };
      helpers.withReply = (request, source) => request.#answer(source.#reply);
      reviveRequest = (method, url, pairs, bytes, reply) => {
        const request = new Request(textOf(url), null);
        request.#method = methodOf(textOf(method));
        appendAll(request.#headers, pairs);
        request.#body = revivedBody(bytes);
        return request.#answer(reply);
      };
    }
    #answer(reply) {
      if (reply !== null && typeof reply !== "string") throw new TypeError("a reply is the name of a stream");
      this.#reply = reply;
      return reply === null ? this : define(this, "respondWith", respondWith);
    }
    get method() {
      return this.#method;
    }
    get url() {
      return this.#url;
    }
    get headers() {
      return this.#headers;
    }
    get destination() {
      this.#url;
      return "";
    }
    get referrer() {
      return this.#options.referrer;
    }
    get referrerPolicy() {
      return this.#options.referrerPolicy;
    }
    get mode() {
      return this.#options.mode;
    }
    get credentials() {
      return this.#options.credentials;
    }
    get cache() {
      return this.#options.cache;
    }
    get redirect() {
      return this.#options.redirect;
    }
    get integrity() {
      return this.#options.integrity;
    }
    get keepalive() {
      return this.#options.keepalive;
    }
    get isReloadNavigation() {
      this.#url;
      return false;
    }
    get isHistoryNavigation() {
      this.#url;
      return false;
    }
    get duplex() {
      this.#url;
      return "half";
    }
    clone() {
      const body = copied(this.#body), request = new Request(this.#url, null);
      request.#inherit(this);
      request.#body = body;
      return request.#answer(this.#reply);
    }
  }
  // With the run whose caller waits, so that others can answer, too.
  const replyOf = (reply) => reply === null || exec(/ /, reply) ? reply : helpers.runId() + " " + reply;
  publishMessage(Request);
  bodyOf = (value) => isRequest(value) ? requestBody(value) : responseBody(value);

  // --- how they cross -------------------------------------------------------------------------------
  const formed = (tag, form) => typeof form === "string" ? form : [tag, form];
  // [tag, what it is of], a text that says why it does not cross, or undefined: none of these.
  helpers.fetchForm = (value) => {
    if (isHeaders(value)) return [HEADERS, copyOf(listOf(value))];
    if (isRequest(value)) return formed(REQUEST, requestForm(value));
    return isResponse(value) ? formed(RESPONSE, responseForm(value)) : undefined;
  };
  // Of a request: method, URL, headers, body, how redirects are met. The body counts as read.
  helpers.requestParts = (request) => {
    const { url, method, redirect } = request, state = requestBody(request);
    if (isUsed(state)) throw new TypeError("the body of this request has been read already");
    if (state !== null) state.isUsed = true;
    return { __proto__: null, method, url, headers: copyOf(listOf(request.headers)), state, redirect };
  };
  helpers.isRequest = (value) => isObject(value) && isRequest(value);
  helpers.isResponse = (value) => isObject(value) && isResponse(value);
  helpers.fetchTags = new Map([
    [HEADERS, (pairs) => appendAll(new H(), pairs)],
    [REQUEST, (parts) => reviveRequest(parts[0], parts[1], parts[2], parts[3], parts[4])],
    [RESPONSE, (parts) => reviveResponse(parts[0], parts[1], parts[2], parts[3])],
  ]);
  const isOther = helpers.isPlatform;
  helpers.isPlatform = (value) =>
    isOther(value) || isHeaders(value) || isRequest(value) || isResponse(value) || isReadable(value);
});
