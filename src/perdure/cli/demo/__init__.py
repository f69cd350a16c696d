"""The demo: a real order flow whose worker is killed, again and again. See ``_play``."""

from __future__ import annotations

from ._play import demo as demo
