/* Natives of the web's globals: URL, TextDecoder, percent-coding, base64, as WHATWG has them.
 *
 * Each takes strings or bytes and returns new ones; none keeps anything. What is invalid is returned
 * as null, and the prelude throws the error that the standard names.
 */
#include <stdlib.h>
#include <string.h>
#include "ada_c.h"
#include "guest.h"

#define NATIVE(name) static JSValue name(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)

/* ---- text out ------------------------------------------------------------------------------- */

struct units {
    uint16_t *base;
    size_t len;
};

static void put_point(struct units *u, uint32_t c) {
    if (c < 0x10000) u->base[u->len++] = (uint16_t)c;
    else {
        u->base[u->len++] = (uint16_t)(0xd7c0 + (c >> 10));
        u->base[u->len++] = (uint16_t)(0xdc00 + (c & 0x3ff));
    }
}

static JSValue end_units(JSContext *ctx, struct units *u) {
    JSValue text = u->base ? JS_NewStringUTF16(ctx, u->base, u->len) : JS_EXCEPTION;
    js_free(ctx, u->base);
    return text;
}

/* ---- decoders: each reads one character; its length, 0: more bytes are needed ----------------- */

#define BAD 0x110000u
struct bytes {
    const uint8_t *p, *end;
};

/* A maximal part of a sequence that cannot be continued is one BAD. */
static size_t read_utf8(struct bytes b, uint32_t *c) {
    uint8_t first = b.p[0];
    size_t more = first < 0x80   ? 0
                  : first < 0xc2 ? 9
                  : first < 0xe0 ? 1
                  : first < 0xf0 ? 2
                  : first < 0xf5 ? 3
                                 : 9;
    *c = BAD;
    if (more == 9) return 1;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    uint32_t point = more ? first & (0x3fu >> more) : first;
    for (size_t k = 1; k <= more; k++) {
        if (b.p + k == b.end) return 0;
        if (b.p[k] < low || b.p[k] > high) return k;
        low = 0x80;
        high = 0xbf;
        point = point << 6 | (b.p[k] & 0x3f);
    }
    *c = point;
    return more + 1;
}

