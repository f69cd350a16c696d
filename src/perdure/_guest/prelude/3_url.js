// URL and URLSearchParams. The engine parses; all that a URL is, is its href and where its parts begin.
(function (native, helpers, builtins) {
  "use strict";
  const { getOwnPropertyDescriptor, setPrototypeOf, defineProperty, getPrototypeOf } = Object;
  const { uncurry, usvString, coded, publish } = helpers;
  const slice = uncurry(String.prototype.slice);
  const split = uncurry(String.prototype.split);
  const indexOf = uncurry(String.prototype.indexOf);
  const ownKeys = Reflect.ownKeys;
  const { iterator } = Symbol;
  const fail = (message) => {
    throw coded(new TypeError(message), "ERR_INVALID_ARG_TYPE");
  };
  const needs = (args, count) => {
    if (args.length >= count) return;
    const error = new TypeError(`${count === 1 ? "an argument is" : "two arguments are"} missing`);
    throw coded(error, "ERR_MISSING_ARGS");
  };

  const fromText = (text) => {
    const list = [];
    for (const part of split(text, "&")) {
      if (part === "") continue;
      const at = indexOf(part, "=");
      list.push([
        native.formDecode(at < 0 ? part : slice(part, 0, at)),
        at < 0 ? "" : native.formDecode(slice(part, at + 1)),
      ]);
    }
    return list;
  };
  const isObject = (value) => value !== null && (typeof value === "object" || typeof value === "function");
  const oddPair = () =>
    coded(new TypeError("each pair is a name and a value, in an array"), "ERR_INVALID_TUPLE");
  const fromPairs = (init) => {
    const list = [];
    for (const pair of init) {
      if (!isObject(pair) || typeof pair[iterator] !== "function") throw oddPair();
      const both = [...pair];
      if (both.length !== 2) throw oddPair();
      list.push([usvString(both[0]), usvString(both[1])]);
    }
    return list;
  };
  const fromRecord = (init) => {
    const names = [], values = { __proto__: null };
    for (const key of ownKeys(init)) {
      if (!getOwnPropertyDescriptor(init, key)?.enumerable) continue;
      const name = usvString(key), value = usvString(init[key]);
      if (!(name in values)) names.push(name);
      values[name] = value;
    }
    return names.map((name) => [name, values[name]]);
  };
  const pairsOf = (init) => {
    if (init === undefined) return [];
    if (!isObject(init)) {
      const text = usvString(init);
      return fromText(text[0] === "?" ? slice(text, 1) : text);
    }
    const method = init[iterator];
    if (method === undefined || method === null) return fromRecord(init);
    if (typeof method !== "function") {
      throw coded(new TypeError("query pairs must be iterable"), "ERR_ARG_NOT_ITERABLE");
    }
    return fromPairs(init);
  };
  const textOf = (list) =>
    list.map(([name, value]) => `${native.formEncode(name)}=${native.formEncode(value)}`).join("&");

  const byName = ([a], [b]) => {
    if (a < b) return -1;
    return a > b ? 1 : 0;
  };

  let pairs, attach, replacePairs;
  class URLSearchParams {
    #pairs;
    #url;
    constructor(init = undefined) {
      this.#pairs = pairsOf(init);
    }
    static {
      helpers.isParams = (value) => #pairs in value;
      pairs = (params) => params.#pairs;
      replacePairs = (params, list) => {
        params.#pairs = list;
      };
      attach = (params, url) => {
        params.#url = url;
        return params;
      };
    }
    #update() {
      if (this.#url) setQuery(this.#url, textOf(this.#pairs));
    }
    get size() {
      return this.#pairs.length;
    }
    append(name, value) {
      const list = this.#pairs;
      needs(arguments, 2);
      list.push([usvString(name), usvString(value)]);
      this.#update();
    }
    delete(name, value = undefined) {
      const list = this.#pairs;
      needs(arguments, 1);
      const key = usvString(name), only = value === undefined ? undefined : usvString(value);
      this.#pairs = list.filter((pair) => pair[0] !== key || (only !== undefined && pair[1] !== only));
      this.#update();
    }
    get(name) {
      const list = this.#pairs;
      needs(arguments, 1);
      const key = usvString(name);
      for (const pair of list) if (pair[0] === key) return pair[1];
      return null;
    }
    getAll(name) {
      const list = this.#pairs;
      needs(arguments, 1);
      const key = usvString(name);
      return list.filter((pair) => pair[0] === key).map((pair) => pair[1]);
    }
    has(name, value = undefined) {
      const list = this.#pairs;
      needs(arguments, 1);
      const key = usvString(name), only = value === undefined ? undefined : usvString(value);
      return list.some((pair) => pair[0] === key && (only === undefined || pair[1] === only));
    }
    set(name, value) {
      const list = this.#pairs;
      needs(arguments, 2);
      const key = usvString(name), text = usvString(value);
      let isThere = false;
      this.#pairs = list.filter((pair) => {
        if (pair[0] !== key) return true;
        if (isThere) return false;
        isThere = true;
        pair[1] = text;
        return true;
      });
      if (!isThere) this.#pairs.push([key, text]);
      this.#update();
    }
    sort() {
      this.#pairs.sort(byName);
      this.#update();
    }
    entries() {
      this.#pairs;
      return iterate(this, 2);
    }
    forEach(callback, self = undefined) {
      let list = this.#pairs;
      if (typeof callback !== "function") fail("forEach takes a function");
      for (let at = 0; at < (list = this.#pairs).length; at++) {
        callback.call(self, list[at][1], list[at][0], this);
      }
    }
    keys() {
      this.#pairs;
      return iterate(this, 0);
    }
    values() {
      this.#pairs;
      return iterate(this, 1);
    }
    toString() {
      return textOf(this.#pairs);
    }
  }
  // Makers of the iterators of pairs that Web IDL describes; part 0 is a key, 1 a value, 2 both.
  const stepOf = uncurry(WeakMap.prototype.get), keepStep = uncurry(WeakMap.prototype.set);
  helpers.pairIterators = (kind, pairAt) => {
    const steps = new WeakMap();
    const proto = {
      __proto__: getPrototypeOf(getPrototypeOf([][iterator]())),
      next() {
        const state = stepOf(steps, this);
        if (!state) throw new TypeError(`this is no iterator of ${kind}`);
        const item = pairAt(state.target, state.at);
        if (item === undefined) return { value: undefined, done: true };
        state.at++;
        return { value: state.part === 2 ? [item[0], item[1]] : item[state.part], done: false };
      },
    };
    defineProperty(proto, Symbol.toStringTag, { value: `${kind} Iterator`, configurable: true });
    return (target, part) => {
      const made = { __proto__: proto };
      keepStep(steps, made, { target, at: 0, part });
      return made;
    };
  };
  const iterate = helpers.pairIterators("URLSearchParams", (params, at) => pairs(params)[at]);

  const END = 1, USERNAME = 2, HOST = 3, HOST_END = 4, PORT = 5, PATH = 6, SEARCH = 7, HASH = 8;
  const PARTS = {
    protocol: 0,
    username: 1,
    password: 2,
    host: 3,
    hostname: 4,
    port: 5,
    pathname: 6,
    search: 7,
    hash: 8,
  };
  const specials = { __proto__: null, "http:": 1, "https:": 1, "ws:": 1, "wss:": 1, "ftp:": 1 };
  const invalid = (input, base) => {
    const error = coded(new TypeError(`Invalid URL: ${input}`), "ERR_INVALID_URL");
    error.input = input;
    if (base !== undefined) error.base = base;
    return error;
  };
  const hashOrEnd = (parts) => (parts[HASH] >= 0 ? parts[HASH] : parts[0].length);
  let setQuery;
  class URL {
    #parts;
    #params;
    constructor(input, base = undefined) {
      needs(arguments, 1);
      const text = usvString(input), under = base === undefined ? undefined : usvString(base);
      const parts = native.parseUrl(text, under);
      if (parts === null) throw invalid(text, under);
      this.#parts = parts;
    }
    static {
      helpers.isUrl = (value) => #parts in value;
      helpers.hrefOf = (url) => url.#parts[0];
      setQuery = (url, text) => {
        url.#parts = native.setUrl(url.#parts[0], PARTS.search, text) ?? url.#parts;
      };
    }
    static canParse(input, base = undefined) {
      needs(arguments, 1);
      return native.parseUrl(usvString(input), base === undefined ? undefined : usvString(base)) !== null;
    }
    static parse(input, base = undefined) {
      needs(arguments, 1);
      const text = usvString(input), under = base === undefined ? undefined : usvString(base);
      return native.parseUrl(text, under) === null ? null : new URL(text, under);
    }
    #set(part, value) {
      const parts = native.setUrl(this.#parts[0], part, usvString(value));
      if (parts !== null) this.#parts = parts;
      if (part === PARTS.search && this.#params) replacePairs(this.#params, fromText(slice(this.search, 1)));
    }
    #hostStart() {
      const p = this.#parts;
      return p[HOST_END] > p[HOST] && p[0][p[HOST]] === "@" ? p[HOST] + 1 : p[HOST];
    }
    toString() {
      return this.#parts[0];
    }
    get href() {
      return this.#parts[0];
    }
    set href(value) {
      const text = usvString(value), parts = native.parseUrl(text);
      if (parts === null) throw invalid(text);
      this.#parts = parts;
      if (this.#params) replacePairs(this.#params, fromText(slice(this.search, 1)));
    }
    get origin() {
      const protocol = this.protocol;
      if (protocol in specials) return `${protocol}//${this.host}`;
      if (protocol !== "blob:") return "null";
      const inner = native.parseUrl(this.pathname) && new URL(this.pathname);
      return inner && (inner.protocol === "http:" || inner.protocol === "https:") ? inner.origin : "null";
    }
    get protocol() {
      return slice(this.#parts[0], 0, this.#parts[END]);
    }
    set protocol(value) {
      this.#set(PARTS.protocol, value);
    }
    get username() {
      const p = this.#parts;
      return p[END] + 2 < p[USERNAME] ? slice(p[0], p[END] + 2, p[USERNAME]) : "";
    }
    set username(value) {
      this.#set(PARTS.username, value);
    }
    get password() {
      const p = this.#parts;
      return p[HOST] > p[USERNAME] ? slice(p[0], p[USERNAME] + 1, p[HOST]) : "";
    }
    set password(value) {
      this.#set(PARTS.password, value);
    }
    get host() {
      const p = this.#parts, start = this.#hostStart();
      return start === p[HOST_END] ? "" : slice(p[0], start, p[PATH]);
    }
    set host(value) {
      this.#set(PARTS.host, value);
    }
    get hostname() {
      const p = this.#parts;
      return slice(p[0], this.#hostStart(), p[HOST_END]);
    }
    set hostname(value) {
      this.#set(PARTS.hostname, value);
    }
    get port() {
      const p = this.#parts;
      return p[PORT] < 0 ? "" : `${p[PORT]}`;
    }
    set port(value) {
      this.#set(PARTS.port, value);
    }
    get pathname() {
      const p = this.#parts;
      return slice(p[0], p[PATH], p[SEARCH] >= 0 ? p[SEARCH] : hashOrEnd(p));
    }
    set pathname(value) {
      this.#set(PARTS.pathname, value);
    }
    get search() {
      const p = this.#parts;
      const text = p[SEARCH] < 0 ? "" : slice(p[0], p[SEARCH], hashOrEnd(p));
      return text.length > 1 ? text : "";
    }
    set search(value) {
      this.#set(PARTS.search, value);
    }
    get searchParams() {
      if (!this.#params) {
        this.#params = attach(new URLSearchParams(), this);
        replacePairs(this.#params, fromText(slice(this.search, 1)));
      }
      return this.#params;
    }
    get hash() {
      const p = this.#parts, text = p[HASH] < 0 ? "" : slice(p[0], p[HASH]);
      return text.length > 1 ? text : "";
    }
    set hash(value) {
      this.#set(PARTS.hash, value);
    }
    toJSON() {
      return this.#parts[0];
    }
  }
  builtins.URL = URL;
  publish(URL);
  publish(URLSearchParams);
  defineProperty(URLSearchParams.prototype, iterator, {
    value: URLSearchParams.prototype.entries,
    writable: true,
    configurable: true,
  });
});
