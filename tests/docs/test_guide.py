"""Every block of the guide does what its page says."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from .forking import Forks
from .reading import Reader, blocks, environment

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
AT_ONCE = 2  # pages; half of their time is waiting for sleeps, servers and the disk
Readings: TypeAlias = "Mapping[str, Future[None]]"


@pytest.fixture(scope="module")
def forks() -> Generator[Forks, None, None]:
    """What runs a page's programs."""
    with Forks(environment()) as forks:
        yield forks


@pytest.fixture(scope="module")
def readings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Readings, None, None]:
    """The readings of all pages that this session is to test, some at once."""
    ids = {item.name for item in request.session.items}
    pages = [
        page for page in PAGES if f"{test_a_page_does_what_it_says.__name__}[{page.stem}]" in ids
    ]
    folders = {page: tmp_path_factory.mktemp(page.stem) for page in pages}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {page.stem: pool.submit(_read, page, folder) for page, folder in folders.items()}


def _read(page: Path, folder: Path) -> None:
    with Forks(environment()) as forks, Reader(folder, forks) as reader:
        reader.read(page.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [page.stem for page in PAGES])
def test_a_page_does_what_it_says(name: str, readings: Readings) -> None:
    readings[name].result()


def test_the_index_names_every_page() -> None:
    index = (GUIDE / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"({page.name})" not in index] == ["README.md"]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("```python\nprint(1)\n```\n", "no comment with its file's name"),
        ("```ruby\nputs 1\n```\n", "nothing carries out"),
        ("```sh\nfalse\n```\n", "false"),
        ("```sh\ntrue # exit code 1\n```\n", "true"),
        ("```sh\necho 1\n```\n```text\n2\n```\n", "it prints"),
        ("```python\n# a.py\nraise SystemExit('spoilt')\n```\n", "spoilt"),
        ("```ts\n// a.ts\nexport async function a( {\n```\n", "a.ts"),
    ],
)
@pytest.mark.slow
def test_a_page_that_is_wrong_is_noticed(
    page: str, reason: str, tmp_path: Path, forks: Forks
) -> None:
    with Reader(tmp_path, forks) as reader, pytest.raises(AssertionError, match=reason):
        reader.read(page)


@pytest.mark.slow
def test_what_a_page_may_say(tmp_path: Path, forks: Forks) -> None:
    page = (
        "```python\n# kept.py\nprint('a word and more')\n```\n"
        "```sh\nWORD=$(python kept.py)\necho $WORD\nfalse # exit code 1\n```\n"
        "```text\na … more\n…\n```\n"
    )
    with Reader(tmp_path, forks) as reader:
        reader.read(page)


@pytest.mark.slow
@pytest.mark.parametrize("has_fork", [True, False])
def test_programs_run_with_and_without_forks(
    has_fork: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_fork:
        monkeypatch.delattr(os, "fork", raising=False)
    (tmp_path / "ends.py").write_text("print('said')\nraise SystemExit(3)\n", encoding="utf-8")
    with Forks(environment()) as forks:
        assert forks.run(["python", "ends.py"], tmp_path, environment()) == (3, "said\n")
        code, output = forks.run(["perdure", "--version"], tmp_path, environment())
        assert (code, output.partition(" ")[0]) == (0, "perdure")


def test_blocks_know_their_line() -> None:
    (block,) = blocks("a\n\n```sh\nls\n```\n")
    assert block == ("sh", "ls\n", 3)
