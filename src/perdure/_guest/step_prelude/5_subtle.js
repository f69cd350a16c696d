// crypto: random bytes from the host's seed of this execution, hashes and HMAC computed by the host.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, freeze, getOwnPropertyDescriptor, getPrototypeOf } = Object;
  const { TypeError, Uint8Array: U8 } = globalThis, { isArray } = Array;
  const { uncurry, textOf, ask, domException, isObject } = helpers;
  const getter = (proto, name) => uncurry(getOwnPropertyDescriptor(proto, name).get);
  const typedProto = getPrototypeOf(U8.prototype), sliceBytes = uncurry(typedProto.slice);
  const typedBuffer = getter(typedProto, "buffer"), typedOffset = getter(typedProto, "byteOffset");
  const typedLength = getter(typedProto, "byteLength");
  const viewBuffer = getter(DataView.prototype, "buffer");
  const viewOffset = getter(DataView.prototype, "byteOffset");
  const viewLength = getter(DataView.prototype, "byteLength");
  const toUpperCase = uncurry(String.prototype.toUpperCase), includes = uncurry(Array.prototype.includes);
  const { getRandomValues, randomUUID } = globalThis.crypto;

  // The bytes of a buffer or a view, as they are now.
  const bytesOf = (value, what) => {
    const kind = isObject(value) ? native.kind(value) : "";
    if (kind === "typed") {
      return sliceBytes(new U8(typedBuffer(value), typedOffset(value), typedLength(value)));
    }
    if (kind === "view") return sliceBytes(new U8(viewBuffer(value), viewOffset(value), viewLength(value)));
    if (kind === "buffer") return sliceBytes(new U8(value));
    throw new TypeError(what + " is a buffer or a view of one");
  };
  helpers.bytesOf = bytesOf;
  const sizes = { __proto__: null, "SHA-1": 64, "SHA-256": 64, "SHA-384": 128, "SHA-512": 128 };
  const nameOf = (algorithm) => toUpperCase(textOf(isObject(algorithm) ? algorithm.name : algorithm));
  const unsupported = (what) =>
    domException("NotSupportedError", what + " is not there in a step; do it in a Python step");
  const hashOf = (algorithm) => {
    const name = nameOf(algorithm);
    if (sizes[name] === undefined) throw unsupported("the hash " + name);
    return name;
  };
  const hmacOnly = (algorithm) => {
    if (nameOf(algorithm) !== "HMAC") throw unsupported("the algorithm " + nameOf(algorithm));
  };

  const secret = { __proto__: null };
  let keyOf;
  class CryptoKey {
    #bytes;
    #hash;
    #usages;
    #extractable;
    constructor(mark, bytes, hash, extractable, usages) {
      if (mark !== secret) throw new TypeError("write crypto.subtle.importKey() or generateKey()");
      this.#bytes = bytes;
      this.#hash = hash;
      this.#extractable = extractable;
      this.#usages = usages;
    }
    get type() {
      return "secret";
    }
    get extractable() {
      return this.#extractable;
    }
    get algorithm() {
      return { name: "HMAC", hash: { name: this.#hash }, length: typedLength(this.#bytes) * 8 };
    }
    get usages() {
      return [...this.#usages];
    }
    static {
      keyOf = (key, usage) => {
        if (!isObject(key) || !(#bytes in key)) throw new TypeError("a key is a CryptoKey");
        if (usage !== null && !includes(key.#usages, usage)) {
          throw domException("InvalidAccessError", "this key is not for " + usage);
        }
        return { __proto__: null, bytes: key.#bytes, hash: key.#hash, extractable: key.#extractable };
      };
    }
  }
  const usagesOf = (list) => {
    if (!isArray(list) || !list.length) throw domException("SyntaxError", "a key has usages: sign, verify");
    for (let k = 0; k < list.length; k++) {
      if (list[k] !== "sign" && list[k] !== "verify") {
        throw domException("SyntaxError", "a key for HMAC is for sign and verify, not for " + list[k]);
      }
    }
    return list;
  };
  const sign = (key, data) => ask("hmac", key.hash, key.bytes, data);
  const isSame = (one, other) => {
    let differs = typedLength(one) ^ typedLength(other);
    for (let k = 0; k < typedLength(one); k++) differs |= one[k] ^ other[k];
    return differs === 0;
  };
  const subtle = {
    async digest(algorithm, data) {
      return native.buffer(await ask("digest", hashOf(algorithm), bytesOf(data, "what is hashed")));
    },
    async importKey(format, data, algorithm, extractable, usages) {
      if (format !== "raw") throw unsupported("a key in the format " + format);
      hmacOnly(algorithm);
      const bytes = bytesOf(data, "a raw key");
      if (!typedLength(bytes)) throw domException("DataError", "a key for HMAC is not empty");
      return new CryptoKey(secret, bytes, hashOf(algorithm.hash), !!extractable, usagesOf(usages));
    },
    async generateKey(algorithm, extractable, usages) {
      hmacOnly(algorithm);
      const hash = hashOf(algorithm.hash), bits = algorithm.length ?? sizes[hash] * 8;
      const bytes = new U8(bits / 8);
      native.fill(bytes);
      return new CryptoKey(secret, bytes, hash, !!extractable, usagesOf(usages));
    },
    async exportKey(format, key) {
      const { bytes, extractable } = keyOf(key, null);
      if (format !== "raw") throw unsupported("a key in the format " + format);
      if (!extractable) throw domException("InvalidAccessError", "this key is not extractable");
      return native.buffer(bytes);
    },
    async sign(algorithm, key, data) {
      hmacOnly(algorithm);
      return native.buffer(await sign(keyOf(key, "sign"), bytesOf(data, "what is signed")));
    },
    async verify(algorithm, key, signature, data) {
      hmacOnly(algorithm);
      const given = bytesOf(signature, "a signature");
      return isSame(await sign(keyOf(key, "verify"), bytesOf(data, "what is verified")), given);
    },
  };
  for (const name of ["encrypt", "decrypt", "deriveBits", "deriveKey", "wrapKey", "unwrapKey"]) {
    subtle[name] = async () => {
      throw unsupported("crypto.subtle." + name + "()");
    };
  }
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  define("crypto", freeze({ getRandomValues, randomUUID, subtle: freeze(subtle) }));
  define("CryptoKey", CryptoKey);
});
