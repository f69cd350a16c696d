"""URLs of worlds: parsed alike, and shown without parts that may be secret.

Pure. A character that ends a part of a URL (``?``, ``#``) never ends a name in silence, an unknown
option is refused, and no message repeats a password, not even of a URL that cannot be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from .._value_class import value_class
from ..display import shown_option, shown_url
from ..errors import UsageError

__all__ = ("WorldUrl", "parse_url")

_CONTROL = "[\x00-\x1f\x7f\ud800-\udfff]"  # and halves of characters


@value_class
class WorldUrl:
    """The parts of a world's URL."""

    authority: str  # between the slashes, as it is written
    path: str  # decoded, without the slash that ends the authority
    options: tuple[tuple[str, str], ...]  # decoded, each once


def parse_url(url: str, *, scheme: str, options: Collection[str] | None, example: str) -> WorldUrl:
    """Take a world's URL apart.

    Args:
        url: as it was written, with secrets.
        scheme: the one that the world serves.
        options: those that there are; None leaves that to the caller.
        example: how the URL is written, for messages.

    Raises:
        UsageError: it is another kind of URL, or one of its parts is ambiguous.
    """
    if not isinstance(cast(object, url), str):
        raise UsageError(
            f"a world's URL is a text, not a value of type {type(url).__name__}; write {example}"
        )
    text = shown_url(url)
    if "#" in url:
        raise UsageError(f"{text!r} has a '#': in a world's URL it is written %23")
    if re.search(_CONTROL, url):
        raise UsageError(f"{text!r} has a control character; percent-encode it")
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict").removeprefix("/")
        pairs = tuple(parse_qsl(parts.query, keep_blank_values=True, errors="strict"))
    except ValueError:  # its words may repeat a password
        raise UsageError(f"{text!r} is no URL; write {example}") from None
    if parts.scheme != scheme or "://" not in url or "\x00" in path:
        raise UsageError(f"{text!r} is no URL of such a world; write {example}")
    _check_options(text, [name for name, _ in pairs], options)
    if url.endswith("?"):
        raise UsageError(f"{text!r} ends in '?' without an option; in a name it is written %3F")
    return WorldUrl(authority=parts.netloc, path=path, options=pairs)


def _check_options(text: str, names: list[str], options: Collection[str] | None) -> None:
    for name in names:
        if options is not None and name not in options:
            there = f"the options are {', '.join(options)}" if options else "there are no options"
            raise UsageError(
                f"{text!r} has an unknown option {shown_option(name)!r}; {there} "
                "(in a name, '?' is written %3F)"
            )
        if options is not None and names.count(name) > 1:
            raise UsageError(f"{text!r} has the option {shown_option(name)!r} twice")
