// Text and bytes: TextEncoder, TextDecoder, atob, btoa, DOMException, as WHATWG has them.
(function (native, helpers, builtins) {
  "use strict";
  const {
    defineProperty,
    defineProperties,
    getOwnPropertyDescriptor,
    getOwnPropertyNames,
    getPrototypeOf,
    setPrototypeOf,
  } = Object;
  const { uncurry } = helpers, Str = String, { TypeError } = globalThis;
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  const wellFormed = uncurry(String.prototype.toWellFormed);
  const getter = (proto, name) => uncurry(getOwnPropertyDescriptor(proto, name).get);
  const typedProto = getPrototypeOf(Uint8Array.prototype);
  const bufferOf = getter(typedProto, "buffer");
  const offsetOf = getter(typedProto, "byteOffset");
  const lengthOf = getter(typedProto, "byteLength");
  const viewBuffer = getter(DataView.prototype, "buffer");
  const viewOffset = getter(DataView.prototype, "byteOffset");
  const viewLength = getter(DataView.prototype, "byteLength");
  const U8 = Uint8Array;
  const slice = uncurry(String.prototype.slice), charCodeAt = uncurry(String.prototype.charCodeAt);
  const toLowerCase = uncurry(String.prototype.toLowerCase), replace = uncurry(String.prototype.replace);
  const setBytes = uncurry(typedProto.set);
  const subarray = uncurry(typedProto.subarray);
  const sliceBytes = uncurry(typedProto.slice);

  // Web IDL: what a class has on its prototype is enumerable, and it names itself.
  const publish = (maker, name = maker.name) => {
    for (const target of [maker, maker.prototype]) {
      for (const key of getOwnPropertyNames(target)) {
        const { get, value } = getOwnPropertyDescriptor(target, key);
        if (key !== "constructor" && (get || typeof value === "function")) {
          defineProperty(target, key, { enumerable: true });
        }
      }
    }
    defineProperty(maker.prototype, Symbol.toStringTag, { value: name, configurable: true });
    define(name, maker);
  };
  helpers.publish = publish;
  // As a template would make it; those of the engine ask String.prototype.concat.
  const textOf = (value) => {
    if (typeof value === "symbol") throw new TypeError("a symbol is not a text");
    return Str(value);
  };
  helpers.textOf = textOf;
  helpers.usvString = (value) => wellFormed(textOf(value));
  const coded = (error, code) => helpers.define(error, "code", code, true);
  helpers.coded = coded;

  const codes = {
    IndexSizeError: 1,
    HierarchyRequestError: 3,
    WrongDocumentError: 4,
    InvalidCharacterError: 5,
    NoModificationAllowedError: 7,
    NotFoundError: 8,
    NotSupportedError: 9,
    InUseAttributeError: 10,
    InvalidStateError: 11,
    SyntaxError: 12,
    InvalidModificationError: 13,
    NamespaceError: 14,
    InvalidAccessError: 15,
    TypeMismatchError: 17,
    SecurityError: 18,
    NetworkError: 19,
    AbortError: 20,
    URLMismatchError: 21,
    QuotaExceededError: 22,
    TimeoutError: 23,
    InvalidNodeTypeError: 24,
    DataCloneError: 25,
  };
  const constants = {
    INDEX_SIZE_ERR: 1,
    DOMSTRING_SIZE_ERR: 2,
    HIERARCHY_REQUEST_ERR: 3,
    WRONG_DOCUMENT_ERR: 4,
    INVALID_CHARACTER_ERR: 5,
    NO_DATA_ALLOWED_ERR: 6,
    NO_MODIFICATION_ALLOWED_ERR: 7,
    NOT_FOUND_ERR: 8,
    NOT_SUPPORTED_ERR: 9,
    INUSE_ATTRIBUTE_ERR: 10,
    INVALID_STATE_ERR: 11,
    SYNTAX_ERR: 12,
    INVALID_MODIFICATION_ERR: 13,
    NAMESPACE_ERR: 14,
    INVALID_ACCESS_ERR: 15,
    VALIDATION_ERR: 16,
    TYPE_MISMATCH_ERR: 17,
    SECURITY_ERR: 18,
    NETWORK_ERR: 19,
    ABORT_ERR: 20,
    URL_MISMATCH_ERR: 21,
    QUOTA_EXCEEDED_ERR: 22,
    TIMEOUT_ERR: 23,
    INVALID_NODE_TYPE_ERR: 24,
    DATA_CLONE_ERR: 25,
  };
  setPrototypeOf(codes, null);
  const facts = new WeakMap();
  const factsOf = uncurry(WeakMap.prototype.get), keepFacts = uncurry(WeakMap.prototype.set);
  const { construct } = Reflect, E = Error;
  const fact = (error, name) => {
    const known = factsOf(facts, error);
    if (known === undefined) throw new TypeError("this is no DOMException");
    return known[name];
  };
  const nameIn = (options) => {
    const { name } = options;
    return name === undefined ? "Error" : name;
  };
  class DOMException {
    constructor(message = "", options = "Error") {
      const isBag = options !== null && typeof options === "object";
      const error = construct(E, [], new.target);
      keepFacts(facts, error, {
        __proto__: null,
        message: textOf(message),
        name: textOf(isBag ? nameIn(options) : options),
      });
      if (isBag && "cause" in options) helpers.define(error, "cause", options.cause);
      return error;
    }
    get name() {
      return fact(this, "name");
    }
    get message() {
      return fact(this, "message");
    }
    get code() {
      return codes[fact(this, "name")] ?? 0;
    }
  }
  setPrototypeOf(DOMException.prototype, E.prototype);
  helpers.isDomException = (value) => factsOf(facts, value) !== undefined;
  for (const key of Object.keys(constants)) {
    for (const target of [DOMException, DOMException.prototype]) {
      defineProperty(target, key, { value: constants[key], enumerable: true });
    }
  }
  publish(DOMException);
  helpers.domException = (name, message) => new DOMException(message, name);

  // How many bytes of UTF-8 a code unit takes, with its low surrogate if it begins a pair.
  const utf8Size = (unit, isPair) => {
    if (unit < 0x80) return 1;
    if (unit < 0x800) return 2;
    return isPair ? 4 : 3;
  };
  let isEncoder, isDecoder;
  class TextEncoder {
    #own;
    static {
      isEncoder = (value) => #own in value;
    }
    get encoding() {
      this.#own;
      return "utf-8";
    }
    encode(text = "") {
      this.#own;
      return native.utf8(textOf(text));
    }
    encodeInto(source, target) {
      this.#own;
      const text = textOf(source);
      if (native.classOf(target) !== "typed" || native.typed(target) !== native.typed(sample)) {
        throw new TypeError("encodeInto writes into a Uint8Array");
      }
      const room = lengthOf(target), length = text.length;
      let read = 0, written = 0;
      while (read < length) {
        const unit = charCodeAt(text, read), next = read + 1 < length ? charCodeAt(text, read + 1) : 0;
        const pair = (unit & 0xfc00) === 0xd800 && (next & 0xfc00) === 0xdc00;
        const size = utf8Size(unit, pair);
        if (written + size > room) break;
        written += size;
        read += pair ? 2 : 1;
      }
      if (written) setBytes(target, native.utf8(slice(text, 0, read)));
      return { read, written };
    }
  }
  const sample = new U8(0);

  const labels = {
    "utf-8": [0, "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8"],
    "utf-16le": [1, "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le"],
    "utf-16be": [2, "unicodefffe utf-16be"],
    "windows-1252": [
      3,
      "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 " +
      "iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    ],
  };
  const encodings = { __proto__: null };
  for (const name of Object.keys(labels)) {
    for (const label of labels[name][1].split(" ")) encodings[label] = [name, labels[name][0]];
  }
  const outerBlanks = /^[\t\n\f\r ]+|[\t\n\f\r ]+$/g;
  const bytesOf = (data) => {
    const kind = native.classOf(data);
    if (kind === "typed") return new U8(bufferOf(data), offsetOf(data), lengthOf(data));
    if (kind === "view") return new U8(viewBuffer(data), viewOffset(data), viewLength(data));
    if (kind === "buffer") return new U8(data);
    throw coded(
      new TypeError("TextDecoder.decode takes an ArrayBuffer or a view of one"),
      "ERR_INVALID_ARG_TYPE",
    );
  };
  const joined = (head, tail) => {
    const all = new U8(head.length + tail.length);
    setBytes(all, head);
    setBytes(all, tail, head.length);
    return all;
  };
  class TextDecoder {
    #encoding;
    #number;
    #fatal;
    #ignoreBOM;
    #rest = sample;
    #begun = false;
    constructor(label = "utf-8", options = {}) {
      const found = encodings[toLowerCase(replace(textOf(label), outerBlanks, ""))];
      if (!found) {
        const known = "TextDecoder knows utf-8, utf-16le, utf-16be and windows-1252";
        const error = new RangeError(`${known}, not "${label}"; decode it in a Python step`);
        throw coded(error, "ERR_ENCODING_NOT_SUPPORTED");
      }
      if (options !== null && typeof options !== "object" && typeof options !== "function") {
        throw coded(new TypeError("the options of a TextDecoder are an object"), "ERR_INVALID_ARG_TYPE");
      }
      [this.#encoding, this.#number] = [found[0], found[1]];
      this.#fatal = Boolean(options?.fatal);
      this.#ignoreBOM = Boolean(options?.ignoreBOM);
    }
    static {
      isDecoder = (value) => #rest in value;
    }
    get encoding() {
      return this.#encoding;
    }
    get fatal() {
      return this.#fatal;
    }
    get ignoreBOM() {
      return this.#ignoreBOM;
    }
    decode(data = sample, options = {}) {
      const rest = this.#rest, more = bytesOf(data), stream = Boolean(options?.stream);
      const bytes = rest.length ? joined(rest, more) : more;
      const result = native.decodeText(bytes, this.#number, this.#fatal, !stream);
      if (result === null) {
        this.#rest = sample;
        this.#begun = false;
        throw coded(
          new TypeError(`the encoded data was not valid for encoding ${this.#encoding}`),
          "ERR_ENCODING_INVALID_ENCODED_DATA",
        );
      }
      let text = result[0];
      if (!this.#begun && text.length) {
        if (!this.#ignoreBOM && this.#number < 3 && charCodeAt(text, 0) === 0xfeff) text = slice(text, 1);
        this.#begun = true;
      }
      this.#rest = stream ? sliceBytes(subarray(bytes, result[1])) : sample;
      if (!stream) this.#begun = false;
      return text;
    }
  }
  publish(TextEncoder);
  publish(TextDecoder);
  helpers.isPlatform = (value) => isEncoder(value) || isDecoder(value) || helpers.isParams(value);

  const needs = (count, name) => {
    if (!count) throw coded(new TypeError(`${name} takes a text`), "ERR_MISSING_ARGS");
  };
  const functions = {
    btoa(input) {
      needs(arguments.length, "btoa");
      const coded = native.btoa(textOf(input));
      if (coded === null) {
        throw new DOMException("btoa takes characters up to U+00FF", "InvalidCharacterError");
      }
      return coded;
    },
    atob(input) {
      needs(arguments.length, "atob");
      const plain = native.atob(textOf(input));
      if (plain === null) throw new DOMException("atob: the text is not base64", "InvalidCharacterError");
      return plain;
    },
  };
  defineProperty(globalThis, "btoa", {
    value: functions.btoa,
    writable: true,
    enumerable: true,
    configurable: true,
  });
  defineProperty(globalThis, "atob", {
    value: functions.atob,
    writable: true,
    enumerable: true,
    configurable: true,
  });
});
