"""Patches: what the engine's sources are changed by before they are compiled.

Three kinds, each with its reason beside it: text put at the start of a function, text replaced
within one, and text put after one. A place that is not there exactly once is an
error, so a new version of the engine cannot be taken without a look at each. Stands alone.
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
_PROXY_END = "    /* safer to test recursion in all proxy methods */\n"
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
_IN_FUNCTION = (
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


def _body(text: str, function: str) -> tuple[int, int]:
    """From the first line of a function's body to the line after its end."""
    heads = re.findall(rf"^\w[^;{{}}#/]*\b{function}\([^;{{}}]*\)\s*\{{\n", text, re.MULTILINE)
    if len(heads) != 1:
        raise ValueError(f"there are {len(heads)} functions named {function}")
    start = text.index(heads[0]) + len(heads[0])
    return start, text.index("\n}\n", start) + 3
