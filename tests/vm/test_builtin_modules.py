"""The modules that the guest brings along: their names are the compiler's, errors have facts."""

from __future__ import annotations

from typing import Any

import pytest

from perdure._compiler.builtin_modules import MODULES
from perdure.errors import GuestError
from tests.vm.conftest import RunOf, ValueOf, listed


@pytest.mark.parametrize("module", MODULES)
def test_a_module_exports_what_the_compiler_says(
    run_of: RunOf, value_of: ValueOf, module: str
) -> None:
    run = run_of(
        f'import * as all from "{module}";\n'
        "export async function w() { return Object.keys(all).sort(); }"
    )
    assert value_of(run.start()) == sorted(MODULES[module])


ERRORS: dict[str, dict[str, Any]] = {
    'new HookConflictError("t", "run_1")': {
        "name": "HookConflictError",
        "text": 'the hook\'s token "t" is already in use by another workflow, run run_1',
        "props": {"token": "t", "conflictingRunId": "run_1"},
    },
    'new HookForceClaimedError("t", "run_1")': {
        "name": "HookForceClaimedError",
        "text": 'the hook\'s token "t" was taken by another workflow, run run_1',
        "props": {"token": "t", "forceClaimedBy": "run_1"},
    },
    'new HookNotFoundError("t")': {
        "name": "HookNotFoundError",
        "text": 'no hook with token "t" was found',
        "props": {"token": "t"},
    },
    'new HookDisposedError("t")': {
        "name": "HookDisposedError",
        "text": 'the hook with token "t" was disposed of: nothing comes to it any more',
        "props": {"token": "t"},
    },
    'new WorkflowRunFailedError("run_1", "USER_ERROR", { cause: new Error("because") })': {
        "name": "WorkflowRunFailedError",
        "text": "run run_1 failed: because",
        "props": {"runId": "run_1", "errorCode": "USER_ERROR"},
    },
    'new WorkflowRunNotCompletedError("run_1", "running")': {
        "name": "WorkflowRunNotCompletedError",
        "text": 'run run_1 has not completed, it is "running"',
        "props": {"runId": "run_1", "runStatus": "running"},
    },
    'new TooEarlyError("wait", 5)': {
        "name": "TooEarlyError",
        "text": "wait",
        "props": {"retryAfter": 5},
    },
    'new WorkflowError("m", { cause: "c" })': {"name": "WorkflowError", "text": "m", "props": {}},
}


@pytest.mark.parametrize(("made", "facts"), ERRORS.items(), ids=[e[4:20] for e in ERRORS])
def test_an_error_crosses_with_its_facts_and_comes_back_as_one_of_its_class(
    run_of: RunOf, value_of: ValueOf, made: str, facts: dict[str, Any]
) -> None:
    name = facts["name"]
    run = run_of(
        'import * as errors from "workflow/errors"; import { work } from "python:steps";\n'
        f"const {{ {name} }} = errors;\n"
        f"export async function w() {{ const error = {made};\n"
        "const back = await work(error);\n"
        f"return [back, back instanceof {name}, {name}.is(back), errors.WorkflowError.is(back),"
        f" {name}.is(new Error()), {name}.is(null), {name}.name]; }}"
    )
    run.step_of(run.start())
    error = GuestError(name=name, message=facts["text"], props=facts["props"])
    back, *checks = listed(value_of(run.complete(error)))
    assert isinstance(back, GuestError)
    assert (back.name, back.text, back.props) == (name, facts["text"], facts["props"])
    assert checks == [True, True, True, False, False, name]


def test_an_error_that_is_made_here_has_the_same_facts(run_of: RunOf, value_of: ValueOf) -> None:
    for made, facts in ERRORS.items():
        run = run_of(
            f'import {{ {facts["name"]} }} from "workflow/errors";\n'
            f"export async function w() {{ return {made}; }}"
        )
        error = value_of(run.start())
        assert isinstance(error, GuestError)
        assert (error.name, error.text, error.props) == (
            facts["name"],
            facts["text"],
            facts["props"],
        )


ELSEWHERE = {
    "workflow": {"getStepMetadata": "NotInStepContextError"},
    "@workflow/core": {
        "getStepMetadata": "NotInStepContextError",
        "resumeHook": "UnavailableInWorkflowContextError",
    },
    "workflow/api": dict.fromkeys(
        MODULES["workflow/api"] - {"Run", "start"}, "UnavailableInWorkflowContextError"
    ),
}


@pytest.mark.parametrize("module", ELSEWHERE)
def test_what_has_no_meaning_in_a_workflow_throws_by_name(
    run_of: RunOf, value_of: ValueOf, module: str
) -> None:
    names = ELSEWHERE[module]
    run = run_of(
        f'import * as all from "{module}";\n'
        "export async function w(names) { return names.map((name) => {\n"
        "try { all[name](); } catch (error) { return [error.name, error.message]; } }); }"
    )
    thrown = listed(value_of(run.start(sorted(names))))
    for name, (error, message) in zip(sorted(names), thrown, strict=True):
        assert (error, name + "()" in message) == (names[name], True)
