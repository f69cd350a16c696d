"""Scalar forms: those of values without parts, and which JavaScript takes for one. Pure."""

# Forms are of any type, so a type that is asked for stays unknown:
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2

from .plain_values import MAX_SAFE_INTEGER
from .tags import FINE_SECONDS, Tag

__all__ = ("bigint_form", "identity_of", "instant_form", "whole_number")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def identity_of(form: Any) -> object:
    """A key or item of a set as JavaScript compares it; None for an object, which is unique."""
    kind = type(form)
    if kind is str:
        return form
    if kind is float and form != form:
        return ("number", "NaN")  # which JavaScript takes for one value
    if kind is int or kind is float:
        is_big = kind is int and abs(form) > MAX_SAFE_INTEGER
        return ("bigint" if is_big else "number", form)
    if kind is bool or form is None or form is cbor2.undefined:
        return ("constant", str(form))
    if kind is cbor2.CBORTag and form.tag in (Tag.BIGINT, Tag.NEGATIVE_BIGINT):
        number = int.from_bytes(form.value, "big")
        return ("bigint", number if form.tag == Tag.BIGINT else -1 - number)
    return None


def bigint_form(value: int) -> cbor2.CBORTag:
    """Tag 2, or 3 of -1 - n, also where a plain integer would do."""
    magnitude = value if value >= 0 else -1 - value
    data = magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big")
    return cbor2.CBORTag(Tag.BIGINT if value >= 0 else Tag.NEGATIVE_BIGINT, data)


def whole_number(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def instant_form(value: datetime) -> cbor2.CBORTag:
    """Seconds; where a float of them cannot tell microseconds, milliseconds and the rest."""
    total = (value - _EPOCH) // _MICROSECOND
    ms, past = divmod(total, 1000)
    if past and abs(ms) >= FINE_SECONDS * 1000:
        return cbor2.CBORTag(Tag.INSTANT, [ms, past])
    seconds, rest = divmod(total, 1_000_000)
    return cbor2.CBORTag(Tag.EPOCH, total / 1_000_000 if rest else seconds)
