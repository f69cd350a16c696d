"""On which worlds the tests run: each that asks for a world runs on every one that applies.

In the default session these are the worlds that the test's marker ``worlds`` names, else
``DEFAULT``; with ``PERDURE_TIER=full`` all of them. ``--world s3`` runs what there is on that world
alone: these tests, whatever their marker says, and the tests of its package. The rest is
deselected, and so is a test on a world that its marker ``never_on`` names: a skip is left for what
this machine lacks.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

WORLDS = ("memory", "sqlite", "mongodb", "s3")
DEFAULT = ("memory", "sqlite")
FULL = os.environ.get("PERDURE_TIER") == "full"
PACKAGES = Path(__file__).parents[1] / "worlds"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option ``--world``."""
    parser.addoption(
        "--world",
        action="append",
        choices=WORLDS,
        default=[],
        help="run only what there is on this world; may be repeated",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a world is one test for each."""
    if "world_name" in metafunc.fixturenames:
        metafunc.parametrize("world_name", WORLDS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests on worlds that do not apply."""
    asked = frozenset[str](config.option.world)
    others = [item for item in items if not _is_due(item, asked)]
    if others:
        config.hook.pytest_deselected(items=others)
        dropped = set(others)
        items[:] = [item for item in items if item not in dropped]


def _is_due(item: pytest.Item, asked: frozenset[str]) -> bool:
    """Whether a test runs in a session for the worlds that were *asked* for, or for none."""
    case = getattr(item, "callspec", None)
    world = None if case is None else case.params.get("world_name")
    if world is None:
        return not asked or _package_of(item.path) in asked
    if world == "memory" and item.get_closest_marker("reopened") is not None:
        return False  # memory:// is gone with its handle: no other process or handle can open it
    if any(world in marker.args for marker in item.iter_markers("never_on")):
        return False
    if asked:
        return world in asked
    marker = item.get_closest_marker("worlds")
    return FULL or world in (marker.args if marker is not None else DEFAULT)


def _package_of(path: Path) -> str | None:
    """The world whose package a file of tests belongs to."""
    if PACKAGES not in path.parents:
        return None
    return path.relative_to(PACKAGES).parts[0].removeprefix("perdure-")
