"""The files world keeps the contracts; this is all that its author writes to know it."""

from pathlib import Path

from files_world import FilesWorld

from perdure.testing.conformance import check_world, store_at

OPENER = f"{FilesWorld.__module__}:FilesWorld"


def test_it_keeps_the_contracts(tmp_path: Path) -> None:
    check_world(store_at(f"files://{tmp_path}/{{n}}?sync=no", opener=OPENER), opener=OPENER)
