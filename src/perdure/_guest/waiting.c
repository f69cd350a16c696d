/* Waiting: what a promise that waits for a hook can still lead to, and whether anybody has it yet.
 *
 * A payload goes to the first waiter that something can come of. `leads_on` follows a promise's
 * reactions: through resolving functions that were not called yet, to a suspended function, a
 * callback of the user's, or a promise that nobody has looked at. It only reads the heap, and no
 * reference count: the same heap gives the same answer, whatever was collected before.
 *
 * `is_forgotten` does read counts: whether all references to what waits come from itself. It only
 * says what may be thrown away, of that which leads nowhere, so that a race in a loop leaves
 * nothing behind; no code can tell.
 */

/* A function that settles a promise, of the engine's; it did so before, or its turn is over. */
static JSPromiseFunctionData *settling_function(JSObject *p) {
    if (p->class_id != JS_CLASS_PROMISE_RESOLVE_FUNCTION && p->class_id != JS_CLASS_PROMISE_REJECT_FUNCTION)
        return NULL;
    return p->u.promise_function_data;
}

static JSCFunctionDataRecord *element_function(JSObject *p) {
    bool is_one = p->class_id == JS_CLASS_C_FUNCTION_DATA &&
                  p->u.c_function_data_record->func == js_promise_all_resolve_element;
    return is_one ? p->u.c_function_data_record : NULL;
}

/* Whether calling it does nothing any more. */
static bool is_spent(JSValueConst settle) {
    for (int hops = 0; hops < MAX_HOPS; hops++) {
        JSObject *p = object_of(settle);
        if (!p) return false;
        JSPromiseFunctionData *f = settling_function(p);
        if (f) return f->presolved->already_resolved;
        JSCFunctionDataRecord *element = element_function(p);
        if (!element) return false;
        if (JS_VALUE_GET_BOOL(element->data[0])) return true;
        settle = element->data[3]; /* of the promise that all() made, or what its class has made of it */
    }
    return false;
}

/* ---- where a promise leads ------------------------------------------------------------------- */

struct walk {
    JSPromiseData *first, *last;
};

static void walk_to(struct walk *w, JSValueConst promise) {
    JSPromiseData *s = JS_GetOpaque(promise, JS_CLASS_PROMISE);
    if (!s || s->promise_state != JS_PROMISE_PENDING || s->is_walked) return;
    s->is_walked = true;
    if (w->last) w->last->next_walked = s;
    else w->first = s;
    w->last = s;
}

static void end_walk(struct walk *w) {
    for (JSPromiseData *s = w->first, *next; s; s = next) {
        next = s->next_walked;
        s->next_walked = NULL;
        s->is_walked = false;
    }
}

/* Goes on behind a function that settles a promise; true if it is the user's. */
static bool walk_behind(struct walk *w, JSValueConst settle) {
    JSObject *p = object_of(settle);
    if (!p) return false; /* what an await leaves out */
    JSPromiseFunctionData *f = settling_function(p);
    if (!f) return true;
    if (!f->presolved->already_resolved) walk_to(w, f->promise);
    return false;
}

/* `return await x` has nothing left to do but return. */
static bool only_returns(JSStackFrame *sf) { return *sf->cur_pc == OP_return_async; }

/* Whether the user's code goes on by this reaction; else the walk goes on behind it. */
static bool goes_on(struct walk *w, JSPromiseReactionData *rd) {
    JSObject *p = object_of(rd->handler);
    if (!p) return walk_behind(w, rd->resolving_funcs[0]);
    if (settling_function(p)) return walk_behind(w, rd->handler);
    if (p->class_id == JS_CLASS_ASYNC_FUNCTION_RESOLVE) {
        JSAsyncFunctionData *s = p->u.async_function_data;
        return !only_returns(&s->func_state.frame) || walk_behind(w, s->resolving_funcs[0]);
    }
    JSCFunctionDataRecord *element = element_function(p);
    if (element) return !JS_VALUE_GET_BOOL(element->data[0]) && walk_behind(w, element->data[3]);
    if (p->class_id == JS_CLASS_C_FUNCTION_DATA &&
        p->u.c_function_data_record->func == js_async_from_sync_iterator_unwrap)
        return walk_behind(w, rd->resolving_funcs[0]);
    return true;
}

static bool walk_on(struct walk *w, JSPromiseData *s) {
    struct list_head *el, *reactions = &s->promise_reactions[0];
    if (list_empty(reactions)) return !s->is_handled; /* somebody may look at it yet */
    list_for_each(el, reactions) {
        if (guest_charge(2)) return false;
        if (goes_on(w, list_entry(el, JSPromiseReactionData, link))) return true;
    }
    return false;
}

bool leads_on(JSValueConst promise) {
    struct walk w = {NULL, NULL};
    bool found = false;
    walk_to(&w, promise);
    for (JSPromiseData *s = w.first; s && !found; s = s->next_walked) found = walk_on(&w, s);
    end_walk(&w);
    return found;
}

/* ---- what nobody has any more ---------------------------------------------------------------- */

#define MAX_OWNED 64 /* objects behind one waiter; what has more is kept */

struct owned {
    JSGCObjectHeader *items[MAX_OWNED];
    int counts[MAX_OWNED]; /* references to each, from the others */
    int n;
    bool is_kept; /* something of it is the user's, or it is too much to tell */
};

