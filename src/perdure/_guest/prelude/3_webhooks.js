// Webhooks: hooks that are resumed by HTTP requests, and say how these are answered.
(function (native, helpers, builtins) {
  "use strict";
  const { freeze } = Object, { TypeError } = globalThis;
  const { define, named, isObject, show } = helpers;
  const ROUTE = "/.well-known/workflow/v1/webhook/";

  const respondWithOf = (value) => {
    if (value === undefined || value === null) return null;
    if (value === "manual") return value;
    if (!helpers.isResponse(value)) {
      throw new TypeError('a webhook\'s option respondWith is a Response or "manual", not ' + show(value));
    }
    if (helpers.statusOf(value) === 0) {
      throw new TypeError("Response.error() is no answer to a webhook's caller");
    }
    return value;
  };
  const urlOf = (token) => {
    const base = helpers.baseUrl();
    if (base) return base + ROUTE + token;
    throw named(
      "WebhookUrlError",
      "this run was started without the service's public URL; give perdure.web.app() or start() its base_url," +
        " or set PERDURE_BASE_URL",
    );
  };
  class Webhook {
    #hook;
    constructor(hook) {
      this.#hook = hook;
      freeze(this);
    }
    get token() {
      return this.#hook.token;
    }
    get url() {
      return urlOf(this.#hook.token);
    }
    then(onValue, onError) {
      return this.#hook.then(onValue, onError);
    }
    getConflict() {
      return this.#hook.getConflict();
    }
    dispose() {
      this.#hook.dispose();
    }
    [Symbol.asyncIterator]() {
      return this.#hook[Symbol.asyncIterator]();
    }
  }
  define(
    Webhook.prototype,
    "constructor",
    {
      Webhook: () => {
        throw new TypeError("write createWebhook(), not new");
      },
    }.Webhook,
  );
  if (Symbol.dispose) define(Webhook.prototype, Symbol.dispose, Webhook.prototype.dispose);
  freeze(Webhook.prototype);

  helpers.workflow.createWebhook = freeze((options = {}) => {
    if (!isObject(options)) {
      throw new TypeError("createWebhook takes an object of options, not " + show(options));
    }
    const { token, metadata = null, respondWith, minRetention, experimental_minRetention } = options;
    if (token !== undefined) {
      throw new TypeError("a webhook's token is made by the run, so that nobody can guess it; leave it out");
    }
    if (minRetention !== undefined || experimental_minRetention !== undefined) {
      throw new TypeError("a webhook's token is not kept: it takes no option minRetention");
    }
    const about = { __proto__: null, respondWith: respondWithOf(respondWith), metadata };
    return new Webhook(helpers.workflow.createHook({ __proto__: null, webhook: true, metadata: about }));
  });
});
