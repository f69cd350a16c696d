"""Values that JavaScript has and Python lacks, as they arrive in Python."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, final

from ._abort import AbortController as AbortController, AbortSignal as AbortSignal
from ._fetch import Headers, Request, Response
from ._stream_value import (
    Rewind as Rewind,
    Stream as Stream,
    StreamReader as StreamReader,
    StreamWriter as StreamWriter,
)
from ._value_class import AsItIs, value_class

__all__ = (
    "UNDEFINED",
    "AbortController",
    "AbortSignal",
    "ArrayBuffer",
    "BigInt",
    "ClassRef",
    "DataView",
    "Headers",
    "Instance",
    "RegExp",
    "Request",
    "Response",
    "Rewind",
    "RunHandle",
    "RunRef",
    "StepRef",
    "Stream",
    "StreamReader",
    "StreamWriter",
    "TypedArray",
    "Undefined",
    "Url",
)


class Undefined(Enum):
    """The type of ``UNDEFINED``."""

    UNDEFINED = "undefined"

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined.UNDEFINED


@final
@value_class(kw_only=False)
class RegExp(AsItIs):
    """A JavaScript regular expression; its grammar is JavaScript's, not ``re``'s."""

    source: str
    flags: str = ""


class Url(AsItIs, str):
    """A JavaScript ``URL``: its href."""

    __slots__ = ()


class BigInt(int):
    """A JavaScript ``bigint`` of any size; a plain ``int`` is a ``number`` there."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        from pydantic_core import core_schema  # pydantic asks, so it is there

        return core_schema.no_info_after_validator_function(cls, core_schema.int_schema())


class ArrayBuffer(AsItIs, bytes):
    """A JavaScript ``ArrayBuffer``; plain ``bytes`` cross as ``Uint8Array``."""

    __slots__ = ()


class DataView(AsItIs, bytes):
    """A JavaScript ``DataView``'s bytes."""

    __slots__ = ()


@final
@value_class(kw_only=False)
class TypedArray(AsItIs):
    """A JavaScript typed array other than ``Uint8Array``: RFC 8746 tag and little-endian bytes.

    Each bit of it survives: the sign of a zero, and the payload of a NaN.
    """

    tag: int  # 68 to 72, 77 to 79, 84 to 86: see docs/protocol.md
    data: bytes  # a whole number of items


@final
@value_class(kw_only=False)
class RunRef(AsItIs):
    """A run, as workflow code passes it on: ``perdure.get_run(ref.run_id)`` asks about it."""

    run_id: str


class RunHandle:
    """A ``perdure.Run``: it crosses, too, and arrives in a workflow as a ``Run``."""

    ref: RunRef


@final
@value_class(kw_only=False)
class StepRef(AsItIs):
    """A reference to a step, as a workflow passes it."""

    id: str
    closure: tuple[object, ...] | None = None  # values that a step in a function has captured
    this: object = UNDEFINED  # the one that it is bound to


@final
@value_class(kw_only=False)
class Instance(AsItIs):
    """An instance of a JavaScript class, in the form that its ``workflow-serialize`` returned."""

    class_id: str  # class//./file//Name
    data: object


@final
@value_class(kw_only=False)
class ClassRef(AsItIs):
    """A JavaScript class of the workflow's itself."""

    class_id: str
