"""What each embedded world refuses; the conformance kit drives what they do."""

from __future__ import annotations

import hashlib

import pytest

from perdure.abc import World
from perdure.errors import BlobNotFoundError, WorldContractError
from perdure.model import Digest

pytestmark = pytest.mark.anyio


async def test_a_blob_under_another_digest_is_refused_and_not_kept(world: World) -> None:
    digest = Digest(hashlib.sha256(b"right").hexdigest())
    with pytest.raises(WorldContractError, match="is not the sha256 of the blob's bytes"):
        await world.blobs.put(digest, b"wrong")
    assert not await world.blobs.has(digest)
    with pytest.raises(BlobNotFoundError):
        await world.blobs.get(digest)
    await world.blobs.put(digest, b"right")
    assert await world.blobs.get(digest) == b"right"
