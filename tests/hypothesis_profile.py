"""The suite's profile of hypothesis, loaded by the first import of hypothesis, whoever needs it.

That import takes as long as all the rest of a session of one test, which goes without it where it
can. Later than that import is too late: settings take the profile's values when they are created.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

import pytest

PROFILE = "suite"


def pytest_configure() -> None:
    """Watch for the import."""
    if "hypothesis" in sys.modules:
        _load_profile()
    else:
        sys.meta_path.insert(0, _Finder())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Drop the plug-in of hypothesis, whose summary imports it, from a session without it."""
    if "hypothesis" not in sys.modules:
        session.config.pluginmanager.unregister(name="hypothesispytest")


def _load_profile() -> None:
    from hypothesis import settings

    # How long an example takes says more about the machine than about us.
    settings.register_profile(PROFILE, deadline=None)
    settings.load_profile(PROFILE)


class _Finder(MetaPathFinder):
    """Finds hypothesis as compiled; it is loaded by ``_Loading``.

    pytest would look for assertions in its modules, as in those of every plug-in, and compile each
    from its source where it may not keep what comes of that.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "hypothesis":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None and fullname == "hypothesis":
            spec.loader = _Loading(spec.loader)
        return spec


class _Loading(Loader):
    """Loads a module as its own loader does; then the profile."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _load_profile()
