/* QuickJS-NG as one unit with what must see inside it: the frames of suspended async functions.
 *
 * An async function that goes on after an await runs on a stack of its own: its callers are no
 * longer beneath it, they wait for its promise. So they are found along the promises, the way a
 * rejection would take: a function's promise, what waits for that, if it is one only, the function
 * suspended there, its promise, and so on. This only reads the heap, and only when a stack is made.
 */
#include "cutils.h"
#include "guest.h"

#define MAX_HOPS 256 /* from promise to promise: chains of then() have no frames */

static void out_callers(JSContext *ctx, DynBuf *out, int room);
struct JSPromiseData;
static void count_reaction(JSContext *ctx, struct JSPromiseData *s);

#define GUEST_REGEXP_POLL 70000 /* ticks for 10,000 of the regular expressions' polls */

#include "quickjs_hooked.c" /* quickjs.c with what patches.py puts into it */

static bool running_frames_only; /* while set, a new error's stack is without those that wait */

static JSObject *object_of(JSValueConst v) {
    return JS_VALUE_GET_TAG(v) == JS_TAG_OBJECT ? JS_VALUE_GET_OBJ(v) : NULL;
}

/* The promise that this function resolves or rejects. */
static JSValueConst promise_behind(JSValueConst settle) {
    JSPromiseFunctionData *f = JS_GetOpaque(settle, JS_CLASS_PROMISE_REJECT_FUNCTION);
    if (!f) f = JS_GetOpaque(settle, JS_CLASS_PROMISE_RESOLVE_FUNCTION);
    return f ? f->promise : JS_UNDEFINED;
}

/* What rejects the promise of the request that an async generator is at. */
static JSValueConst generator_reject(JSObject *generator) {
    JSAsyncGeneratorData *s =
        generator->class_id == JS_CLASS_ASYNC_GENERATOR ? generator->u.async_generator_data : NULL;
    if (!s || list_empty(&s->queue)) return JS_UNDEFINED;
    return list_entry(s->queue.next, JSAsyncGeneratorRequest, link)->resolving_funcs[1];
}

/* The promise that the outermost function on the stack settles, if it went on after an await. A
 * native one beneath it has only resumed it, and its frame has no owner that was ever set. */
static JSValueConst outermost_promise(JSContext *ctx) {
    JSGCObjectHeader *owner = NULL;
    for (JSStackFrame *sf = ctx->rt->current_stack_frame; sf; sf = sf->prev_frame)
        if (js_class_has_bytecode(object_of(sf->cur_func)->class_id)) owner = sf->cur_gc_obj;
    if (!owner) return JS_UNDEFINED;
    if (JS_GC_TYPE(owner) == JS_GC_OBJ_TYPE_ASYNC_FUNCTION)
        return promise_behind(((JSAsyncFunctionData *)owner)->resolving_funcs[1]);
    return promise_behind(generator_reject((JSObject *)owner));
}

static void out_frame(JSContext *ctx, DynBuf *out, JSStackFrame *sf) {
    JSFunctionBytecode *b = object_of(sf->cur_func)->u.func.function_bytecode;
    const char *name = get_func_name(ctx, sf->cur_func);
    const char *file = b->filename ? JS_AtomToCString(ctx, b->filename) : NULL;
    int column, line = find_line_num(ctx, b, sf->cur_pc - b->byte_code_buf - 1, &column);
    dbuf_printf(out, "    at async %s (%s:%d:%d)\n", name && *name ? name : "<anonymous>",
                file ? file : "<null>", line, column);
    JS_FreeCString(ctx, file);
    JS_FreeCString(ctx, name);
}

/* What runs when a promise is rejected that one only waits for: a function of the engine's that
 * leads on, or the rejection of the promise that then() made. */
static JSValueConst only_reaction(JSPromiseData *s) {
    struct list_head *waiting = &s->promise_reactions[1];
    if (list_empty(waiting) || waiting->next != waiting->prev) return JS_UNDEFINED;
    JSPromiseReactionData *rd = list_entry(waiting->next, JSPromiseReactionData, link);
    JSObject *p = object_of(rd->handler);
    switch (p ? p->class_id : 0) {
    case JS_CLASS_ASYNC_FUNCTION_REJECT:
    case JS_CLASS_PROMISE_REJECT_FUNCTION: return rd->handler;
    case JS_CLASS_C_FUNCTION_DATA:
        if (p->u.c_function_data_record->func == js_async_generator_resolve_function ||
            p->u.c_function_data_record->func == js_promise_all_resolve_element)
            return rd->handler;
    }
    return rd->resolving_funcs[1];
}

/* From a reaction to the promise that it settles; a suspended function on the way is written. */
static JSValueConst follow(JSContext *ctx, DynBuf *out, JSValueConst reaction, int *room) {
    JSObject *p = object_of(reaction);
    if (p && p->class_id == JS_CLASS_ASYNC_FUNCTION_REJECT) {
        JSAsyncFunctionData *s = p->u.async_function_data;
        out_frame(ctx, out, &s->func_state.frame);
        --*room;
        return promise_behind(s->resolving_funcs[1]);
    }
    if (p && p->class_id == JS_CLASS_C_FUNCTION_DATA) {
        JSCFunctionDataRecord *f = p->u.c_function_data_record;
        if (f->func == js_promise_all_resolve_element) return promise_behind(f->data[3]);
        JSAsyncGeneratorData *s = object_of(f->data[0])->u.async_generator_data;
        if (s->state == JS_ASYNC_GENERATOR_STATE_EXECUTING) {
            out_frame(ctx, out, &s->func_state.frame);
            --*room;
        }
        return promise_behind(generator_reject(s->generator));
    }
    return promise_behind(reaction);
}

