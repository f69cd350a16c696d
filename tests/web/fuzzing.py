"""Fuzz: requests of all kinds that the API's description allows, and of kinds that it does not."""

# schemathesis leaves the parameters of its own generic types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st
from schemathesis import APIOperation, Case, CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure import Worker, open_world, start
from perdure.web import Action, HttpLimits, app
from tests.web.flows import WORKFLOWS, add

SECRET = "the-secret-of-others"
# Those of schemathesis that suit an API whose runs and tokens are made elsewhere.
_CHECKS: list[CheckFunction] = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_headers_conformance, response_schema_conformance),
]


class Target:
    """The application: one caller, who may see the runs in *mine*, and start others."""

    def __init__(self, world_url: str) -> None:
        self._world_url = world_url
        self.mine: list[str] = []
        self.others: list[str] = []
        self.tokens: list[str] = []

    def application(self) -> ASGIApp:
        """It runs a worker, and has runs from the start."""
        sound = {name: flow for name, flow in WORKFLOWS.items() if name != "broken"}
        limits = HttpLimits(wait_seconds=0.01, stream_seconds=0.01)
        site = app(authorize=self._authorize, workflows=sound, limits=limits)
        service = Starlette(lifespan=self._lifespan)

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            await (service if scope["type"] == "lifespan" else site)(scope, receive, send)

        return both

    def _authorize(self, request: Request, action: Action, run_id: str | None) -> bool:
        return run_id is None or run_id not in self.others

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None, None]:
        async with open_world(self._world_url) as world, Worker(world, steps=[add]):
            for value, runs in (("mine", self.mine), (SECRET, self.others)):
                run = await start(WORKFLOWS["echo"], [value], attributes={"is": value})
                await run.result()
                hook = await start(WORKFLOWS["hook"], [f"{value}-token"])
                runs += [run.id, hook.id]
            webhook = await start(WORKFLOWS["webhook"], base_url="https://shop.example")
            while not self.tokens:
                self.tokens = [hook.token for hook in await webhook.hooks()]
            yield


def fuzz(url: str, target: Target, *, examples: int, number: int) -> Counter[tuple[str, int]]:
    """Ask *examples* of each operation; how many answers there were by operation and status.

    Raises:
        AssertionError: an answer is not as the description says, or tells of others' runs.
    """
    document = httpx.get(f"{url}/api/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    answers: Counter[tuple[str, int]] = Counter()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        _ask(result.ok(), target, answers, examples=examples, number=number)
    return answers


def _ask(
    operation: APIOperation[Any, Any, Any, Any],
    target: Target,
    answers: Counter[tuple[str, int]],
    *,
    examples: int,
    number: int,
) -> None:
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    cases = st.one_of([operation.as_strategy(mode) for mode in modes])
    run_ids = st.sampled_from([None, *target.mine, *target.others])
    tokens = st.sampled_from([None, *target.tokens])

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(case=cases, run_id=run_ids, token=tokens)
    def ask(case: Case[Any], run_id: str | None, token: str | None) -> None:
        if token is not None and "token" in case.path_parameters:
            case.path_parameters["token"] = token
        if run_id is not None and "run_id" in case.path_parameters:
            case.path_parameters["run_id"] = run_id
        response = case.call(session=_session(), timeout=60)
        answers[f"{operation.method} {operation.path}", response.status_code] += 1
        assert SECRET not in response.text, case.as_curl_command()
        case.validate_response(response, checks=_CHECKS)

    ask()


@cache
def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session
