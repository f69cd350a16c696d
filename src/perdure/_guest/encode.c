/* From JS values to CBOR; a part of engine.c, as it reads the engine's own structures.
 *
 * One pass. Code of the user's may run in it (getters), and may encode again: each encoding owns the
 * end of the scratch slot, of the table of objects met, and nothing else. An object that is met
 * again is written as a reference of fixed width; if there was one, a second pass over the bytes
 * puts tag 28 before the first and narrows the others, so it is known only then who is shared.
 * Objects met are held until the end: no address comes twice. Items and bytes are charged.
 */
#include <math.h>
#include <stdio.h>

#define TAG_SHARED 28
#define TAG_REF 29
#define TAG_SET 258
#define TAG_MAP 259
#define TAG_ERROR 1347571201u
#define TAG_BUFFER 1347571202u
#define TAG_VIEW 1347571208u
#define TICKS_PER_ITEM 4
#define BYTES_PER_TICK_LOG2 4
#define MAX_LEVELS 1000 /* of CBOR: containers and tags within each other; survey.py has it, too */
#define LEVELS_PER_VALUE 4 /* at most: a shared reference, a tag, and what the tag is of */

struct segment { /* of the path to a value */
    JSAtom atom; /* JS_ATOM_NULL: index */
    uint32_t index;
};
struct enc {
    JSContext *ctx;
    struct out *o;
    const char *where;
    uint32_t first; /* of the objects met in this encoding */
    bool shared; /* some object was met twice */
    int depth, deepest, open_count;
    uint32_t open[MAX_DEPTH + 2]; /* objects being described that a reader makes only of their whole inside */
    struct segment path[MAX_DEPTH + 2];
};

static size_t path_of(struct enc *e, char *path, size_t cap) {
    size_t n = (size_t)snprintf(path, cap, "%s", e->where);
    for (int k = 0; k < e->depth && n < cap - 80; k++) {
        if (e->path[k].atom == JS_ATOM_NULL) {
            n += (size_t)snprintf(path + n, cap - n, "[%u]", e->path[k].index);
            continue;
        }
        const char *s = JS_AtomToCString(e->ctx, e->path[k].atom);
        n += (size_t)snprintf(path + n, cap - n, ".%.60s", s ? s : "?");
        if (s) JS_FreeCString(e->ctx, s);
    }
    return n;
}

/* Throws what a helper makes of the path and one thing more. */
static bool refuse_by(struct enc *e, const char *helper, JSValue about) {
    char path[512];
    path_of(e, path, sizeof path);
    JSValue argv[2] = {JS_NewString(e->ctx, path), about};
    JSValue error = call_helper(e->ctx, helper, 2, (JSValueConst *)argv);
    JS_FreeValue(e->ctx, argv[0]);
    JS_FreeValue(e->ctx, argv[1]);
    if (!JS_IsException(error)) JS_Throw(e->ctx, error);
    return false;
}

static bool refuse(struct enc *e, const char *why) {
    return refuse_by(e, "serializationError", JS_NewString(e->ctx, why));
}

static bool refuse_large(struct enc *e) {
    return refuse_by(e, "payloadLimitError", JS_NewInt64(e->ctx, (int64_t)e->o->cap));
}

/* Whether n items or bytes more can be written; what cannot be is refused before it is walked. */
static bool has_room(struct enc *e, uint64_t n) {
    return (!e->o->full && n <= e->o->cap - e->o->len) || refuse_large(e);
}

static bool charge_bytes(struct enc *e, uint64_t n) {
    return !js_charge(e->ctx, (int64_t)(n >> BYTES_PER_TICK_LOG2));
}

/* ---- objects met: a table of addresses, and a list in the order of their first bytes ---------- */

