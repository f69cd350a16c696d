// The errors that workflow code imports and catches: classes with their facts as fields.
(function (native, helpers, builtins) {
  "use strict";
  const { setPrototypeOf } = Object, { apply } = Reflect, { Error } = globalThis;
  const { define, isObject, show } = helpers;
  const errors = helpers.errors = { __proto__: null };
  // What is not there is not looked for in prototypes.
  const at = (list, k) => k < list.length ? list[k] : undefined;
  // Its facts come first, then options; or, without facts, a message.
  const declare = (name, Base, facts = [], describe = (message) => message, constants = {}) => {
    const count = facts.length || 1;
    class Declared extends Base {
      constructor(...given) {
        super(apply(describe, undefined, given), at(given, count));
        for (let k = 0; k < facts.length; k++) {
          if (at(given, k) !== undefined) define(this, facts[k], given[k], true);
        }
      }
      static is(value) {
        return isObject(value) && (value.name === name || value instanceof Declared);
      }
      static revive(error) {
        setPrototypeOf(error, Declared.prototype);
      }
    }
    define(Declared, "name", name);
    define(Declared.prototype, "name", name);
    for (const constant of Object.keys(constants)) define(Declared.prototype, constant, constants[constant]);
    errors[name] = Declared;
    builtins[name] = Declared;
    return Declared;
  };
  const text = (value) => typeof value === "string" ? '"' + value + '"' : show(value);
  const message = (error) =>
    isObject(error) && typeof error.message === "string" ? error.message : show(error);

  const Base = declare("WorkflowError", Error);
  const World = declare("WorkflowWorldError", Base);
  const Runtime = declare("WorkflowRuntimeError", Base);
  declare("EntityConflictError", World, [], undefined, { status: 409 });
  declare("PreconditionFailedError", World, [], undefined, { status: 412 });
  const later = (message) => message;
  declare("TooEarlyError", World, ["message", "retryAfter"], later, { status: 425 });
  declare("ThrottleError", World, ["message", "retryAfter"], later, { status: 429 });
  declare(
    "HookConflictError",
    Base,
    ["token", "conflictingRunId"],
    (token, runId) =>
      "the hook's token " + text(token) + " is already in use by another workflow" +
      (runId === undefined ? "" : ", run " + runId),
  );
  declare(
    "HookForceClaimedError",
    Base,
    ["token", "forceClaimedBy"],
    (token, runId) =>
      "the hook's token " + text(token) + " was taken by another workflow" +
      (runId === undefined ? "" : ", run " + runId),
  );
  declare(
    "HookDisposedError",
    Base,
    ["token"],
    (token) => "the hook with token " + text(token) + " was disposed of: nothing comes to it any more",
  );
  declare(
    "HookNotFoundError",
    Base,
    ["token"],
    (token) => "no hook with token " + text(token) + " was found",
  );
  declare(
    "RunExpiredError",
    Base,
    ["runId", "runStatus", "expiredAt"],
    (runId) => "the data of run " + runId + " has expired",
  );
  declare(
    "RunNotSupportedError",
    Base,
    ["runSpecVersion", "worldSpecVersion"],
    (run, world) => "the run needs version " + show(run) + ", this world has " + show(world),
  );
  declare(
    "StepNotRegisteredError",
    Runtime,
    ["stepName"],
    (name) => "step " + text(name) + " is not registered",
  );
  declare(
    "WorkflowNotRegisteredError",
    Runtime,
    ["workflowName"],
    (name) => "workflow " + text(name) + " is not registered",
  );
  declare("StreamError", Base);
  const noted = (reason) => typeof reason === "string" && reason ? ": " + reason : "";
  declare(
    "RunCancelledError",
    Base,
    ["reason", "deadline", "stepStarted"],
    (reason, _deadline, started, detail) =>
      "the run was asked to end" + (typeof detail === "string" ? detail : noted(reason)) +
      (started === undefined ? "" : started ? "; this step had started" : "; this step had not started"),
  );
  declare("WorkflowRunCancelledError", Base, ["runId"], (runId) => "run " + runId + " was cancelled");
  declare(
    "WorkflowRunFailedError",
    Base,
    ["runId", "errorCode"],
    (runId, _code, options) =>
      "run " + runId + " failed" +
      (isObject(options) && "cause" in options ? ": " + message(options.cause) : ""),
  );
  declare(
    "WorkflowRunNotCompletedError",
    Base,
    ["runId", "runStatus"],
    (runId, status) => "run " + runId + " has not completed, it is " + show(status),
  );
  declare("WorkflowRunNotFoundError", Base, ["runId"], (runId) => "run " + runId + " was not found");
  helpers.commonErrors = Object.keys(errors);

  declare("CorruptedEventLogError", Runtime);
  declare("ReplayDivergenceError", Runtime);
  declare("MaxEventsExceededError", Runtime);
  declare("RuntimeDecryptionError", Runtime);
  declare("WorkflowBuildError", Base);
  declare("SerializationError", Base);
  declare("WorkflowDeploymentMismatchError", Runtime);
  declare("StreamExpiredError", Base);
});
