/* What the guest's C files share. See docs/protocol.md for the ABI they implement together. */
#ifndef PERDURE_GUEST_H
#define PERDURE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "quickjs.h"

#define SLOT_BYTES (16u << 20)
#define MAX_DEPTH 500
#define STACK_BYTES (2816u << 10) /* the wasm stack, as build.py tells the linker */
#define JS_STACK_BYTES (2560u << 10) /* of it, for what JS can make recurse */

/* Bounded output. */
struct out {
    uint8_t *base;
    size_t len, cap;
    bool full;
};

/* Instants: the tag of one that a float of seconds cannot tell to the microsecond, and from where. */
#define TAG_INSTANT 1347571209u
#define FINE_SECONDS 8589934592.0 /* 2^33: the year 2242 */

#define SEEN_BITS 19
#define SEEN_SIZE (1u << SEEN_BITS)
#define MAX_OBJECTS 250000u

/* The I/O arena: requests, answers, scratch. Never part of a snapshot. */
struct arena {
    uint8_t request[SLOT_BYTES];
    uint8_t answer[SLOT_BYTES];
    uint8_t scratch[SLOT_BYTES];
    uint8_t spare[SLOT_BYTES]; /* encoder: while shared references are written */
    uint32_t seen_key[SEEN_SIZE]; /* encoder: object address (0: free) -> its number */
    uint32_t seen_number[SEEN_SIZE];
    uint32_t met_slot[MAX_OBJECTS]; /* by number: its place in the table, its first byte */
    uint32_t met_at[MAX_OBJECTS];
    uint32_t met_shared[MAX_OBJECTS]; /* 0, or 1 and its number among the shared ones */
    uint32_t met_count;
    uint32_t used[4]; /* bytes of each slot that were written to; the host zeroes them, and these */
    struct out *writing; /* what is being encoded into scratch */
    volatile uint8_t interrupt; /* set by the host from another thread */
};
extern struct arena arena;

/* Blocks of memory, which are zeros when they are taken. */
void *heap_take(size_t wanted); /* NULL: there is no room */
void heap_give(void *p);
void heap_reserve(size_t wanted); /* a free block of at least this size, if there is room */
size_t heap_size(const void *p); /* at least what was wanted */

void note_used(const struct out *o); /* before it is let go, or made shorter */
void out_bytes(struct out *o, const void *data, size_t n);
void out_head(struct out *o, unsigned major, uint64_t n);
void out_text(struct out *o, const char *s);
void out_int(struct out *o, int64_t n);
void out_blob(struct out *o, const void *data, size_t n);

/* Bounded input. */
struct in {
    const uint8_t *p, *end;
    bool bad;
};
struct head {
    unsigned major, info;
    uint64_t n;
};
bool in_head(struct in *i, struct head *h);
void in_skip(struct in *i, int depth);

/* Values. `helpers` is the prelude's table of functions for everything that is not plain data. */
extern JSValue helpers;
/* Encodes into o; false with an exception pending. `where` begins the path in an error. */
bool cbor_encode(JSContext *ctx, struct out *o, JSValueConst v, const char *where);
/* Room in scratch, behind what is being encoded there; at most cap bytes, 0: all there is. */
struct out begin_scratch(size_t cap);
bool encode_in_scratch(JSContext *ctx, struct out *o, JSValueConst v, const char *where);
/* An exception is the bytes' fault if they are malformed; else of what they stand for, or a limit. */
JSValue cbor_decode(JSContext *ctx, const uint8_t *data, size_t n, bool *malformed);

/* Natives, limits, clock. */
struct limits {
    int64_t instructions, heap, payload; /* 0: none */
};
extern struct limits limits;
extern int64_t clock_ms, spent, heap_used;
extern bool limit_instructions, limit_heap, limit_output, host_interrupt;
extern int offers; /* hooks that have both payloads and waiters */
extern const JSMallocFunctions guest_malloc;
int on_interrupt(JSRuntime *rt, void *opaque);
bool over_limit(void);
/* Whether so many bytes more are past the heap's limit; then it counts as met. */
bool over_heap(size_t more);
/* Counts native work, in the engine's ticks; true if the call must end. */
bool guest_charge(int64_t ticks);
/* The same, with an exception pending that nothing catches. */
bool charge(JSContext *ctx, int64_t ticks);
void seed_random(const uint8_t *seed, size_t n);
JSValue js_export_of(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv);
JSValue js_evaluate(JSContext *c, JSValueConst this_val, int argc, JSValueConst *argv);
JSValue make_natives(JSContext *ctx);
void add_random_natives(JSContext *ctx, JSValueConst natives);
void add_web_natives(JSContext *ctx, JSValueConst natives);
/* What structuredClone makes of an object: "object", "array", "error", "number", … "other". */
const char *class_of(JSValueConst v);
JSValue call_helper(JSContext *ctx, const char *name, int argc, JSValueConst *argv);
/* Source position of the innermost user frame: "file:line:col", or "". */
size_t user_position(JSContext *ctx, char *buf, size_t cap);
/* A stack without the guest's own frames, as a new string value. */
JSValue clean_stack(JSContext *ctx, JSValueConst stack);

/* Async functions that wait, as lines of a stack. */
/* What who called the code that runs waits for; undefined if all callers are on the stack. */
JSValue caller_promise(JSContext *ctx);
/* Who waits for this promise, and for what that one settles, and so on, as a new string value. */
JSValue waiting_frames(JSContext *ctx, JSValueConst promise);

/* Promises that wait for a hook's payload. */
JSValue new_pending(JSContext *ctx);
JSValue settle_pending(JSContext *ctx, JSValueConst promise, JSValueConst value, bool is_rejection);
/* Whether something can still come of a promise that waits. */
bool leads_on(JSValueConst promise);
/* Whether nothing can, and nobody but the waiter has the promise that it holds under this name. */
bool is_forgotten(JSContext *ctx, JSValueConst waiter, const char *name);

/* The stack, as a new string value; what the user's code set for stacks is left alone. */
JSValue stack_here(JSContext *ctx);
/* A Date, and the microseconds past its milliseconds, of which only the encoder knows. */
JSValue new_instant(JSContext *ctx, double ms, int microseconds);
/* A Date's copy, microseconds included. */
JSValue copy_instant(JSContext *ctx, JSValueConst v);
/* Makes the name that they are kept under; once, at boot. */
void init_instants(JSContext *ctx);
/* The flags of a RegExp, without asking its prototype. */
JSValue regexp_flags(JSContext *ctx, JSValueConst v);

extern JSValue commands, console_lines;

#endif
