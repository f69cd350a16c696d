"""Client: botocore's, without its slow parts that are not needed here.

Most of the cost of a client, when it is made and at each request, is the description of S3: of each
operation and each header of each answer. So it is cut down to the operations that ``_cas`` uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast, final

from aiobotocore.config import AioConfig  # type: ignore[import-untyped]  # without annotations
from aiobotocore.hooks import AioHierarchicalEmitter  # type: ignore[import-untyped]  # likewise
from aiobotocore.session import AioSession  # type: ignore[import-untyped]  # likewise
from botocore.handlers import (  # type: ignore[import-untyped]  # likewise
    # Likewise.
    add_expect_header as _add_expect_header,  # pyright: ignore[reportUnknownVariableType]
)
from botocore.loaders import create_loader  # type: ignore[import-untyped]  # likewise

__all__ = ("USED", "Place", "connect")

# By operation, what is read of its answer, None for all; the last two are botocore's own need.
USED: Final[Mapping[str, frozenset[str] | None]] = {
    "GetObject": frozenset({"Body", "ETag"}),
    "HeadObject": frozenset(),
    "PutObject": frozenset({"ETag"}),
    "DeleteObject": frozenset(),
    "ListObjectsV2": None,
    "HeadBucket": None,  # in which region a bucket is
    "CreateSession": None,  # of directory buckets
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a world is, and how it is spoken to."""

    bucket: str
    prefix: str
    endpoint_url: str | None = None
    region: str | None = None
    shards: int = 1
    poll: float = 5.0
    timeout: float = 30.0


def connect(place: Place) -> AbstractAsyncContextManager[Any]:
    """A client, within the block."""
    config = AioConfig(
        user_agent="perdure-s3",  # botocore's own takes a while to put together, at each request
        retries={"total_max_attempts": 1},  # ours come above: see ``_cas``
        connect_timeout=min(5.0, place.timeout),
        read_timeout=place.timeout,
        max_pool_connections=64,
        s3={"addressing_style": "path" if place.endpoint_url else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = AioSession(event_hooks=_hooks(), include_builtin_handlers=False)
    register = cast(Any, session).register_component  # without annotations, as the rest
    register("data_loader", _loader())
    client = session.create_client(  # pyright: ignore[reportUnknownMemberType]  # no annotations
        "s3",
        region_name=place.region,
        endpoint_url=place.endpoint_url,
        # Certificates take 20 ms to read, for each client, also where none is looked at.
        verify=False if (place.endpoint_url or "").startswith("http://") else None,
        config=config,
    )
    return cast("AbstractAsyncContextManager[Any]", client)


@cache
def _loader() -> Any:
    """botocore's data, which takes a quarter of a second to read: once a process."""
    return _Loader(create_loader())


@cache
def _hooks() -> Any:
    """botocore's handlers, which take twenty milliseconds to register: once a process.

    Each client copies them and registers its own with the copy. One is left out: it asks first
    whether a body is wanted, a round trip more for each PUT.
    """
    hooks = AioHierarchicalEmitter()
    session = AioSession(event_hooks=hooks)
    cast(Any, session).unregister("before-call.s3", _add_expect_header)
    return hooks


@final
class _Loader:
    """A loader that returns no more of S3's description than is used."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._cut: dict[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_service_model(
        self, service_name: str, type_name: str, api_version: str | None = None
    ) -> Any:
        """The description that botocore asks for; S3's is cut."""
        model = self._loader.load_service_model(service_name, type_name, api_version)
        if (service_name, type_name) != ("s3", "service-2"):
            return model
        if self._cut is None:
            self._cut = _cut(model)
        return self._cut


def _cut(description: Mapping[str, Any]) -> dict[str, Any]:
    """The operations that are used, and the shapes that these refer to."""
    shapes: dict[str, Any] = dict(description["shapes"])
    operations = {name: description["operations"][name] for name in USED}
    for name, read in USED.items():
        if read is not None and "output" in operations[name]:
            answer: str = operations[name]["output"]["shape"]
            members = shapes[answer]["members"]
            used = {member: members[member] for member in members if member in read}
            shapes[answer] = {**shapes[answer], "members": used}
    needed, pending = dict[str, Any](), [*_shapes_in(operations)]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed[name] = shapes[name]
            pending += _shapes_in(shapes[name])
    return {**description, "operations": operations, "shapes": needed}


def _shapes_in(described: object) -> Iterable[str]:
    """The names of the shapes that a part of a description refers to."""
    if isinstance(described, list):
        for part in cast("list[object]", described):
            yield from _shapes_in(part)
    elif isinstance(described, dict):
        for name, value in cast("dict[str, object]", described).items():
            if name == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _shapes_in(value)
