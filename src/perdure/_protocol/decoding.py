"""Decoding: CBOR payloads to Python values.

Pure. The other half of ``codec``. cbor2 does the work, in Rust; ``decoders`` has the tags, and
``survey`` looks first where time or memory would have no bound. Containers stay mutable and keep
their identity, so cycles through maps, sets' members and errors come back as they were. A large
payload is fed in small pieces: while cbor2 reads one no other thread of the process can run.
"""

# A codec takes and gives values of any type, so parts of what isinstance finds stay unknown:
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, NoReturn, final

import cbor2

from ..errors import GuestError, PerdureError, ProtocolError, ValueNotCarriableError
from ..values import UNDEFINED, Instance, StepRef
from .decoders import PLAIN, SHARED, SHARED_AS_LISTS, Unfit
from .show import show
from .survey import MAX_DEPTH, MAX_ITEMS, survey
from .tags import Tag

__all__ = ("decode", "decode_error", "decode_frame")

_PIECE_BYTES = 4096  # takes cbor2 0.1 ms, at most 2 ms
_LARGE_BYTES = 16 << 10
_MAP_HEAD = b"\xd9" + Tag.MAP.to_bytes(2, "big")
# Bytes of which an undefined, or a simple value that means nothing here, has one.
_RARE = bytes([*range(0xE0, 0xF4), 0xF7, 0xF8])
_COMMON = bytes(sorted(set(range(256)) - set(_RARE)))
# Numbers of up to four bytes, doubles, false, true and null, short texts and byte strings, and
# heads of arrays of these: whatever follows which, there is no tag, map or other simple value.
_SIMPLE = re.compile(
    rb"(?:[\x00-\x17\x20-\x37\x80-\x97\xf4-\xf6]|[\x18\x38].|[\x19\x39]..|[\x1a\x3a].{4}|\xfb.{8}|"
    + b"|".join([b"[\\x%x\\x%x].{%d}" % (0x40 + size, 0x60 + size, size) for size in range(24)])
    + rb")*+",
    re.DOTALL,
)
_SHORT = 64  # bytes
_SCALARS = frozenset({str, int, float, bool, type(None), bytes})
_CONTAINERS = frozenset({list, dict, set, GuestError, cbor2.CBORTag, Instance, StepRef})
_ODD_KEY = "map key must be a text string"  # what cbor2 says of others, where only text may be
_KEYS_MERGE = "two of its keys are one in Python, as true, 1 and 1n are; pass a list of pairs"


def decode(data: bytes) -> Any:
    """The value of a payload, in time and memory bounded by its length.

    Raises:
        ProtocolError: *data* is not one CBOR value, or not one that the protocol has.
        ValueNotCarriableError: it has too many items, or a Map in it has keys that Python's dict
            cannot have or keep apart.
    """
    if len(data) <= _SHORT and _SIMPLE.fullmatch(data):
        try:
            value = cbor2.loads(data)
        except cbor2.CBORDecodeError:
            return _decode_all(data)  # which says what is wrong
        if cbor2.dumps(value) == data:  # else something follows, or is written in another way
            return value
    return _decode_all(data)


def _decode_all(data: bytes) -> Any:
    if len(data) > MAX_ITEMS:
        survey(data)
    try:
        value = _load(data, PLAIN)
    except Unfit:
        survey(data)
        try:
            value = _load(data, SHARED)
        except Unfit:
            value = _load(data, SHARED_AS_LISTS)
    # Only then can there be an undefined in it.
    return _settle(value) if data.translate(None, _COMMON) else value


def decode_frame(data: bytes) -> Any:
    """The value of a large frame, which has neither shared objects nor values of tags in it.

    Raises:
        ProtocolError: *data* is not one CBOR value.
    """
    try:
        return _load(data, PLAIN, allow_indefinite=True)
    except Unfit as exc:
        raise ProtocolError("a frame has shared objects") from exc


def decode_error(data: bytes) -> GuestError:
    """The error of an error payload; a thrown value that is no error becomes one that shows it.

    Raises:
        ProtocolError: as ``decode``.
        ValueNotCarriableError: as ``decode``.
    """
    value = decode(data)
    if isinstance(value, GuestError):
        return value
    text = value if isinstance(value, str) else show(value)
    return GuestError(name="Error", message=text, props={"thrown": value})