static void out_waiting(JSContext *ctx, DynBuf *out, JSValueConst promise, int room) {
    for (int hops = 0; room > 0 && hops < MAX_HOPS; hops++) {
        JSPromiseData *s = JS_GetOpaque(promise, JS_CLASS_PROMISE);
        if (!s) return;
        promise = follow(ctx, out, only_reaction(s), &room);
    }
}

static void out_callers(JSContext *ctx, DynBuf *out, int room) {
    if (!running_frames_only) out_waiting(ctx, out, outermost_promise(ctx), room);
}

JSValue caller_promise(JSContext *ctx) { return js_dup(outermost_promise(ctx)); }

JSValue waiting_frames(JSContext *ctx, JSValueConst promise) {
    DynBuf out;
    js_dbuf_init(ctx, &out);
    out_waiting(ctx, &out, promise, 10);
    JSValue text =
        dbuf_error(&out) ? JS_ThrowOutOfMemory(ctx) : JS_NewStringLen(ctx, (char *)out.buf, out.size);
    dbuf_free(&out);
    return text;
}

JSValue stack_here(JSContext *ctx) {
    JSValue prepare = ctx->error_prepare_stack, limit = ctx->error_stack_trace_limit;
    ctx->error_prepare_stack = JS_UNDEFINED;
    ctx->error_stack_trace_limit = js_int32(10);
    running_frames_only = true; /* this is done for every step */
    JSValue error = JS_NewInternalError(ctx, "position");
    running_frames_only = false;
    ctx->error_prepare_stack = prepare;
    ctx->error_stack_trace_limit = limit;
    JSValue stack = js_error_get_stack(ctx, error);
    JS_FreeValue(ctx, error);
    return stack;
}

JSValue regexp_flags(JSContext *ctx, JSValueConst v) {
    static const struct {
        char letter;
        uint16_t flag;
    } table[] = {{'d', LRE_FLAG_INDICES},      {'g', LRE_FLAG_GLOBAL}, {'i', LRE_FLAG_IGNORECASE},
                 {'m', LRE_FLAG_MULTILINE},    {'s', LRE_FLAG_DOTALL}, {'u', LRE_FLAG_UNICODE},
                 {'v', LRE_FLAG_UNICODE_SETS}, {'y', LRE_FLAG_STICKY}};
    char text[8];
    size_t n = 0;
    JSRegExp *re = js_get_regexp(ctx, v, true);
    if (!re) return JS_EXCEPTION;
    int flags = lre_get_flags(str8(re->bytecode));
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        if (flags & table[k].flag) text[n++] = table[k].letter;
    return JS_NewStringLen(ctx, text, n);
}

/* Microseconds: Python's datetimes have them and Dates do not, so a Date that came with some has
 * its instant in microseconds as a property with a private name, which no code of the user's can
 * see. It counts while the Date is what it was: one that was set to another time has none. */
static JSAtom instant_name;

void init_instants(JSContext *ctx) {
    JSAtom described = JS_NewAtom(ctx, "microseconds");
    JSValue name = JS_NewSymbolFromAtom(ctx, described, JS_ATOM_TYPE_PRIVATE);
    instant_name = js_symbol_to_atom(ctx, name);
    JS_FreeAtom(ctx, described);
}

JSValue new_instant(JSContext *ctx, double ms, int microseconds) {
    JSValue date = JS_NewDate(ctx, ms);
    if (!microseconds || JS_IsException(date)) return date;
    JSValue total = JS_NewBigInt64(ctx, (int64_t)ms * 1000 + microseconds);
    if (JS_IsException(total) || JS_DefinePropertyValue(ctx, date, instant_name, total, 0) < 0) {
        JS_FreeValue(ctx, date);
        return JS_EXCEPTION;
    }
    return date;
}

/* The microseconds past a Date's milliseconds. */
static int microseconds_of(JSContext *ctx, JSObject *p, double ms) {
    JSProperty *kept;
    int64_t total;
    if (!p->shape->prop_count || !find_own_property(&kept, p, instant_name)) return 0;
    JS_ToBigInt64(ctx, &total, kept->u.value);
    int64_t past = ms == ms ? total - (int64_t)ms * 1000 : -1;
    return past > 0 && past < 1000 ? (int)past : 0;
}

JSValue copy_instant(JSContext *ctx, JSValueConst v) {
    JSObject *p = object_of(v);
    double ms = 0;
    JS_ToFloat64(ctx, &ms, p->u.object_data);
    return new_instant(ctx, ms, microseconds_of(ctx, p, ms));
}

bool charge(JSContext *ctx, int64_t ticks) { return js_charge(ctx, ticks); }

const char *class_of(JSValueConst v) {
    JSObject *p = object_of(v);
    if (!p) return "primitive";
    switch (p->class_id) {
    case JS_CLASS_OBJECT: return "object";
    case JS_CLASS_ARRAY: return "array";
    case JS_CLASS_ERROR: return "error";
    case JS_CLASS_NUMBER: return "number";
    case JS_CLASS_STRING: return "string";
    case JS_CLASS_BOOLEAN: return "boolean";
    case JS_CLASS_BIG_INT: return "bigint";
    case JS_CLASS_DATE: return "date";
    case JS_CLASS_REGEXP: return "regexp";
    case JS_CLASS_MAP: return "map";
    case JS_CLASS_SET: return "set";
    case JS_CLASS_ARRAY_BUFFER: return "buffer";
    case JS_CLASS_DATAVIEW: return "view";
    }
    return is_typed_array(p->class_id) ? "typed" : "other";
}

#include "waiting.c"

#include "encode.c"
