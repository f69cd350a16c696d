"""The suite's profile of hypothesis, loaded before the first module that uses hypothesis.

Its import takes as long as that of everything else together, so a test without it goes without.
"""

from __future__ import annotations

import sys

import pytest

PROFILE = "suite"


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Load the profile before the settings of a module's own, which take its values."""
    if "hypothesis" in sys.modules or not isinstance(collector, pytest.Module):
        return
    if b"hypothesis" in collector.path.read_bytes():
        _load()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Load it for modules that use hypothesis by way of another."""
    if "hypothesis" in sys.modules:
        _load()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Drop the plug-in of hypothesis, whose summary imports it, from a session without it."""
    if "hypothesis" not in sys.modules:
        session.config.pluginmanager.unregister(name="hypothesispytest")


def _load() -> None:
    from hypothesis import settings

    if settings.get_current_profile_name() != PROFILE:
        # How long an example takes says more about the machine than about us.
        settings.register_profile(PROFILE, deadline=None)
        settings.load_profile(PROFILE)
