/* What the prelude and QuickJS need from a platform: memory, clock, limits, positions.
 *
 * The clock is the run's logical one and moves only with deliveries; every limit is counted here,
 * so all machines agree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include "guest.h"

#define TICKS_PER_POLL 10000 /* QuickJS polls its interrupt handler this often */

struct limits limits;
int64_t clock_ms, spent, heap_used;
bool limit_instructions, limit_heap, limit_output, host_interrupt;
int offers;

/* ---- memory: counted ------------------------------------------------------------------------ */

bool over_heap(size_t more) {
    if (limits.heap && heap_used + (int64_t)more > limits.heap) {
        limit_heap = true;
        return true;
    }
    return false;
}

static void *guest_alloc(void *opaque, size_t size) {
    (void)opaque;
    if (over_heap(size)) return NULL;
    void *p = heap_take(size);
    if (p) heap_used += (int64_t)heap_size(p);
    else limit_heap = true;
    return p;
}

static void *guest_calloc(void *opaque, size_t count, size_t size) {
    size_t total;
    return guest_alloc(opaque, __builtin_mul_overflow(count, size, &total) ? SIZE_MAX : total);
}

static void guest_free(void *opaque, void *p) {
    (void)opaque;
    if (!p) return;
    heap_used -= (int64_t)heap_size(p);
    heap_give(p);
}

static void *guest_realloc(void *opaque, void *p, size_t size) {
    if (!p) return guest_alloc(opaque, size);
    if (!size) {
        guest_free(opaque, p);
        return NULL;
    }
    size_t before = heap_size(p);
    if (size <= before && size > before / 2) return p;
    void *q = guest_alloc(opaque, size);
    if (!q) return NULL;
    memcpy(q, p, before < size ? before : size);
    guest_free(opaque, p);
    return q;
}

const JSMallocFunctions guest_malloc = {guest_calloc, guest_alloc, guest_free, guest_realloc, heap_size};

/* ---- clock: the compiler renames libc's two calls to these ------------------------------------
 *
 * A workflow imports no clock; a step has the host's.
 */

#ifdef PERDURE_STEP
__attribute__((import_module("perdure"), import_name("now"))) double host_now(void);

static double time_ms(void) { return host_now(); }
#else
static double time_ms(void) { return (double)clock_ms; }
#endif

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    (void)zone;
    int64_t us = (int64_t)(time_ms() * 1000);
    tv->tv_sec = us / 1000000;
    tv->tv_usec = (suseconds_t)(us % 1000000);
    return 0;
}

int clock_gettime(clockid_t id, struct timespec *ts) {
    (void)id;
    int64_t us = (int64_t)(time_ms() * 1000);
    ts->tv_sec = us / 1000000;
    ts->tv_nsec = (long)(us % 1000000 * 1000);
    return 0;
}

/* ---- limits --------------------------------------------------------------------------------- */

bool over_limit(void) { return limit_instructions || limit_heap || limit_output || host_interrupt; }

bool guest_charge(int64_t ticks) {
    spent += ticks;
    if (arena.interrupt) host_interrupt = true;
    if (limits.instructions && spent > limits.instructions) limit_instructions = true;
    return over_limit();
}

int on_interrupt(JSRuntime *rt, void *opaque) {
    (void)rt;
    (void)opaque;
    return guest_charge(TICKS_PER_POLL);
}

/* ---- positions and stacks ------------------------------------------------------------------- */

/* One "    at f (file:line:col)" line: its position's span, false if it is the guest's own. */
static bool user_line(const char *line, size_t n, const char **from, size_t *len) {
    const char *open = memchr(line, '(', n);
    const char *end = line + n;
    if (open) {
        *from = open + 1;
        const char *close = memchr(open, ')', (size_t)(end - open));
        *len = (size_t)((close ? close : end) - *from);
    } else {
        const char *at = strstr(line, "at ");
        if (!at || at >= end) return false;
        *from = at + 3;
        *len = (size_t)(end - *from);
    }
    if (*len >= 8 && !memcmp(*from, "perdure:", 8)) return false;
    if (*len == 6 && !memcmp(*from, "native", 6)) return false;
    return memchr(*from, ':', *len) != NULL;
}