/* The number of an object met in this encoding; MET_NONE if it is new, and then it is noted. */
#define MET_NONE UINT32_MAX
static uint32_t meet(struct enc *e, JSValueConst v) {
    uint32_t key = (uint32_t)(uintptr_t)JS_VALUE_GET_PTR(v);
    uint32_t at = (key * 2654435761u) >> (32 - SEEN_BITS);
    for (;; at = (at + 1) & (SEEN_SIZE - 1)) {
        if (!arena.seen_key[at]) break;
        if (arena.seen_key[at] == key && arena.seen_number[at] >= e->first) return arena.seen_number[at];
    }
    uint32_t number = arena.met_count++;
    arena.seen_key[at] = key;
    arena.seen_number[at] = number;
    arena.met_slot[number] = at;
    arena.met_at[number] = (uint32_t)e->o->len;
    arena.met_shared[number] = 0;
    js_dup(unsafe_unconst(v));
    return MET_NONE;
}

/* In reverse, so that the table is as it was before. */
static void forget(struct enc *e) {
    while (arena.met_count > e->first) {
        uint32_t at = arena.met_slot[--arena.met_count];
        JSValue v = JS_MKPTR(JS_TAG_OBJECT, (void *)(uintptr_t)arena.seen_key[at]);
        arena.seen_key[at] = 0;
        JS_FreeValue(e->ctx, v);
    }
}

/* ---- kinds ------------------------------------------------------------------------------------ */

static bool encode_value(struct enc *e, JSValueConst v);

static bool encode_number(struct enc *e, double d) {
    if (d == floor(d) && fabs(d) <= 9007199254740991.0 && !(d == 0 && signbit(d))) {
        out_int(e->o, (int64_t)d);
        return true;
    }
    uint64_t bits;
    memcpy(&bits, &d, 8);
    if (d != d) bits = 0x7ff8000000000000u;
    uint8_t b[9] = {0xfb};
    for (int k = 0; k < 8; k++) b[1 + k] = (uint8_t)(bits >> (8 * (7 - k)));
    out_bytes(e->o, b, 9);
    return true;
}

static bool encode_narrow(struct enc *e, JSString *s) {
    const uint8_t *p = str8(s);
    size_t n = s->len, wide = 0;
    for (size_t k = 0; k < n; k++) wide += p[k] >> 7;
    if (!has_room(e, n + wide)) return false;
    out_head(e->o, 3, n + wide);
    if (!wide) out_bytes(e->o, p, n);
    for (size_t k = 0; wide && k < n; k++) {
        uint8_t pair[2] = {(uint8_t)(0xc0 | p[k] >> 6), (uint8_t)(0x80 | (p[k] & 0x3f))};
        if (p[k] < 0x80) out_bytes(e->o, p + k, 1);
        else out_bytes(e->o, pair, 2);
    }
    return true;
}

static bool encode_wide(struct enc *e, JSValueConst v) {
    size_t n;
    const char *s = JS_ToCStringLen(e->ctx, &n, v);
    if (!s) return false;
    bool sound = true;
    for (size_t k = 0; k + 1 < n && sound; k++) sound = (uint8_t)s[k] != 0xed || (uint8_t)s[k + 1] < 0xa0;
    bool ok = sound ? has_room(e, n) : refuse(e, "a string with a lone surrogate has no UTF-8 form");
    if (ok) {
        out_head(e->o, 3, n);
        out_bytes(e->o, s, n);
    }
    JS_FreeCString(e->ctx, s);
    return ok;
}

static bool encode_string(struct enc *e, JSValueConst v) {
    bool rope = JS_VALUE_GET_TAG(v) == JS_TAG_STRING_ROPE;
    JSString *s = rope ? NULL : JS_VALUE_GET_STRING(v);
    size_t n = rope ? ((JSStringRope *)JS_VALUE_GET_PTR(v))->len : s->len;
    if (!has_room(e, n) || !charge_bytes(e, n)) return false;
    return s && !s->is_wide_char ? encode_narrow(e, s) : encode_wide(e, v);
}

static bool encode_blob(struct enc *e, const void *p, size_t n) {
    if (!has_room(e, n) || !charge_bytes(e, n)) return false;
    out_blob(e->o, p, n);
    return true;
}

