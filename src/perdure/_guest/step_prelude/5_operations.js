// Operations: what the code asks of the host, each by an id, and what comes of it.
// As in 1_values, nothing that the step's code replaces or adds is reached.
(function (native, helpers, builtins) {
  "use strict";
  const { uncurry, define, named, isError } = helpers;
  const { Map: M, Promise: P } = globalThis;
  const mapGet = uncurry(M.prototype.get), mapSet = uncurry(M.prototype.set);
  const mapDelete = uncurry(M.prototype.delete);
  const open = new M(); // id -> how what comes of it is told
  let count = 0;

  // Tell is called with whether it went well, and a value or an error.
  helpers.request = (kind, fields, tell) => {
    const id = ++count, operation = [kind, id];
    for (let k = 0; k < fields.length; k++) define(operation, k + 2, fields[k], true);
    mapSet(open, id, tell);
    native.emit(operation);
    return id;
  };
  helpers.forget = (id) => mapDelete(open, id);
  // A promise of what comes of it: its stack is of this call.
  helpers.ask = (kind, ...fields) => {
    const trace = native.trace(), caller = native.caller();
    return new P((resolve, reject) => {
      const id = helpers.request(kind, fields, (isDone, value) => {
        mapDelete(open, id);
        if (isDone) return resolve(value);
        if (isError(value)) define(value, "stack", trace + native.waitingFrames(caller));
        reject(value);
      });
    });
  };
  // [name, message, fields] of an error of the host's
  const errorOf = (parts) => {
    const error = helpers.hostError(parts[0], parts[1]);
    const fields = parts[2], names = Object.keys(fields);
    for (let k = 0; k < names.length; k++) define(error, names[k], fields[names[k]], true);
    return error;
  };
  helpers.hostError = (name, message) => {
    if (name === "TypeError") return new TypeError(message);
    if (name === "AbortError" || name === "TimeoutError") return helpers.domException(name, message);
    const Known = helpers.errors[name] ?? helpers.workflow[name];
    if (Known === undefined) return named(name, message);
    return define(helpers.revived(Known, new Error(message)), "message", message);
  };
  helpers.revived = (Known, error) => {
    Known.revive(error);
    return error;
  };
  helpers.receive = (deliveries) => {
    for (let k = 0; k < deliveries.length; k++) {
      const [kind, id, value] = deliveries[k];
      if (kind === "go") helpers.proceed();
      else if (kind === "abort") helpers.tellAbort(id, native.decode(value));
      else {
        const tell = mapGet(open, id);
        if (tell === undefined) continue; // nobody waits for it any more
        if (kind === "failed") tell(false, errorOf(value));
        else tell(true, value);
      }
    }
  };
});
