/* CBOR's words, and from CBOR to JS values; encode.c is the way back.
 *
 * Plain data is handled here; what needs the language (Map, Set, RegExp, errors, URL, typed arrays,
 * BigInt) goes through the prelude's `shell` and `fill`. Each item is charged, so what a delivery
 * carries is counted like the code that reads it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "guest.h"

#define TAG_DATE 1
#define TAG_SHARED 28
#define TAG_REF 29
#define TAG_MAP 259
#define TICKS_PER_ITEM 4
#define BYTES_PER_TICK_LOG2 4

void note_used(const struct out *o) {
    size_t at = (size_t)(o->base - arena.request), slot = at / SLOT_BYTES;
    uint32_t used = (uint32_t)(at + o->len - slot * SLOT_BYTES);
    if (used > arena.used[slot]) arena.used[slot] = used;
}

void out_bytes(struct out *o, const void *data, size_t n) {
    if (!o->base) return; /* the counting pass writes nowhere */
    if (o->full || n > o->cap - o->len) {
        o->full = true;
        return;
    }
    memcpy(o->base + o->len, data, n);
    o->len += n;
}

void out_head(struct out *o, unsigned major, uint64_t n) {
    uint8_t b[9];
    int extra = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffffu ? 4 : 8;
    static const uint8_t info[9] = {0, 24, 25, 0, 26, 0, 0, 0, 27};
    b[0] = (uint8_t)(major << 5 | (extra ? info[extra] : n));
    for (int k = 0; k < extra; k++) b[1 + k] = (uint8_t)(n >> (8 * (extra - 1 - k)));
    out_bytes(o, b, 1 + extra);
}

void out_blob(struct out *o, const void *data, size_t n) {
    out_head(o, 2, n);
    out_bytes(o, data, n);
}

void out_text(struct out *o, const char *s) {
    size_t n = strlen(s);
    out_head(o, 3, n);
    out_bytes(o, s, n);
}

void out_int(struct out *o, int64_t n) {
    if (n < 0) out_head(o, 1, (uint64_t)(-(n + 1)));
    else out_head(o, 0, (uint64_t)n);
}

/* ---- decoder ---------------------------------------------------------------------------- */

bool in_head(struct in *i, struct head *h) {
    if (i->bad || i->p >= i->end) goto bad;
    uint8_t b = *i->p++;
    h->major = b >> 5;
    h->info = b & 31;
    h->n = h->info;
    if (h->info < 24) return true;
    if (h->info > 27) goto bad; /* no indefinite lengths */
    int extra = 1 << (h->info - 24);
    if (i->end - i->p < extra) goto bad;
    h->n = 0;
    while (extra--) h->n = h->n << 8 | *i->p++;
    return true;
bad:
    i->bad = true;
    return false;
}

void in_skip(struct in *i, int depth) {
    struct head h;
    if (depth > MAX_DEPTH || guest_charge(1) || !in_head(i, &h)) {
        i->bad = true;
        return;
    }
    if (h.major == 2 || h.major == 3) {
        if (h.n > (uint64_t)(i->end - i->p)) i->bad = true;
        else i->p += h.n;
        return;
    }
    uint64_t items = h.major == 4 ? h.n : h.major == 5 ? h.n * 2 : h.major == 6 ? 1 : 0;
    if (items > (uint64_t)(i->end - i->p) * 2 + 1) i->bad = true;
    for (uint64_t k = 0; k < items && !i->bad; k++) in_skip(i, depth + 1);
}

struct dec {
    JSContext *ctx;
    struct in in;
    JSValue refs; /* array of shared objects, undefined until one is met */
    uint32_t ref_count;
    int64_t slot; /* reference number the next container takes; -1: none */
    int depth;
};

static JSValue decode_item(struct dec *d);

static JSValue malformed(struct dec *d, const char *why) {
    d->in.bad = true;
    return JS_ThrowTypeError(d->ctx, "malformed CBOR: %s", why);
}

static void remember(struct dec *d, JSValueConst v) {
    if (d->slot < 0) return;
    if (JS_IsUndefined(d->refs)) d->refs = JS_NewArray(d->ctx);
    JS_DefinePropertyValueUint32(d->ctx, d->refs, (uint32_t)d->slot, JS_DupValue(d->ctx, v), JS_PROP_C_W_E);
    d->slot = -1;
}

static JSValue decode_array(struct dec *d, uint64_t n) {
    if (n > (uint64_t)(d->in.end - d->in.p)) return malformed(d, "an array longer than its bytes");
    JSValue a = JS_NewArray(d->ctx);
    remember(d, a);
    for (uint64_t k = 0; k < n; k++) {
        JSValue item = decode_item(d);
        if (JS_IsException(item) ||
            JS_DefinePropertyValueUint32(d->ctx, a, (uint32_t)k, item, JS_PROP_C_W_E) < 0) {
            JS_FreeValue(d->ctx, a);
            return JS_EXCEPTION;
        }
    }
    return a;
}

