"""Runs that failed are found by their error, and started anew."""

from __future__ import annotations

import json

from tests.cli.conftest import Run


def test_a_failed_run_is_found_by_its_error_and_started_anew(perdure: Run) -> None:
    perdure("run", "flow.ts#broken", "--steps", "cli_steps", code=1)
    (failed,) = json.loads(perdure("runs", "--json").stdout)
    name = "FatalError"
    assert json.loads(perdure("runs", "--error", name, "--json").stdout) == [failed]
    assert json.loads(perdure("runs", "--error", "FruitlessTurnsError", "--json").stdout) == []
    again = json.loads(perdure("rerun", failed["id"], "--json").stdout)["id"]
    shown = {run["id"]: run for run in json.loads(perdure("runs", "--json").stdout)}
    assert shown.keys() == {failed["id"], again}
    assert shown[again]["status"] == "pending"
    for field in ("workflow", "bundle", "engine", "attributes"):
        assert shown[again][field] == failed[field]
    assert "has not ended" in perdure("rerun", again, code=2).stderr
