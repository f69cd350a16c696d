"""Keys: the one that snapshots are tagged with, from an argument or the environment."""

from __future__ import annotations

import os
from typing import cast

from ..errors import UsageError

__all__ = ("MIN_KEY_BYTES", "SNAPSHOT_KEY", "snapshot_key")

SNAPSHOT_KEY = "PERDURE_SNAPSHOT_KEY"
MIN_KEY_BYTES = 16


def snapshot_key(value: bytes | str | None = None) -> bytes | None:
    """The key as bytes. Without a *value* the environment's; None if that has none.

    Raises:
        UsageError: it is too short to keep anybody out.
    """
    text = os.environ.get(SNAPSHOT_KEY, "").strip() if value is None else value
    if not isinstance(cast(object, text), str | bytes):
        raise UsageError(f"the snapshot key is text or bytes, not a {type(text).__name__}")
    key = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if not key and value is None:
        return None
    if len(key) < MIN_KEY_BYTES:
        raise UsageError(
            f"the snapshot key has {len(key)} bytes, and at least {MIN_KEY_BYTES} are wanted; make "
            "one: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return key
