"""Patches: changes of the engine's sources before they are compiled.

Four kinds, each with its reason beside it: text put at the start of a function, text replaced
within one or within a structure, and text put after a function. A place that is not there exactly
once is an error, so a new version of the engine cannot be taken without a look at each. Stands
alone.
"""

from __future__ import annotations

import re

__all__ = ("patch",)

# Native recursion moves the counted stack, so that it always ends before the machine's own does:
# a function without locals in memory would otherwise recurse and move nothing.
_POOLED = "js_check_stack_overflow(ctx->rt, 0)"
_COUNTED = "JS_RECURSES(ctx)"
_RECURSIVE = (
    "js_inner_module_linking",
    "gather_available_ancestors",
    "js_async_module_execution_rejected",
    "js_inner_module_evaluation",
    "JS_FlattenIntoArray",
    "json_parse_value",
    "internalize_json_property",
    "js_json_to_str",
)
# A property by its name, a nested value: so many of the engine's ticks, each some 10 ns.
_POLL = "    if (js_charge(ctx, 8)) "
_OVERFLOW = "    if (JS_RECURSES(ctx)) { JS_ThrowStackOverflow(ctx); "

_AT_START = {
    # A chain of modules is as long as its bundle makes it.
    "js_resolve_module": _OVERFLOW + "return -1; }\n",
    "js_create_module_function": _OVERFLOW + "return -1; }\n",
    "get_exported_names": _OVERFLOW + "return -1; }\n",
    "js_resolve_export1": _OVERFLOW + "return JS_RESOLVE_RES_EXCEPTION; }\n",
    # The parser asks one level down, in next_token; its own frames are wide on the machine's stack.
    "js_parse_unary": "    JS_TAKES_STACK;\n",
    "js_parse_assign_expr2": "    JS_TAKES_STACK;\n",
    # Promise.all of another class may settle by a function of Promise.all, and so on.
    "js_promise_all_resolve_element": _OVERFLOW + "return JS_EXCEPTION; }\n",
    # Loops over what only says it has a length.
    "JS_SetPropertyInt64": _POLL + "{ JS_FreeValue(ctx, val); return -1; }\n",
    "JS_DeletePropertyInt64": _POLL + "return -1;\n",
    "JS_FlattenIntoArray": _POLL + "return -1;\n",
    "json_parse_value": "    if (js_poll_interrupts(s->ctx)) return JS_EXCEPTION;\n",
    "internalize_json_property": _POLL + "return JS_EXCEPTION;\n",
    # Long numbers: quadratic, in limbs of 32 bits.
    "js_bigint_mul": "    if (js_charge(ctx, (int64_t)a->len * b->len >> 3)) return NULL;\n",
    "js_bigint_divrem": "    if (js_charge(ctx, (int64_t)a->len * b->len >> 3)) return NULL;\n",
    "js_bigint_from_string": "    if (js_charge(ctx, bigint_cost(strlen(str) / 9))) return NULL;\n",
    "js_regexp_exec": "    if (js_charge(ctx, 16)) return JS_EXCEPTION;\n",
}
_IN_TYPE = (
    # For walks along promises, and for leaving out the reactions that do nothing any more.
    (
        "JSPromiseData",
        "    bool is_handled;\n",
        "    bool is_handled, is_walked;\n    struct JSPromiseData *next_walked;\n"
        "    uint32_t reaction_count;\n",
    ),
)
_IN_FUNCTION = (
    (
        "perform_promise_then",
        "    if (s->promise_state == JS_PROMISE_PENDING) {\n",
        "    if (s->promise_state == JS_PROMISE_PENDING) {\n        count_reaction(ctx, s);\n",
    ),
    (
        "JS_TryGetPropertyInt64",
        "    val = JS_EXCEPTION;\n    present = -1;\n",
        "    val = JS_EXCEPTION;\n    present = -1;\n"
        "    if (js_charge(ctx, 8)) { *pval = val; return -1; }\n",
    ),
    (
        "JS_GetPropertyInt64",
        "    prop = JS_NewAtomInt64(ctx, idx);\n",
        _POLL + "return JS_EXCEPTION;\n    prop = JS_NewAtomInt64(ctx, idx);\n",
    ),
    # Iterators in C that wrap one another, and have no end.
    (
        "JS_IteratorNext2",
        "            func = p->u.cfunc.c_function;\n",
        "            if (JS_RECURSES(ctx)) { JS_ThrowStackOverflow(ctx); goto fail; }\n"
        "            if (js_poll_interrupts(ctx)) goto fail;\n"
        "            func = p->u.cfunc.c_function;\n",
    ),
    (
        "js_json_to_str",
        "    if (JS_IsObject(val)) {\n        p = JS_VALUE_GET_OBJ(val);\n        cl =",
        "    if (js_charge(ctx, 32)) goto exception;\n"
        "    if (JS_IsObject(val)) {\n        p = JS_VALUE_GET_OBJ(val);\n        cl =",
    ),
    (
        "js_bigint_to_string1",
        "        JSBigInt *r, *tmp = NULL;\n",
        "        JSBigInt *r, *tmp = NULL;\n"
        "        if (js_charge(ctx, bigint_cost(((JSBigInt *)JS_VALUE_GET_PTR(val))->len)))\n"
        "            return JS_EXCEPTION;\n",
    ),
    # A search that is quadratic gives up; the next poll ends the call.
    (
        "string_cmp",
        "            return c1 - c2;\n    }\n",
        "            break;\n    }\n    if (i > 64) guest_charge(i >> 2);\n"
        "    if (i < len) return c1 - c2;\n",
    ),
    (
        "string_indexof",
        "            return j;\n",
        "            return j;\n        if (guest_charge(1)) break;\n",
    ),
    (
        "js_string_indexOf",
        "            if (!string_cmp(p, p1, i, 0, v_len)) {\n",
        "            if (guest_charge(1)) break;\n"
        "            if (!string_cmp(p, p1, i, 0, v_len)) {\n",
    ),
    (
        "js_string_includes",
        "            if (!string_cmp(p, p1, i, 0, v_len)) {\n",
        "            if (guest_charge(1)) break;\n"
        "            if (!string_cmp(p, p1, i, 0, v_len)) {\n",
    ),
    (
        "js_array_cmp_generic",
        "        if (!ap->str) {\n",
        "        if (js_charge(ctx, 4)) goto exception;\n        if (!ap->str) {\n",
    ),
    # The callers of async functions that wait, at the end of a stack: engine.c writes them.
    (
        "build_backtrace",
        " done:\n    if (has_prepare) {\n        int j = 0, k;\n",
        "    if (!has_prepare) out_callers(ctx, &dbuf, stack_trace_limit - (int)i);\n"
        " done:\n    if (has_prepare) {\n        int j = 0, k;\n",
    ),
    # A for-await leaves its iterator alone once next() failed: while that runs and is awaited, the
    # place that is closed when the stack is unwound is undefined, and the iterator lies above it.
    (
        "js_for_of_next",
        "    int done = 1;\n\n",
        "    int done = 1;\n\n    if (offset == FOR_AWAIT) return js_for_await_next(ctx, sp);\n",
    ),
    (
        "js_parse_for_in_of",
        "            emit_op(s, OP_dup3);\n            emit_op(s, OP_drop);\n"
        "            emit_op(s, OP_call_method);\n            emit_u16(s, 0);\n",
        "            emit_op(s, OP_for_of_next);\n            emit_u8(s, 255);\n",
    ),
    (
        "js_parse_for_in_of",
        "            emit_op(s, OP_iterator_get_value_done);\n",
        "            emit_op(s, OP_iterator_get_value_done);\n            emit_op(s, OP_nip1);\n",
    ),
    (
        "js_iterator_get_value_done",
        "    JS_FreeValue(ctx, obj);\n    sp[-1] = value;\n",
        "    JS_FreeValue(ctx, obj);\n    sp[-5] = sp[-2];\n    sp[-2] = JS_UNDEFINED;\n"
        "    sp[-1] = value;\n",
    ),
    (
        "js_iterator_get_value_done",
        "        JS_FreeValue(ctx, sp[-4]);\n        sp[-4] = JS_UNDEFINED;\n",
        "        JS_FreeValue(ctx, sp[-5]);\n        sp[-5] = JS_UNDEFINED;\n",
    ),
    # The zone's name, as engines write it; a date like ISO's that is none has no other reading.
    (
        "get_date_string",
        '"%02d%02d", tz / 60, tz % 60);\n            /* XXX: tack the time zone code? */\n',
        '"%02d%02d (Coordinated Universal Time)", tz / 60, tz % 60);\n',
    ),
    ("get_date_string", "    char buf[64];\n", "    char buf[96];\n"),
    (
        "js_Date_parse",
        "    if (js_date_parse_isostring(buf, fields, &is_local)\n"
        "    ||  js_date_parse_otherstring(buf, fields, &is_local)) {\n",
        "    if (js_date_parse_isostring(buf, fields, &is_local)\n"
        "    ||  (!is_iso_like((char *)buf)\n"
        "         && js_date_parse_otherstring(buf, fields, &is_local))) {\n",
    ),
    # A sync iterator that is awaited is closed when an item of it rejects (ES2025).
    (
        "js_async_from_sync_iterator_next",
        "            JS_FreeValue(ctx, value);\n            goto reject;\n",
        "            JS_FreeValue(ctx, value);\n"
        "            if (!done && magic != GEN_MAGIC_RETURN)\n"
        "                JS_IteratorClose(ctx, s->sync_iter, true);\n            goto reject;\n",
    ),
    (
        "js_async_from_sync_iterator_next",
        "        resolve_reject[1] = JS_UNDEFINED;\n",
        "        resolve_reject[1] = done || magic == GEN_MAGIC_RETURN\n"
        "            ? JS_UNDEFINED : js_async_from_sync_iterator_closer(ctx, s->sync_iter);\n",
    ),
    (
        "js_async_from_sync_iterator_next",
        "        JS_FreeValue(ctx, resolve_reject[0]);\n",
        "        JS_FreeValue(ctx, resolve_reject[0]);\n"
        "        JS_FreeValue(ctx, resolve_reject[1]);\n",
    ),
    # What a for-await throws waits for its iterator's return(), as a finally in there may await.
    (
        "js_parse_for_in_of",
        "    BlockEnv break_entry;\n",
        "    BlockEnv break_entry;\n    int label_throw = -1;\n",
    ),
    (
        "js_parse_for_in_of",
        "        if (is_async)\n            emit_op(s, OP_for_await_of_start);\n        else\n",
        "        if (is_async) {\n            emit_op(s, OP_for_await_of_start);\n"
        "            emit_op(s, OP_drop);\n            label_throw = emit_goto(s, OP_catch, -1);\n"
        "        } else\n",
    ),
    (
        "js_parse_for_in_of",
        "        emit_iterator_close(s, is_async, false);\n",
        "        emit_iterator_close(s, is_async, false);\n"
        "        if (is_async)\n            emit_close_before_throw(s, label_throw);\n",
    ),
    (
        "JS_CallInternal",
        "                method = JS_GetProperty(ctx, sp[-4], (flags & 1) ?\n",
        "                JSValueConst iter = sp[flags & 4 ? -5 : -4];\n"
        "                method = JS_GetProperty(ctx, iter, (flags & 1) ?\n",
    ),
    (
        "JS_CallInternal",
        "                        ret = JS_CallFree(ctx, method, sp[-4],\n"
        "                                          0, NULL);\n",
        "                        ret = JS_CallFree(ctx, method, iter, 0, NULL);\n",
    ),
    # An async generator that has ended answers all that was asked of it, not the first only.
    (
        "js_async_generator_resume_next",
        "                js_async_generator_completed_return(ctx, s, next->result);\n"
        "            } else {\n"
        "                js_async_generator_reject(ctx, s, next->result);\n            }\n"
        "            goto done;\n",
        "                js_async_generator_completed_return(ctx, s, next->result);\n"
        "                goto done;\n            } else {\n"
        "                js_async_generator_reject(ctx, s, next->result);\n            }\n"
        "            break;\n",
    ),
    (
        "js_async_generator_resolve_function",
        "            js_async_generator_resolve(ctx, s, arg, true);\n        }\n",
        "            js_async_generator_resolve(ctx, s, arg, true);\n        }\n"
        "        js_async_generator_resume_next(ctx, s);\n",
    ),
    (
        "lre_check_timeout",
        "    return (rt->interrupt_handler &&\n",
        "    guest_charge(GUEST_REGEXP_POLL);\n    return (rt->interrupt_handler &&\n",
    ),
)
_AFTER_FUNCTION = {
    # From here on natives may be charged for work that no poll counts.
    "js_poll_interrupts": """
static inline bool js_charge(JSContext *ctx, int64_t ticks)
{
    if (likely(!guest_charge(ticks)))
        return false;
    JS_ThrowInterrupted(ctx);
    return true;
}

static inline int64_t bigint_cost(int64_t limbs) { return limbs * limbs >> 3; }
""",
    "js_check_stack_overflow": """
/* Takes some of the counted stack in the function where it stands, which calls itself. */
#define JS_TAKES_STACK char pad_[256]; __asm__ volatile("" ::"r"(pad_) : "memory")
#define JS_RECURSES(ctx) ({ JS_TAKES_STACK; js_check_stack_overflow((ctx)->rt, 0); })
""",
    "js_for_of_start": """
#define FOR_AWAIT (-3 - 255)

/* iter next catch -> undefined next catch iter result */
static __exception int js_for_await_next(JSContext *ctx, JSValue *sp)
{
    JSValue iter = sp[-3];
    sp[-3] = JS_UNDEFINED;
    sp[0] = iter;
    sp[1] = JS_Call(ctx, sp[-2], iter, 0, NULL);
    if (likely(!JS_IsException(sp[1])))
        return 0;
    JS_FreeValue(ctx, iter);
    return -1;
}
""",
    "js_async_from_sync_iterator_unwrap_func_create": """
static JSValue js_async_from_sync_iterator_close(JSContext *ctx, JSValueConst this_val, int argc,
                                                 JSValueConst *argv, int magic,
                                                 JSValueConst *func_data)
{
    JS_Throw(ctx, js_dup(argv[0]));
    JS_IteratorClose(ctx, func_data[0], true);
    return JS_EXCEPTION;
}

static JSValue js_async_from_sync_iterator_closer(JSContext *ctx, JSValueConst sync_iter)
{
    return JS_NewCFunctionData(ctx, js_async_from_sync_iterator_close, 1, 0, 1, &sync_iter);
}
""",
    "emit_iterator_close": """
static void emit_close_before_throw(JSParseState *s, int label_throw)
{
    int label_end = emit_goto(s, OP_goto, -1), label_failed, label_no_return;
    emit_label(s, label_throw); /* iter next error */
    label_failed = emit_goto(s, OP_catch, -1);
    emit_op(s, OP_undefined);
    emit_op(s, OP_iterator_call); /* of what lies five deep, without an argument */
    emit_u8(s, 2 | 4);
    label_no_return = emit_goto(s, OP_if_true, -1);
    emit_op(s, OP_await);
    emit_label(s, label_no_return);
    emit_op(s, OP_drop);
    emit_op(s, OP_drop); /* the catch offset */
    emit_op(s, OP_throw);
    emit_label(s, label_failed); /* iter next error another */
    emit_op(s, OP_drop);
    emit_op(s, OP_throw);
    emit_label(s, label_end);
}
""",
    "js_date_parse_otherstring": """
static bool is_iso_like(const char *text)
{
    size_t digits = strspn(text + (*text == '+' || *text == '-'), "0123456789");
    bool is_signed = *text == '+' || *text == '-';
    const char *at = text + is_signed + digits;
    if (digits != (is_signed ? 6 : 4) || *at != '-' || strspn(at + 1, "0123456789") != 2)
        return false;
    at += 3;
    if (*at == '-' && strspn(at + 1, "0123456789") == 2)
        at += 3;
    return !*at || *at == 'T';
}
""",
    "get_proxy_method": """
#define get_proxy_method(ctx, method, object, name) \\
    ({ JS_TAKES_STACK; get_proxy_method(ctx, method, object, name); })
""",
}


