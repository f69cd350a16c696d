"""JSON: a file of data as a module. Pure.

Its value is the default export, and each member whose key is a name is an export of that name, as
bundlers have it. The text stays on its lines.
"""

from __future__ import annotations

from typing import NoReturn, cast

from .diagnostics import Diagnostic, diagnose_at
from .tokens import RESERVED, words_of

__all__ = ("json_module",)

_NO_NAMES = RESERVED | words_of(
    "arguments await eval implements interface let package private protected public static yield"
)


def json_module(file: str, text: str) -> tuple[str, list[Diagnostic]]:
    """The JavaScript of a file of JSON, and the problems of the file."""
    import json  # for data alone

    try:
        value = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as exc:
        return "", [diagnose_at(file, text, exc.pos, f"this is no JSON: {exc.msg}")]
    except _ConstantError as exc:
        return "", [diagnose_at(file, text, 0, f"this is no JSON: {exc} is no number")]
    except RecursionError:
        return "", [diagnose_at(file, text, 0, "the JSON is nested too deeply")]
    keys = list(cast("dict[str, object]", value)) if isinstance(value, dict) else []
    names = [key for key in keys if _is_name(key)]
    whole = "$"
    while whole in names:
        whole += "$"
    # In an object's literal this key would be its prototype, not a member.
    literal = f"JSON.parse({json.dumps(text)})" if _has_prototype(text) else text.rstrip()
    exports = "".join(f" export const {name} = {whole}.{name};" for name in names)
    return f"const {whole} = {literal}; export default {whole};{exports}", []


def _has_prototype(text: str) -> bool:
    return "__proto__" in text or "\\u" in text


def _is_name(key: str) -> bool:
    return key.isascii() and key.replace("$", "_").isidentifier() and key not in _NO_NAMES


class _ConstantError(Exception):
    """NaN or an infinity, which Python reads and JSON does not have."""


def _refuse(constant: str) -> NoReturn:
    raise _ConstantError(constant)
