"""Addresses: which ones a request may be connected to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias, final

__all__ = ("Addresses",)

_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address is in the last 32 bits
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # likewise, long ago


@final
class Addresses:
    """Public addresses, and those of some networks."""

    def __init__(self, private: Iterable[str]) -> None:
        """Take the public ones and these networks."""
        self._private = [ipaddress.ip_network(text) for text in private]

    def __repr__(self) -> str:
        return f"<Addresses, public and of {len(self._private)} networks>"

    def have(self, text: str) -> bool:
        """Whether an address, as text, is one of them."""
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        return all(map(self._has, _meant(address)))

    def _has(self, address: _Address) -> bool:
        if any(address in network for network in self._private):
            return True
        return address.is_global and not address.is_multicast and not address.is_reserved


def _meant(address: _Address) -> list[_Address]:
    """The address that it leads to where another is written in it; else it."""
    if not isinstance(address, ipaddress.IPv6Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address, address.sixtofour]
    if address.teredo is not None:
        return [address, *address.teredo]
    if address in _NAT64 or address in _COMPATIBLE:
        return [address, ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]