static uint32_t unit_at(const uint8_t *p, bool big) {
    return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static size_t read_utf16(struct bytes b, bool big, uint32_t *c) {
    size_t n = (size_t)(b.end - b.p);
    if (n < 2) return 0;
    uint32_t unit = unit_at(b.p, big);
    *c = unit;
    if ((unit & 0xf800) != 0xd800) return 2;
    *c = BAD;
    if (unit >= 0xdc00) return 2;
    if (n < 4) return 0;
    uint32_t next = unit_at(b.p + 2, big);
    if ((next & 0xfc00) != 0xdc00) return 2;
    *c = 0x10000 + ((unit & 0x3ff) << 10) + (next & 0x3ff);
    return 4;
}

static size_t read_windows1252(struct bytes b, uint32_t *c) {
    static const uint16_t high[32] = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                      0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                      0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                      0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
    *c = (*b.p & 0xe0) == 0x80 ? high[*b.p & 0x1f] : *b.p;
    return 1;
}

enum encoding { UTF8, UTF16LE, UTF16BE, WINDOWS1252 };

static size_t read_point(struct bytes b, enum encoding encoding, uint32_t *c) {
    if (encoding == UTF8) return read_utf8(b, c);
    if (encoding == WINDOWS1252) return read_windows1252(b, c);
    return read_utf16(b, encoding == UTF16BE, c);
}

/* Returns how many bytes were read; -1: bad ones, and fatal. With flush, the rest is one BAD. */
static int64_t decode_all(struct bytes b, enum encoding encoding, bool fatal, bool flush, struct units *u) {
    const uint8_t *start = b.p;
    while (b.p < b.end) {
        uint32_t c = BAD;
        size_t n = read_point(b, encoding, &c);
        if (!n && !flush) break;
        if (c == BAD && fatal) return -1;
        put_point(u, c == BAD || !n ? 0xfffd : c);
        b.p = n ? b.p + n : b.end;
    }
    return b.p - start;
}

/* decodeText(Uint8Array, encoding, fatal, flush) -> [text, bytes read], or null */
NATIVE(js_decode_text) {
    size_t n;
    int32_t encoding;
    uint8_t *p = JS_GetUint8Array(ctx, &n, argv[0]);
    if (!p && n) return JS_EXCEPTION;
    if (JS_ToInt32(ctx, &encoding, argv[1]) || charge(ctx, (int64_t)(n >> 4))) return JS_EXCEPTION;
    struct units u = {js_malloc(ctx, 2 * n + 2), 0};
    if (!u.base) return JS_EXCEPTION;
    bool fatal = JS_ToBool(ctx, argv[2]), flush = JS_ToBool(ctx, argv[3]);
    int64_t read = decode_all((struct bytes){p, p + n}, (enum encoding)encoding, fatal, flush, &u);
    JSValue text = end_units(ctx, &u);
    if (JS_IsException(text)) return text;
    if (read < 0) {
        JS_FreeValue(ctx, text);
        return JS_NULL;
    }
    JSValue pair = JS_NewArray(ctx);
    if (JS_IsException(pair)) {
        JS_FreeValue(ctx, text);
        return pair;
    }
    JS_DefinePropertyValueUint32(ctx, pair, 0, text, JS_PROP_C_W_E);
    JS_DefinePropertyValueUint32(ctx, pair, 1, JS_NewInt64(ctx, read), JS_PROP_C_W_E);
    return pair;
}

/* ---- percent-coding of forms ---------------------------------------------------------------- */

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t percent_decode(uint8_t *p, size_t n) {
    size_t used = 0;
    for (size_t k = 0; k < n; k++) {
        bool coded = p[k] == '%' && k + 2 < n && hex_digit(p[k + 1]) >= 0 && hex_digit(p[k + 2]) >= 0;
        p[used++] = coded         ? (uint8_t)(hex_digit(p[k + 1]) << 4 | hex_digit(p[k + 2]))
                    : p[k] == '+' ? ' '
                                  : p[k];
        if (coded) k += 2;
    }
    return used;
}

/* formDecode(well-formed text) -> text */
NATIVE(js_form_decode) {
    size_t n;
    const char *text = JS_ToCStringLen(ctx, &n, argv[0]);
    if (!text) return JS_EXCEPTION;
    uint8_t *copy = js_malloc(ctx, n + 1);
    struct units u = {copy ? js_malloc(ctx, 2 * n + 2) : NULL, 0};
    if (u.base) {
        memcpy(copy, text, n);
        size_t used = percent_decode(copy, n);
        decode_all((struct bytes){copy, copy + used}, UTF8, false, true, &u);
    }
    JS_FreeCString(ctx, text);
    js_free(ctx, copy);
    return end_units(ctx, &u);
}

static bool form_keeps(uint8_t c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '*' || c == '-' ||
           c == '.' || c == '_';
}

/* formEncode(well-formed text) -> text */
NATIVE(js_form_encode) {
    size_t n, used = 0;
    const char *text = JS_ToCStringLen(ctx, &n, argv[0]);
    if (!text) return JS_EXCEPTION;
    char *out = js_malloc(ctx, 3 * n + 1);
    for (size_t k = 0; out && k < n; k++) {
        uint8_t c = (uint8_t)text[k];
        if (form_keeps(c)) out[used++] = (char)c;
        else if (c == ' ') out[used++] = '+';
        else {
            out[used++] = '%';
            out[used++] = "0123456789ABCDEF"[c >> 4];
            out[used++] = "0123456789ABCDEF"[c & 15];
        }
    }
    JS_FreeCString(ctx, text);
    JSValue coded = out ? JS_NewStringLen(ctx, out, used) : JS_EXCEPTION;
    js_free(ctx, out);
    return coded;
}

/* ---- base64 --------------------------------------------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t to_base64(const uint16_t *s, size_t n, char *out) {
    size_t used = 0;
    for (size_t k = 0; k < n; k += 3) {
        uint32_t left = (uint32_t)(n - k);
        uint32_t bits = (uint32_t)s[k] << 16 | (left > 1 ? s[k + 1] : 0u) << 8 | (left > 2 ? s[k + 2] : 0u);
        out[used++] = alphabet[bits >> 18];
        out[used++] = alphabet[bits >> 12 & 63];
        out[used++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        out[used++] = left > 2 ? alphabet[bits & 63] : '=';
    }
    return used;
}

/* btoa(text) -> text, or null: a character is beyond U+00FF */
NATIVE(js_btoa) {
    size_t n;
    const uint16_t *s = JS_ToCStringLenUTF16(ctx, &n, argv[0]);
    if (!s) return JS_EXCEPTION;
    bool narrow = true;
    for (size_t k = 0; k < n; k++) narrow &= s[k] < 256;
    char *out = narrow ? js_malloc(ctx, (n + 2) / 3 * 4 + 1) : NULL;
    JSValue coded = out ? JS_NewStringLen(ctx, out, to_base64(s, n, out)) : narrow ? JS_EXCEPTION : JS_NULL;
    js_free(ctx, out);
    JS_FreeCStringUTF16(ctx, s);
    return coded;
}

static int base64_digit(uint16_t c) {
    const char *at = c && c < 128 ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

static bool is_blank(uint16_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }

/* Forgiving decode in place: blanks nowhere, at most two "=" and only where they fill up. */
static bool from_base64(uint16_t *s, size_t n, size_t *used) {
    size_t kept = 0, out = 0;
    uint32_t bits = 0;
    for (size_t k = 0; k < n; k++)
        if (!is_blank(s[k])) s[kept++] = s[k];
    if (kept % 4 == 0 && kept && s[kept - 1] == '=') kept -= s[kept - 2] == '=' ? 2 : 1;
    if (kept % 4 == 1) return false;
    for (size_t k = 0; k < kept; k++) {
        int digit = base64_digit(s[k]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        if (k % 4) s[out++] = (uint16_t)(bits >> (6 - k % 4 * 2) & 255);
    }
    *used = out;
    return true;
}

/* atob(text) -> text, or null: no base64 */
NATIVE(js_atob) {
    size_t n, used;
    const uint16_t *s = JS_ToCStringLenUTF16(ctx, &n, argv[0]);
    if (!s) return JS_EXCEPTION;
    uint16_t *copy = js_malloc(ctx, 2 * n + 2);
    JSValue plain = JS_EXCEPTION;
    if (copy) {
        memcpy(copy, s, 2 * n);
        plain = from_base64(copy, n, &used) ? JS_NewStringUTF16(ctx, copy, used) : JS_NULL;
    }
    js_free(ctx, copy);
    JS_FreeCStringUTF16(ctx, s);
    return plain;
}

/* ---- URL ------------------------------------------------------------------------------------ */

#define ROOM_PER_BYTE 16 /* what the parser takes for a byte of its input, at most, IDNA included */

void *url_allocate(size_t size) {
    int64_t heap = limits.heap;
    limits.heap = 0; /* asked for in has_room() */
    void *p = guest_malloc.js_malloc(NULL, size);
    limits.heap = heap;
    if (!p) abort();
    return p;
}

void url_release(void *p) { guest_malloc.js_free(NULL, p); }

static bool has_room(JSContext *ctx, size_t n) {
    if (charge(ctx, (int64_t)n)) return false;
    if (!over_heap(n * ROOM_PER_BYTE + 1024)) return true;
    JS_ThrowOutOfMemory(ctx);
    return false;
}

/* [href, offset of each component, -1: absent …], or null for an invalid URL. */
static JSValue describe_url(JSContext *ctx, ada_url url) {
    if (!url || !ada_is_valid(url)) return JS_NULL;
    const ada_url_components *c = ada_get_components(url);
    ada_string href = ada_get_href(url);
    const uint32_t offsets[] = {c->protocol_end, c->username_end,   c->host_start,   c->host_end,
                                c->port,         c->pathname_start, c->search_start, c->hash_start};
    JSValue list = JS_NewArray(ctx);
    if (JS_IsException(list)) return list;
    JS_DefinePropertyValueUint32(ctx, list, 0, JS_NewStringLen(ctx, href.data, href.length), JS_PROP_C_W_E);
    for (uint32_t k = 0; k < 8; k++)
        JS_DefinePropertyValueUint32(ctx, list, k + 1, JS_NewInt32(ctx, (int32_t)offsets[k]), JS_PROP_C_W_E);
    return list;
}

struct text {
    const char *p;
    size_t n;
};

static bool get_text(JSContext *ctx, JSValueConst v, struct text *t) {
    t->p = JS_ToCStringLen(ctx, &t->n, v);
    return t->p != NULL;
}

/* parseUrl(text, base?) -> see describe_url */
NATIVE(js_parse_url) {
    struct text input, base = {NULL, 0};
    bool has_base = !JS_IsUndefined(argv[1]);
    JSValue list = JS_EXCEPTION;
    if (!get_text(ctx, argv[0], &input)) return JS_EXCEPTION;
    if ((!has_base || get_text(ctx, argv[1], &base)) && has_room(ctx, input.n + base.n)) {
        ada_url url =
            has_base ? ada_parse_with_base(input.p, input.n, base.p, base.n) : ada_parse(input.p, input.n);
        list = describe_url(ctx, url);
        if (url) ada_free(url);
    }
    JS_FreeCString(ctx, base.p);
    JS_FreeCString(ctx, input.p);
    return list;
}

static void set_part(ada_url url, int part, struct text value) {
    typedef bool setter(ada_url, const char *, size_t);
    static setter *const setters[] = {ada_set_protocol, ada_set_username, ada_set_password, ada_set_host,
                                      ada_set_hostname, ada_set_port,     ada_set_pathname};
    if (part < 7) setters[part](url, value.p, value.n);
    else (part == 7 ? ada_set_search : ada_set_hash)(url, value.p, value.n);
}

/* setUrl(href, part, text) -> see describe_url */
NATIVE(js_set_url) {
    struct text href, value;
    int32_t part;
    JSValue list = JS_EXCEPTION;
    if (JS_ToInt32(ctx, &part, argv[1]) || !get_text(ctx, argv[0], &href)) return JS_EXCEPTION;
    if (!get_text(ctx, argv[2], &value)) {
        JS_FreeCString(ctx, href.p);
        return JS_EXCEPTION;
    }
    if (has_room(ctx, href.n + value.n)) {
        ada_url url = ada_parse(href.p, href.n);
        if (url && ada_is_valid(url)) set_part(url, part, value);
        list = describe_url(ctx, url);
        if (url) ada_free(url);
    }
    JS_FreeCString(ctx, value.p);
    JS_FreeCString(ctx, href.p);
    return list;
}

/* ---- collation: ASCII with accents, as the root collation of Unicode orders it ------------------ */

/* What an ASCII character weighs, its case apart; 0: nothing. */
static const uint8_t rank[128] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  1,  2,  3,  4,  5,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  6,  12, 16, 28, 38, 29, 27, 15, 17, 18, 24, 32, 9,  8,  14, 25, 39, 40, 41, 42,
    43, 44, 45, 46, 47, 48, 11, 10, 33, 34, 35, 13, 23, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61,
    62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 19, 26, 20, 31, 7,  30, 49, 50, 51, 52, 53, 54, 55,
    56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 21, 36, 22, 37, 0,
};
static const uint16_t accents[] = {0x301, 0x300, 0x306, 0x302, 0x30c, 0x30a, 0x308, 0x30b, 0x303,
                                   0x307, 0x327, 0x328, 0x304, 0x309, 0x30f, 0x311, 0x31b, 0x323,
                                   0x324, 0x325, 0x326, 0x32d, 0x32e, 0x330, 0x331};
enum level { PRIMARY, SECONDARY, TERTIARY, CASE }; /* CASE: without accents */

/* A unit's weight at a level; 0: none there, -1: not among those known. */
static int weight(uint16_t c, enum level level) {
    if (c < 128) {
        if (!rank[c] || level == PRIMARY) return rank[c];
        return level == SECONDARY || c < 'A' || c > 'Z' ? 1 : 2;
    }
    for (size_t k = 0; k < sizeof accents / sizeof *accents; k++)
        if (c == accents[k]) return level == SECONDARY ? 2 + (int)k : level == TERTIARY;
    return -1;
}

struct word {
    const uint16_t *p;
    size_t n, at;
};

static size_t digits_at(struct word *w) {
    size_t n = 0;
    while (w->at + n < w->n && w->p[w->at + n] >= '0' && w->p[w->at + n] <= '9') n++;
    return n;
}

/* The next weight that is not 0; 0 at the end. */
static int next_weight(struct word *w, enum level level) {
    while (w->at < w->n) {
        int found = weight(w->p[w->at], level);
        if (found) return found;
        w->at++;
    }
    return 0;
}

/* Two numbers by their value; both words stand behind them then. */
static int compare_numbers(struct word *a, struct word *b) {
    while (a->at + 1 < a->n && a->p[a->at] == '0' && digits_at(a) > 1) a->at++;
    while (b->at + 1 < b->n && b->p[b->at] == '0' && digits_at(b) > 1) b->at++;
    size_t n = digits_at(a), m = digits_at(b);
    int difference = n < m ? -1 : n > m;
    for (size_t k = 0; k < n && !difference; k++) difference = (int)a->p[a->at + k] - (int)b->p[b->at + k];
    a->at += n;
    b->at += m;
    return difference;
}

static int compare_at(struct word a, struct word b, enum level level, bool numeric) {
    for (;;) {
        int x = next_weight(&a, level), y = next_weight(&b, level);
        if (!x && !y) return 0;
        if (numeric && x && y && digits_at(&a) && digits_at(&b)) {
            int difference = compare_numbers(&a, &b);
            if (difference && level == PRIMARY) return difference < 0 ? -1 : 1;
            continue;
        }
        if (x != y) return x < y ? -1 : 1;
        a.at++;
        b.at++;
    }
}

static bool all_known(struct word w) {
    for (size_t k = 0; k < w.n; k++)
        if (weight(w.p[k], PRIMARY) < 0) return false;
    return true;
}

/* collate(a, b, levels in bits, numeric) -> -1, 0 or 1; null: a character that is not known */
NATIVE(js_collate) {
    struct word a = {0}, b = {0};
    int32_t levels;
    if (JS_ToInt32(ctx, &levels, argv[2])) return JS_EXCEPTION;
    a.p = JS_ToCStringLenUTF16(ctx, &a.n, argv[0]);
    b.p = a.p ? JS_ToCStringLenUTF16(ctx, &b.n, argv[1]) : NULL;
    JSValue result = JS_EXCEPTION;
    if (b.p && !charge(ctx, (int64_t)(a.n + b.n))) {
        int sign = 0;
        bool known = all_known(a) && all_known(b), numeric = JS_ToBool(ctx, argv[3]);
        for (int level = PRIMARY; level <= CASE && !sign && known; level++)
            if (levels >> level & 1) sign = compare_at(a, b, (enum level)level, numeric);
        result = known ? JS_NewInt32(ctx, sign) : JS_NULL;
    }
    JS_FreeCStringUTF16(ctx, b.p);
    JS_FreeCStringUTF16(ctx, a.p);
    return result;
}

/* ---- objects -------------------------------------------------------------------------------- */

/* hide(object): its typeof is "undefined", and it equals null and undefined, as document.all does */
NATIVE(js_hide) {
    JS_SetIsHTMLDDA(ctx, argv[0]);
    return JS_UNDEFINED;
}

NATIVE(js_class) { return JS_NewString(ctx, class_of(argv[0])); }

void add_web_natives(JSContext *ctx, JSValueConst natives) {
    static const struct {
        const char *name;
        JSCFunction *f;
        int argc;
    } table[] = {{"decodeText", js_decode_text, 4},
                 {"formDecode", js_form_decode, 1},
                 {"formEncode", js_form_encode, 1},
                 {"btoa", js_btoa, 1},
                 {"atob", js_atob, 1},
                 {"parseUrl", js_parse_url, 2},
                 {"setUrl", js_set_url, 3},
                 {"hide", js_hide, 1},
                 {"classOf", js_class, 1},
                 {"collate", js_collate, 4}};
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        JS_SetPropertyStr(ctx, natives, table[k].name,
                          JS_NewCFunction(ctx, table[k].f, table[k].name, table[k].argc));
}
