"""Clients of an app in this process, without a socket."""

from __future__ import annotations

import httpx
from starlette.requests import Request
from starlette.types import ASGIApp

from perdure.web import Action

__all__ = ("BASE", "anyone", "client_of")

BASE = "https://shop.example"


def anyone(request: Request, action: Action, run_id: str | None) -> bool:
    """Everybody may do everything."""
    return True


def client_of(site: ASGIApp) -> httpx.AsyncClient:
    """A client of this app alone."""
    transport = httpx.ASGITransport(site, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url=BASE, timeout=30)