/* The position in the first user line of a stack. */
static size_t position_in(const char *text, char *buf, size_t cap) {
    const char *from;
    size_t len;
    for (const char *line = text; line && *line;) {
        const char *end = strchr(line, '\n');
        size_t n = end ? (size_t)(end - line) : strlen(line);
        if (user_line(line, n, &from, &len)) {
            len = len < cap ? len : cap;
            memcpy(buf, from, len);
            return len;
        }
        line = end ? end + 1 : NULL;
    }
    return 0;
}

size_t user_position(JSContext *ctx, char *buf, size_t cap) {
    JSValue stack = stack_here(ctx);
    const char *text = JS_ToCString(ctx, stack);
    size_t len = position_in(text, buf, cap);
    if (text) JS_FreeCString(ctx, text);
    JS_FreeValue(ctx, stack);
    return len;
}

/* A stack frame that is no user line; lines of other shapes (a Python traceback) are not. */
static bool own_line(const char *line, size_t n) {
    const char *from, *end = line + n;
    size_t len;
    while (line < end && *line == ' ') line++;
    return end - line > 3 && !memcmp(line, "at ", 3) && !user_line(line, (size_t)(end - line), &from, &len);
}

JSValue clean_stack(JSContext *ctx, JSValueConst stack) {
    size_t n;
    const char *text = JS_ToCStringLen(ctx, &n, stack);
    if (!text) return JS_EXCEPTION;
    char *kept = js_malloc(ctx, n + 1);
    size_t used = 0;
    for (const char *line = text; kept && *line;) {
        const char *end = strchr(line, '\n');
        size_t span = end ? (size_t)(end - line) + 1 : strlen(line);
        if (!own_line(line, end ? span - 1 : span)) {
            memcpy(kept + used, line, span);
            used += span;
        }
        line += span;
    }
    JS_FreeCString(ctx, text);
    if (!kept) return JS_EXCEPTION;
    JSValue made = JS_NewStringLen(ctx, kept, used);
    js_free(ctx, kept);
    return made;
}

static JSValue js_position(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    char buf[300];
    return JS_NewStringLen(ctx, buf, user_position(ctx, buf, sizeof buf));
}

/* trace() -> the user's part of the stack */
static JSValue js_trace(JSContext *ctx, JSValueConst t, int argc, JSValueConst *argv) {
    JSValue stack = stack_here(ctx);
    JSValue made = clean_stack(ctx, stack);
    JS_FreeValue(ctx, stack);
    return made;
}

/* caller() -> what waitingFrames() takes when it is asked who called this code */
static JSValue js_caller(JSContext *ctx, JSValueConst t, int argc, JSValueConst *argv) {
    return caller_promise(ctx);
}

/* waitingFrames(promise) -> the user's functions that wait for it */
static JSValue js_waiting_frames(JSContext *ctx, JSValueConst t, int argc, JSValueConst *argv) {
    JSValue frames = waiting_frames(ctx, argv[0]);
    JSValue made = JS_IsException(frames) ? JS_EXCEPTION : clean_stack(ctx, frames);
    JS_FreeValue(ctx, frames);
    return made;
}

/* positionIn(trace) -> "file:line:column" */
static JSValue js_position_in(JSContext *ctx, JSValueConst t, int argc, JSValueConst *argv) {
    char buf[300];
    const char *text = JS_ToCString(ctx, argv[0]);
    size_t len = position_in(text, buf, sizeof buf);
    if (text) JS_FreeCString(ctx, text);
    return JS_NewStringLen(ctx, buf, len);
}

static JSValue js_clean_stack(JSContext *ctx, JSValueConst t, int argc, JSValueConst *argv) {
    return clean_stack(ctx, argv[0]);
}

