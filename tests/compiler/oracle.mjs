// Answers, line by line, whether our JavaScript means what others' does; see oracle.py.
// Node's type stripper and TypeScript's own emit are the others, acorn reads both: none is ours.
import { createRequire, stripTypeScriptTypes } from "node:module";
import { createInterface } from "node:readline";
import vm from "node:vm";

const require = createRequire(import.meta.url);
const acorn = require("internal/deps/acorn/acorn/dist/acorn");
const typescript = process.argv[2] ? require(process.argv[2]) : null;
const SYNTAX = { ecmaVersion: "latest", sourceType: "module", locations: true, allowHashBang: true };
const EMIT = {
  target: 99, module: 99, isolatedModules: true, preserveConstEnums: true, useDefineForClassFields: true,
};
const ASIDE = new Set(["start", "end", "loc", "raw"]);
const LEAVES = new Set(["Identifier", "Literal", "PrivateIdentifier", "TemplateElement"]);

const isNode = (value) => value !== null && typeof value === "object" && "type" in value;
const keysOf = (node) => Object.keys(node).filter((key) => !ASIDE.has(key));

// An import or export that lists no name: some keep it for its side effect, TypeScript does not.
function listsNothing(text, node) {
  const listing = node.type === "ImportDeclaration" || (node.type === "ExportNamedDeclaration" && !node.declaration);
  return listing && !node.specifiers.length && /^\w+\s*\{/.test(text.slice(node.start, node.end));
}

// Names that stand for values.
function valuesOf(node, names = new Set()) {
  if (Array.isArray(node)) node.forEach((item) => valuesOf(item, names));
  if (!isNode(node) || node.type === "ImportDeclaration") return names;
  if (node.type === "ExportNamedDeclaration" && node.source) return names;
  if (node.type === "Identifier") names.add(node.name);
  for (const key of keysOf(node)) {
    const named = key === "property" || (key === "key" && !node.shorthand);
    if ((named && !node.computed) || key === "exported" || key === "label") continue;
    valuesOf(node[key], names);
  }
  return names;
}

// Without the imports that nothing uses: Node keeps them, TypeScript and we do not. Whether a name
// is another's where it is used, only TypeScript knows: Node's are those that are ours as well.
function used(program, text, other) {
  const names = valuesOf(program);
  const imported = other?.body.filter((node) => node.type === "ImportDeclaration").flatMap((node) => node.specifiers);
  const theirs = imported && new Set(imported.map((specifier) => specifier.local.name));
  return program.body.filter((node) => {
    if (listsNothing(text, node)) return false;
    if (node.type !== "ImportDeclaration" || !node.specifiers.length) return true;
    node.specifiers = node.specifiers.filter(({ local }) => names.has(local.name) && (theirs?.has(local.name) ?? true));
    return node.specifiers.length > 0;
  });
}

function difference(ours, theirs, places) {
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    const [left, right] = [ours, theirs].map((list) => list.filter((node) => node?.type !== "EmptyStatement"));
    if (left.length !== right.length) {
      const line = (left.at(-1) ?? right.at(-1))?.loc?.start.line;
      return `${left.length} nodes, not ${right.length}, up to line ${line}`;
    }
    for (const [index, node] of left.entries()) {
      const found = difference(node, right[index], places);
      if (found) return found;
    }
    return "";
  }
  if (ours === null || theirs === null || typeof ours !== "object" || typeof theirs !== "object")
    return Object.is(ours, theirs) ? "" : `${ours}, not ${theirs}`;
  if (ours instanceof RegExp) return String(ours) === String(theirs) ? "" : `${ours}, not ${theirs}`;
  if (places && LEAVES.has(ours.type) && ours.loc && theirs.loc) {
    const [left, right] = [ours, theirs].map(({ loc }) => `${loc.start.line}:${places === "lines" ? "" : loc.start.column}`);
    if (left !== right) return `${ours.type} at ${left}, not ${right}`;
  }
  for (const key of new Set([...keysOf(ours), ...keysOf(theirs)])) {
    const found = difference(ours[key], theirs[key], places);
    if (found) return found.includes(" in ") ? found : `${found} in ${ours.type}.${key} of line ${ours.loc?.start.line}`;
  }
  return "";
}