def patch(text: str) -> str:
    """``quickjs.c`` as it is compiled.

    Raises:
        ValueError: it is another version of the engine; says which place is not there.
    """
    for function in _RECURSIVE:
        text = _edited(text, function, _POOLED, _COUNTED)
    for name, before, after in _IN_TYPE:
        start, end = _type_body(text, name)
        text = text[:start] + _replaced(text[start:end], before, after, name) + text[end:]
    for function, before, after in _IN_FUNCTION:
        text = _edited(text, function, before, after)
    for function, code in _AT_START.items():
        start, end = _body(text, function)
        text = text[:start] + code + text[start:end] + text[end:]
    for function, code in _AFTER_FUNCTION.items():
        _, end = _body(text, function)
        text = text[:end] + code + text[end:]
    return text


def _edited(text: str, function: str, before: str, after: str) -> str:
    start, end = _body(text, function)
    return text[:start] + _replaced(text[start:end], before, after, function) + text[end:]


def _replaced(text: str, before: str, after: str, place: str) -> str:
    if text.count(before) != 1:
        raise ValueError(f"{place} has no one place for {before.strip()!r}")
    return text.replace(before, after)


def _type_body(text: str, name: str) -> tuple[int, int]:
    """From the first line of a structure's fields to its end."""
    head = f"typedef struct {name} {{\n"
    if text.count(head) != 1:
        raise ValueError(f"there are {text.count(head)} structures named {name}")
    start = text.index(head) + len(head)
    return start, text.index(f"}} {name};\n", start)


def _body(text: str, function: str) -> tuple[int, int]:
    """From the first line of a function's body to the line after its end."""
    heads = re.findall(rf"^\w[^;{{}}#/]*\b{function}\([^;{{}}]*\)\s*\{{\n", text, re.MULTILINE)
    if len(heads) != 1:
        raise ValueError(f"there are {len(heads)} functions named {function}")
    start = text.index(heads[0]) + len(heads[0])
    return start, text.index("\n}\n", start) + 3
