/* The guest's exports: boot, load, start, resume, evaluate, layout. See docs/protocol.md.
 *
 * One delivery is decoded, its jobs are drained, its commands are encoded; then comes the next.
 * Frames are read and written in the arena by streaming, so how deliveries were cut into calls
 * leaves no trace in the heap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "guest.h"
#include "prelude.h" /* generated: the prelude's sources */

#define EXPORT(name) __attribute__((export_name(name)))
#define FIRST_TURNS (48 * 1024) /* bytes for them: memory that has grown serves no other run */
#define JOB_TICKS 100 /* what a job costs at least, so that a loop of empty jobs ends */
enum { MALFORMED = -1, TOO_LARGE = -2, WRONG_STATE = -3 };
#ifdef PERDURE_STEP
#define WHO "step"
#define TOO_LONG "; do heavy work in a Python step"
#else
#define WHO "workflow"
#define TOO_LONG " without awaiting anything; put heavy work in a step"
#endif
enum state { RAW, BOOTED, LOADED, RUNNING, ENDED };

struct arena arena;
JSValue helpers, commands, console_lines;
static JSValue bundle, entry_module, main_promise, steps_table, builtins;
static int64_t open_entities;
static JSModuleDef **sources; /* the bundle's modules, in the order of their loading */
static uint32_t source_count;
static JSRuntime *rt;
static JSContext *ctx;
static enum state state;

JSValue call_helper(JSContext *c, const char *name, int argc, JSValueConst *argv) {
    JSValue f = JS_GetPropertyStr(c, helpers, name);
    JSValue r = JS_Call(c, f, JS_UNDEFINED, argc, argv);
    JS_FreeValue(c, f);
    return r;
}

/* ---- modules -------------------------------------------------------------------------------- */