static void own(struct owned *o, JSGCObjectHeader *item) {
    for (int k = 0; k < o->n; k++)
        if (o->items[k] == item) {
            o->counts[k]++;
            return;
        }
    if (o->n == MAX_OWNED) o->is_kept = true;
    else {
        o->items[o->n] = item;
        o->counts[o->n++] = 1;
    }
}

static void own_value(struct owned *o, JSValueConst v) {
    JSObject *p = object_of(v);
    if (p && !is_spent(v)) own(o, &p->header);
}

static void own_reactions(struct owned *o, JSPromiseData *s) {
    for (int k = 0; k < 2; k++) {
        struct list_head *el;
        list_for_each(el, &s->promise_reactions[k]) {
            JSPromiseReactionData *rd = list_entry(el, JSPromiseReactionData, link);
            own_value(o, rd->handler);
            own_value(o, rd->resolving_funcs[0]);
            own_value(o, rd->resolving_funcs[1]);
            if (o->is_kept) return;
        }
    }
}

static void own_inside(struct owned *o, JSGCObjectHeader *item) {
    if (JS_GC_TYPE(item) == JS_GC_OBJ_TYPE_ASYNC_FUNCTION) {
        JSAsyncFunctionData *s = (JSAsyncFunctionData *)item;
        own_value(o, s->resolving_funcs[0]);
        own_value(o, s->resolving_funcs[1]);
        return;
    }
    JSObject *p = (JSObject *)item;
    JSPromiseFunctionData *f = settling_function(p);
    JSCFunctionDataRecord *element = element_function(p);
    if (element) /* with the array of results, and one for their number */
        for (int k = 2; k < 5; k++) own_value(o, element->data[k]);
    else if (p->class_id == JS_CLASS_ARRAY) return;
    else if (f) own(o, &object_of(f->promise)->header);
    else if (p->class_id == JS_CLASS_PROMISE) own_reactions(o, p->u.promise_data);
    else if (p->class_id == JS_CLASS_ASYNC_FUNCTION_RESOLVE || p->class_id == JS_CLASS_ASYNC_FUNCTION_REJECT)
        own(o, &p->u.async_function_data->header);
    else o->is_kept = true;
}

/* Whether all references to the items come from among them. */
static bool is_closed(struct owned *o) {
    for (int k = 0; k < o->n && !o->is_kept; k++) own_inside(o, o->items[k]);
    for (int k = 0; k < o->n && !o->is_kept; k++) o->is_kept = JS_REF_COUNT(o->items[k]) != o->counts[k];
    return !o->is_kept;
}

bool is_forgotten(JSContext *ctx, JSValueConst waiter, const char *name) {
    JSProperty *held;
    struct owned o = {.n = 0};
    JSAtom atom = JS_NewAtom(ctx, name);
    JSObject *p = object_of(waiter);
    if (p && find_own_property(&held, p, atom)) own_value(&o, held->u.value);
    JS_FreeAtom(ctx, atom);
    bool closed = o.n && is_closed(&o);
    guest_charge(8 + o.n);
    return closed && !leads_on(held->u.value);
}

/* A race that is over leaves reactions that do nothing with the promises that lost it. */
static bool is_spent_pair(JSPromiseReactionData **pair) {
    struct owned o = {.n = 0};
    for (int k = 0; k < 2; k++) {
        if (!is_spent(pair[k]->handler)) return false;
        own_value(&o, pair[k]->resolving_funcs[0]);
        own_value(&o, pair[k]->resolving_funcs[1]);
    }
    return is_closed(&o);
}

static uint32_t drop_spent(JSContext *ctx, JSPromiseData *s) {
    struct list_head *heads = s->promise_reactions, *at[2] = {heads[0].next, heads[1].next};
    uint32_t left = 0;
    while (at[0] != &heads[0] && at[1] != &heads[1]) {
        JSPromiseReactionData *pair[2];
        for (int k = 0; k < 2; k++) {
            pair[k] = list_entry(at[k], JSPromiseReactionData, link);
            at[k] = at[k]->next;
        }
        guest_charge(8);
        if (!is_spent_pair(pair)) left++;
        else
            for (int k = 0; k < 2; k++) {
                list_del(&pair[k]->link);
                promise_reaction_data_free(ctx->rt, pair[k]);
            }
    }
    return left;
}

/* One more reaction; once in a while those that do nothing any more are dropped. */
static void count_reaction(JSContext *ctx, JSPromiseData *s) {
    uint32_t count = ++s->reaction_count;
    if (count < 16 || count & (count - 1)) return;
    if (drop_spent(ctx, s) <= count / 2) s->reaction_count = count / 2;
}

/* ---- settling -------------------------------------------------------------------------------- */

/* A promise without functions that settle it. */
JSValue new_pending(JSContext *ctx) {
    JSValue settle[2];
    JSValue promise = JS_NewPromiseCapability(ctx, settle);
    if (JS_IsException(promise)) return promise;
    JS_FreeValue(ctx, settle[0]);
    JS_FreeValue(ctx, settle[1]);
    return promise;
}

JSValue settle_pending(JSContext *ctx, JSValueConst promise, JSValueConst value, bool is_rejection) {
    JSValue settle[2];
    if (js_create_resolving_functions(ctx, settle, promise) < 0) return JS_EXCEPTION;
    JSValue r = JS_Call(ctx, settle[is_rejection], JS_UNDEFINED, 1, &value);
    JS_FreeValue(ctx, settle[0]);
    JS_FreeValue(ctx, settle[1]);
    return r;
}