/* Tag 2, or 3 of -1 - n: which is each limb inverted, as they are two's complement. */
static bool encode_big(struct enc *e, JSValueConst v) {
    JSBigIntBuf buf;
    bool is_short = JS_VALUE_GET_TAG(v) == JS_TAG_SHORT_BIG_INT;
    const JSBigInt *n =
        is_short ? js_bigint_set_si(&buf, JS_VALUE_GET_SHORT_BIG_INT(v)) : JS_VALUE_GET_PTR(v);
    bool negative = js_bigint_sign(n);
    size_t size = n->len * sizeof(js_limb_t), skip = 0;
#define BIG_BYTE(k) \
    ((uint8_t)((n->tab[(k) / sizeof(js_limb_t)] >> (8 * ((k) % sizeof(js_limb_t)))) ^ (negative ? 0xff : 0)))
    while (skip + 1 < size && !BIG_BYTE(size - 1 - skip)) skip++;
    if (!has_room(e, size) || !charge_bytes(e, size)) return false;
    out_head(e->o, 6, negative ? 3 : 2);
    out_head(e->o, 2, size - skip);
    for (size_t k = size - skip; k-- > 0;) {
        uint8_t byte = BIG_BYTE(k);
        out_bytes(e->o, &byte, 1);
    }
#undef BIG_BYTE
    return true;
}

static bool push(struct enc *e, JSAtom atom, uint32_t index) {
    if (e->depth >= MAX_DEPTH) return refuse(e, "values nest deeper than 500 levels");
    e->path[e->depth++] = (struct segment){atom, index};
    if (e->depth > e->deepest) e->deepest = e->depth;
    return true;
}

/* Consumes the item. */
static bool encode_at(struct enc *e, JSValue item, JSAtom atom, uint32_t index) {
    bool ok = !JS_IsException(item) && push(e, atom, index) && encode_value(e, item);
    if (ok) e->depth--;
    JS_FreeValue(e->ctx, item);
    return ok;
}

static bool encode_array(struct enc *e, JSValueConst v) {
    int64_t n;
    if (JS_GetLength(e->ctx, v, &n) < 0 || !has_room(e, (uint64_t)n)) return false;
    out_head(e->o, 4, (uint64_t)n);
    for (int64_t k = 0; k < n; k++)
        if (!encode_at(e, JS_GetPropertyUint32(e->ctx, v, (uint32_t)k), JS_ATOM_NULL, (uint32_t)k))
            return false;
    return true;
}

static bool encode_name(struct enc *e, JSAtom atom) {
    JSValue name = JS_AtomToString(e->ctx, atom);
    bool ok = !JS_IsException(name) && encode_string(e, name);
    JS_FreeValue(e->ctx, name);
    return ok;
}