static int init_synthetic(JSContext *c, JSModuleDef *m) {
    JSAtom atom = JS_GetModuleName(c, m);
    JSValue name = JS_AtomToString(c, atom);
    JS_FreeAtom(c, atom);
    JSValueConst argv[2] = {name, steps_table};
    JSValue values = call_helper(c, "moduleExports", 2, argv);
    JS_FreeValue(c, name);
    JSPropertyEnum *names;
    uint32_t n;
    if (JS_IsException(values) ||
        JS_GetOwnPropertyNames(c, &names, &n, values, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0)
        return -1;
    for (uint32_t k = 0; k < n; k++) {
        const char *s = JS_AtomToCString(c, names[k].atom);
        JS_SetModuleExport(c, m, s, JS_GetProperty(c, values, names[k].atom));
        JS_FreeCString(c, s);
    }
    JS_FreePropertyEnum(c, names, n);
    JS_FreeValue(c, values);
    return 0;
}

static JSModuleDef *load_synthetic(JSContext *c, const char *name) {
    JSValue n = JS_NewString(c, name);
    JSValueConst argv[2] = {n, steps_table};
    JSValue values = call_helper(c, "moduleExports", 2, argv);
    JS_FreeValue(c, n);
    if (JS_IsException(values)) return NULL;
    JSModuleDef *m = JS_NewCModule(c, name, init_synthetic);
    JSPropertyEnum *names;
    uint32_t count;
    if (m && JS_GetOwnPropertyNames(c, &names, &count, values, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) >= 0) {
        for (uint32_t k = 0; k < count; k++) {
            const char *s = JS_AtomToCString(c, names[k].atom);
            JS_AddModuleExport(c, m, s);
            JS_FreeCString(c, s);
        }
        JS_FreePropertyEnum(c, names, count);
    }
    JS_FreeValue(c, values);
    return m;
}

/* Whether a module is built in, or one of steps. */
static bool is_synthetic(JSContext *c, const char *name) {
    JSValue n = JS_NewString(c, name);
    JSValue r = call_helper(c, "isModule", 1, (JSValueConst *)&n);
    JS_FreeValue(c, n);
    return JS_ToBool(c, r) > 0;
}

#ifdef PERDURE_STEP
static void set_meta(JSContext *c, JSModuleDef *m, const char *name);
static bool next_task(void);
#endif

static JSModuleDef *load_module(JSContext *c, const char *name, void *opaque) {
    if (is_synthetic(c, name)) return load_synthetic(c, name);
    JSValue modules = JS_GetPropertyStr(c, bundle, "modules");
    JSValue source = JS_GetPropertyStr(c, modules, name);
    JS_FreeValue(c, modules);
    size_t n;
    const char *text = JS_IsString(source) ? JS_ToCStringLen(c, &n, source) : NULL;
    JS_FreeValue(c, source);
    if (!text) {
        JS_ThrowReferenceError(c, "there is no module '%s' in this bundle", name);
        return NULL;
    }
    JSValue m = JS_Eval(c, text, n, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    JS_FreeCString(c, text);
    if (JS_IsException(m)) return NULL;
    JSModuleDef *def = JS_VALUE_GET_PTR(m);
    JS_FreeValue(c, m);
#ifdef PERDURE_STEP
    set_meta(c, def, name);
#endif
    JSModuleDef **more = js_realloc(c, sources, (source_count + 1) * sizeof *sources);
    if (!more) return NULL;
    sources = more;
    sources[source_count++] = def;
    return def;
}

static JSModuleDef *find_source(const char *name, size_t n) {
    for (uint32_t k = 0; k < source_count; k++) {
        JSAtom atom = JS_GetModuleName(ctx, sources[k]);
        const char *s = JS_AtomToCString(ctx, atom);
        bool is_it = s && strlen(s) == n && memcmp(s, name, n) == 0;
        JS_FreeCString(ctx, s);
        JS_FreeAtom(ctx, atom);
        if (is_it) return sources[k];
    }
    return NULL;
}

/* The name by which a module exports this very object, or JS_ATOM_NULL. */
static JSAtom export_name(JSModuleDef *m, JSValueConst object) {
    JSValue ns = JS_GetModuleNamespace(ctx, m);
    JSPropertyEnum *names = NULL;
    uint32_t n = 0;
    JSAtom found = JS_ATOM_NULL;
    if (!JS_IsException(ns) && JS_GetOwnPropertyNames(ctx, &names, &n, ns, JS_GPN_STRING_MASK) == 0) {
        for (uint32_t k = 0; k < n && found == JS_ATOM_NULL; k++) {
            JSValue v = JS_GetProperty(ctx, ns, names[k].atom);
            if (JS_IsException(v)) JS_FreeValue(ctx, JS_GetException(ctx)); /* not initialized yet */
            else if (JS_IsObject(v) && JS_VALUE_GET_PTR(v) == JS_VALUE_GET_PTR(object))
                found = JS_DupAtom(ctx, names[k].atom);
            JS_FreeValue(ctx, v);
        }
        JS_FreePropertyEnum(ctx, names, n);
    }
    JS_FreeValue(ctx, ns);
    return found;
}

/* exportOf(function): "module.ts#export", or undefined */
JSValue js_export_of(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv) {
    if (!JS_IsFunction(c, argv[0])) return JS_UNDEFINED;
    for (uint32_t k = 0; k < source_count; k++) {
        JSAtom name = export_name(sources[k], argv[0]);
        if (name == JS_ATOM_NULL) continue;
        JSAtom module = JS_GetModuleName(c, sources[k]);
        const char *s = JS_AtomToCString(c, module), *e = JS_AtomToCString(c, name);
        size_t n = strlen(s) + strlen(e) + 2;
        char *text = js_malloc(c, n);
        snprintf(text, n, "%s#%s", s, e);
        JSValue entry = JS_NewString(c, text);
        js_free(c, text);
        JS_FreeCString(c, s);
        JS_FreeCString(c, e);
        JS_FreeAtom(c, module);
        JS_FreeAtom(c, name);
        return entry;
    }
    return JS_UNDEFINED;
}

static char *normalize(JSContext *c, const char *base, const char *name, void *opaque) {
    JSValue modules = JS_GetPropertyStr(c, bundle, "modules");
    JSValueConst argv[3] = {JS_NewString(c, base), JS_NewString(c, name), modules};
    JSValue found = call_helper(c, "resolve", 3, argv);
    for (int k = 0; k < 3; k++) JS_FreeValue(c, (JSValue)argv[k]);
    const char *s = JS_IsException(found) ? NULL : JS_ToCString(c, found);
    char *made = s ? js_strdup(c, s) : NULL;
    JS_FreeCString(c, s);
    JS_FreeValue(c, found);
    return made;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* At most cap bytes, 0: as many as there are. */
static void out_value(struct out *o, JSValueConst v, const char *where, size_t cap) {
    struct out s = begin_scratch(cap);
    if (!encode_in_scratch(ctx, &s, v, where)) { /* describe the failure instead */
        JSValue error = JS_GetException(ctx);
        s = begin_scratch(0);
        if (!encode_in_scratch(ctx, &s, error, where)) {
            JS_FreeValue(ctx, JS_GetException(ctx));
            s.len = 0;
            s.full = false;
            out_text(&s, "an error that cannot be described");
        }
        JS_FreeValue(ctx, error);
    }
    note_used(&s);
    out_blob(o, s.base, s.len);
}

static void out_named_error(struct out *o, const char *name, const char *message) {
    struct out s = begin_scratch(0);
    out_head(&s, 6, 1347571201u);
    out_head(&s, 5, 2);
    out_text(&s, "name");
    out_text(&s, name);
    out_text(&s, "message");
    out_text(&s, message);
    note_used(&s);
    out_blob(o, s.base, s.len);
}

static struct out answer(void) { return (struct out){arena.answer, 0, sizeof arena.answer, false}; }

static int finish(struct out *o) {
    note_used(o);
    return o->full ? TOO_LARGE : (int)o->len;
}

/* The name and the words of the limit that was met. */
static void out_limit_error(struct out *o) {
    if (host_interrupt) out_named_error(o, "InterruptedError", "it ran for too long and was stopped");
    else if (limit_heap) out_named_error(o, "HeapLimitError", "the " WHO " needs more memory than its limit");
    else if (limit_output)
        out_named_error(o, "OutputLimitError",
                        "the " WHO " asks for too much without awaiting: make fewer calls at a time");
    else out_named_error(o, "InstructionLimitError", "the " WHO " ran too long" TOO_LONG);
}

/* Whatever a call did last, a limit that it met is what it answers. */
static int answer_error(JSValue error) {
    struct out o = answer();
    out_head(&o, 5, 2);
    out_text(&o, "ok");
    out_head(&o, 7, 20);
    out_text(&o, "error");
    size_t begin = o.len;
    if (!over_limit()) out_value(&o, error, "error", limits.payload);
    if (over_limit()) {
        note_used(&o);
        o.len = begin;
        out_limit_error(&o);
    }
    JS_FreeValue(ctx, error);
    return finish(&o);
}

static int answer_ok(void) {
    struct out o = answer();
    out_head(&o, 5, 1);
    out_text(&o, "ok");
    out_head(&o, 7, 21);
    return finish(&o);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void track_rejection(JSContext *c, JSValueConst promise, JSValueConst reason, bool is_handled,
                            void *opaque) {
    JSValueConst argv[3] = {promise, reason, JS_NewBool(c, is_handled)};
    JSValue r = call_helper(c, "trackRejection", 3, argv);
    if (JS_IsException(r)) r = JS_GetException(c); /* no room for a call: a limit that is told */
    JS_FreeValue(c, r);
}

static bool is_settled(void) {
    return !JS_IsUndefined(main_promise) && JS_PromiseState(ctx, main_promise) != JS_PROMISE_PENDING;
}

static void run_jobs(void) {
    JSContext *c;
    while (!over_limit() && JS_IsJobPending(rt)) {
        spent += JOB_TICKS;
        if (limits.instructions && spent > limits.instructions) limit_instructions = true;
        if (arena.interrupt) host_interrupt = true;
        if (JS_ExecutePendingJob(rt, &c) < 0) JS_FreeValue(c, JS_GetException(c));
    }
}

#ifndef PERDURE_STEP
/* One payload to one waiter that something can come of; false if there is none. */
static bool hand_over(void) {
    JSValue r = call_helper(ctx, "handOver", 0, NULL);
    if (JS_IsException(r)) r = JS_GetException(ctx); /* a limit: told by the outcome */
    bool has_handed = JS_VALUE_GET_TAG(r) == JS_TAG_BOOL && JS_VALUE_GET_BOOL(r);
    JS_FreeValue(ctx, r);
    return has_handed;
}
#endif

/* Who still waits for a payload is known only once no job is left. */
static void drain(void) {
#ifdef PERDURE_STEP
    do run_jobs();
    while (!over_limit() && !is_settled() && next_task());
#else
    do run_jobs();
    while (offers && !over_limit() && !is_settled() && hand_over());
#endif
}

#define REASON_BYTES (64 * 1024) /* of each rejection that nobody handled */
#define TAIL_BYTES (64 * 1024) /* of the answer, for what follows its lists */

/* What does not fit into the answer, or is too much to encode, fails the run. */
static void out_list(struct out *o, JSValue *list, const char *name) {
    size_t before = o->len;
    bool ok = true;
    if (JS_IsUndefined(*list)) out_head(o, 4, 0);
    else if (!cbor_encode(ctx, o, *list, name)) {
        JS_FreeValue(ctx, JS_GetException(ctx));
        ok = false;
    }
    if (!ok || o->full || o->cap - o->len < TAIL_BYTES) {
        if (!over_limit()) limit_output = true;
        o->full = false;
        note_used(o);
        o->len = before;
        out_head(o, 4, 0);
    }
    JS_FreeValue(ctx, *list);
    *list = JS_UNDEFINED;
}

static void out_turn(struct out *o, int64_t position) {
    out_head(o, 4, 3);
    out_int(o, position);
    out_list(o, &commands, "commands");
    out_list(o, &console_lines, "console");
}

static void out_limit(struct out *o) {
    out_head(o, 4, 2);
    out_text(o, "failed");
    out_limit_error(o);
}

/* Gives whether the run has ended. */
static bool out_outcome(struct out *o) {
    if (host_interrupt) {
        out_head(o, 4, 1);
        out_text(o, "interrupted");
        return true;
    }
    if (over_limit()) {
        out_limit(o);
        return true;
    }
    if (!is_settled()) {
        out_head(o, 7, 22);
        return false;
    }
    bool failed = JS_PromiseState(ctx, main_promise) == JS_PROMISE_REJECTED;
    JSValue value = JS_PromiseResult(ctx, main_promise), bytes = JS_UNDEFINED;
    if (!failed) {
        JSValue where = JS_NewString(ctx, "result");
        JSValueConst argv[2] = {value, where};
        bytes = call_helper(ctx, "encodeResult", 2, argv);
        JS_FreeValue(ctx, where);
        if (JS_IsException(bytes)) {
            JS_FreeValue(ctx, value);
            value = JS_GetException(ctx);
            failed = true;
        }
    }
    out_head(o, 4, 2);
    out_text(o, failed ? "failed" : "completed");
    if (failed) out_value(o, value, "error", limits.payload);
    else {
        size_t n;
        uint8_t *p = JS_GetUint8Array(ctx, &n, bytes);
        out_blob(o, p, n);
    }
    JS_FreeValue(ctx, bytes);
    JS_FreeValue(ctx, value);
    return true;
}

static void out_unhandled(struct out *o, bool ended) {
    JSValue list = ended && !over_limit() ? call_helper(ctx, "unhandledReasons", 0, NULL) : JS_UNDEFINED;
    int64_t n = 0;
    if (JS_IsException(list)) JS_FreeValue(ctx, JS_GetException(ctx));
    if (!JS_IsObject(list) || JS_GetLength(ctx, list, &n) < 0) n = 0;
    out_head(o, 4, (uint64_t)n);
    for (int64_t k = 0; k < n; k++) {
        JSValue reason = JS_GetPropertyUint32(ctx, list, (uint32_t)k);
        out_value(o, reason, "reason", REASON_BYTES);
        JS_FreeValue(ctx, reason);
    }
    JS_FreeValue(ctx, list);
}

/* Asked once a delivery, not once a call: running JS moves the engine's poll counter in the heap. */
static void count_open(void) {
    JSValue n = call_helper(ctx, "openCount", 0, NULL);
    if (JS_IsException(n)) n = JS_GetException(ctx); /* a limit: told by the outcome */
    else JS_ToInt64(ctx, &open_entities, n);
    JS_FreeValue(ctx, n);
}

/* Encoding an outcome runs code too: a limit met in it, or no room for it, is the outcome then. */
static bool out_end(struct out *o) {
    size_t begin = o->len;
    for (;;) {
        bool limited = over_limit(), ended = out_outcome(o);
        out_unhandled(o, ended);
        if (o->full && !over_limit()) limit_output = true;
        if (limited || !over_limit()) return ended;
        note_used(o);
        o->len = begin;
        o->full = false;
    }
}

static int end_answer(struct out *o, int64_t consumed) {
    out_int(o, consumed);
    bool ended = out_end(o);
    out_int(o, spent);
    out_int(o, heap_used);
    out_int(o, clock_ms);
    out_int(o, ended ? 0 : open_entities);
    if (ended) state = ENDED;
    return finish(o);
}

static void begin_answer(struct out *o) {
    *o = answer();
    out_head(o, 4, 8);
    uint8_t indefinite = 0x9f; /* how many are processed is known only at the end */
    out_bytes(o, &indefinite, 1);
}

static void end_turns(struct out *o) {
    uint8_t stop = 0xff;
    out_bytes(o, &stop, 1);
}

/* ---- exports -------------------------------------------------------------------------------- */

static void begin_engine(void) {
    rt = JS_NewRuntime2(&guest_malloc, NULL);
    JS_SetMaxStackSize(rt, JS_STACK_BYTES);
    ctx = JS_NewContext(rt);
    bundle = entry_module = main_promise = steps_table = commands = console_lines = JS_UNDEFINED;
}

/* One file of the prelude as bytecode without its text. */
static bool compile_file(struct out *o, const char *name, const char *text) {
    int flags = JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_STRICT | JS_EVAL_FLAG_COMPILE_ONLY;
    JSValue f = JS_Eval(ctx, text, strlen(text), name, flags);
    if (JS_IsException(f)) return false;
    size_t n;
    uint8_t *code = JS_WriteObject(ctx, &n, f, JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE);
    JS_FreeValue(ctx, f);
    if (!code) return false;
    out_blob(o, code, n);
    js_free(ctx, code);
    return true;
}

static bool run_prelude(JSValueConst natives, uint32_t n) {
    struct in i = {arena.request, arena.request + n, false};
    for (struct head h; i.p < i.end && in_head(&i, &h); i.p += h.n) {
        JSValue f = JS_EvalFunction(ctx, JS_ReadObject(ctx, i.p, h.n, JS_READ_OBJ_BYTECODE));
        JSValueConst argv[3] = {natives, helpers, builtins};
        JSValue r = JS_IsException(f) ? f : JS_Call(ctx, f, JS_UNDEFINED, 3, argv);
        JS_FreeValue(ctx, f);
        if (JS_IsException(r)) return false;
        JS_FreeValue(ctx, r);
    }
    JS_FreezeObject(ctx, helpers);
    JS_FreezeObject(ctx, builtins);
    return true;
}

/* Of a guest that is thrown away: a parser leaves holes in the heap, and the texts of functions. */
EXPORT("compile") int compile(void) {
    if (state != RAW) return WRONG_STATE;
    begin_engine();
    struct out o = answer();
    for (size_t k = 0; k < sizeof prelude_files / sizeof *prelude_files; k++)
        if (!compile_file(&o, prelude_files[k].name, prelude_files[k].text))
            return -answer_error(JS_GetException(ctx));
    state = ENDED;
    return finish(&o);
}

/* The request is what compile answered. */
EXPORT("boot") int boot(uint32_t n) {
    if (state != RAW) return WRONG_STATE;
    begin_engine();
    JS_SetInterruptHandler(rt, on_interrupt, NULL);
    JS_SetHostPromiseRejectionTracker(rt, track_rejection, NULL);
    JS_SetModuleLoaderFunc(rt, normalize, load_module, NULL);
    helpers = JS_NewObject(ctx);
    builtins = JS_NewObject(ctx);
    JSValue natives = make_natives(ctx);
    bool ok = run_prelude(natives, n);
    JS_FreeValue(ctx, natives);
    memset(arena.request, 0, n);
    if (!ok) return -answer_error(JS_GetException(ctx));
    JS_RunGC(rt);
    state = BOOTED;
    return 0;
}

#ifndef PERDURE_STEP
EXPORT("load") int load(uint32_t n) {
    if (state != BOOTED) return WRONG_STATE;
    JS_UpdateStackTop(rt);
    bundle = cbor_decode(ctx, arena.request, n, NULL);
    if (JS_IsException(bundle) || !JS_IsObject(bundle)) return MALFORMED;
    steps_table = JS_GetPropertyStr(ctx, bundle, "steps");
    JSValueConst tables[2] = {steps_table, JS_GetPropertyStr(ctx, bundle, "js_steps")};
    JSValue imported = call_helper(ctx, "importSteps", 2, tables);
    JS_FreeValue(ctx, (JSValue)tables[1]);
    if (JS_IsException(imported)) return answer_error(JS_GetException(ctx));
    JS_FreeValue(ctx, imported);
    JSValue entry = JS_GetPropertyStr(ctx, bundle, "entry");
    const char *name = JS_ToCString(ctx, entry);
    JSModuleDef *def = load_module(ctx, name, NULL);
    JS_FreeCString(ctx, name);
    JS_FreeValue(ctx, entry);
    if (!def) return answer_error(JS_GetException(ctx));
    entry_module = JS_MKPTR(JS_TAG_MODULE, def);
    if (JS_ResolveModule(ctx, entry_module) < 0) return answer_error(JS_GetException(ctx));
    JS_DefinePropertyValueStr(ctx, bundle, "modules", JS_NewObject(ctx), JS_PROP_C_W_E);
    JS_RunGC(rt);
    heap_reserve(FIRST_TURNS);
    state = LOADED;
    return answer_ok();
}
#endif

static int64_t number_at(JSValueConst o, const char *name) {
    JSValue v = JS_GetPropertyStr(ctx, o, name);
    int64_t n = 0;
    JS_ToInt64(ctx, &n, v);
    JS_FreeValue(ctx, v);
    return n;
}

static void begin_run(JSValueConst frame) {
    JSValue l = JS_GetPropertyStr(ctx, frame, "limits");
    limits.instructions = number_at(l, "instructions");
    limits.heap = number_at(l, "heap_bytes");
    limits.payload = number_at(l, "payload_bytes");
    JS_FreeValue(ctx, l);
    clock_ms = number_at(frame, "at_ms");
    JSValue seed = JS_GetPropertyStr(ctx, frame, "seed");
    size_t n;
    uint8_t *p = JS_GetUint8Array(ctx, &n, seed);
    if (p) seed_random(p, n);
    JS_FreeValue(ctx, seed);
    spent = 0;
}

#ifndef PERDURE_STEP
/* The export to call; of a run whose frame says "module#export", module is set to that one. */
static JSAtom entry_of(JSValueConst frame, JSValue *module) {
    JSValue entry = JS_GetPropertyStr(ctx, frame, "entry");
    const char *s = JS_IsString(entry) ? JS_ToCString(ctx, entry) : NULL, *mark = s ? strrchr(s, '#') : NULL;
    JSModuleDef *def = mark ? find_source(s, mark - s) : NULL;
    JSAtom atom = JS_ATOM_NULL;
    if (mark) atom = JS_NewAtom(ctx, def ? mark + 1 : ""); /* which no module exports */
    if (def) *module = JS_MKPTR(JS_TAG_MODULE, def);
    JS_FreeCString(ctx, s);
    JS_FreeValue(ctx, entry);
    if (mark) return atom;
    JSValue name = JS_GetPropertyStr(ctx, bundle, "export");
    atom = JS_ValueToAtom(ctx, name);
    JS_FreeValue(ctx, name);
    return atom;
}

/* Evaluates the entry module, calls the workflow, and leaves its promise in main_promise. */
static void call_workflow(JSValueConst frame) {
    JSValue module = entry_module;
    JSAtom atom = entry_of(frame, &module);
    JSValue evaluated = JS_EvalFunction(ctx, JS_DupValue(ctx, module));
    if (!JS_IsException(evaluated)) drain();
    JSValue ns = JS_GetModuleNamespace(ctx, JS_VALUE_GET_PTR(module));
    JSValue f = JS_IsException(evaluated) ? JS_EXCEPTION : JS_GetProperty(ctx, ns, atom);
    JSValue failure = JS_IsException(evaluated) || JS_IsException(f) ? JS_GetException(ctx) : JS_UNDEFINED;
    JSValueConst argv[4] = {JS_IsException(evaluated) ? JS_UNDEFINED : evaluated,
                            JS_IsException(f) ? JS_UNDEFINED : f, frame, failure};
    main_promise = call_helper(ctx, "run", 4, argv);
    if (JS_IsException(main_promise)) {
        JSValue error = JS_GetException(ctx);
        main_promise = JS_NewSettledPromise(ctx, true, error);
        JS_FreeValue(ctx, error);
    }
    JS_PromiseMarkAsHandled(ctx, main_promise);
    JS_FreeAtom(ctx, atom);
    JS_FreeValue(ctx, ns);
    JS_FreeValue(ctx, evaluated);
    JS_FreeValue(ctx, f);
    JS_FreeValue(ctx, failure);
    drain();
    count_open();
}

EXPORT("start") int start(uint32_t n) {
    if (state != LOADED) return WRONG_STATE;
    JS_UpdateStackTop(rt);
    JSValue frame = cbor_decode(ctx, arena.request, n, NULL);
    if (JS_IsException(frame) || !JS_IsObject(frame)) return MALFORMED;
    state = RUNNING;
    begin_run(frame);
    int64_t position = number_at(frame, "position");
    call_workflow(frame);
    JS_FreeValue(ctx, frame);
    struct out o;
    begin_answer(&o);
    out_turn(&o, position);
    end_turns(&o);
    return end_answer(&o, position);
}

#define MAX_NUMBER 9007199254740991u /* positions and times are numbers in JS too */

struct delivery {
    int64_t position, at_ms;
    const uint8_t *kind, *id, *value;
    size_t kind_len, id_len, value_len;
};

static bool in_int(struct in *i, int64_t *v) {
    struct head h;
    if (!in_head(i, &h) || h.major > 1 || h.n > MAX_NUMBER) return false;
    *v = h.major ? -1 - (int64_t)h.n : (int64_t)h.n;
    return true;
}

static bool in_span(struct in *i, unsigned major, const uint8_t **p, size_t *n) {
    struct head h;
    if (!in_head(i, &h)) return false;
    if (h.major == 7 && h.info == 22) {
        *p = NULL;
        *n = 0;
        return true;
    }
    if (h.major != major || h.n > (uint64_t)(i->end - i->p)) return false;
    *p = i->p;
    *n = h.n;
    i->p += h.n;
    return true;
}

static bool in_delivery(struct in *i, struct delivery *d) {
    struct head h;
    *d = (struct delivery){0};
    return in_head(i, &h) && h.major == 4 && h.n == 5 && in_int(i, &d->position) && d->position >= 0 &&
           in_int(i, &d->at_ms) && in_span(i, 3, &d->kind, &d->kind_len) && d->kind &&
           in_span(i, 3, &d->id, &d->id_len) && d->id && in_span(i, 2, &d->value, &d->value_len);
}

static bool deliver(const struct delivery *d) {
    if (d->at_ms > clock_ms) clock_ms = d->at_ms;
    spent = 0;
    bool is_malformed = false, is_odd = false;
    JSValue value = d->value ? cbor_decode(ctx, d->value, d->value_len, &is_malformed) : JS_UNDEFINED;
    if (JS_IsException(value)) {
        value = JS_GetException(ctx);
        is_odd = !over_limit(); /* no value here, such as a pattern that does not compile */
        if (is_odd && is_malformed) {
            JS_FreeValue(ctx, value);
            return false;
        }
    }
    JSValueConst argv[4] = {JS_NewStringLen(ctx, (const char *)d->kind, d->kind_len),
                            JS_NewStringLen(ctx, (const char *)d->id, d->id_len), value,
                            JS_NewBool(ctx, is_odd)};
    JSValue r = call_helper(ctx, "deliver", 4, argv);
    if (JS_IsException(r)) JS_FreeValue(ctx, JS_GetException(ctx));
    for (int k = 0; k < 3; k++) JS_FreeValue(ctx, (JSValue)argv[k]);
    JS_FreeValue(ctx, r);
    drain();
    count_open();
    return true;
}

EXPORT("resume") int resume(uint32_t n) {
    if (state != RUNNING) return WRONG_STATE;
    JS_UpdateStackTop(rt);
    struct in i = {arena.request, arena.request + n, false};
    struct head h;
    if (!in_head(&i, &h) || h.major != 4) return MALFORMED;
    struct out o;
    begin_answer(&o);
    int64_t consumed = 0;
    for (uint64_t k = 0; k < h.n && !over_limit() && !is_settled(); k++) {
        struct delivery d;
        if (!in_delivery(&i, &d) || !deliver(&d)) return MALFORMED;
        consumed = d.position;
        out_turn(&o, d.position);
    }
    end_turns(&o);
    return end_answer(&o, consumed);
}
#endif

EXPORT("evaluate") int evaluate(uint32_t n) {
    if (state < LOADED) return WRONG_STATE;
    JS_UpdateStackTop(rt);
    JSValue frame = cbor_decode(ctx, arena.request, n, NULL);
    if (JS_IsException(frame)) return MALFORMED;
    JSValue source = JS_GetPropertyStr(ctx, frame, "source");
    spent = 0;
    size_t len;
    const char *text = JS_ToCStringLen(ctx, &len, source);
    JSValue v = JS_Eval(ctx, text, len, "evaluate", JS_EVAL_TYPE_GLOBAL);
    JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, source);
    JS_FreeValue(ctx, frame);
    if (JS_IsException(v)) return answer_error(JS_GetException(ctx));
    struct out o = answer();
    out_head(&o, 5, 2);
    out_text(&o, "ok");
    out_head(&o, 7, 21);
    out_text(&o, "value");
    out_value(&o, v, "value", limits.payload);
    JS_FreeValue(ctx, v);
    return over_limit() ? answer_error(JS_UNDEFINED) : finish(&o);
}

#ifdef PERDURE_STEP
#include "step.c"
#endif

extern uint8_t __heap_base;

EXPORT("perdure_layout") uint32_t perdure_layout(void) {
    static uint32_t layout[8];
    layout[0] = (uint32_t)(uintptr_t)&arena;
    layout[1] = sizeof arena;
    layout[2] = SLOT_BYTES; /* the answer's offset in the arena */
    if (!layout[3]) layout[3] = STACK_BYTES; /* bake.py puts the constants' end here */
    layout[4] = (uint32_t)(uintptr_t)&arena.interrupt;
    layout[5] = (uint32_t)(uintptr_t)&__heap_base;
    layout[6] = 4; /* ABI version */
    layout[7] = (uint32_t)(uintptr_t)arena.used;
    return (uint32_t)(uintptr_t)layout;
}
