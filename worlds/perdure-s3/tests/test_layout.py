"""Layout: servers list names in the order of their bytes, and lists have orders of their own."""

from __future__ import annotations

from hypothesis import given, strategies as st

from perdure_s3._schema import Layout

IDS = st.text("ab.é😀", min_size=1, max_size=4)
ENTRIES = st.tuples(st.integers(0, 2**53), IDS)


@given(ENTRIES, st.sampled_from([Layout.CREATED, Layout.ENDED]))
def test_an_entry_comes_back(entry: tuple[int, str], folder: str) -> None:
    assert Layout.parse_listed("prefix/" + Layout.listed(folder, *entry)) == entry


@given(st.lists(ENTRIES | st.tuples(st.just(7), IDS)))
def test_the_newest_is_listed_first_and_retention_begins_with_the_oldest(
    entries: list[tuple[int, str]],
) -> None:
    created = sorted(entries, key=lambda entry: Layout.listed(Layout.CREATED, *entry))
    assert created == sorted(entries, reverse=True)
    ended = sorted(entries, key=lambda entry: Layout.listed(Layout.ENDED, *entry))
    assert ended == sorted(entries)