static bool encode_object(struct enc *e, JSValueConst v) {
    JSPropertyEnum *names = NULL;
    uint32_t n = 0;
    JSShape *shape = JS_VALUE_GET_OBJ(v)->shape;
    if (!has_room(e, 2 * (uint64_t)(shape->prop_count - shape->deleted_prop_count)) ||
        JS_GetOwnPropertyNames(e->ctx, &names, &n, v, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0)
        return false;
    bool ok = true;
    out_head(e->o, 5, n);
    for (uint32_t k = 0; k < n && ok; k++) {
        /* The name is read first: a getter may run in between, and the path names it already. */
        ok = encode_name(e, names[k].atom) &&
             encode_at(e, JS_GetProperty(e->ctx, v, names[k].atom), names[k].atom, 0);
    }
    JS_FreePropertyEnum(e->ctx, names, n);
    return ok;
}

/* A Map or a Set: its entries as they are, in their order. */
static bool encode_entries(struct enc *e, JSObject *p, bool is_map) {
    JSMapState *s = p->u.map_state;
    uint32_t n = s->record_count, k = 0;
    if (!has_room(e, (uint64_t)n << is_map)) return false;
    out_head(e->o, 6, is_map ? TAG_MAP : TAG_SET);
    out_head(e->o, is_map ? 5 : 4, n);
    bool ok = true;
    for (struct list_head *el = s->records.next; ok && el != &s->records;) {
        JSMapRecord *mr = list_entry(el, JSMapRecord, link);
        mr->ref_count++; /* what runs in between may delete it */
        if (!mr->empty) {
            JSValue value = is_map ? js_dup(mr->value) : JS_UNDEFINED;
            ok = k < n && encode_at(e, js_dup(mr->key), JS_ATOM_NULL, k) &&
                 (!is_map || encode_at(e, js_dup(value), JS_ATOM_NULL, k));
            JS_FreeValue(e->ctx, value);
            k++;
        }
        el = el->next;
        map_decref_record(e->ctx->rt, mr);
    }
    if (!JS_HasException(e->ctx) && k != n) ok = refuse(e, "it changed while it was read");
    return ok;
}

/* [tag, inner] from the prelude, or a text that says why not. */
static bool encode_described(struct enc *e, JSValueConst v) {
    uint32_t number = arena.met_count - 1;
    JSValue parts = call_helper(e->ctx, "describe", 1, &v);
    if (JS_IsException(parts)) return false;
    bool ok;
    if (JS_IsString(parts)) {
        ok = refuse_by(e, "serializationError", js_dup(parts));
    } else {
        JSValue tag = JS_GetPropertyUint32(e->ctx, parts, 0);
        JSValue inner = JS_GetPropertyUint32(e->ctx, parts, 1);
        int64_t t = 0;
        JS_ToInt64(e->ctx, &t, tag);
        out_head(e->o, 6, (uint64_t)t);
        bool is_open = t != TAG_ERROR && e->open_count < MAX_DEPTH;
        if (is_open) e->open[e->open_count++] = number;
        ok = encode_value(e, inner);
        if (is_open) e->open_count--;
        JS_FreeValue(e->ctx, tag);
        JS_FreeValue(e->ctx, inner);
    }
    JS_FreeValue(e->ctx, parts);
    return ok;
}

/* RFC 8746, little-endian; 0: no array of numbers. */
static uint32_t tag_of_typed(int class_id) {
    switch (class_id) {
    case JS_CLASS_UINT8C_ARRAY: return 68;
    case JS_CLASS_INT8_ARRAY: return 72;
    case JS_CLASS_INT16_ARRAY: return 77;
    case JS_CLASS_UINT16_ARRAY: return 69;
    case JS_CLASS_INT32_ARRAY: return 78;
    case JS_CLASS_UINT32_ARRAY: return 70;
    case JS_CLASS_BIG_INT64_ARRAY: return 79;
    case JS_CLASS_BIG_UINT64_ARRAY: return 71;
    case JS_CLASS_FLOAT16_ARRAY: return 84;
    case JS_CLASS_FLOAT32_ARRAY: return 85;
    case JS_CLASS_FLOAT64_ARRAY: return 86;
    }
    return 0;
}

static bool encode_typed(struct enc *e, JSObject *p) {
    if (typed_array_is_oob(p)) return refuse(e, "a detached buffer");
    uint32_t tag = tag_of_typed(p->class_id);
    if (tag && p->shape->proto != JS_VALUE_GET_OBJ(e->ctx->class_proto[p->class_id]))
        return refuse(e, "this typed array has no form to cross in");
    if (tag) out_head(e->o, 6, tag);
    size_t n = (size_t)p->u.array.count << typed_array_size_log2(p->class_id);
    return encode_blob(e, p->u.array.u.uint8_ptr, n);
}

static bool encode_buffer(struct enc *e, JSValueConst v) {
    size_t n;
    uint8_t *p = JS_GetArrayBuffer(e->ctx, &n, v);
    if (!p && JS_HasException(e->ctx)) return false;
    out_head(e->o, 6, TAG_BUFFER);
    return encode_blob(e, p, n);
}

static bool encode_view(struct enc *e, JSObject *p) {
    JSTypedArray *view = p->u.typed_array;
    JSArrayBuffer *buffer = view->buffer->u.array_buffer;
    uint64_t end = view->track_rab ? buffer->byte_length : (uint64_t)view->offset + view->length;
    if (buffer->detached || end > buffer->byte_length || view->offset > end)
        return refuse(e, "a detached buffer");
    out_head(e->o, 6, TAG_VIEW);
    return encode_blob(e, buffer->data + view->offset, end - view->offset);
}

/* Tag 1, seconds; where a float of them cannot tell microseconds, [milliseconds, the rest]. */
static bool encode_date(struct enc *e, JSObject *p) {
    double ms = 0;
    JS_ToFloat64(e->ctx, &ms, p->u.object_data);
    int past = microseconds_of(e->ctx, p, ms);
    if (past && fabs(ms) >= FINE_SECONDS * 1000) {
        out_head(e->o, 6, TAG_INSTANT);
        out_head(e->o, 4, 2);
        out_int(e->o, (int64_t)ms);
        out_int(e->o, past);
        return true;
    }
    out_head(e->o, 6, 1);
    return encode_number(e, past ? (double)((int64_t)ms * 1000 + past) / 1e6 : ms / 1000);
}

static bool is_plain(JSContext *ctx, JSObject *p) {
    JSObject *proto = p->shape->proto;
    return !proto || proto == JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_OBJECT]);
}

