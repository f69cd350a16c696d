// Blob, File and FormData, and streams of texts.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty } = Object, { TypeError } = globalThis;
  const define = (name, value) =>
    defineProperty(globalThis, name, { value, writable: true, configurable: true });
  const publish = (maker) => {
    defineProperty(maker.prototype, Symbol.toStringTag, { value: maker.name, configurable: true });
    define(maker.name, maker);
  };
  const joined = (parts) => {
    let length = 0, at = 0;
    for (const part of parts) length += part.byteLength;
    const whole = new Uint8Array(length);
    for (const part of parts) {
      whole.set(part, at);
      at += part.byteLength;
    }
    return whole;
  };

  // --- blobs ------------------------------------------------------------------------------------------
  let bytesOfBlob, isBlob, fill;
  const typeOf = (value) => {
    const text = String(value ?? "");
    return /[^ -~]/.test(text) ? "" : text.toLowerCase();
  };
  class Blob {
    #bytes;
    #type;
    constructor(parts = [], options = {}) {
      if (parts === null || typeof parts !== "object" || typeof parts[Symbol.iterator] !== "function") {
        throw new TypeError("a Blob is made of a list of parts");
      }
      const pieces = [];
      for (const part of parts) {
        if (isBlob(part)) pieces.push(bytesOfBlob(part));
        else if (ArrayBuffer.isView(part) || native.kind(part) === "buffer") {
          pieces.push(helpers.bytesOf(part, "a part"));
        } else pieces.push(native.utf8(helpers.usvString(part)));
      }
      this.#bytes = joined(pieces);
      this.#type = typeOf(options?.type);
    }
    static {
      isBlob = (value) => typeof value === "object" && value !== null && #bytes in value;
      bytesOfBlob = (blob) => blob.#bytes;
      fill = (blob, bytes, type) => {
        blob.#bytes = bytes;
        blob.#type = type;
        return blob;
      };
    }
    get size() {
      return this.#bytes.byteLength;
    }
    get type() {
      return this.#type;
    }
    slice(start = 0, end = this.size, type = "") {
      return fill(new Blob(), this.#bytes.slice(start, end), typeOf(type));
    }
    async arrayBuffer() {
      return native.buffer(this.#bytes);
    }
    async bytes() {
      return this.#bytes.slice();
    }
    async text() {
      return new TextDecoder().decode(this.#bytes);
    }
    stream() {
      const bytes = this.#bytes.slice();
      return new ReadableStream({
        pull(controller) {
          if (bytes.byteLength) controller.enqueue(bytes);
          controller.close();
        },
      }, { highWaterMark: 0 });
    }
  }
  class File extends Blob {
    #name;
    #lastModified;
    constructor(parts, name, options = {}) {
      if (arguments.length < 2) throw new TypeError("a File has parts and a name");
      super(parts, options);
      this.#name = helpers.usvString(name);
      this.#lastModified = Number(options?.lastModified ?? native.now());
    }
    get name() {
      return this.#name;
    }
    get lastModified() {
      return this.#lastModified;
    }
  }
  publish(Blob);
  publish(File);
  helpers.blobOf = (bytes, type) => fill(new Blob(), bytes.slice(), typeOf(type));

  // --- forms ------------------------------------------------------------------------------------------
  let entriesOf, isForm;
  const entryOf = (value, filename) => {
    if (!isBlob(value)) return helpers.usvString(value);
    if (value instanceof File && filename === undefined) return value;
    const name = filename === undefined ? value.name ?? "blob" : helpers.usvString(filename);
    return new File([value], name, { type: value.type });
  };
  class FormData {
    #entries = [];
    constructor(form = undefined) {
      if (form !== undefined) throw new TypeError("a FormData is made of nothing: there are no forms here");
    }
    static {
      isForm = (value) => typeof value === "object" && value !== null && #entries in value;
      entriesOf = (form) => form.#entries;
    }
    append(name, value, filename = undefined) {
      this.#entries.push([helpers.usvString(name), entryOf(value, filename)]);
    }
    delete(name) {
      this.#entries = this.#entries.filter(([key]) => key !== String(name));
    }
    get(name) {
      return this.#entries.find(([key]) => key === String(name))?.[1] ?? null;
    }
    getAll(name) {
      return this.#entries.filter(([key]) => key === String(name)).map(([, value]) => value);
    }
    has(name) {
      return this.#entries.some(([key]) => key === String(name));
    }
    set(name, value, filename = undefined) {
      const key = helpers.usvString(name), entry = [key, entryOf(value, filename)];
      const at = this.#entries.findIndex(([other]) => other === key);
      if (at < 0) return void this.#entries.push(entry);
      this.#entries = this.#entries.filter(([other], k) => other !== key || k === at);
      this.#entries[this.#entries.findIndex(([other]) => other === key)] = entry;
    }
    *entries() {
      for (const [name, value] of this.#entries) yield [name, value];
    }
    *keys() {
      for (const [name] of this.#entries) yield name;
    }
    *values() {
      for (const [, value] of this.#entries) yield value;
    }
    forEach(callback, self = undefined) {
      for (const [name, value] of this) callback.call(self, value, name, this);
    }
    [Symbol.iterator]() {
      return this.entries();
    }
  }
  publish(FormData);
  const quoted = (text) => text.replace(/\r\n?|\n/g, "%0D%0A").replace(/"/g, "%22");
  const multipart = (form) => {
    const mark = "----perdure" + crypto.randomUUID().replaceAll("-", ""), parts = [];
    for (const [name, value] of entriesOf(form)) {
      let head = `--${mark}\r\nContent-Disposition: form-data; name="${quoted(name)}"`;
      if (isBlob(value)) {
        head += `; filename="${quoted(value.name)}"\r\nContent-Type: ${
          value.type || "application/octet-stream"
        }`;
        parts.push(native.utf8(head + "\r\n\r\n"), bytesOfBlob(value), native.utf8("\r\n"));
      } else parts.push(native.utf8(`${head}\r\n\r\n${value.replace(/\r\n?|\n/g, "\r\n")}\r\n`));
    }
    parts.push(native.utf8(`--${mark}--\r\n`));
    return [joined(parts), "multipart/form-data; boundary=" + mark];
  };
  // Bytes and type of a body that is one of these.
  helpers.contentOf = (value) => {
    if (isBlob(value)) return [bytesOfBlob(value), value.type];
    return isForm(value) ? multipart(value) : undefined;
  };
  const indexOf = (bytes, mark, from) => {
    for (let at = from; at <= bytes.length - mark.length; at++) {
      let k = 0;
      while (k < mark.length && bytes[at + k] === mark[k]) k++;
      if (k === mark.length) return at;
    }
    return -1;
  };
  const unquoted = (text) => text.replace(/%0D%0A/gi, "\r\n").replace(/%22/g, '"');
  const parameter = (text, name) => {
    const found = new RegExp(`;\\s*${name}=(?:"([^"]*)"|([^;\\s]*))`, "i").exec(text);
    return found === null ? undefined : unquoted(found[1] ?? found[2]);
  };
  const parseMultipart = (bytes, boundary) => {
    const form = new FormData(), mark = native.utf8("--" + boundary), gap = native.utf8("\r\n\r\n");
    const decoder = new TextDecoder(), end = native.utf8("\r\n--" + boundary);
    let at = indexOf(bytes, mark, 0);
    for (;;) {
      if (at < 0) throw new TypeError("the body is no form: it ends early");
      at += mark.length;
      if (bytes[at] === 45 && bytes[at + 1] === 45) return form;
      const body = indexOf(bytes, gap, at), next = body < 0 ? -1 : indexOf(bytes, end, body + 2);
      if (next < 0) throw new TypeError("the body is no form: it ends early");
      const head = decoder.decode(bytes.subarray(at, body)), content = bytes.subarray(body + 4, next);
      const line = /^content-disposition:(.*)$/im.exec(head)?.[1] ?? "";
      const name = parameter(line, "name"), filename = parameter(line, "filename");
      if (name === undefined) throw new TypeError("the body is no form: a part has no name");
      if (filename === undefined) form.append(name, decoder.decode(content));
      else {
        const type = /^content-type:\s*(.*?)\s*$/im.exec(head)?.[1] ?? "application/octet-stream";
        form.append(name, new File([content], filename, { type }));
      }
      at = next + 2;
    }
  };
  helpers.formOf = (bytes, type) => {
    const kind = type.split(";")[0].trim().toLowerCase();
    if (kind === "multipart/form-data") return parseMultipart(bytes, parameter(type, "boundary") ?? "");
    if (kind !== "application/x-www-form-urlencoded") throw new TypeError("the body is no form, but " + type);
    const form = new FormData();
    for (const [name, value] of new URLSearchParams(new TextDecoder().decode(bytes))) {
      form.append(name, value);
    }
    return form;
  };

  // --- streams of texts -------------------------------------------------------------------------------
  class TextEncoderStream extends TransformStream {
    constructor() {
      let half = "";
      super({
        transform(chunk, controller) {
          let text = half + String(chunk);
          half = "";
          const last = text.charCodeAt(text.length - 1);
          if (last >= 0xd800 && last < 0xdc00) {
            half = text.slice(-1);
            text = text.slice(0, -1);
          }
          if (text) controller.enqueue(native.utf8(text));
        },
        flush(controller) {
          if (half) controller.enqueue(native.utf8(half));
        },
      });
    }
    get encoding() {
      return "utf-8";
    }
  }
  class TextDecoderStream extends TransformStream {
    #decoder;
    constructor(label = "utf-8", options = {}) {
      const decoder = new TextDecoder(label, options);
      super({
        transform(chunk, controller) {
          const text = decoder.decode(chunk, { stream: true });
          if (text) controller.enqueue(text);
        },
        flush(controller) {
          const text = decoder.decode();
          if (text) controller.enqueue(text);
        },
      });
      this.#decoder = decoder;
    }
    get encoding() {
      return this.#decoder.encoding;
    }
    get fatal() {
      return this.#decoder.fatal;
    }
    get ignoreBOM() {
      return this.#decoder.ignoreBOM;
    }
  }
  publish(TextEncoderStream);
  publish(TextDecoderStream);
});
