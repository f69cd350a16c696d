// The console: a line of text for each call, as a person reads it.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, keys, getPrototypeOf } = Object;
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });

  const showError = (error) => {
    const frames = typeof error.stack === "string" ? "\n" + native.cleanStack(error.stack).trimEnd() : "";
    return `${error.name}: ${error.message}${frames}`;
  };
  const showMap = (map, inner) => {
    const entries = [...map].map(([key, value]) => ` ${inner(key)} => ${inner(value)}`);
    return `Map(${map.size}) {${entries.join(",")} }`;
  };
  const showSet = (set, inner) => `Set(${set.size}) {${[...set].map((v) => " " + inner(v)).join(",")} }`;
  const showList = (list, inner) => {
    const items = Array.from(list).slice(0, 100).map(inner);
    const rest = list.length > 100 ? `, … ${list.length - 100} more` : "";
    return `[${items.join(", ")}${rest}]`;
  };
  const showObject = (object, inner) => {
    const maker = getPrototypeOf(object)?.constructor?.name;
    const fields = keys(object).slice(0, 100).map((key) => `${key}: ${inner(object[key])}`);
    const body = fields.length ? " " + fields.join(", ") + " " : "";
    return `${maker && maker !== "Object" ? maker + " " : ""}{${body}}`;
  };
  const show = (value, depth = 0, seen = []) => {
    if (typeof value === "string") return depth ? JSON.stringify(value) : value;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "function") return `[function ${value.name || "anonymous"}]`;
    if (typeof value !== "object" || value === null) return String(value);
    if (seen.includes(value)) return "[circular]";
    if (depth > 3) return Array.isArray(value) ? "[…]" : "{…}";
    const inner = (item) => show(item, depth + 1, [...seen, value]);
    if (helpers.isUrl(value)) return helpers.hrefOf(value);
    const kind = native.kind(value);
    if (kind === "error") return showError(value);
    if (kind === "date") return isNaN(value) ? "Invalid Date" : value.toISOString();
    if (kind === "regexp") return String(value);
    if (kind === "map") return showMap(value, inner);
    if (kind === "set") return showSet(value, inner);
    if (Array.isArray(value) || kind === "typed") return showList(value, inner);
    return showObject(value, inner);
  };
  const conversions = {
    __proto__: null,
    s: (value) => show(value),
    d: (value) => String(Number(value)),
    f: (value) => String(Number(value)),
    i: (value) => String(Math.trunc(Number(value))),
    j: (value) => show(value, 1),
    o: (value) => show(value, 1),
    O: (value) => show(value, 1),
  };
  const line = (args) => {
    if (typeof args[0] !== "string" || !/%[sdifjoO%]/.test(args[0])) {
      return args.map((a) => show(a)).join(" ");
    }
    let at = 1;
    const head = args[0].replace(/%([sdifjoO%])/g, (all, letter) => {
      if (letter === "%") return "%";
      return at < args.length ? conversions[letter](args[at++]) : all;
    });
    return [head, ...args.slice(at).map((a) => show(a))].join(" ");
  };
  let indent = "";
  // What shows a value uses what workflow code may have replaced; what is written must be a text.
  const slice = helpers.uncurry(String.prototype.slice);
  const toWellFormed = helpers.uncurry(String.prototype.toWellFormed);
  const shown = (args) => {
    try {
      const text = line(args);
      const lines = indent ? indent + text.replaceAll("\n", "\n" + indent) : text;
      if (typeof lines === "string") return lines;
    } catch {}
    return "[what console was given could not be shown]";
  };
  const write = (level, args) => {
    const text = shown(args);
    native.log([level, toWellFormed(text.length > 65536 ? slice(text, 0, 65536) + "…" : text)]);
  };
  const entriesOf = (rows) => {
    if (rows instanceof Map) return [...rows];
    return rows instanceof Set ? [...rows].entries() : Object.entries(rows);
  };
  const counts = new Map(), timers = new Map();
  const info = (...args) => write("info", args);
  const console = {
    log(...args) {
      write("info", args);
    },
    info(...args) {
      write("info", args);
    },
    warn(...args) {
      write("warn", args);
    },
    error(...args) {
      write("error", args);
    },
    debug(...args) {
      write("debug", args);
    },
    assert(isTrue, ...args) {
      if (!isTrue) write("error", ["Assertion failed", ...args]);
    },
    trace(...args) {
      write("debug", [line(["Trace:", ...args]) + "\n" + native.trace().trimEnd()]);
    },
    dir(value) {
      info(show(value, 1));
    },
    dirxml(...args) {
      write("info", args);
    },
    table(rows) {
      if (typeof rows !== "object" || rows === null) return info(rows);
      info([...entriesOf(rows)].map(([key, row]) => `${show(key)} | ${show(row, 1)}`).join("\n"));
    },
    group(...args) {
      if (args.length) write("info", args);
      indent += "  ";
    },
    groupCollapsed(...args) {
      console.group(...args);
    },
    groupEnd() {
      indent = indent.slice(2);
    },
    clear() {},
    count(label = "default") {
      counts.set(`${label}`, (counts.get(`${label}`) ?? 0) + 1);
      info(`${label}: ${counts.get(`${label}`)}`);
    },
    countReset(label = "default") {
      counts.delete(`${label}`);
    },
    time(label = "default") {
      timers.set(`${label}`, native.now());
    },
    timeLog(label = "default", ...args) {
      if (timers.has(`${label}`)) info(`${label}: ${native.now() - timers.get(`${label}`)} ms`, ...args);
      else write("warn", [`there is no timer ${label}`]);
    },
    timeEnd(label = "default") {
      console.timeLog(label);
      timers.delete(`${label}`);
    },
  };
  define("console", console);
});
