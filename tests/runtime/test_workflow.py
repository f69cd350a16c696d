"""Workflows from files: where they are found, and what is said when they are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from perdure import Worker, Workflow, start, workflow
from perdure.cli._compile import compile_file
from perdure.errors import CompileError, RunFailedError, UsageError
from perdure.model import RunFilter
from perdure.testing.memory import MemoryWorld

pytestmark = pytest.mark.anyio

ONE = 'export async function one() { "use workflow"; return 1 }\n'
TWO = ONE + 'export const two = async () => { "use workflow"; return 2 };\n'


async def result_of(made: Workflow) -> object:
    async with MemoryWorld() as world, Worker(world, steps=[]):
        return await (await start(made)).result(timeout=10)


async def test_a_file_with_one_workflow_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "w.ts").write_text(ONE)
    assert await result_of(workflow(tmp_path / "w.ts")) == 1


async def test_one_of_several_is_chosen_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.ts").write_text(TWO)
    monkeypatch.chdir(tmp_path)
    assert await result_of(workflow("w.ts#two")) == 2
    assert await result_of(Workflow.from_source(TWO, filename="x.ts", name="two")) == 2
    with pytest.raises(CompileError, match=r"there is: w\.ts#one, w\.ts#two"):
        await result_of(workflow("w.ts"))
    with pytest.raises(CompileError, match="did you mean two"):
        await result_of(workflow("w.ts#tow"))


@pytest.mark.parametrize("up", [1, 2])
async def test_imports_may_lead_above_the_workflows_folder(tmp_path: Path, up: int) -> None:
    folder = tmp_path.joinpath(*["deep"] * (up - 1), "flows")
    folder.mkdir(parents=True)
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "money.ts").write_text(
        'import { fail } from "./fail";\nexport const money = (n: number) => (n ? n : fail());\n'
    )
    (tmp_path / "lib" / "fail.ts").write_text(
        'export function fail(): never {\n  throw new Error("nothing");\n}\n'
    )
    (folder / "w.ts").write_text(
        f'import {{ money }} from "{"../" * up}lib/money";\n'
        "export async function w(n: number) {\n"
        '  "use workflow";\n  return money(n);\n}\n'
    )
    made = workflow(folder / "w.ts")
    async with MemoryWorld() as world, Worker(world, steps=[]):
        assert await (await start(made, [3])).result(timeout=10) == 3
        with pytest.raises(RunFailedError) as caught:
            await (await start(made, [0])).result(timeout=10)
    path = str(folder.relative_to(tmp_path) / "w.ts")
    assert "fail (lib/fail.ts:2:" in caught.value.stack
    assert f"w ({path}:4:" in caught.value.stack
    # The root is no wider than it need be, so the same layout elsewhere is the same bundle.
    assert sorted(made.compile().modules) == sorted([path, "lib/fail.ts", "lib/money.ts"])


async def test_an_import_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "w.ts").write_text('import { x } from "./gone/x";\nx();\n' + ONE)
    with pytest.raises(CompileError) as caught:
        await result_of(workflow(tmp_path / "w.ts"))
    assert "w.ts:1:19: there is no file './gone/x'" in str(caught.value)
    source = Workflow.from_source('import { x } from "../x";\nx();\n' + ONE)
    with pytest.raises(CompileError, match=r"cannot import '\.\./x': it leads out of the workflow"):
        source.compile()


async def test_a_file_that_moved_is_told_and_found_nearby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.ts").write_text(ONE)
    made = workflow("old.ts")
    assert await result_of(made) == 1
    (tmp_path / "flows").mkdir()
    (tmp_path / "old.ts").rename(tmp_path / "flows" / "old.ts")
    with pytest.raises(UsageError, match=r"no workflow file at .*old\.ts") as caught:
        await result_of(made)
    assert "flows/old.ts" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert await result_of(workflow("flows/old.ts")) == 1
    with pytest.raises(UsageError, match=r"Did you mean flows/old\.ts"):
        await result_of(workflow("flows/odl.ts"))
    with pytest.raises(UsageError) as caught:
        await result_of(workflow("other.ts"))
    assert "Did you mean" not in str(caught.value)


async def test_a_file_that_changes_is_compiled_again(tmp_path: Path) -> None:
    path = tmp_path / "w.ts"
    path.write_text(ONE)
    made = workflow(path)
    first = made.compile()
    assert made.compile() is first
    path.write_text(ONE.replace("return 1", "return 1000"))
    assert await result_of(made) == 1000


@pytest.mark.parametrize("wrong", ["", "#name"])
def test_a_path_is_needed(wrong: str) -> None:
    with pytest.raises(UsageError, match="needs a path"):
        workflow(wrong)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("function f() { await sleep(1) }", "w.ts:4:18: syntax error: unexpected 'await' keyword"),
        ("let a = 1; let a = 2;", "w.ts:4:20: syntax error: invalid redefinition of lexical"),
        ("break", "break must be inside loop or switch"),
        ("new (class {})().#x", "undefined private field '#x'"),
    ],
)
async def test_what_only_the_engine_knows_to_be_wrong_is_told_by_start(
    tmp_path: Path, line: str, says: str
) -> None:
    path = tmp_path / "w.ts"
    path.write_text(
        'import { sleep } from "workflow";\nexport async function w() {\n'
        f'  "use workflow"; await sleep(1);\n  {line}\n}}\n'
    )
    async with MemoryWorld() as world:
        with pytest.raises(CompileError) as caught:
            await start(workflow(path), world=world)
        assert says in str(caught.value)
        assert not (await world.catalogue.list_runs(RunFilter(), limit=10)).runs
    if "await" in says:
        assert 'write "async" before the function' in str(caught.value)
        assert "    function f() { await sleep(1) }\n" in str(caught.value)


def test_the_compile_command_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.ts").write_text(ONE.replace("return 1", "let a; let a;"))
    with pytest.raises(typer.Exit) as caught:
        compile_file(str(tmp_path / "w.ts"))
    assert caught.value.exit_code == 1
    assert "w.ts:1:" in capsys.readouterr().err
