"""Every example of the documentation is executed: code blocks and commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "worlds").glob("*/README.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
]
# What executes the code blocks of a page, by the page's path and their language.
EXECUTED = {
    ("README.md", "python"): 1,  # test_the_readmes_service_runs
    ("README.md", "ts"): 1,
    ("docs/world-authors.md", "python"): 8,  # test_world_authors.py
    ("docs/world-authors.md", "sh"): 1,  # likewise
    ("worlds/perdure-sqlite/README.md", "python"): 1,  # test_a_worlds_readme_opens_it
}


def blocks(page: Path, language: str) -> list[str]:
    """A page's code blocks in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def shell(folder: Path, command: str, code: int = 0) -> str:
    """A command as the page has it, run in the folder."""
    program = f"{sys.executable} -m perdure"
    kept = {k: v for k, v in os.environ.items() if k != "PERDURE_WORLD"}
    done = subprocess.run(
        re.sub(r"^perdure\b", program, command),
        shell=True,
        cwd=folder,
        env=kept,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (command, done.stderr)
    return done.stdout


def test_no_block_of_code_is_left_out() -> None:
    found = {
        (str(page.relative_to(ROOT)), language): count
        for page in PAGES
        for language in ("python", "ts", "js", "bash", "sh")
        if (count := len(blocks(page, language)))
    }
    known = {key: count for key, count in found.items() if key in EXECUTED}
    assert known == {key: EXECUTED[key] for key in known}
    # Pages of other worlds bring the tests of their own examples; tests/examples and test_guide.py
    # do all of a page.
    elsewhere = ("worlds/", "examples/", "docs/guide/")
    others = [key for key in found if key not in EXECUTED and not key[0].startswith(elsewhere)]
    assert others == []


def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, body in re.findall(r"```(?:python|ts)\n(?:#|//) (\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(body, encoding="utf-8")
    commands = list(dict.fromkeys(re.findall(r"`(perdure (?!demo)[^`\n]*)`", text)))
    assert len(commands) >= 10
    assert json.loads(shell(tmp_path, commands[0])) == {"card": "card_1", "paid": 1299}
    (done,) = json.loads(shell(tmp_path, "perdure runs --json"))
    live = json.loads(shell(tmp_path, "perdure start checkout.ts '[\"c\", 1]' --json"))["id"]
    for command in commands[1:]:
        run_id = live if "cancel" in command else done["id"]
        if "perdure move" in command:  # it moves one that has not ended
            made = shell(tmp_path, "perdure start checkout.ts '[\"d\", 1]' --json")
            run_id = json.loads(made)["id"]
        written = command.replace("RUN", run_id).replace("FILE", "checkout.ts")
        written = written.replace("--to URL", "--to sqlite:///elsewhere.db")
        if " worker " not in command:
            said = shell(tmp_path, written)
            assert said or ">" in command or " log " in command, command
            continue
        arguments = written.removeprefix("perdure ").split()
        with subprocess.Popen(
            [sys.executable, "-m", "perdure", *arguments],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            assert "working on" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
    assert 'declare module "python:shop"' in (tmp_path / "perdure.d.ts").read_text()


@pytest.mark.parametrize("json_option", ["inspect RUN", "runs", "verify RUN", "log RUN"])
def test_what_prints_data_prints_json(tmp_path: Path, json_option: str) -> None:
    (tmp_path / "w.ts").write_text('export async function w() { "use workflow"; return [1] }')
    made = json.loads(shell(tmp_path, "perdure run w.ts --json"))
    assert set(made) == {"id", "status", "output"}
    command = json_option.replace("RUN", made["id"])
    found = json.loads(shell(tmp_path, f"perdure {command} --json"))
    if json_option.startswith("inspect"):
        entities = ("steps", "waits", "hooks", "children", "watches", "aborts")
        parts = ("run", "events", *entities, "streams", "snapshot", "waiting")
        assert tuple(found) == parts
        assert {"id", "status", "workflow", "output", "error"} <= set(found["run"])
        assert found["snapshot"] is None or set(found["snapshot"]) == {"bytes", "turn", "position"}


def test_a_worlds_readme_opens_it(tmp_path: Path) -> None:
    (body,) = blocks(ROOT / "worlds/perdure-sqlite/README.md", "python")
    script = (
        "import anyio\nfrom perdure import open_world\nasync def main():\n"
        + textwrap.indent(body, "    ")
        + "\n    print(world.url)\nanyio.run(main)\n"
    )
    (tmp_path / "example.py").write_text(script, encoding="utf-8")
    assert shell(tmp_path, f"{sys.executable} example.py").strip() == "sqlite:///var/perdure.db"
    assert (tmp_path / "var/perdure.db").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    is_fragment = page.parent.name == "changelog.d" and page.name != "README.md"
    folder = page.parents[is_fragment]  # a fragment becomes a part of the changelog above
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", text):
        assert (folder / target).exists(), target
        assert not anchor or anchor in anchors(folder / target), (target, anchor)


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
