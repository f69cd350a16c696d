"""The pictures are those that the measurements, and a recording, give."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "plots.py"))
RECORDING = runpy.run_path(str(DOCS / "recording.py"))
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


def test_the_recording_shows_what_the_demo_proves() -> None:
    texts = [node.text or "" for node in _texts((IMAGES / "demo.svg").read_text(encoding="utf-8"))]
    assert texts[0] == "$ perdure demo"
    assert len([text for text in texts if text.endswith("killed with SIGKILL")]) == 4
    table = dict(re.findall(r"^│ (.+?) +│ (.+?) +│$", "\n".join(texts), re.MULTILINE))
    assert table["results lost"] == table["results doubled"] == "0"
    assert table["replay of the log"] == "gives what was stored"


def test_a_line_of_a_recording_comes_when_it_came() -> None:
    lines = [RECORDING["Line"](number / 2, f"<{number}> is up") for number in range(40)]
    picture = RECORDING["drawn"](lines)
    texts = _texts(picture)
    assert [node.text for node in texts] == [line.text for line in lines]
    assert texts[3].attrib["style"] == "animation-delay:1.5s"
    assert texts[3].attrib["class"] == "line up"
    assert picture.count("translateY") == len(lines) - RECORDING["ROWS"]


def _texts(picture: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(picture)
    return [node for node in root.iter() if node.tag.endswith("text")]
