"""Damage: bytes in a store that none of our packages writes, for the tests of what reads them."""

from __future__ import annotations

import cbor2

__all__ = ("DAMAGE", "UNUSUAL")

# CBOR all the same: a decoder that is not strict reads it, or takes long to refuse it.
UNUSUAL = {
    "a tag": cbor2.dumps(cbor2.CBORTag(4, [1, 2])),
    "a tag within": b"\xa1\x61a" + cbor2.dumps(cbor2.CBORTag(35, "(a+)+$")),
    "a typed array of a number": b"\xd8\x45\x1a\x3b\x9a\xca\x00",
    "a key twice": b"\xa2\x61a\x01\x61a\x02",
    "a number as a key": b"\xa1\x01\x02",
    "no length": b"\xbf\x61a\x01\xff",
    "nested deeply": b"\x81" * 20_000,
}
DAMAGE = {
    **UNUSUAL,
    "empty": b"",
    "cut": b"\xa2\x61a",
    "text": b"<html>not found</html>",
    "a number": b"\x05",
    "null": b"\xf6",
    "a claim of a size": b"\xbb\x00\x00\x00\x01\x00\x00\x00\x00",
}
