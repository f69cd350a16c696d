"""Fixtures and hooks for the tests of every package."""

pytest_plugins = ["tests.hypothesis_profile", "tests.servers", "tests.world_choice"]