static JSValue decode_object(struct dec *d, uint64_t n) {
    if (n > (uint64_t)(d->in.end - d->in.p)) return malformed(d, "a map longer than its bytes");
    JSValue o = JS_NewObject(d->ctx);
    remember(d, o);
    for (uint64_t k = 0; k < n; k++) {
        JSValue key = decode_item(d);
        JSAtom name = JS_IsException(key) ? JS_ATOM_NULL : JS_ValueToAtom(d->ctx, key);
        JS_FreeValue(d->ctx, key);
        JSValue item = name == JS_ATOM_NULL ? JS_EXCEPTION : decode_item(d);
        bool ok = !JS_IsException(item) && JS_DefinePropertyValue(d->ctx, o, name, item, JS_PROP_C_W_E) >= 0;
        JS_FreeAtom(d->ctx, name);
        if (!ok) {
            JS_FreeValue(d->ctx, o);
            return JS_EXCEPTION;
        }
    }
    return o;
}

/* A map whose keys are not all text is a Map; so is tag 259. */
static bool is_text_keyed(struct in scan, uint64_t n) {
    for (uint64_t k = 0; k < n && !scan.bad; k++) {
        if (scan.p >= scan.end || *scan.p >> 5 != 3) return false;
        in_skip(&scan, 0);
        in_skip(&scan, 0);
    }
    return true;
}

static JSValue decode_entries(struct dec *d, uint64_t n) {
    if (n > (uint64_t)(d->in.end - d->in.p)) return malformed(d, "a map longer than its bytes");
    JSValue tag = JS_NewInt32(d->ctx, TAG_MAP);
    JSValue map = call_helper(d->ctx, "shell", 1, (JSValueConst *)&tag);
    remember(d, map);
    JSValue flat = decode_array(d, n * 2);
    if (JS_IsException(flat)) {
        JS_FreeValue(d->ctx, map);
        return flat;
    }
    JSValueConst argv[3] = {map, tag, flat};
    JSValue made = call_helper(d->ctx, "fill", 3, argv);
    JS_FreeValue(d->ctx, map);
    JS_FreeValue(d->ctx, flat);
    return made;
}

static JSValue decode_date(struct dec *d) {
    double seconds;
    d->slot = -1;
    JSValue inner = decode_item(d);
    if (JS_IsException(inner)) return inner;
    if (!JS_IsNumber(inner)) {
        JS_FreeValue(d->ctx, inner);
        return malformed(d, "a time that is no number");
    }
    JS_ToFloat64(d->ctx, &seconds, inner);
    if (!(fabs(seconds) < FINE_SECONDS)) return JS_NewDate(d->ctx, floor(seconds * 1000 + 0.5));
    double whole = floor(seconds); /* what is left is exact, and so are the microseconds */
    int64_t total = (int64_t)whole * 1000000 + (int64_t)floor((seconds - whole) * 1e6 + 0.5);
    double ms = floor((double)total / 1000);
    return new_instant(d->ctx, ms, (int)(total - (int64_t)ms * 1000));
}

static JSValue decode_instant(struct dec *d) {
    struct head list, ms, past;
    d->slot = -1;
    if (!in_head(&d->in, &list) || list.major != 4 || list.n != 2 || !in_head(&d->in, &ms) || ms.major > 1 ||
        ms.n > 8640000000000000u || !in_head(&d->in, &past) || past.major || past.n > 999)
        return malformed(d, "an instant that is none");
    return new_instant(d->ctx, ms.major ? -1 - (double)ms.n : (double)ms.n, (int)past.n);
}

static JSValue decode_tag(struct dec *d, uint64_t tag) {
    if (tag == TAG_SHARED) {
        uint32_t slot = d->ref_count++;
        d->slot = slot;
        JSValue v = decode_item(d);
        /* Containers are there already, for what is inside them; a Date, say, exists only now. */
        d->slot = JS_IsException(v) ? -1 : (int64_t)slot;
        remember(d, v);
        return v;
    }
    if (tag == TAG_REF) {
        struct head h;
        if (!in_head(&d->in, &h) || h.major != 0 || h.n >= d->ref_count || JS_IsUndefined(d->refs))
            return malformed(d, "a reference to nothing");
        JSValue v = JS_GetPropertyUint32(d->ctx, d->refs, (uint32_t)h.n);
        return JS_IsUndefined(v) ? malformed(d, "a reference to what is not there yet") : v;
    }
    if (tag == TAG_MAP) {
        struct head h;
        if (!in_head(&d->in, &h) || h.major != 5) return malformed(d, "tag 259 without a map");
        return decode_entries(d, h.n);
    }
    if (tag == TAG_DATE) return decode_date(d);
    if (tag == TAG_INSTANT) return decode_instant(d);
    JSValue t = JS_NewInt64(d->ctx, (int64_t)tag);
    JSValue shell = call_helper(d->ctx, "shell", 1, (JSValueConst *)&t);
    if (JS_IsException(shell)) return shell;
    if (JS_IsObject(shell)) remember(d, shell);
    else d->slot = -1;
    JSValue inner = decode_item(d);
    JSValue made = inner;
    if (!JS_IsException(inner)) {
        JSValueConst argv[3] = {shell, t, inner};
        made = call_helper(d->ctx, "fill", 3, argv);
        JS_FreeValue(d->ctx, inner);
    }
    JS_FreeValue(d->ctx, shell);
    JS_FreeValue(d->ctx, t);
    return made;
}

