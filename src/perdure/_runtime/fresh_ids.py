"""Fresh ids: names that nobody has used, or will; of runs, and of payloads for hooks."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from base64 import b32encode

from .._platform import after_fork

__all__ = ("format_id", "fresh_id", "fresh_secret")


class _Fresh:
    """Where new ids come from: a secret of this process, which a fork must not share."""

    numbers = itertools.count()
    secret = secrets.token_bytes(32)


def _renew() -> None:
    _Fresh.secret = secrets.token_bytes(32)


after_fork(_renew)


def fresh_id(kind: str) -> str:
    """An id of 16 bytes after *kind* and an underscore."""
    return format_id(kind, _fresh_bytes(16, b"id"))


def fresh_secret() -> bytes:
    """A secret for a run; no id tells anything of it."""
    return _fresh_bytes(32, b"run secret")


def format_id(kind: str, raw: bytes) -> str:
    """These bytes as an id."""
    return f"{kind}_{b32encode(raw).decode().rstrip('=').lower()}"


def _fresh_bytes(size: int, use: bytes) -> bytes:
    # Asking the system for each would give the interpreter lock away each time.
    number = next(_Fresh.numbers).to_bytes(8, "little")
    return hashlib.blake2b(number, key=_Fresh.secret, digest_size=size, person=use).digest()
