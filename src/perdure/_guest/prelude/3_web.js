// Web globals that need no world: console, URL, text and base64 coding, crypto's random half, clones.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze, keys, getPrototypeOf } = Object;
  const define = (name, value) => defineProperty(globalThis, name, { value, writable: true, configurable: true });

  const show = (value, depth = 0, seen = []) => {
    if (typeof value === "string") return depth ? JSON.stringify(value) : value;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "function") return `[function ${value.name || "anonymous"}]`;
    if (typeof value !== "object" || value === null) return String(value);
    if (seen.includes(value)) return "[circular]";
    if (depth > 3) return Array.isArray(value) ? "[…]" : "{…}";
    const inner = (item) => show(item, depth + 1, [...seen, value]);
    const kind = native.kind(value);
    if (kind === "error") return `${value.name}: ${value.message}${typeof value.stack === "string" ? "\n" + native.cleanStack(value.stack).trimEnd() : ""}`;
    if (kind === "date") return isNaN(value) ? "Invalid Date" : value.toISOString();
    if (kind === "regexp") return String(value);
    if (kind === "map") return `Map(${value.size}) {${[...value].map(([k, v]) => ` ${inner(k)} => ${inner(v)}`).join(",")} }`;
    if (kind === "set") return `Set(${value.size}) {${[...value].map((v) => " " + inner(v)).join(",")} }`;
    if (Array.isArray(value) || kind === "typed") {
      const items = Array.from(value).slice(0, 100).map(inner);
      return `[${items.join(", ")}${value.length > 100 ? `, … ${value.length - 100} more` : ""}]`;
    }
    const maker = getPrototypeOf(value)?.constructor?.name;
    const fields = keys(value).slice(0, 100).map((key) => `${key}: ${inner(value[key])}`);
    return `${maker && maker !== "Object" ? maker + " " : ""}{${fields.length ? " " + fields.join(", ") + " " : ""}}`;
  };
  const line = (args) => {
    if (typeof args[0] !== "string" || !/%[sdifjoO%]/.test(args[0])) return args.map((a) => show(a)).join(" ");
    let at = 1;
    const head = args[0].replace(/%([sdifjoO%])/g, (all, c) => {
      if (c === "%") return "%";
      if (at >= args.length) return all;
      const v = args[at++];
      return c === "s" ? show(v) : c === "d" || c === "f" ? String(Number(v)) : c === "i" ? String(Math.trunc(Number(v))) : show(v, 1);
    });
    return [head, ...args.slice(at).map((a) => show(a))].join(" ");
  };
  let indent = "";
  const log = (level) => (...args) => {
    let text;
    try { text = line(args); } catch { text = "[what console was given could not be shown]"; }
    if (indent) text = indent + text.replaceAll("\n", "\n" + indent);
    native.log([level, (text.length > 65536 ? text.slice(0, 65536) + "…" : text).toWellFormed()]);
  };
  const console = {};
  for (const [name, level] of Object.entries({ log: "info", info: "info", warn: "warn", error: "error", debug: "debug" })) console[name] = log(level);
  console.assert = (ok, ...args) => { if (!ok) console.error("Assertion failed", ...args); };
  console.trace = (...args) => console.debug(line(["Trace:", ...args]) + "\n" + native.trace().trimEnd());
  console.dir = (value) => console.log(show(value, 1));
  console.table = (rows) => {
    if (typeof rows !== "object" || rows === null) return console.log(rows);
    const entries = rows instanceof Map ? [...rows] : rows instanceof Set ? [...rows].entries() : Object.entries(rows);
    console.log([...entries].map(([key, row]) => `${show(key)} | ${show(row, 1)}`).join("\n"));
  };
  console.group = console.groupCollapsed = (...args) => { if (args.length) console.log(...args); indent += "  "; };
  console.groupEnd = () => { indent = indent.slice(2); };
  const counts = new Map(), timers = new Map();
  console.count = (label = "default") => { counts.set(label, (counts.get(label) ?? 0) + 1); console.log(`${label}: ${counts.get(label)}`); };
  console.countReset = (label = "default") => { counts.delete(label); };
  console.time = (label = "default") => { timers.set(label, Date.now()); };
  console.timeLog = (label = "default", ...args) => {
    if (timers.has(label)) console.log(`${label}: ${Date.now() - timers.get(label)} ms`, ...args);
    else console.warn(`there is no timer ${label}`);
  };
  console.timeEnd = (label = "default") => { console.timeLog(label); timers.delete(label); };
  define("console", freeze(console));

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return native.utf8(String(text)); }
    encodeInto(text, view) {
      let read = 0, written = 0;
      for (const character of String(text)) {
        const bytes = native.utf8(character);
        if (written + bytes.length > view.length) break;
        view.set(bytes, written);
        written += bytes.length;
        read += character.length;
      }
      return { read, written };
    }
  }
  class TextDecoder {
    #fatal; #bom;
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      if (!/^utf-?8$/i.test(label)) throw new RangeError(`TextDecoder knows utf-8 only, not ${label}`);
      this.#fatal = fatal; this.#bom = ignoreBOM;
    }
    get encoding() { return "utf-8"; }
    decode(data = new Uint8Array()) {
      const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      const text = native.text(bytes);
      if (this.#fatal && text.includes("\ufffd")) {
        const again = native.utf8(text);
        if (again.length !== bytes.length || again.some((b, k) => b !== bytes[k])) throw new TypeError("the bytes are not UTF-8");
      }
      return !this.#bom && text.startsWith("\ufeff") ? text.slice(1) : text;
    }
  }
  define("TextEncoder", TextEncoder);
  define("TextDecoder", TextDecoder);

  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  define("btoa", (input) => {
    const text = String(input);
    let out = "";
    for (let k = 0; k < text.length; k += 3) {
      const [a, b, c] = [text.charCodeAt(k), text.charCodeAt(k + 1), text.charCodeAt(k + 2)];
      if (a > 255 || b > 255 || c > 255) throw new RangeError("btoa takes characters up to U+00FF");
      out += alphabet[a >> 2] + alphabet[((a & 3) << 4) | (b >> 4)] + (isNaN(b) ? "=" : alphabet[((b & 15) << 2) | (c >> 6)]) + (isNaN(c) ? "=" : alphabet[c & 63]);
    }
    return out;
  });
  define("atob", (input) => {
    const text = String(input).replace(/[\t\n\f\r ]/g, "").replace(/={1,2}$/, "");
    if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) throw new SyntaxError("atob: not base64");
    let out = "", bits = 0, value = 0;
    for (const c of text) { value = (value << 6) | alphabet.indexOf(c); bits += 6; if (bits >= 8) { bits -= 8; out += String.fromCharCode((value >> bits) & 255); } }
    return out;
  });

  define("structuredClone", (value) => native.decode(native.encode(value, "value")));
  const fill = native.fill, random = native.random;
  defineProperty(Math, "random", { value: () => random(), writable: true, configurable: true });
  const hex = (b) => (b + 256).toString(16).slice(1);
  define("crypto", freeze({
    get subtle() { throw helpers.named("ForbiddenGlobalError", "crypto.subtle is not there in a workflow; use hashlib or hmac in a Python step"); },
    getRandomValues(view) { fill(new Uint8Array(view.buffer, view.byteOffset, view.byteLength)); return view; },
    randomUUID() {
      const b = new Uint8Array(16);
      fill(b);
      b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128;
      const s = Array.from(b, hex).join("");
      return `${s.slice(0, 8)}-${s.slice(8, 12)}-${s.slice(12, 16)}-${s.slice(16, 20)}-${s.slice(20)}`;
    },
  }));

  const encodePart = (text) => encodeURIComponent(text).replace(/%20/g, "+").replace(/[!'()~]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
  const decodePart = (text) => { const plain = text.replace(/\+/g, " "); try { return decodeURIComponent(plain); } catch { return plain; } };
  class URLSearchParams {
    #pairs = []; #changed = () => {};
    constructor(init = "", changed) {
      if (changed) this.#changed = changed;
      if (typeof init === "string") for (const part of init.replace(/^\?/, "").split("&")) {
        if (!part) continue;
        const at = part.indexOf("=");
        this.#pairs.push(at < 0 ? [decodePart(part), ""] : [decodePart(part.slice(0, at)), decodePart(part.slice(at + 1))]);
      } else for (const [k, v] of typeof init[Symbol.iterator] === "function" ? init : Object.entries(init)) this.#pairs.push([String(k), String(v)]);
    }
    get size() { return this.#pairs.length; }
    append(k, v) { this.#pairs.push([String(k), String(v)]); this.#changed(); }
    delete(k) { this.#pairs = this.#pairs.filter(([n]) => n !== String(k)); this.#changed(); }
    get(k) { return this.#pairs.find(([n]) => n === String(k))?.[1] ?? null; }
    getAll(k) { return this.#pairs.filter(([n]) => n === String(k)).map(([, v]) => v); }
    has(k) { return this.#pairs.some(([n]) => n === String(k)); }
    set(k, v) {
      const at = this.#pairs.findIndex(([n]) => n === String(k));
      if (at < 0) return this.append(k, v);
      this.#pairs = this.#pairs.filter(([n], i) => n !== String(k) || i === at);
      this.#pairs[this.#pairs.findIndex(([n]) => n === String(k))] = [String(k), String(v)];
      this.#changed();
    }
    sort() { this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); this.#changed(); }
    forEach(f, self) { for (const [k, v] of this.#pairs) f.call(self, v, k, this); }
    *entries() { yield* this.#pairs.map((p) => [...p]); }
    *keys() { for (const [k] of this.#pairs) yield k; }
    *values() { for (const [, v] of this.#pairs) yield v; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#pairs.map(([k, v]) => `${encodePart(k)}=${encodePart(v)}`).join("&"); }
  }
  const ports = { "http:": "80", "https:": "443", "ws:": "80", "wss:": "443", "ftp:": "21" };
  const escape = (text, keep) => text.replace(keep, (c) => encodeURIComponent(c));
  const normalPath = (path) => {
    const out = [], parts = path.split("/").slice(1);
    parts.forEach((part, k) => {
      const last = k === parts.length - 1, plain = part.replace(/%2e/gi, ".");
      if (plain === "..") { out.pop(); if (last) out.push(""); }
      else if (plain === ".") { if (last) out.push(""); }
      else out.push(part);
    });
    return "/" + out.join("/");
  };
  class URL {
    #p; #search;
    constructor(input, base) {
      this.#p = URL.#parse(String(input).trim(), base === undefined ? undefined : new URL(base));
      this.#search = new URLSearchParams(this.#p.search, () => { const s = this.#search.toString(); this.#p.search = s ? "?" + s : ""; });
    }
    static #parse(text, base) {
      const found = /^([a-z][a-z0-9+.-]*:)(.*)$/is.exec(text);
      if (!found) {
        if (!base) throw new TypeError(`Invalid URL: ${text}`);
        return URL.#relative(text, base);
      }
      const protocol = found[1].toLowerCase(), special = protocol in ports || protocol === "file:";
      const rest = special ? found[2].replace(/\\/g, "/") : found[2];
      const m = /^(?:\/\/([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(rest);
      if (special && protocol !== "file:" && !m[1]) throw new TypeError(`Invalid URL: ${text}`);
      const host = /^(?:([^:@]*)(?::([^@]*))?@)?(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(m[1] ?? "");
      if (!host || (special && protocol !== "file:" && (!host[3] || /[\s<>^|%]/.test(host[3]))) || +(host[4] || 0) > 65535) throw new TypeError(`Invalid URL: ${text}`);
      const port = host[4] ? String(+host[4]) : "";
      return {
        protocol, slashes: m[1] !== undefined, username: host[1] ?? "", password: host[2] ?? "",
        hostname: special ? host[3].toLowerCase() : host[3], port: ports[protocol] === port ? "" : port,
        pathname: special || m[1] !== undefined ? (m[2] || special ? escape(normalPath(m[2] || "/"), /[^\x21\x24-\x3b=\x40-\x5f\x61-\x7a|~%]/g) : "") : m[2],
        search: m[3] && m[3] !== "?" ? escape(m[3], /[^\x21\x24-\x26\x28-\x3b=?-\x7e%]/g) : "",
        hash: m[4] && m[4] !== "#" ? escape(m[4], /[^\x21\x23-\x3b=\x3f-\x5f\x61-\x7e%]/g) : "",
      };
    }
    static #relative(text, base) {
      const p = { ...base.#p };
      if (text.startsWith("//")) return URL.#parse(p.protocol + text);
      const m = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(text);
      const path = !m[1] ? p.pathname : m[1].startsWith("/") ? m[1] : p.pathname.slice(0, p.pathname.lastIndexOf("/") + 1) + m[1];
      const host = `${p.username ? p.username + (p.password ? ":" + p.password : "") + "@" : ""}${p.hostname}${p.port ? ":" + p.port : ""}`;
      const search = m[2] ?? (m[1] ? "" : p.search);
      return URL.#parse(`${p.protocol}//${host}${path}${search}${m[3] ?? ""}`);
    }
    static canParse(input, base) { try { new URL(input, base); return true; } catch { return false; } }
    static isUrl(value) { return #p in value; }
    get protocol() { return this.#p.protocol; }
    get username() { return this.#p.username; }
    get password() { return this.#p.password; }
    get hostname() { return this.#p.hostname; }
    get port() { return this.#p.port; }
    get host() { return this.#p.hostname + (this.#p.port ? ":" + this.#p.port : ""); }
    get origin() { return this.#p.protocol in ports ? `${this.#p.protocol}//${this.host}` : "null"; }
    get pathname() { return this.#p.pathname; }
    get search() { return this.#p.search; }
    get hash() { return this.#p.hash; }
    get searchParams() { return this.#search; }
    get href() {
      const p = this.#p, who = p.username || p.password ? `${p.username}${p.password ? ":" + p.password : ""}@` : "";
      return `${p.protocol}${p.slashes ? "//" : ""}${who}${this.host}${p.pathname}${p.search}${p.hash}`;
    }
    set pathname(v) { this.#p.pathname = normalPath(v.startsWith("/") ? v : "/" + v); }
    set search(v) { const s = String(v); this.#p.search = !s || s === "?" ? "" : s.startsWith("?") ? s : "?" + s; this.#search = new URLSearchParams(this.#p.search, () => { const t = this.#search.toString(); this.#p.search = t ? "?" + t : ""; }); }
    set hash(v) { const s = String(v); this.#p.hash = !s || s === "#" ? "" : s.startsWith("#") ? s : "#" + s; }
    set username(v) { if (this.#p.hostname) this.#p.username = encodeURIComponent(String(v)); }
    set password(v) { if (this.#p.hostname) this.#p.password = encodeURIComponent(String(v)); }
    set host(v) {
      const m = /^(\[[^\]]*\]|[^:/?#]+)(?::(\d*))?/.exec(String(v));
      if (!m) return;
      this.hostname = m[1];
      if (m[2]) this.port = m[2];
    }
    set hostname(v) { this.#p.hostname = String(v).toLowerCase(); }
    set port(v) { this.#p.port = ports[this.#p.protocol] === String(v) ? "" : String(v); }
    set protocol(v) { this.#p.protocol = String(v).replace(/:?$/, ":"); }
    set href(v) { this.#p = URL.#parse(String(v)); this.search = this.#p.search; }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }
  helpers.isUrl = URL.isUrl;
  builtins.URL = URL;
  define("URL", URL);
  define("URLSearchParams", URLSearchParams);
  for (const made of [TextEncoder, TextDecoder, URL, URLSearchParams]) { freeze(made); freeze(made.prototype); }
});
