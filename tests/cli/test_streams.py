"""Streams: any encoding, any width, and readers that go away."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
import typer
from typer.testing import CliRunner

from perdure import open_world
from perdure.cli import _output, app
from perdure.model import Digest, NewRun, RunId
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow

NAME = "naïve 漢字 🙂"


def fill(folder: Path, *, runs: int = 8, name: str = NAME * 10) -> None:
    """Have runs in the folder's world."""

    async def create() -> None:
        async with open_world(f"sqlite:///{folder}/.perdure/perdure.db") as world:
            for number in range(runs):
                await world.storage.create_run(
                    NewRun(
                        run_id=RunId(f"run_{number:026}"),
                        workflow=name,
                        bundle=Digest("b"),
                        engine=Digest("e"),
                        input=b"\x80",
                        created_at_ms=number,
                    )
                )

    anyio.run(create)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--json"], ["inspect", f"run_{0:026}"]])
def test_a_stream_may_have_any_encoding(
    perdure: Run, folder: Path, environment: dict[str, str], encoding: str, arguments: list[str]
) -> None:
    fill(folder)
    environment["PYTHONIOENCODING"] = encoding
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "perdure",
            *arguments,
            *(["--limit", "2"] if "runs" in arguments else []),
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=True,
    )
    told = done.stderr.decode(encoding)
    assert told.startswith("2 runs, and there is more: ") if "runs" in arguments else told == ""
    text = done.stdout.decode(encoding)
    if "--json" in arguments:
        assert json.loads(text)[0]["workflow"] == NAME * 10
    else:
        assert "pending" in text
        assert (NAME in text) == encoding.startswith("utf")


@pytest.mark.parametrize(
    "command", [["runs", "--limit", "300"], ["runs", "--limit", "300", "--json"]]
)
def test_a_reader_that_has_enough_is_no_failure(
    folder: Path, environment: dict[str, str], command: list[str]
) -> None:
    fill(folder, runs=300, name=NAME * 500)  # more than any pipe takes at once
    environment.pop("PYTHONUNBUFFERED", None)  # with it Python does not notice
    process = subprocess.Popen(
        [sys.executable, "-m", "perdure", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) == 141


@pytest.mark.parametrize("command", [["--help"], ["runs", "--help"], ["--version"], []])
def test_help_that_nobody_reads_is_no_failure(
    folder: Path, environment: dict[str, str], command: list[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "perdure", *command],
        cwd=folder,
        env=environment,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (141, b"")


def test_a_steps_module_that_exits_is_not_taken_for_that(perdure: Run, folder: Path) -> None:
    (folder / "exits.py").write_text("raise SystemExit(7)\n")
    perdure("run", "flow.ts#flow", "[0]", "--steps", "exits", code=7)


def test_a_run_goes_on_where_nobody_reads_its_progress(
    perdure: Run, folder: Path, environment: dict[str, str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "perdure", "run", "flow.ts#flow", "[3]", "--steps", "cli_steps"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=write,
        timeout=60,
        check=True,
    )
    os.close(write)
    assert json.loads(process.stdout) == 3


@pytest.mark.parametrize("columns", ["1", "2", "7", "20", "79"])
@pytest.mark.parametrize("command", [["runs"], ["inspect", f"run_{7:026}"], ["--help"]])
def test_a_terminal_may_be_narrow(
    folder: Path, monkeypatch: pytest.MonkeyPatch, columns: str, command: list[str]
) -> None:
    fill(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.delenv("PERDURE_WORLD", raising=False)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output


def test_warnings_are_data(perdure: Run, folder: Path) -> None:
    (folder / "loud.py").write_text(
        "import logging, warnings\n"
        "from perdure import step\n"
        "@step\n"
        "async def f() -> None: ...\n"
        "log = logging.getLogger('perdure')\n"
        "log.warning('a%s', '\\x1b[31m\\nerror: forged [/nope]')\n"
        "logging.getLogger('other').warning('b%s', '\\x1b[31m\\nerror: forged')\n"
        "log.warning('%d', 'no number')\n"
        "warnings.warn('of Python\\u202e')\n"
        "try:\n"
        "    raise ValueError('cause\\x9b')\n"
        "except ValueError:\n"
        "    log.exception('it failed')\n"
    )
    said = perdure("run", "flow.ts#flow", "[0]", "--steps", "loud").stderr
    assert "warning: a\\x1b[31m\\nerror: forged [/nope]\n" in said
    assert "warning: b\\x1b[31m\n  error: forged\n" in said
    assert "cannot be shown" in said
    assert "of Python\\u202e" in said
    assert "error: it failed: ValueError: cause\\x9b\n" in said
    assert "Traceback" not in said
    assert not any(line.startswith("error: forged") for line in said.splitlines())


class Unread(io.TextIOWrapper):
    """A pipe that nobody reads any more: Linux says EPIPE, Windows EINVAL."""

    def __init__(self, number: int) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EINVAL, errno.EIO])
@pytest.mark.parametrize("shown", ["a message", "a table", "a document"])
def test_nobody_reads_stdout_in_the_words_of_each_system(
    number: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, discarded = _output._Terminal(), list[object]()
    out.file = Unread(number)
    monkeypatch.setattr(_output, "_out", out)
    monkeypatch.setattr(_output, "_discard", discarded.append)
    deeds: dict[str, Callable[[], None]] = {
        "a message": lambda: _output.show("text"),
        "a table": lambda: _output.show_table(["a"], [["b"]]),
        "a document": lambda: _output.print_json({}),
    }
    with pytest.raises(OSError if number == errno.EIO else typer.Exit) as told:
        deeds[shown]()
    if isinstance(told.value, typer.Exit):
        assert told.value.exit_code == _output.UNREAD
        assert discarded == [out.file]
