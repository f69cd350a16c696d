/* The heap of the run's values: blocks that lie close together, and zeros wherever none is.
 *
 * All of it is put back after each run and compared at each freeze, so what counts is its size, and
 * that a free block holds nothing of before. libc's malloc gives powers of two, of pages that each
 * size has for its own: half of the heap was slack.
 *
 * Blocks follow one another from the first one to the end, a block of no size that is never free.
 * Each begins with its size and where the one before begins, so that free ones are joined. Those are
 * in lists by size, eight lists for each power of two; a bit for each list tells that it has some.
 * Small blocks are the engine's own affair: it cuts them from blocks of 4 KiB.
 */
#include <stddef.h>
#include <string.h>
#include "guest.h"

#define UNIT 8u /* sizes and addresses are multiples of it */
#define LEAST 16u /* of a block's size: room for the links of a free one */
#define FREE 1u /* in the size */
#define LISTS 256u
#define LOOKS 16 /* at blocks of a list that may be too small */
#define WASM_PAGE 65536u

struct block {
    uint32_t size; /* of what follows these two numbers */
    struct block *before; /* in memory; NULL: it is the first one */
    struct block *next, *prev; /* of a free one, in its list */
};
#define HEAD ((uint32_t)offsetof(struct block, next))

static struct block *lists[LISTS];
static uint32_t has_some[LISTS / 32];
static struct block *end; /* of the memory asked for last; NULL: none was */

static struct block *after(const struct block *b) {
    return (struct block *)((uint8_t *)b + HEAD + (b->size & ~FREE));
}

/* The list of blocks of this size and some more. */
static uint32_t list_of(uint32_t size) {
    if (size < 8 * UNIT) return size / UNIT;
    uint32_t log = 31 - (uint32_t)__builtin_clz(size);
    return (log - 5) * 8 + (size >> (log - 3) & 7);
}

static void put(struct block *b, uint32_t size) {
    uint32_t k = list_of(size);
    b->size = size | FREE;
    b->prev = NULL;
    b->next = lists[k];
    if (b->next) b->next->prev = b;
    lists[k] = b;
    has_some[k / 32] |= 1u << k % 32;
    after(b)->before = b;
}

static void take(struct block *b) {
    uint32_t k = list_of(b->size & ~FREE);
    if (b->next) b->next->prev = b->prev;
    if (b->prev) b->prev->next = b->next;
    else lists[k] = b->next;
    if (!lists[k]) has_some[k / 32] &= ~(1u << k % 32);
    b->size &= ~FREE;
    b->next = b->prev = NULL;
}

/* A free block of at least this size. */
static struct block *find(uint32_t size) {
    uint32_t k = list_of(size);
    struct block *b = lists[k];
    for (int looks = LOOKS; b && looks; b = b->next, looks--)
        if ((b->size & ~FREE) >= size) return b;
    uint32_t word = ++k / 32, bits = k < LISTS ? has_some[word] & ~0u << k % 32 : 0;
    while (!bits && ++word < LISTS / 32) bits = has_some[word];
    return bits ? lists[word * 32 + (uint32_t)__builtin_ctz(bits)] : NULL;
}

/* One block less: its bytes belong to the one before. */
static void forget(struct block *b) { memset(b, 0, sizeof *b); }

/* Frees a block whose bytes are zeros. */
static void release(struct block *b) {
    uint32_t size = b->size & ~FREE;
    struct block *next = after(b), *before = b->before;
    if (next->size & FREE) {
        take(next);
        size += HEAD + next->size;
        forget(next);
    }
    if (before && before->size & FREE) {
        take(before);
        size += HEAD + before->size;
        forget(b);
        b = before;
    }
    put(b, size);
}

/* More memory; false: there is none. */
static bool grow(uint32_t size) {
    size_t pages = ((size_t)size + 2 * HEAD + WASM_PAGE - 1) / WASM_PAGE;
    size_t page = __builtin_wasm_memory_grow(0, pages);
    if (page == (size_t)-1) return false;
    uint8_t *start = (uint8_t *)(page * WASM_PAGE);
    bool adjoins = end && (uint8_t *)end + HEAD == start; /* unless libc asked for some meanwhile */
    struct block *b = adjoins ? end : (struct block *)start;
    end = (struct block *)(start + pages * WASM_PAGE - HEAD);
    b->size = (uint32_t)((uint8_t *)end - (uint8_t *)b) - HEAD;
    end->size = 0;
    end->before = b;
    release(b);
    return true;
}

void heap_reserve(size_t wanted) {
    if (!find((uint32_t)wanted)) grow((uint32_t)wanted); /* none more is no error yet */
}

void *heap_take(size_t wanted) {
    if (wanted > UINT32_MAX / 2) return NULL;
    uint32_t size = wanted < LEAST ? LEAST : ((uint32_t)wanted + UNIT - 1) / UNIT * UNIT;
    struct block *b = find(size);
    if (!b && !(grow(size) && (b = find(size)))) return NULL;
    take(b);
    uint32_t rest = b->size - size;
    if (rest >= HEAD + LEAST) {
        b->size = size;
        after(b)->before = b;
        put(after(b), rest - HEAD);
    }
    return (uint8_t *)b + HEAD;
}

size_t heap_size(const void *p) { return ((const struct block *)((const uint8_t *)p - HEAD))->size; }

void heap_give(void *p) {
    memset(p, 0, heap_size(p));
    release((struct block *)((uint8_t *)p - HEAD));
}