@final
class _Feed:
    """A payload as a file. Each read is a moment at which another thread may run."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, _whence: int) -> int:
        # cbor2 only goes back from where it is, over what it read too much.
        self._at += offset
        return self._at

    def read(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        self._at += len(piece)
        return piece


def _load(data: bytes, decoders: dict[int, Any], *, allow_indefinite: bool = False) -> Any:
    source: Any = _Feed(data) if len(data) > _LARGE_BYTES else io.BytesIO(data)
    decoder = cbor2.CBORDecoder(
        source,
        semantic_decoders=decoders,
        max_depth=MAX_DEPTH,
        read_size=_PIECE_BYTES,
        allow_indefinite=allow_indefinite,
        allow_duplicate_keys=False,
        strict_hashable_types=decoders is PLAIN,
    )
    try:
        value = decoder.decode()
    except Exception as exc:  # malformed bytes have many kinds
        _raise_named(exc, data)
    if source.tell() != len(data):
        raise ProtocolError("a payload is not valid CBOR: bytes follow the value")
    return value


def _raise_named(error: Exception, data: bytes) -> NoReturn:
    """Raise the error behind cbor2's; it wraps those of decoders, once for each level."""
    for cause in _causes(error):
        if isinstance(cause, PerdureError | Unfit) or not isinstance(cause, Exception):
            raise cause
        if _ODD_KEY in str(cause):
            raise Unfit from error
        # The guest writes no key twice, so in a Map two that JavaScript keeps apart are meant.
        if "Duplicate map key" in str(cause) and _MAP_HEAD in data:
            raise ValueNotCarriableError("a key of a Map", _KEYS_MERGE) from error
    raise ProtocolError(f"a payload is not valid CBOR: {error}") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _settle(value: Any) -> Any:
    """*value* with our ``UNDEFINED`` in place of cbor2's; containers are changed in place.

    Raises:
        ProtocolError: it has a simple value that means nothing here.
    """
    root = [value]
    stack: list[Any] = [root]
    visits: set[int] = set()
    while stack:
        container = stack.pop()
        if id(container) in visits:
            continue
        visits.add(id(container))
        stack.extend(_settle_items(container))
    return root[0]


def _settle_items(container: Any) -> list[Any]:
    """Settle the items without parts in one container; return the other containers in it."""
    if type(container) is list:
        container[:] = items = [
            item if type(item) in _SCALARS else _settled(item) for item in container
        ]
    elif type(container) is dict:
        pairs = [(_settled(key), _settled(item)) for key, item in container.items()]
        container.clear()
        container.update(pairs)
        items = [part for pair in pairs for part in pair]
    elif type(container) is set:
        items = [_settled(item) for item in container]
        container.clear()
        container.update(items)
    elif type(container) is GuestError:
        container.cause = _settled(container.cause)
        container.errors = tuple([_settled(item) for item in container.errors])
        items = [container.cause, *container.errors, container.props, container.instance]
    elif type(container) is Instance:
        items = [container.data]
    elif type(container) is StepRef:
        items = [*(container.closure or ()), container.this]
    else:  # a tag that is passed on
        items = [container.value]
    return [item for item in items if type(item) in _CONTAINERS]


def _settled(item: Any) -> Any:
    """An item that is no container; of a key, all of it."""
    kind = type(item)
    if item is cbor2.undefined:
        return UNDEFINED
    if kind is cbor2.CBORSimpleValue:
        raise ProtocolError(f"a payload has simple value {item.value}, which means nothing here")
    if kind is tuple or kind is frozenset:
        return kind([_settled_part(part) for part in item])
    if kind is cbor2.frozendict:
        pairs = [(_settled_part(key), _settled_part(part)) for key, part in item.items()]
        return cbor2.frozendict(pairs)
    return item


def _settled_part(part: Any) -> Any:
    return _settle(part) if type(part) in _CONTAINERS else _settled(part)
