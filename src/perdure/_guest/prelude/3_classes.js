// Classes whose instances cross: each is registered where it is defined, and has two static
// functions under agreed symbols, its own or inherited ones.
(function (native, helpers, builtins) {
  "use strict";
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf, hasOwn } = Object, { apply } = Reflect;
  const { uncurry, define, named, show, isError } = helpers;
  const { Map: M, WeakMap: W, Symbol: Sym, TypeError } = globalThis;
  const mapGet = uncurry(M.prototype.get), mapSet = uncurry(M.prototype.set);
  const weakGet = uncurry(W.prototype.get), weakSet = uncurry(W.prototype.set);
  const { isArray } = Array;
  const CLASS = 1347571203;
  const serialize = Sym.for("workflow-serialize"), deserialize = Sym.for("workflow-deserialize");
  const classes = new M(), ids = new W();
  helpers.serde = { __proto__: null, WORKFLOW_SERIALIZE: serialize, WORKFLOW_DESERIALIZE: deserialize };

  const register = (id, made) => {
    if (typeof id !== "string" || typeof made !== "function") {
      throw new TypeError("a class is registered by its id and itself, not by " + show(id));
    }
    mapSet(classes, id, made);
    weakSet(ids, made, id);
    if (!hasOwn(made, "classId")) define(made, "classId", id);
  };
  defineProperty(globalThis, Sym.for("PERDURE_CLASS"), { __proto__: null, value: register });

  const ownData = (object, name) => {
    const found = getOwnPropertyDescriptor(object, name);
    return found !== undefined && hasOwn(found, "value") ? found.value : undefined;
  };
  // The nearest registered class of an instance; undefined if there is none.
  const classOf = (instance) => {
    for (let proto = getPrototypeOf(instance); proto !== null; proto = getPrototypeOf(proto)) {
      const made = ownData(proto, "constructor");
      if (typeof made === "function" && weakGet(ids, made) !== undefined) return made;
    }
    return undefined;
  };
  const message = (error) => isError(error) ? error.name + ": " + error.message : show(error);
  // A class: its id. An instance: that, and its data. Else undefined, or a text that says why not.
  helpers.classForm = (value) => {
    if (typeof value === "function") {
      const id = weakGet(ids, value);
      return id === undefined ? undefined : [CLASS, [id]];
    }
    const made = classOf(value);
    if (made === undefined) return undefined;
    const id = weakGet(ids, made), turn = made[serialize];
    if (typeof turn !== "function" || typeof made[deserialize] !== "function") return undefined;
    try {
      return [CLASS, [id, apply(turn, made, [value])]];
    } catch (error) {
      return id + " failed to serialize it: " + message(error);
    }
  };
  // A thrown error of a class that is not here is still an error.
  helpers.reviveError = (error, inner) => {
    if (!isArray(inner) || inner.length !== 2 || mapGet(classes, inner[0]) === undefined) return error;
    const revived = helpers.reviveClass(inner);
    if (isError(revived)) {
      define(revived, "stack", error.stack);
      if (hasOwn(error, "cause") && !hasOwn(revived, "cause")) define(revived, "cause", error.cause);
    }
    return revived;
  };
  helpers.reviveClass = (inner) => {
    const id = isArray(inner) ? inner[0] : undefined, made = mapGet(classes, id);
    if (made === undefined) throw named("SerializationError", "class " + show(id) + " is not in this bundle");
    if (inner.length === 1) return made;
    const turn = made[deserialize];
    if (typeof turn === "function") return apply(turn, made, [inner[1]]);
    throw named("SerializationError", "class " + show(id) + " has no [workflow-deserialize]");
  };
});
