"""What the tests of every package share."""

pytest_plugins = ["tests.hypothesis_profile", "tests.servers", "tests.world_choice"]