function compared(ours, theirs, places, tidy) {
  let left, right;
  try {
    right = acorn.parse(theirs, SYNTAX);
  } catch (error) {
    return { verdict: "unread", detail: String(error) };
  }
  try {
    left = acorn.parse(ours, SYNTAX);
  } catch (error) {
    return { verdict: "different", detail: `ours: ${error}` };
  }
  const found = difference(tidy(left, ours), tidy(right, theirs, left), places);
  return { verdict: found ? "different" : "equal", detail: found };
}

// TypeScript writes (a?.b)?.c without parentheses.
function joined(node) {
  if (Array.isArray(node)) return node.map(joined);
  if (!isNode(node) || node instanceof RegExp) return node;
  for (const key of keysOf(node)) node[key] = joined(node[key]);
  const inner = node.object ?? node.callee;
  if (node.optional && inner?.type === "ChainExpression") node[node.object ? "object" : "callee"] = inner.expression;
  return node;
}

const withoutEmpty = (program, text) => joined(program).body.filter((node) => !listsNothing(text, node));

function emitted(source) {
  const options = { compilerOptions: EMIT, fileName: "a.ts", reportDiagnostics: true };
  const { outputText, diagnostics } = typescript.transpileModule(source, options);
  if (diagnostics.length) throw new Error(typescript.flattenDiagnosticMessageText(diagnostics[0].messageText, " "));
  return outputText;
}

function outcome(script) {
  const context = vm.createContext({ out: [] });
  try {
    vm.runInContext(script, context, { timeout: 1000 });
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return JSON.stringify(context.out);
}

const QUESTIONS = {
  // Is it what Node leaves, at the same places?
  strip({ source, ours }) {
    let theirs;
    try {
      theirs = stripTypeScriptTypes(source, { mode: "strip" });
    } catch (error) {
      return { verdict: "unsupported", detail: String(error.message).split("\n")[0] };
    }
    if (ours === null) return { verdict: "refused", detail: "" };
    return compared(ours, theirs, /^[\x00-\x7f]*$/.test(source) ? "columns" : "lines", used);
  },
  // Is it what TypeScript writes?
  emit({ source, ours }) {
    let theirs;
    try {
      theirs = emitted(source);
    } catch (error) {
      return { verdict: "unsupported", detail: error.message };
    }
    return compared(ours, theirs, "", withoutEmpty);
  },
  // Is it what has been stored?
  stored({ ours, theirs }) {
    return compared(ours, theirs, "", used);
  },
  // Does it do what Node's transformed code does?
  run({ source, ours }) {
    let theirs;
    try {
      theirs = outcome(stripTypeScriptTypes(source, { mode: "transform" }));
    } catch (error) {
      return { verdict: "unsupported", detail: String(error.message).split("\n")[0] };
    }
    const result = ours === null ? "refused" : outcome(ours);
    return { verdict: result === theirs ? "equal" : "different", detail: `${result}, not ${theirs}` };
  },
  // What does it do?
  outcome({ ours }) {
    return { verdict: "outcome", detail: outcome(ours) };
  },
  // Does Node take it for a module?
  module({ source }) {
    let script;
    try {
      script = stripTypeScriptTypes(source, { mode: "strip" });
    } catch {
      script = stripTypeScriptTypes(source, { mode: "transform" });
    }
    try {
      new vm.SourceTextModule(script);
    } catch (error) {
      return { verdict: "refused", detail: error.message };
    }
    return { verdict: "taken", detail: "" };
  },
  // The text that "stored" stores.
  text({ source, how }) {
    try {
      const theirs = how === "emit" ? emitted(source) : stripTypeScriptTypes(source, { mode: "strip" });
      return { verdict: "text", detail: theirs };
    } catch (error) {
      return { verdict: "unsupported", detail: String(error.message).split("\n")[0] };
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(QUESTIONS[question.ask](question))}\n`);
}
