"""Pure: frames, value codec, snapshot format."""

from __future__ import annotations
