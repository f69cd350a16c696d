/* The exports of the step guest: load, call, deliver. Part of abi.c. See docs/protocol.md.
 *
 * One execution of one step: its modules are evaluated, its function is called, and each call of the
 * guest goes on until nothing is left to do. What the code asked for meanwhile is in the answer; what
 * comes of it is delivered. Clock and randomness are real, so no two executions are alike.
 */

/* Of values, before the first collection: it writes to all of the heap, whose pages are then this
 * guest's own, and most guests end before. */
#define GC_BYTES (16u << 20)

/* import.meta.url, of a file of this bundle */
static void set_meta(JSContext *c, JSModuleDef *m, const char *name) {
    JSValue meta = JS_GetImportMeta(c, m);
    size_t n = strlen(name) + sizeof "file:///";
    char *url = js_malloc(c, n);
    if (url) {
        snprintf(url, n, "file:///%s", name);
        JS_DefinePropertyValueStr(c, meta, "url", JS_NewString(c, url), JS_PROP_C_W_E);
    }
    js_free(c, url);
    JS_FreeValue(c, meta);
}

/* A timer that is due, or what was asked for at once; false: there is none. */
static bool next_task(void) {
    spent += JOB_TICKS;
    JSValue r = call_helper(ctx, "nextTask", 0, NULL);
    if (JS_IsException(r)) r = JS_GetException(ctx); /* a limit: told by the outcome */
    bool has_run = JS_VALUE_GET_TAG(r) == JS_TAG_BOOL && JS_VALUE_GET_BOOL(r);
    JS_FreeValue(ctx, r);
    return has_run;
}

/* evaluate(name) -> the promise of a module's evaluation; undefined if the bundle has no such one */
JSValue js_evaluate(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t n;
    const char *name = JS_ToCStringLen(c, &n, argv[0]);
    JSModuleDef *m = name ? find_source(name, n) : NULL;
    JS_FreeCString(c, name);
    return m ? JS_EvalFunction(c, JS_DupValue(c, JS_MKPTR(JS_TAG_MODULE, m))) : JS_UNDEFINED;
}

/* Compiles each module; what it imports is found among the others. */
static bool load_all(JSValueConst modules) {
    JSPropertyEnum *names;
    uint32_t n;
    if (JS_GetOwnPropertyNames(ctx, &names, &n, modules, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0)
        return false;
    bool ok = true;
    for (uint32_t k = 0; k < n && ok; k++) {
        const char *name = JS_AtomToCString(ctx, names[k].atom);
        JSModuleDef *m = find_source(name, strlen(name));
        if (!m) m = load_module(ctx, name, NULL);
        ok = m && JS_ResolveModule(ctx, JS_MKPTR(JS_TAG_MODULE, m)) >= 0;
        JS_FreeCString(ctx, name);
    }
    /* The names are asked for again by imports at run time, the texts are not. */
    for (uint32_t k = 0; k < n && ok; k++) JS_SetProperty(ctx, modules, names[k].atom, JS_NULL);
    JS_FreePropertyEnum(ctx, names, n);
    return ok;
}

EXPORT("load") int load(uint32_t n) {
    if (state != BOOTED) return WRONG_STATE;
    JS_UpdateStackTop(rt);
    JS_SetGCThreshold(rt, GC_BYTES);
    bundle = cbor_decode(ctx, arena.request, n, NULL);
    if (JS_IsException(bundle) || !JS_IsObject(bundle)) return MALFORMED;
    steps_table = JS_GetPropertyStr(ctx, bundle, "steps");
    JSValue modules = JS_GetPropertyStr(ctx, bundle, "modules");
    bool ok = JS_IsObject(modules) && load_all(modules);
    JS_FreeValue(ctx, modules);
    if (!ok) return answer_error(JS_GetException(ctx));
    heap_reserve(FIRST_TURNS);
    state = LOADED;
    return answer_ok();
}

/* The whole number that a helper returns, or null. */
static void out_number_of(struct out *o, const char *helper) {
    JSValue v = call_helper(ctx, helper, 0, NULL);
    int64_t n = 0;
    if (JS_IsException(v)) JS_FreeValue(ctx, JS_GetException(ctx));
    if (JS_IsNumber(v) && JS_ToInt64(ctx, &n, v) >= 0) out_int(o, n);
    else out_head(o, 7, 22);
    JS_FreeValue(ctx, v);
}

static int step_answer(void) {
    struct out o = answer();
    out_head(&o, 4, 8);
    out_list(&o, &commands, "operations");
    out_list(&o, &console_lines, "console");
    if (out_end(&o)) state = ENDED;
    out_number_of(&o, "wakeAfter");
    out_number_of(&o, "maxRetries");
    out_int(&o, spent);
    out_int(&o, heap_used);
    return finish(&o);
}

EXPORT("call") int call(uint32_t n) {
    if (state != LOADED) return WRONG_STATE;
    JS_UpdateStackTop(rt);
    JSValue frame = cbor_decode(ctx, arena.request, n, NULL);
    if (JS_IsException(frame) || !JS_IsObject(frame)) return MALFORMED;
    state = RUNNING;
    begin_run(frame);
    JSValueConst argv[2] = {frame, bundle};
    main_promise = call_helper(ctx, "perform", 2, argv);
    if (JS_IsException(main_promise)) {
        JSValue error = JS_GetException(ctx);
        main_promise = JS_NewSettledPromise(ctx, true, error);
        JS_FreeValue(ctx, error);
    }
    JS_PromiseMarkAsHandled(ctx, main_promise);
    JS_FreeValue(ctx, frame);
    drain();
    return step_answer();
}

EXPORT("deliver") int deliver(uint32_t n) {
    if (state != RUNNING) return WRONG_STATE;
    JS_UpdateStackTop(rt);
    JSValue frame = cbor_decode(ctx, arena.request, n, NULL);
    if (JS_IsException(frame) || !JS_IsArray(frame)) return MALFORMED;
    JSValue r = call_helper(ctx, "receive", 1, (JSValueConst *)&frame);
    if (JS_IsException(r)) r = JS_GetException(ctx); /* a limit: told by the outcome */
    JS_FreeValue(ctx, r);
    JS_FreeValue(ctx, frame);
    drain();
    return step_answer();
}