/* ---- values --------------------------------------------------------------------------------- */

/* encode(value, where) -> Uint8Array */
static JSValue js_encode(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    struct out o = begin_scratch((size_t)limits.payload);
    const char *where = JS_ToCString(ctx, argv[1]);
    bool ok = where && encode_in_scratch(ctx, &o, argv[0], where);
    JS_FreeCString(ctx, where);
    return ok ? JS_NewUint8ArrayCopy(ctx, o.base, o.len) : JS_EXCEPTION;
}

static JSValue js_decode(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t n;
    uint8_t *p = JS_GetUint8Array(ctx, &n, argv[0]);
    if (!p) return JS_ThrowTypeError(ctx, "decode takes a Uint8Array");
    return cbor_decode(ctx, p, n, NULL);
}

/* buffer(Uint8Array) -> ArrayBuffer of its bytes */
static JSValue js_buffer(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t n;
    uint8_t *p = JS_GetUint8Array(ctx, &n, argv[0]);
    return p || !n ? JS_NewArrayBufferCopy(ctx, p, n) : JS_EXCEPTION;
}

static JSValue js_regexp_flags(JSContext *ctx, JSValueConst t, int argc, JSValueConst *argv) {
    return regexp_flags(ctx, argv[0]);
}

static JSValue js_utf8(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t n;
    const uint16_t *s = JS_ToCStringLenUTF16(ctx, &n, argv[0]);
    if (!s) return JS_EXCEPTION;
    uint8_t *p = js_malloc(ctx, n * 3 + 1);
    size_t used = 0;
    for (size_t k = 0; p && k < n; k++) {
        uint32_t c = s[k];
        if ((c & 0xfc00) == 0xd800 && k + 1 < n && (s[k + 1] & 0xfc00) == 0xdc00)
            c = 0x10000 + ((c & 0x3ff) << 10) + (s[++k] & 0x3ff);
        else if ((c & 0xf800) == 0xd800) c = 0xfffd;
        if (c < 0x80) p[used++] = (uint8_t)c;
        else if (c < 0x800) p[used++] = (uint8_t)(0xc0 | c >> 6);
        else if (c < 0x10000) p[used++] = (uint8_t)(0xe0 | c >> 12);
        else p[used++] = (uint8_t)(0xf0 | c >> 18);
        for (int shift = c < 0x80 ? -6 : c < 0x800 ? 0 : c < 0x10000 ? 6 : 12; shift >= 0; shift -= 6)
            p[used++] = (uint8_t)(0x80 | (c >> shift & 0x3f));
    }
    JS_FreeCStringUTF16(ctx, s);
    JSValue made = p ? JS_NewUint8ArrayCopy(ctx, p, used) : JS_EXCEPTION;
    js_free(ctx, p);
    return made;
}

/* text(Uint8Array) -> string; invalid sequences become U+FFFD */
static JSValue js_text(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t n;
    uint8_t *p = JS_GetUint8Array(ctx, &n, argv[0]);
    return p ? JS_NewStringLen(ctx, (char *)p, n) : JS_NewString(ctx, "");
}

static JSValue js_now(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return JS_NewInt64(ctx, (int64_t)time_ms());
}

#ifdef PERDURE_STEP
/* moment() -> milliseconds, and parts of them, since 1970 */
static JSValue js_moment(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return JS_NewFloat64(ctx, time_ms());
}
#endif

/* emit(command) and log(line) append without touching anything workflow code could replace. */
static JSValue append(JSContext *ctx, JSValue *list, JSValueConst item) {
    int64_t n;
    if (JS_IsUndefined(*list)) *list = JS_NewArray(ctx);
    if (JS_GetLength(ctx, *list, &n) < 0) return JS_EXCEPTION;
    JS_DefinePropertyValueUint32(ctx, *list, (uint32_t)n, JS_DupValue(ctx, item), JS_PROP_C_W_E);
    return JS_UNDEFINED;
}

