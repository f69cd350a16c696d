"""The run API under schemathesis: no 5xx, answers as described, nothing of others' runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.web.fuzzing import Target, fuzz
from tests.web.serving import serving

EXAMPLES = int(os.environ.get("PERDURE_HTTP_FUZZ", "10"))  # of each operation
SEED = int(os.environ.get("PERDURE_SEED", "0"))


@pytest.mark.slow
def test_the_api_under_fuzz(tmp_path: Path) -> None:
    target = Target(f"sqlite:///{tmp_path}/fuzz.db")
    with serving(target.application()) as url:
        answers = fuzz(url, target, examples=EXAMPLES, number=SEED)
    for (operation, status), count in sorted(answers.items()):
        print(f"{count:6} {status} {operation}")
    assert {status for _, status in answers} >= {200, 202, 403, 404, 422}
