"""What the tests of every package share: see ``tests/servers.py``."""

pytest_plugins = ["tests.servers"]
