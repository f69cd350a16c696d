"""URLs of worlds: parsed alike, and shown without what may be secret.

Pure. A character that ends a part of a URL (``?``, ``#``) never ends a name in silence, an option
that nobody knows is refused, and no message repeats a password, whatever is wrong with its URL.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from ..display import shown_option, shown_url
from ..errors import UsageError

__all__ = ("WorldUrl", "parse_url")

_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # and halves of characters


@dataclass(frozen=True, slots=True, kw_only=True)
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
        UsageError: it is another URL, or one of whose parts it cannot be told what is meant.
    """
    if not isinstance(cast(object, url), str):
        raise UsageError(
            f"a world's URL is a text, not a value of type {type(url).__name__}; write {example}"
        )
    shown = shown_url(url)
    if "#" in url:
        raise UsageError(f"{shown!r} has a '#': in a world's URL it is written %23")
    if _CONTROL.search(url):
        raise UsageError(f"{shown!r} has a control character; percent-encode it")
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict").removeprefix("/")
        found = tuple(parse_qsl(parts.query, keep_blank_values=True, errors="strict"))
    except ValueError:  # its words may repeat a password
        raise UsageError(f"{shown!r} is no URL; write {example}") from None
    if parts.scheme != scheme or "://" not in url or "\x00" in path:
        raise UsageError(f"{shown!r} is no URL of such a world; write {example}")
    _check_options(shown, [name for name, _ in found], options)
    if url.endswith("?"):
        raise UsageError(f"{shown!r} ends in '?' without an option; in a name it is written %3F")
    return WorldUrl(authority=parts.netloc, path=path, options=found)


def _check_options(shown: str, names: list[str], known: Collection[str] | None) -> None:
    for name in names:
        if known is not None and name not in known:
            there = f"the options are {', '.join(known)}" if known else "there are no options"
            raise UsageError(
                f"{shown!r} has an unknown option {shown_option(name)!r}; {there} "
                "(in a name, '?' is written %3F)"
            )
        if known is not None and names.count(name) > 1:
            raise UsageError(f"{shown!r} has the option {shown_option(name)!r} twice")