static bool encode_kind(struct enc *e, JSValueConst v, JSObject *p) {
    switch (p->class_id) {
    case JS_CLASS_PROXY: return refuse(e, "a Proxy is not data");
    case JS_CLASS_ARRAY: return encode_array(e, v);
    case JS_CLASS_OBJECT:
    case JS_CLASS_ARGUMENTS:
    case JS_CLASS_MAPPED_ARGUMENTS:
    case JS_CLASS_MODULE_NS: return is_plain(e->ctx, p) ? encode_object(e, v) : encode_described(e, v);
    case JS_CLASS_MAP:
    case JS_CLASS_SET: return encode_entries(e, p, p->class_id == JS_CLASS_MAP);
    case JS_CLASS_DATE: return encode_date(e, p);
    case JS_CLASS_ARRAY_BUFFER: return encode_buffer(e, v);
    case JS_CLASS_DATAVIEW: return encode_view(e, p);
    }
    if (p->class_id >= JS_CLASS_UINT8C_ARRAY && p->class_id <= JS_CLASS_FLOAT64_ARRAY)
        return encode_typed(e, p);
    return encode_described(e, v);
}

static bool encode_heap_object(struct enc *e, JSValueConst v) {
    if (arena.met_count >= MAX_OBJECTS) return refuse(e, "more than 250,000 objects in one value");
    uint32_t number = meet(e, v);
    if (number == MET_NONE) return encode_kind(e, v, JS_VALUE_GET_OBJ(v));
    for (int k = 0; k < e->open_count; k++)
        if (e->open[k] == number) return refuse(e, "it holds itself, and is revived only as a whole");
    arena.met_shared[number] = 1;
    e->shared = true;
    uint8_t b[7] = {6 << 5 | 24, TAG_REF, 26};
    for (int k = 0; k < 4; k++) b[3 + k] = (uint8_t)(number >> (8 * (3 - k)));
    out_bytes(e->o, b, sizeof b);
    return true;
}

static bool encode_value(struct enc *e, JSValueConst v) {
    if (js_charge(e->ctx, TICKS_PER_ITEM) || !has_room(e, 1)) return false;
    switch (JS_VALUE_GET_NORM_TAG(v)) {
    case JS_TAG_INT: out_int(e->o, JS_VALUE_GET_INT(v)); return true;
    case JS_TAG_FLOAT64: return encode_number(e, JS_VALUE_GET_FLOAT64(v));
    case JS_TAG_BOOL: out_head(e->o, 7, JS_VALUE_GET_BOOL(v) ? 21 : 20); return true;
    case JS_TAG_NULL: out_head(e->o, 7, 22); return true;
    case JS_TAG_UNDEFINED: out_head(e->o, 7, 23); return true;
    case JS_TAG_STRING:
    case JS_TAG_STRING_ROPE: return encode_string(e, v);
    case JS_TAG_BIG_INT:
    case JS_TAG_SHORT_BIG_INT: return encode_big(e, v);
    case JS_TAG_OBJECT: return encode_heap_object(e, v);
    default: return encode_described(e, v);
    }
}

