"""Base URL: where the public routes of a service are, from an argument or the environment."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from ..errors import UsageError
from .arguments import checked_text

__all__ = ("BASE_URL", "public_base_url")

BASE_URL = "PERDURE_BASE_URL"


def public_base_url(value: str | None = None) -> str:
    """The base URL without a slash at its end. Without a *value* the environment's; "" if none.

    Raises:
        UsageError: it is no URL of a service.
    """
    option = BASE_URL if value is None else "base_url"
    text = os.environ.get(BASE_URL, "") if value is None else checked_text(option, value)
    if not text and value is None:
        return ""
    if not _is_sound(text):
        raise UsageError(
            f"{option}={text!r}: it is the service's public URL, such as https://shop.example"
        )
    return text.rstrip("/")


def _is_sound(text: str) -> bool:
    if any(c in text for c in "?#\\") or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port
