"""A world with whose calls a test meddles: something happens before each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast, final

from perdure.abc import Capability, World

__all__ = ("MeddledWorld",)


@final
class _Calls:
    def __init__(self, inner: object, name: str, meddle: Callable[[str], Awaitable[None]]) -> None:
        self._inner = inner
        self._name = name
        self._meddle = meddle

    def __getattr__(self, method: str) -> Any:
        inner = cast("Callable[..., Awaitable[Any]]", getattr(self._inner, method))

        async def call(*args: Any, **named: Any) -> Any:
            await self._meddle(f"{self._name}.{method}")
            return await inner(*args, **named)

        return call


@final
class MeddledWorld(World):
    """Another world, where *meddle* is awaited with the name of each call that is made."""

    def __init__(self, inner: World, meddle: Callable[[str], Awaitable[None]]) -> None:
        self.inner = inner
        parts = ("storage", "catalogue", "queue", "snapshots", "streams", "blobs", "transfer")
        for part in parts:
            setattr(self, part, _Calls(getattr(inner, part), part, meddle))

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self.inner.capabilities - {Capability.DIRECT_COMMIT}

    async def open(self) -> None:
        await self.inner.open()

    async def aclose(self) -> None:
        await self.inner.aclose()

    def now_ms(self) -> int:
        return self.inner.now_ms()

    async def settle(self) -> None:
        await self.inner.settle()

    def statistics(self) -> dict[str, int]:
        return self.inner.statistics()
