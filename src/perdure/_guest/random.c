/* Randomness: two generators from the run's seed, their states in the heap.
 *
 * Tokens and all of `crypto` come from ChaCha20 (RFC 8439) keyed by the seed. Math.random is
 * xoshiro256**, whose outputs tell its state; so that begins with bytes of a ChaCha20 stream of its
 * own, by which nobody can tell the seed, nor what the other stream holds.
 */
#include <string.h>
#include "guest.h"

static const char CRYPTO_NONCE[13] = "crypto", MATH_NONCE[13] = "Math.random"; /* 12 bytes of each */
static uint64_t math_state[4];
static uint32_t key[8], counter;
static uint8_t block[64];
static size_t used = sizeof block; /* of the block */

static uint64_t rotl64(uint64_t x, int k) { return x << k | x >> (64 - k); }
static uint32_t rotl32(uint32_t x, int k) { return x << k | x >> (32 - k); }

static void quarter_round(uint32_t *s, int a, int b, int c, int d) {
    s[a] += s[b], s[d] = rotl32(s[d] ^ s[a], 16);
    s[c] += s[d], s[b] = rotl32(s[b] ^ s[c], 12);
    s[a] += s[b], s[d] = rotl32(s[d] ^ s[a], 8);
    s[c] += s[d], s[b] = rotl32(s[b] ^ s[c], 7);
}

/* One block of the stream with this nonce; the machine is little-endian. */
static void make_block(uint8_t out[64], uint32_t number, const char *nonce) {
    uint32_t first[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, s[16];
    memcpy(first + 4, key, sizeof key);
    first[12] = number;
    memcpy(first + 13, nonce, 12);
    memcpy(s, first, sizeof s);
    for (int round = 0; round < 10; round++) {
        for (int k = 0; k < 4; k++) quarter_round(s, k, 4 + k, 8 + k, 12 + k);
        for (int k = 0; k < 4; k++) quarter_round(s, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4);
    }
    for (int k = 0; k < 16; k++) s[k] += first[k];
    memcpy(out, s, sizeof s);
}

void seed_random(const uint8_t *seed, size_t n) {
    memset(key, 0, sizeof key);
    memcpy(key, seed, n < sizeof key ? n : sizeof key);
    make_block(block, 0, MATH_NONCE);
    memcpy(math_state, block, sizeof math_state);
    counter = 0;
    used = sizeof block;
}

static uint64_t next_random(void) {
    uint64_t *s = math_state, result = rotl64(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl64(s[3], 45);
    return result;
}

/* random() -> from 0 to less than 1 */
static JSValue js_random(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    return JS_NewFloat64(ctx, (double)(next_random() >> 11) * 0x1p-53);
}

/* fill(Uint8Array): with bytes that nobody can compute without the seed */
static JSValue js_fill(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv) {
    size_t n;
    uint8_t *p = JS_GetUint8Array(ctx, &n, argv[0]);
    if (!p) return n ? JS_EXCEPTION : JS_UNDEFINED;
    for (size_t k = 0; k < n; k++) {
        if (used == sizeof block) {
            make_block(block, counter++, CRYPTO_NONCE);
            used = 0;
        }
        p[k] = block[used];
        block[used++] = 0; /* what was handed out is nowhere else */
    }
    return JS_UNDEFINED;
}

void add_random_natives(JSContext *ctx, JSValueConst natives) {
    JS_SetPropertyStr(ctx, natives, "random", JS_NewCFunction(ctx, js_random, "random", 0));
    JS_SetPropertyStr(ctx, natives, "fill", JS_NewCFunction(ctx, js_fill, "fill", 1));
}
