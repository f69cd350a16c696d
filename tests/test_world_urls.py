"""Finding a world by its URL: what is no URL is refused, and never repeated with its secrets."""

from __future__ import annotations

import pytest

from perdure.errors import UsageError
from perdure.testing.memory import MemoryWorld
from perdure.worlds import make_world


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mongodb:/me:secret@h/db", "me:secret@h", "me:secret@h://x", "://x", "a b://x"],
)
def test_what_is_no_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(UsageError, match="is not a world's URL") as told:
        make_world(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["memory://a?b=1", "memory://a?b", "memory://a#b", "memory:a"])
def test_a_memory_world_has_no_options(url: str) -> None:
    with pytest.raises(UsageError):
        MemoryWorld(url)


@pytest.mark.parametrize("scheme", ["memory://x", "sqlite:///x", "s3://x/y", "mongodb://h/db"])
def test_every_world_refuses_an_option_that_nobody_knows_by_its_name(scheme: str) -> None:
    opened = MemoryWorld if scheme.startswith("memory") else make_world
    with pytest.raises(UsageError, match="colour"):
        opened(f"{scheme}?colour=red")