static JSValue js_emit(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return append(ctx, &commands, argv[0]);
}

static JSValue js_log(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return append(ctx, &console_lines, argv[0]);
}

static JSValue js_typed(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return JS_NewInt32(ctx, JS_IsObject(argv[0]) ? JS_GetTypedArrayType(argv[0]) : -1);
}

static JSValue js_kind(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    JSValueConst v = argv[0];
    const char *kind = JS_IsFunction(ctx, v)          ? "function"
                       : JS_IsError(v)                ? "error"
                       : JS_IsMap(v)                  ? "map"
                       : JS_IsSet(v)                  ? "set"
                       : JS_IsDate(v)                 ? "date"
                       : JS_IsRegExp(v)               ? "regexp"
                       : JS_IsArrayBuffer(v)          ? "buffer"
                       : JS_IsDataView(v)             ? "view"
                       : JS_IsPromise(v)              ? "promise"
                       : JS_GetTypedArrayType(v) >= 0 ? "typed"
                                                      : "object";
    return JS_NewString(ctx, kind);
}

static JSValue js_copy_date(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return copy_instant(ctx, argv[0]);
}

/* ---- hooks ---------------------------------------------------------------------------------- */

/* pending() -> a promise that only settle() settles */
static JSValue js_pending(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return new_pending(ctx);
}

/* then(promise, onValue, onError): as Promise.prototype.then, for a promise of the engine's own class */
static JSValue js_then(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return JS_PromiseThen(ctx, argv[0], argv[1], argv[2]);
}

/* settle(promise, value, isRejection) */
static JSValue js_settle(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return settle_pending(ctx, argv[0], argv[1], JS_ToBool(ctx, argv[2]));
}

static JSValue js_leads_on(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return JS_NewBool(ctx, leads_on(argv[0]));
}

/* isForgotten(waiter): of its property "promise" */
static JSValue js_is_forgotten(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return JS_NewBool(ctx, is_forgotten(ctx, argv[0], "promise"));
}

/* offer(n): how many hooks have both payloads and waiters; they are looked at once no job is left */
static JSValue js_offer(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    offers = JS_VALUE_GET_INT(argv[0]);
    return JS_UNDEFINED;
}

JSValue make_natives(JSContext *ctx) {
    init_instants(ctx);
    static const struct {
        const char *name;
        JSCFunction *f;
        int argc;
    } table[] = {{"position", js_position, 0},
                 {"encode", js_encode, 2},
                 {"decode", js_decode, 1},
                 {"utf8", js_utf8, 1},
                 {"text", js_text, 1},
                 {"now", js_now, 0},
                 {"emit", js_emit, 1},
                 {"log", js_log, 1},
                 {"typed", js_typed, 1},
                 {"kind", js_kind, 1},
                 {"cleanStack", js_clean_stack, 1},
                 {"buffer", js_buffer, 1},
                 {"regexpFlags", js_regexp_flags, 1},
                 {"copyDate", js_copy_date, 1},
                 {"trace", js_trace, 0},
                 {"caller", js_caller, 0},
                 {"waitingFrames", js_waiting_frames, 1},
                 {"positionIn", js_position_in, 1},
                 {"pending", js_pending, 0},
                 {"then", js_then, 3},
                 {"settle", js_settle, 3},
                 {"leadsOn", js_leads_on, 1},
                 {"isForgotten", js_is_forgotten, 1},
                 {"offer", js_offer, 1},
#ifdef PERDURE_STEP
                 {"evaluate", js_evaluate, 1},
                 {"moment", js_moment, 0},
#endif
                 {"exportOf", js_export_of, 1}};
    JSValue natives = JS_NewObject(ctx);
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        JS_SetPropertyStr(ctx, natives, table[k].name,
                          JS_NewCFunction(ctx, table[k].f, table[k].name, table[k].argc));
    add_random_natives(ctx, natives);
    add_web_natives(ctx, natives);
    return natives;
}