/* ---- shared references ------------------------------------------------------------------------ */

/* Copies the bytes to the spare slot, with tag 28 where a shared object begins, and back. */
static bool resolve_shared(struct enc *e, size_t begin) {
    struct out to = {arena.spare, 0, sizeof arena.spare, false};
    struct in from = {e->o->base + begin, e->o->base + e->o->len, false};
    uint32_t next = e->first, refs = 0;
    while (from.p < from.end && !from.bad && !to.full) {
        if (js_charge(e->ctx, 1)) return false;
        size_t at = (size_t)(from.p - e->o->base);
        if (next < arena.met_count && arena.met_at[next] == at) {
            if (arena.met_shared[next]) {
                arena.met_shared[next] = 1 + refs++;
                out_head(&to, 6, TAG_SHARED);
            }
            next++;
        }
        struct head h;
        const uint8_t *p = from.p;
        in_head(&from, &h);
        if (h.major == 6 && h.n == TAG_REF) {
            in_head(&from, &h);
            out_head(&to, 6, TAG_REF);
            out_head(&to, 0, arena.met_shared[h.n] - 1);
            continue;
        }
        if (h.major == 2 || h.major == 3) from.p += h.n;
        out_bytes(&to, p, (size_t)(from.p - p));
    }
    note_used(&to);
    note_used(e->o);
    e->o->len = begin;
    e->o->full |= to.full; /* the tags may have made it longer */
    out_bytes(e->o, to.base, to.len);
    return true;
}

/* Whether what is written nests deeper than a reader of it will go. */
static bool is_too_deep(const struct out *o, size_t begin) {
    uint32_t left[MAX_LEVELS]; /* items that are still to come, by level */
    struct in from = {o->base + begin, o->base + o->len, false};
    struct head h;
    int level = 0;
    while (from.p < from.end && in_head(&from, &h)) {
        if (h.major == 2 || h.major == 3) from.p += h.n;
        uint64_t items = h.major == 4 ? h.n : h.major == 5 ? h.n * 2 : h.major == 6;
        if (items) {
            if (level == MAX_LEVELS) return true;
            left[level++] = (uint32_t)items;
            continue;
        }
        while (level && !--left[level - 1]) level--;
    }
    return false;
}

static bool is_in_reach(struct enc *e, size_t begin) {
    if (e->deepest <= MAX_LEVELS / LEVELS_PER_VALUE || e->o->full || !is_too_deep(e->o, begin)) return true;
    return refuse(e, "it nests deeper than 1,000 levels of CBOR; a Map or an Error has two, "
                     "what is shared one more");
}

bool cbor_encode(JSContext *ctx, struct out *o, JSValueConst v, const char *where) {
    struct enc e;
    e.ctx = ctx;
    e.o = o;
    e.where = where;
    e.first = arena.met_count;
    e.shared = false;
    e.depth = e.deepest = e.open_count = 0;
    size_t begin = o->len;
    bool ok = encode_value(&e, v);
    if (ok && e.shared) ok = resolve_shared(&e, begin);
    e.depth = 0;
    if (ok) ok = is_in_reach(&e, begin);
    if (ok && o->full) ok = refuse_large(&e);
    forget(&e);
    return ok;
}

struct out begin_scratch(size_t cap) {
    struct out *outer = arena.writing;
    size_t used = outer ? (size_t)(outer->base - arena.scratch) + outer->len : 0;
    size_t room = sizeof arena.scratch - used;
    return (struct out){arena.scratch + used, 0, cap && cap < room ? cap : room, false};
}

bool encode_in_scratch(JSContext *ctx, struct out *o, JSValueConst v, const char *where) {
    struct out *outer = arena.writing;
    arena.writing = o; /* what is encoded meanwhile goes behind it */
    bool ok = cbor_encode(ctx, o, v, where);
    note_used(o);
    arena.writing = outer;
    return ok;
}
