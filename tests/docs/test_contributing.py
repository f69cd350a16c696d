"""What CONTRIBUTING.md sends people to is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NOX = (ROOT / "noxfile.py").read_text(encoding="utf-8")
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("worlds/*/pyproject.toml"))]
TOWNCRIER = tomllib.loads(PROJECTS[0].read_text(encoding="utf-8"))["tool"]["towncrier"]


def test_every_file_it_names_is_there() -> None:
    names = re.findall(r"(?<![\w/])((?:src|docs|tests|worlds|examples)/[\w/.-]+)", PAGE)
    assert len(names) >= 20
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_session_it_names_is_there() -> None:
    for page in ("CONTRIBUTING.md", "docs/changelog.d/README.md", "docs/adr/README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for session in re.findall(r"nox -s (\w+)", text):
            assert f"\ndef {session}(" in NOX, session


def test_ci_runs_the_readmes_test_command_which_lints_and_checks_types_too() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^## Tests\n\n```\n(.*)\n```$", readme, re.MULTILINE)
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == command
    assert command == "uv run nox"
    assert '\nnox.options.sessions = ["lint", "types", "tests"]\n' in NOX


HOOKS = re.findall(
    r"entry: uv run --no-sync (\S+)", (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
)


def test_a_commit_is_checked_by_the_tools_of_lint() -> None:
    assert {*HOOKS} == {"ruff", "clang-format", "deno", "codespell"}
    assert [tool for tool in HOOKS if f'session.run("{tool}", ' not in NOX] == []


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_a_package_says_what_and_whose_it_is(path: Path) -> None:
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    assert project["authors"] == [{"name": "Perdure contributors"}]
    assert {"asyncio", "durable execution", "workflow"} <= {*project["keywords"]}
    assert "Development Status :: 3 - Alpha" in project["classifiers"]
    assert project["classifiers"] == sorted(project["classifiers"])
    assert project["license"] == "Apache-2.0"


def test_every_fragment_is_of_a_kind() -> None:
    kinds = {kind["directory"] for kind in TOWNCRIER["type"]}
    files = [path.name for path in (ROOT / TOWNCRIER["directory"]).iterdir()]
    odd = [name for name in files if not re.fullmatch(rf"[\w-]+\.(?:{'|'.join(kinds)})\.md", name)]
    assert odd == TOWNCRIER["ignore"]


def test_the_changelog_has_the_place_for_fragments() -> None:
    text = (ROOT / TOWNCRIER["filename"]).read_text(encoding="utf-8")
    assert text.count(TOWNCRIER["start_string"]) == 1
