// Where this code runs: in a step. What belongs to workflows is refused by name.
(function (native, helpers, builtins) {
  "use strict";
  const { named } = helpers;
  helpers.unavailable = (what, advice) =>
    named("UnavailableInStepContextError", what + " is not there in a step; " + advice);
  // Streams are defined before signals.
  helpers.newAbortion = () => new AbortController();
  helpers.notInStep = (what, advice) =>
    named("NotInWorkflowContextError", what + " works only in a workflow; " + advice);
});
