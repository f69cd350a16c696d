"""Plain CBOR: numbers, texts, bytes, lists and maps; no tag is read.

Pure. For bytes that may be damaged or made up: a tag makes cbor2 build dates, fractions, regular
expressions and more, some of which cost much for a few bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, final

import cbor2

__all__ = ("load_plain",)


@final
class _NoTags(dict[int, Callable[..., NoReturn]]):
    """Every tag's decoder: a refusal."""

    def __missing__(self, tag: int) -> Callable[..., NoReturn]:
        return _refuse_tag


def _refuse_tag(*_: object, **__: object) -> NoReturn:
    raise ValueError("it holds a tag")


_NO_TAGS = _NoTags()


def load_plain(data: bytes, *, depth: int) -> Any:
    """The value that *data*, some bytes of CBOR, stands for.

    Args:
        depth: of containers within containers, at most.

    Raises:
        ValueError: they are no value, or hold a tag, a length that is not said before, a key
            twice or one that is no text or bytes, or are nested deeper. Bytes that follow the
            value are passed over.
    """
    try:
        return cbor2.loads(
            data,
            semantic_decoders=_NO_TAGS,
            max_depth=depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except (cbor2.CBORDecodeError, TypeError, MemoryError) as exc:
        raise ValueError(str(exc)) from exc
