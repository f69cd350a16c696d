"""The build hook: makes the guests before the package is built or installed editable."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GUEST = Path("src") / "perdure" / "_guest"
NAMES = ("guest.wasm", "step.wasm")


class GuestBuildHook(BuildHookInterface[Any]):
    """Builds the guests and puts them into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make both; skipped for an sdist, which carries the sources."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / GUEST
        spec = importlib.util.spec_from_file_location("perdure_guest_build", folder / "build.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        try:
            module.build(*(folder / name for name in NAMES))
        except module.BuildError as exc:
            sys.exit(str(exc))  # the message alone: no traceback says more
        build_data["artifacts"] += [str(GUEST / name) for name in NAMES]
