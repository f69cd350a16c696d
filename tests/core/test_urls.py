"""URLs of worlds: no part ends in silence, no option is passed over, no secret is repeated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from perdure._core.urls import parse_url
from perdure.display import shown_url
from perdure.errors import UsageError

EXAMPLE = "x://host/path"


def parse(url: str, *options: str) -> tuple[str, str, dict[str, str]]:
    parts = parse_url(url, scheme="x", options=options, example=EXAMPLE)
    return parts.authority, parts.path, dict(parts.options)


WHOLE: list[tuple[str, tuple[str, str, dict[str, str]]]] = [
    ("x://host/a", ("host", "a", {})),
    ("x:///a%23b%3Fc%25.db", ("", "a#b?c%.db", {})),
    ("x:////a//b", ("", "/a//b", {})),
    ("x://h:1,i:2/a?o=%26&p=", ("h:1,i:2", "a", {"o": "&", "p": ""})),
    ("x://", ("", "", {})),
    ("x:///ä b", ("", "ä b", {})),
]


@pytest.mark.parametrize(("url", "parts"), WHOLE)
def test_a_url_is_taken_apart(url: str, parts: object) -> None:
    assert parse(url, "o", "p") == parts


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("x:///a#b.db", "%23"),
        ("x:///a#", "%23"),
        ("x:///a?b.db", "unknown option 'b.db'; the options are o"),
        ("x:///a?o=1&color=2", "unknown option 'color'"),
        ("x:///a?o=1&o=2", "'o' twice"),
        ("x:///a?", "%3F"),
        ("x:///a\nb", "control character"),
        ("x:///a\tb", "control character"),
        ("x:///a\ud800b", "control character"),
        ("x:///a%00b", "write x://host/path"),
        ("x:///a%ffb", "write x://host/path"),
        ("x:///a?o=%ff", "write x://host/path"),
        ("y:///a", "write x://host/path"),
        ("x:/a", "write x://host/path"),
        ("x://[1/a", "write x://host/path"),
    ],
)
def test_a_url_that_might_mean_something_else_is_refused(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as told:
        parse(url, "o")
    assert reason in str(told.value)


def test_a_world_without_options_says_so() -> None:
    with pytest.raises(UsageError, match="there are no options"):
        parse("x:///a?o=1")


def test_options_may_be_left_to_the_caller() -> None:
    parts = parse_url("x:///a?o=1", scheme="x", options=None, example=EXAMPLE)
    assert parts.options == (("o", "1"),)


SECRET = "Geheim7Wort"
NOISE = st.text("ab:/?#@%=&[] \n", max_size=6)


@given(NOISE, NOISE, st.sampled_from(["mongodb", "s3"]), st.booleans())
def test_no_password_is_ever_shown(before: str, after: str, scheme: str, broken: bool) -> None:
    """Whatever was not percent-encoded in it, as long as there is an @ behind it."""
    url = f"{scheme}:/{'' if broken else '/'}me:{before}{SECRET}{after}@host/db"
    assert SECRET not in shown_url(url)
    with pytest.raises(UsageError) as told:
        parse(url)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("url", [None, b"sqlite:///a", 5])
def test_a_url_is_a_text(url: object) -> None:
    wrong: Any = url
    with pytest.raises(UsageError, match=f"not a value of type {type(url).__name__}"):
        parse_url(wrong, scheme="sqlite", options=(), example="sqlite:///x.db")