static double half(uint16_t h) {
    int exp = h >> 10 & 31, mant = h & 1023;
    double v = exp == 0    ? ldexp(mant, -24)
               : exp != 31 ? ldexp(mant + 1024, exp - 25)
               : mant      ? (double)NAN
                           : (double)INFINITY;
    return h & 0x8000 ? -v : v;
}

static JSValue decode_simple(struct dec *d, const struct head *h) {
    if (h->info == 20 || h->info == 21) return JS_NewBool(d->ctx, h->info == 21);
    if (h->info == 22) return JS_NULL;
    if (h->info == 23) return JS_UNDEFINED;
    if (h->info == 25) return JS_NewNumber(d->ctx, half((uint16_t)h->n));
    if (h->info == 26) {
        uint32_t bits = (uint32_t)h->n;
        float f;
        memcpy(&f, &bits, 4);
        return JS_NewNumber(d->ctx, f);
    }
    if (h->info == 27) {
        double f;
        memcpy(&f, &h->n, 8);
        return JS_NewNumber(d->ctx, f != f ? (double)NAN : f);
    }
    return malformed(d, "an unknown simple value");
}

static JSValue decode_int(struct dec *d, const struct head *h) {
    bool negative = h->major == 1;
    if (h->n <= 9007199254740991u - negative) {
        int64_t v = (int64_t)h->n;
        return JS_NewInt64(d->ctx, negative ? -1 - v : v);
    }
    JSValue big = JS_NewBigUint64(d->ctx, h->n);
    if (!negative) return big;
    JSValue made = call_helper(d->ctx, "negative", 1, (JSValueConst *)&big);
    JS_FreeValue(d->ctx, big);
    return made;
}

static bool is_utf8(const uint8_t *p, size_t n) {
    for (size_t k = 0; k < n;) {
        uint8_t b = p[k];
        int more = b < 0x80                ? 0
                   : b >= 0xc2 && b < 0xe0 ? 1
                   : b >= 0xe0 && b < 0xf0 ? 2
                   : b >= 0xf0 && b < 0xf5 ? 3
                                           : -1;
        if (more < 0 || k + (size_t)more >= n + (more == 0)) return false;
        for (int m = 1; m <= more; m++)
            if (k + (size_t)m >= n || (p[k + m] & 0xc0) != 0x80) return false;
        k += 1 + (size_t)more;
    }
    return true;
}

static JSValue decode_span(struct dec *d, const struct head *h) {
    if (h->n > (uint64_t)(d->in.end - d->in.p)) return malformed(d, "a string cut short");
    if (charge(d->ctx, (int64_t)(h->n >> BYTES_PER_TICK_LOG2))) return JS_EXCEPTION;
    const uint8_t *p = d->in.p;
    d->in.p += h->n;
    if (h->major == 2) {
        JSValue v = JS_NewUint8ArrayCopy(d->ctx, p, h->n);
        remember(d, v);
        return v;
    }
    d->slot = -1;
    if (!is_utf8(p, h->n)) return malformed(d, "text that is not UTF-8");
    return JS_NewStringLen(d->ctx, (const char *)p, h->n);
}

static JSValue decode_item(struct dec *d) {
    struct head h;
    if (charge(d->ctx, TICKS_PER_ITEM)) return JS_EXCEPTION;
    if (d->depth >= MAX_DEPTH) return malformed(d, "nested too deep");
    if (!in_head(&d->in, &h)) return malformed(d, "cut short");
    JSValue v;
    d->depth++;
    switch (h.major) {
    case 0:
    case 1: v = decode_int(d, &h); break;
    case 2:
    case 3: v = decode_span(d, &h); break;
    case 4: v = decode_array(d, h.n); break;
    case 5: v = is_text_keyed(d->in, h.n) ? decode_object(d, h.n) : decode_entries(d, h.n); break;
    case 6: v = decode_tag(d, h.n); break;
    default: v = decode_simple(d, &h);
    }
    d->depth--;
    return v;
}

JSValue cbor_decode(JSContext *ctx, const uint8_t *data, size_t n, bool *malformed_bytes) {
    struct dec d = {.ctx = ctx, .in = {data, data + n, false}, .refs = JS_UNDEFINED, .slot = -1};
    JSValue v = decode_item(&d);
    JS_FreeValue(ctx, d.refs);
    if (!JS_IsException(v) && d.in.p != d.in.end) {
        JS_FreeValue(ctx, v);
        v = malformed(&d, "bytes after the value");
    }
    if (malformed_bytes) *malformed_bytes = d.in.bad;
    return v;
}
