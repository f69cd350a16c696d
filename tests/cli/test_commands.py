"""What each command prints, and with what it exits."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.slow
FROZEN = """
import atexit, gc, sys
tell = lambda: print("what is loaded is no garbage:", gc.get_freeze_count() > 9999, file=sys.stderr)
atexit.register(tell)
"""


def test_run_prints_the_result_and_leaves_a_run_that_verifies(perdure: Run, folder: Path) -> None:
    done = perdure("run", "flow.ts#flow", "[4]", "--steps", "cli_steps")
    assert json.loads(done.stdout) == 6
    assert "adding" not in done.stdout
    (run,) = json.loads(perdure("runs", "--json").stdout)
    assert (run["status"], run["workflow"], run["output"]) == ("completed", "flow", 6)
    shown = json.loads(perdure("inspect", run["id"], "--json").stdout)
    assert shown["run"]["id"] == run["id"]
    assert [step["step"] for step in shown["steps"]] == ["cli_steps:add"] * 4
    assert {step["status"] for step in shown["steps"]} == {"completed"}
    assert shown["steps"][0]["at"].startswith("flow.ts:14:")
    assert [event["type"] for event in shown["events"]][-1] == "run_completed"
    assert (shown["waits"], shown["hooks"]) == ([], [])
    report = json.loads(perdure("verify", run["id"], "--json").stdout)
    assert report["passed"]
    assert "completed" in perdure("runs").stdout
    assert "step_4" in perdure("inspect", run["id"]).stdout
    assert "agree" in perdure("verify", run["id"]).stdout
    with contextlib.closing(sqlite3.connect(folder / ".perdure/perdure.db")) as db:
        db.execute("UPDATE runs SET log_digest = x'00'")
        db.commit()
    told = perdure("verify", run["id"], code=1).stdout
    assert "they differ" in told
    assert "the record's log digest is not the log's" in told


def test_a_failed_run_names_the_line_of_the_workflow(perdure: Run) -> None:
    done = perdure("run", "flow.ts#broken", "--steps", "cli_steps", code=1)
    assert done.stdout == ""
    assert "it is so" in done.stderr
    assert "helper (flow.ts:6:" in done.stderr
    assert "broken (flow.ts:20:" in done.stderr
    assert "ValueError" in done.stderr
    assert "cli_steps.py" in done.stderr


def test_a_worker_carries_on_what_was_started_and_drains_on_sigterm(
    perdure: Run, folder: Path, environment: dict[str, str]
) -> None:
    run_id = json.loads(perdure("start", "flow.ts#flow", "[3]", "--json").stdout)["id"]
    with open(folder / "cli_steps.py", "a") as file:
        file.write(FROZEN)
    command = [sys.executable, "-m", "perdure", "worker", "--steps", "cli_steps"]
    worker = subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        shown: dict[str, Any] = {}
        for _ in range(100):
            shown = json.loads(perdure("inspect", run_id, "--json").stdout)
            if shown["run"]["status"] == "completed":
                break
        assert shown["run"]["output"] == 3
    finally:
        os.kill(worker.pid, signal.SIGTERM)
        _, said = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert "draining" in said
    assert "what is loaded is no garbage: True" in said


def test_cancel_ends_a_run_and_a_second_time_is_fine(perdure: Run) -> None:
    run_id = json.loads(perdure("start", "flow.ts#patient", "--json").stdout)["id"]
    perdure("cancel", run_id, "--reason", "enough")
    shown = json.loads(perdure("inspect", run_id, "--json").stdout)
    assert (shown["run"]["status"], shown["run"]["error"]) == ("cancelled", "enough")
    assert shown["snapshot"] is None
    perdure("cancel", run_id)


def test_the_same_idempotency_key_is_the_same_run(perdure: Run) -> None:
    one = ("start", "flow.ts#flow", "[1]", "--idempotency-key", "k", "--json")
    assert perdure(*one).stdout == perdure(*one).stdout
    done = perdure("start", "flow.ts#flow", "[2]", "--idempotency-key", "k", code=2)
    assert "'k'" in done.stderr


def test_compile_shows_what_was_understood(perdure: Run) -> None:
    shown = json.loads(perdure("compile", "flow.ts#flow", "--json").stdout)
    assert shown["workflow"] == "flow"
    assert shown["steps"] == ["cli_steps:add", "cli_steps:fail"]
    assert len(shown["digest"]) == 64
    assert shown["digest"] in perdure("compile", "flow.ts#flow").stdout


def test_compile_tells_the_ids_of_a_file_of_whatever_kind(perdure: Run, folder: Path) -> None:
    sources = {
        "many": "export async function a() { 'use workflow'; await s(); await add(1, 2) }\n"
        "export default async function b() { 'use workflow' }\n"
        "class P { static async m() { 'use step' } }\n"
        "import { add } from 'python:cli_steps';\nasync function s() { 'use step' }",
        "alone": "'use step'; export async function s() {}",
        "wrong": "async function w() { 'use workflow' } function s() { 'use step'; await 1 }",
    }
    for name, text in sources.items():
        (folder / f"{name}.ts").write_text(text)
    shown = json.loads(perdure("compile", "many.ts", "--json").stdout)
    assert shown == {
        "modules": ["many.ts"],
        "workflows": ["workflow//./many//a", "workflow//./many//b"],
        "steps": ["cli_steps:add", "step//./many//P.m", "step//./many//s"],
        "classes": ["class//./many//P"],
    }
    assert "workflow//./many//b" in perdure("compile", "many.ts#default").stdout
    shown = json.loads(perdure("compile", "alone.ts", "--json").stdout)
    assert (shown["workflows"], shown["steps"]) == ([], ["step//./alone//s"])
    (folder / "nothing.ts").write_text("export const a = 1;")
    assert "no exported workflow" in perdure("compile", "nothing.ts", code=1).stderr
    assert "wrong.ts:1:" in perdure("compile", "wrong.ts", code=1).stderr


def test_types_declares_the_steps(perdure: Run) -> None:
    said = perdure("types", "cli_steps").stdout
    assert 'declare module "workflow"' in said
    assert "export function add(a: number, b: number): Promise<number>;" in said
    assert "no module" in perdure("types", "gone_steps", code=2).stderr


def test_types_declares_the_classes_of_a_module(perdure: Run, folder: Path) -> None:
    (folder / "shapes.py").write_text(
        "from dataclasses import dataclass\nfrom decimal import Decimal\n"
        "@dataclass\nclass Order:\n  total: Decimal\n  note: str = ''\n"
        "@dataclass\nclass _Own:\n  x: int\n"
    )
    (folder / "shop.py").write_text(
        "from shapes import Order\nfrom perdure import step\n"
        "__all__ = ['Order', 'quote', 'GONE']\n"
        "class Left:\n  pass\n@step\nasync def quote(sku: str) -> int: ...\n"
    )
    (folder / "nothing.py").write_text("from shapes import Order\n")
    said = perdure("types", "shop", "shapes").stdout
    shop, shapes = said[said.index('module "python:shapes"') :].split('module "python:shop"')[::-1]
    for text in (shop, shapes):
        assert "export interface Order {\n    total: string;\n    note: string;" in text
        assert "export interface OrderInput {\n    total: string;\n    note?: string;" in text
        assert "_Own" not in text
    assert "function quote" in shop
    refused = perdure("types", "nothing", code=2).stderr
    assert "nothing has no steps, and no classes with fields" in " ".join(refused.split())


def test_certify_prints_each_check(perdure: Run) -> None:
    done = perdure("certify", "memory://", "--seed", "3", "--json")
    report = json.loads(done.stdout)
    assert report["passed"]
    assert report["seed"] == 3


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["run", "gone.ts", "--steps", "cli_steps"], "no workflow file at", 2),
        (["run", "flow.ts#nope", "--steps", "cli_steps"], "broken, flow, patient", 1),
        (["run", "flow.ts", "--steps", "cli_steps"], "say which one", 1),
        (["run", "flow.ts#flow", "{", "--steps", "cli_steps"], "not JSON", 2),
        (["run", "flow.ts#flow", "4", "--steps", "cli_steps"], "write '[4]'", 2),
        (["run", "flow.ts#flow", "--steps", "gone_steps"], "there is no module gone_steps", 2),
        (["run", "flow.ts#flow", "--steps", "empty_steps"], "@step", 2),
        (["inspect", "run_nobody"], "the world has no runs", 2),
        (["cancel", "run_nobody"], "no run run_nobody", 2),
        (["verify", "run_nobody"], "no run run_nobody", 2),
        (["runs", "--world", "redis://x"], "no world is installed for 'redis://'", 2),
        (["runs", "--world", "nonsense"], "is not a world's URL", 2),
        (["runs", "--world", "sqlite:///:memory:"], "sqlite:///", 2),
        (["certify", "sqlite:////x.db"], "{n}", 2),
        (["certify", "memory://", "--tier", "huge"], "smoke, full and soak", 2),
    ],
)
def test_a_mistake_is_told_with_what_mends_it(
    perdure: Run, arguments: list[str], says: str, code: int
) -> None:
    done = perdure(*arguments, code=code)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def has_parked(database: Path) -> bool:
    """Whether a run there has been put away."""
    if not database.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(database)) as db:
            return bool(db.execute("SELECT 1 FROM snapshots").fetchone())
    except sqlite3.OperationalError:  # it is just being made
        return False


def test_ctrl_c_says_how_to_go_on(perdure: Run, folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "perdure", "run", "flow.ts#patient", "--steps", "cli_steps"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    for _ in range(100):
        if has_parked(folder / ".perdure/perdure.db"):
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert b"perdure worker --steps cli_steps" in said
    (run,) = json.loads(perdure("runs", "--json").stdout)
    shown = json.loads(perdure("inspect", run["id"], "--json").stdout)
    assert shown["run"]["status"] == "running"
    assert set(shown["snapshot"]) == {"bytes", "turn", "position"}
    assert shown["snapshot"]["bytes"] > 0
    assert shown["waits"][0]["at"].startswith("flow.ts:")


def test_a_queue_that_nobody_serves_is_told_and_served(
    perdure: Run, folder: Path, environment: dict[str, str]
) -> None:
    (folder / "gpu_steps.py").write_text(
        "from perdure import step\n"
        "@step(queue='gpu')\nasync def draw() -> str:\n    return 'drawn'\n"
    )
    (folder / "draw.ts").write_text(
        'import { draw } from "python:gpu_steps";\n'
        'export async function w() { "use workflow"; return await draw(); }\n'
    )
    assert json.loads(perdure("run", "draw.ts", "--steps", "gpu_steps").stdout) == "drawn"
    run_id = perdure("start", "draw.ts").stdout.strip()

    def worker(*options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "perdure", "worker", "--steps", "gpu_steps", *options],
            cwd=folder,
            env=environment,
            text=True,
            stderr=subprocess.PIPE,
        )

    others = worker()
    assert others.stderr is not None
    assert "0 steps; not of --queue gpu" in others.stderr.readline()
    until = time.monotonic() + 30
    while "waiting: " not in (shown := perdure("inspect", run_id).stdout):
        assert time.monotonic() < until
    assert "no worker has claimed" in shown
    while "--queue gpu" not in (shown := perdure("inspect", run_id).stdout):
        assert time.monotonic() < until, shown
    serving = worker("--queue", "gpu", "--queue", "default")
    assert serving.stderr is not None
    assert "1 step" in serving.stderr.readline()
    while "completed" not in (shown := perdure("inspect", run_id).stdout):
        assert time.monotonic() < until, shown
    assert json.loads(perdure("inspect", run_id, "--json").stdout)["waiting"] is None
    for process in (others, serving):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_failures_name_their_step_and_say_when_it_runs_again(
    perdure: Run, folder: Path, environment: dict[str, str]
) -> None:
    (folder / "slip_steps.py").write_text(
        "from perdure import step\n"
        "@step(max_retries=2, retry_delay=0.01)\nasync def slip() -> None:\n    (3).upper()\n"
    )
    (folder / "slip.ts").write_text(
        'import { slip } from "python:slip_steps";\n'
        'export async function w() { "use workflow"; await slip(); }\n'
    )
    shown = perdure("run", "slip.ts", "--steps", "slip_steps", code=1).stderr
    error = "AttributeError: 'int' object has no attribute 'upper'"
    for attempt in (1, 2):
        assert f"/step_1) failed at attempt {attempt} and runs again in 0.0 s" in shown
    assert shown.count("runs again") == 2
    assert shown.count(f"failed for good at attempt 3: {error}") == 1
    assert "step retrying" not in shown
    assert "(3).upper()" in shown  # the traceback
    assert shown.count("RunFailedError") == 0  # which the command tells in its own way
    perdure("start", "slip.ts")
    worker = subprocess.Popen(
        [sys.executable, "-m", "perdure", "worker", "--steps", "slip_steps"],
        cwd=folder,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
    )
    assert worker.stderr is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("error: run "):
        lines.append(worker.stderr.readline())
        assert lines[-1]
    worker.send_signal(signal.SIGTERM)
    shown = "".join(lines) + worker.stderr.read()
    assert worker.wait(timeout=30) == 0
    worker.stderr.close()
    assert shown.count("runs again in 0.0 s") == 2
    assert re.search(rf"step slip_steps:slip \(\S+\) failed for good at attempt 3: {error}", shown)
    assert shown.count("(3).upper()") >= 1
    assert "slip.ts:2" in shown


def test_a_worker_drains_no_longer_than_it_is_told(
    perdure: Run, folder: Path, environment: dict[str, str]
) -> None:
    """Though a step of its blocks a thread, which its process would wait for."""
    (folder / "stuck_steps.py").write_text(
        "import pathlib, threading\n"
        "from perdure import step\n"
        "@step\ndef stick() -> None:\n"
        "    pathlib.Path('begun').touch()\n"
        "    threading.Event().wait(60)\n"
    )
    (folder / "stuck.ts").write_text(
        'import { stick } from "python:stuck_steps";\n'
        'export async function w() { "use workflow"; await stick(); }\n'
    )
    perdure("start", "stuck.ts")
    command = [sys.executable, "-m", "perdure", "worker", "--steps", "stuck_steps"]
    worker = subprocess.Popen(
        [*command, "--drain-timeout", "0.1"],
        cwd=folder,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 30
    while not (folder / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    worker.send_signal(signal.SIGTERM)
    _, shown = worker.communicate(timeout=20)
    assert worker.returncode == 0
    assert "has drained for 0.1 s" in shown
    assert "stuck_steps:stick goes on in its thread" in shown
    assert "exited with 1 step that cannot be cancelled" in shown
    assert "drain_timeout=nan" in perdure("worker", "--drain-timeout", "nan", code=2).stderr
