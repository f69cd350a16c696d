"""The base URL of a service: checked, and kept with each run."""

from __future__ import annotations

import pytest

from perdure import Workflow, start
from perdure._runtime.base_url import BASE_URL, public_base_url
from perdure.abc import World
from perdure.errors import UsageError

FLOW = Workflow.from_source('export async function flow() { "use workflow"; }')


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://shop.example", "https://shop.example"),
        ("http://127.0.0.1:8000/flows/", "http://127.0.0.1:8000/flows"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_base_url_has_no_slash_at_its_end(
    text: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert public_base_url(text) == url
    monkeypatch.setenv(BASE_URL, text)
    assert public_base_url() == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "shop.example", "ftp://shop.example", "https://", "https:///x", "https://a b"),
        *(
            "https://a?b=1",
            "https://a#b",
            "https://a:0",
            "https://a:99999",
            "https://[a",
            "http:\\\\a",
        ),
    ],
)
def test_others_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"base_url=.*public URL"):
        public_base_url(text)
    if text:
        monkeypatch.setenv(BASE_URL, text)
        with pytest.raises(UsageError, match=rf"{BASE_URL}=.*public URL"):
            public_base_url()


@pytest.mark.anyio
async def test_a_run_keeps_the_one_it_was_started_with(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await (await start(FLOW, world=world)).info()).base_url == ""
    monkeypatch.setenv(BASE_URL, "https://shop.example/")
    assert (await (await start(FLOW, world=world)).info()).base_url == "https://shop.example"
    run = await start(FLOW, world=world, base_url="https://other.example")
    assert (await run.info()).base_url == "https://other.example"
