"""The plot and its table are those that the measurements give."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "plots.py"))
IMAGES: Path = SCRIPT["IMAGES"]
LINES = (IMAGES / "resume.jsonl").read_text(encoding="utf-8").splitlines()


def test_the_plot_is_what_the_script_draws() -> None:
    drawn = (IMAGES / "resume.svg").read_text(encoding="utf-8")
    assert drawn == SCRIPT["drawn"](LINES), "run: nox -s docs"


def test_the_page_has_the_figures_of_the_plot() -> None:
    page = SCRIPT["PAGE"].read_text(encoding="utf-8")
    assert page == SCRIPT["updated"](page, LINES), "run: nox -s docs"


def test_each_figure_is_a_point_within_the_axes() -> None:
    picture = ElementTree.fromstring(SCRIPT["drawn"](LINES))
    points = picture.findall("{http://www.w3.org/2000/svg}circle")
    assert len(points) == len(LINES) - 1
    for point in points:
        assert SCRIPT["LEFT"] <= float(point.attrib["cx"]) <= SCRIPT["RIGHT"]
        assert SCRIPT["TOP"] <= float(point.attrib["cy"]) <= SCRIPT["BOTTOM"]


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_small_and_shows_on_dark_pages(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert len(text) < 60_000
    assert "prefers-color-scheme: dark" in text
