// Attributes: texts by name that a run is found by. Their limits are those of _core/attributes.py.
(function (native, helpers, builtins) {
  "use strict";
  const { getPrototypeOf, keys } = Object, { Promise: P, String: Str } = globalThis;
  const { uncurry, nextId, isObject, show, workflow } = helpers;
  const isWellFormed = uncurry(String.prototype.isWellFormed), slice = uncurry(String.prototype.slice);
  const codeAt = uncurry(String.prototype.charCodeAt);
  const plain = Object.prototype, { FatalError } = workflow;
  const MAX_COUNT = 64, MAX_NAME = 256, MAX_TEXT = 256, MAX_CALL = 8192, MARKS = 6;

  // Of a text without lone surrogates, of which each half of a pair counts two.
  const byteLength = (text) => {
    let bytes = text.length;
    for (let k = 0; k < text.length; k++) {
      const code = codeAt(text, k);
      if (code > 0x7ff && (code < 0xd800 || code > 0xdfff)) bytes += 2;
      else if (code > 0x7f) bytes++;
    }
    return bytes;
  };
  const faultOfName = (name, isAllowed) => {
    if (!name) return "attribute key must not be empty";
    if (name[0] === "$" && !isAllowed) {
      return 'attribute key "' + slice(name, 0, 40) + '" has the reserved prefix "$"; ' +
        "the option allowReservedAttributes permits it";
    }
    if (name.length > MAX_NAME) return "attribute key length " + name.length + " exceeds limit " + MAX_NAME;
    return undefined;
  };
  const faultOf = (name, text, isAllowed) => {
    const fault = faultOfName(name, isAllowed);
    if (fault !== undefined) return fault;
    if (!isWellFormed(name) || (text !== null && !isWellFormed(text))) {
      return "an attribute has a lone surrogate, which has no UTF-8 form";
    }
    if (text === null || byteLength(text) <= MAX_TEXT) return undefined;
    return "attribute value byte length " + byteLength(text) + " exceeds limit " + MAX_TEXT + ': "' + name +
      '"';
  };
  const isPlain = (value) => {
    if (!isObject(value)) return false;
    const proto = getPrototypeOf(value);
    return proto === plain || proto === null;
  };
  // Names and texts as they are kept; null is a name to remove.
  helpers.cleanAttributes = (changes, isAllowed, who) => {
    if (!isPlain(changes)) throw new FatalError(who + " requires a plain object, not " + show(changes));
    const clean = { __proto__: null }, names = keys(changes);
    let size = 0;
    for (let k = 0; k < names.length; k++) {
      const value = changes[names[k]];
      const text = value === undefined || value === null ? null : Str(value);
      const fault = faultOf(names[k], text, isAllowed);
      if (fault !== undefined) throw new FatalError(fault);
      clean[names[k]] = text;
      size += byteLength(names[k]) + (text === null ? 4 : byteLength(text)) + MARKS;
    }
    if (names.length > MAX_COUNT) {
      throw new FatalError("attributes exceed limit " + MAX_COUNT + ": " + names.length + " in one call");
    }
    if (size > MAX_CALL) {
      throw new FatalError("attributes of one call take " + size + " bytes, which exceeds limit " + MAX_CALL);
    }
    return clean;
  };
  const setAttributes = (changes, options = {}) => {
    const position = native.position();
    if (!isObject(options)) {
      throw new FatalError("setAttributes takes an object of options, not " + show(options));
    }
    const clean = helpers.cleanAttributes(changes, options.allowReservedAttributes === true, "setAttributes");
    native.emit(["attributes", nextId("attributes"), clean, position]);
    return new P((resolve) => resolve());
  };
  workflow.setAttributes = setAttributes;
});
