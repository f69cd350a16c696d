"""Webhooks: each method, each way of answering, and 404 without a word for everything else."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.types import Message

from perdure import Run
from perdure._protocol.codec import encode
from perdure.abc import World
from perdure.errors import StreamClosedError, WorldUnavailableError
from perdure.model import HookRecord, RunId, StreamPage
from perdure.values import Request, Response
from perdure.web import HttpLimits, app
from perdure.web._webhooks import METHODS
from tests.web.clients import BASE, client_of
from tests.web.waiting import answer, requests_of, wait_at, waiting_run, webhook_path
from tests.worlds import IN_MEMORY

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_reaches_the_workflow(world: World, method: str) -> None:
    run = await waiting_run(world, "t1")
    headers = [("X-Twice", "1"), ("x-twice", "2"), ("content-type", "text/plain")]
    async with client_of(app(world, base_url=f"{BASE}/flows/")) as client:
        path = f"{webhook_path('t1')}?a=%20b&c=ä"
        answer = await client.request(method, path, headers=headers, content=b"\0body")
    assert (answer.status_code, answer.content) == (202, b"")
    (request,) = await requests_of(run)
    assert request.method == method
    assert request.url == f"{BASE}/flows{webhook_path('t1')}?a=%20b&c=%C3%A4"
    assert request.headers.get_all("x-twice") == ["1", "2"]
    assert request.body == (None if method in ("GET", "HEAD") else b"\0body")
    assert request.reply is None


@pytest.mark.parametrize(
    ("of_app", "of_run", "seen"),
    [
        (f"{BASE}/flows/", "https://other.example", f"{BASE}/flows"),
        (None, "https://other.example/", "https://other.example"),
        (None, None, BASE),  # as the client asked
    ],
)
async def test_the_workflow_sees_the_public_url(
    world: World, of_app: str | None, of_run: str | None, seen: str
) -> None:
    run = await waiting_run(world, "t1", base_url=of_run)
    async with client_of(app(world, base_url=of_app)) as client:
        await client.post(webhook_path("t1"))
    (request,) = await requests_of(run)
    assert request.url == seen + webhook_path("t1")


STATIC = Response(
    "<Response/>",
    status=201,
    headers=[("content-type", "text/xml"), ("set-cookie", "a=1"), ("set-cookie", "b=2")],
)


@pytest.mark.parametrize("method", METHODS)
async def test_a_static_response_answers_each_request(world: World, method: str) -> None:
    run = await waiting_run(world, "t1", STATIC)
    async with client_of(app(world)) as client:
        for _ in range(2):
            answer = await client.request(method, webhook_path("t1"))
            assert answer.status_code == 201
            assert answer.content == (b"" if method == "HEAD" else b"<Response/>")
            assert answer.headers["content-type"] == "text/xml"
            assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert len(await requests_of(run)) == 2


@IN_MEMORY
@pytest.mark.parametrize(
    "response",
    [
        Response(status=204),
        Response(status=304),
        Response("no", status=599, headers={"x-a": "ä"}),
        Response(b"\0" * 100_000, headers={"content-length": "5", "transfer-encoding": "chunked"}),
    ],
)
async def test_responses_of_all_kinds_are_sent(world: World, response: Response) -> None:
    await waiting_run(world, "t1", response)
    async with client_of(app(world)) as client:
        answer = await client.post(webhook_path("t1"))
    assert (answer.status_code, answer.content) == (response.status, response.body or b"")
    assert answer.headers.get("x-a", "").encode("latin-1") == response.headers.get(
        "x-a", ""
    ).encode("latin-1")
    assert answer.headers.get("content-length") in (None, str(len(response.body or b"")))
    assert "transfer-encoding" not in answer.headers


async def _received(run: Run) -> Request:
    with anyio.fail_after(20):
        while not (requests := await requests_of(run)):
            await anyio.lowlevel.checkpoint()
    return requests[0]


async def test_the_caller_of_a_manual_webhook_is_held_until_the_step_answers(world: World) -> None:
    run = await waiting_run(world, "t1", "manual")
    answers: list[httpx.Response] = []
    async with client_of(app(world)) as client, anyio.create_task_group() as group:

        async def call() -> None:
            answers.append(await client.post(webhook_path("t1"), json={"n": 1}))

        group.start_soon(call)
        request = await _received(run)
        assert request.json() == {"n": 1}
        assert answers == []
        await answer(world, run, request, Response.from_json({"ok": True}, status=201))
    assert (answers[0].status_code, answers[0].json()) == (201, {"ok": True})


async def test_an_answer_that_comes_too_late_is_refused(world: World) -> None:
    """The caller has had its 404, and so the step is told."""
    run = await waiting_run(world, "t1", "manual")
    async with client_of(app(world, limits=HttpLimits(reply_seconds=0.05))) as client:
        late = await client.post(webhook_path("t1"))
    assert (late.status_code, late.content) == (404, b"")
    (request,) = await requests_of(run)
    with pytest.raises(StreamClosedError):
        await answer(world, run, request, Response("late"))


async def test_the_first_answer_counts(world: World) -> None:
    run = await waiting_run(world, "t1", "manual")
    key = {"idempotency-key": "event-7"}
    async with client_of(app(world)) as client, anyio.create_task_group() as group:

        async def call() -> None:
            assert (await client.post(webhook_path("t1"), headers=key)).text == "first"

        group.start_soon(call)
        request = await _received(run)
        assert request.reply is not None
        for n, text in enumerate(("first", "second")):
            chunk = encode(Response(text), where="response")
            await world.streams.append(run.id, request.reply, [chunk], writer=f"s{n}", sequence=0)


async def _call_and_go(client: httpx.AsyncClient, run: Run, key: str, count: int) -> Request:
    """Send a request, and leave once it is the run's; the last one that the run has."""
    async with anyio.create_task_group() as group:
        headers = {"idempotency-key": key}
        group.start_soon(lambda: client.post(webhook_path("t1"), headers=headers))
        with anyio.fail_after(20):
            while len(await requests_of(run)) < count:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    return (await requests_of(run))[-1]


async def test_a_request_that_is_repeated_with_its_key_counts_once(world: World) -> None:
    """It is held for the same answer, or has it at once."""
    run = await waiting_run(world, "t1", "manual")
    async with client_of(app(world)) as client:
        request = await _call_and_go(client, run, "event-7", 1)
        await answer(world, run, request, Response("once"))
        again = await client.post(webhook_path("t1"), headers={"idempotency-key": "event-7"})
        assert again.text == "once"
        assert await requests_of(run) == [request]
        await _call_and_go(client, run, "event-8", 2)


async def test_a_key_is_of_one_webhook(world: World) -> None:
    """Another sender may have the same key: its request to another webhook of the run counts."""
    run = await waiting_run(world, "t1")
    await wait_at(world, run, "t2")
    async with client_of(app(world)) as client:
        for token in ("t1", "t2", "t1"):
            await client.post(webhook_path(token), headers={"idempotency-key": "1"})
    assert [r.url.rpartition("/")[2] for r in await requests_of(run)] == ["t1", "t2"]


@pytest.mark.parametrize("is_repeatable", [False, True])
async def test_a_caller_that_goes_is_not_waited_for(world: World, is_repeatable: bool) -> None:
    """Its place is closed, unless it may come again with its key."""
    run = await waiting_run(world, "t1", "manual")
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await _received(run)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        del message

    headers = [(b"idempotency-key", b"k")] if is_repeatable else []
    scope = {
        "type": "http",
        "method": "POST",
        "path": webhook_path("t1"),
        "query_string": b"",
        "headers": [(b"host", b"shop.example"), *headers],
        "scheme": "https",
    }
    with anyio.fail_after(20):
        await app(world)(scope, receive, send)
    (request,) = await requests_of(run)
    assert request.url == f"https://shop.example{webhook_path('t1')}"
    assert request.reply is not None
    assert (await world.streams.info(run.id, request.reply)).closed is not is_repeatable


async def test_a_run_that_ends_without_an_answer_lets_its_caller_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its wait is one question for all of the time, not a look every now and then."""
    waits: list[int] = []
    read = world.streams.read

    async def noted(run_id: RunId, name: str, **options: int) -> StreamPage:
        waits.append(options.get("wait_ms", 0))
        return await read(run_id, name, **options)

    monkeypatch.setattr(world.streams, "read", noted)
    run = await waiting_run(world, "t1", "manual")
    site = app(world, limits=HttpLimits(reply_seconds=50))
    async with client_of(site) as client, anyio.create_task_group() as group:

        async def call() -> None:
            assert (await client.post(webhook_path("t1"))).status_code == 404

        group.start_soon(call)
        await _received(run)
        await run.cancel()
    assert waits == [50_000, 0]


@IN_MEMORY
@pytest.mark.parametrize("contract", ["streams.read", "storage.wait_ended"])
async def test_a_store_that_goes_while_a_caller_waits_is_404(
    world: World, monkeypatch: pytest.MonkeyPatch, contract: str
) -> None:
    async def away(*arguments: object, **options: object) -> None:
        raise WorldUnavailableError("the store is away")

    await waiting_run(world, "t1", "manual")
    name, method = contract.split(".")
    monkeypatch.setattr(getattr(world, name), method, away)
    async with client_of(app(world)) as client:
        assert (await client.post(webhook_path("t1"))).status_code == 404


async def _nothing(world: World) -> str:
    return "nobody"


async def _plain(world: World) -> str:
    await waiting_run(world, "plain", is_webhook=False)
    return "plain"


async def _over(world: World) -> str:
    run = await waiting_run(world, "over")
    await run.cancel()
    return "over"


async def _erroneous(world: World) -> str:
    await waiting_run(world, "erroneous", Response(status=0))
    return "erroneous"


@pytest.mark.parametrize("make", [_nothing, _plain, _over, _erroneous])
async def test_any_refusal_is_404_without_a_body(
    world: World, make: Callable[[World], Awaitable[str]]
) -> None:
    token = await make(world)
    async with client_of(app(world)) as client:
        for method in (*METHODS, "TRACE", "ODD"):
            answer = await client.request(method, webhook_path(token), content=b"x")
            assert (answer.status_code, answer.content) == (404, b""), method
            assert "content-type" not in answer.headers


@IN_MEMORY
@pytest.mark.parametrize("token", ["a/b", "a%2Fb", "x" * 501, "%00", "%ff", "..", "a%20b"])
async def test_no_token_is_too_odd(world: World, token: str) -> None:
    async with client_of(app(world)) as client:
        answer = await client.post(webhook_path(token))
    assert answer.status_code in (400, 404)
    assert answer.content == b"" or b"/webhook/" not in answer.request.url.raw_path


@IN_MEMORY
@pytest.mark.parametrize("path", [webhook_path(""), webhook_path("")[:-1]])
async def test_a_missing_token_is_400(world: World, path: str) -> None:
    async with client_of(app(world)) as client:
        answer = await client.post(path)
    assert (answer.status_code, answer.content) == (400, b"")


@IN_MEMORY
@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({}, b"x" * 101, "at most 100 bytes"),
        ({"host": "a b"}, b"", "Host"),
        ({"host": "shop.example/?"}, b"", "Host"),
        ({"host": "a" * 5000 + "@b"}, b"", "Host"),
    ],
)
async def test_a_request_that_may_not_be_so_is_refused_and_logged(
    world: World,
    headers: dict[str, str],
    body: bytes,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = await waiting_run(world, "secret-token")
    async with client_of(app(world, limits=HttpLimits(body_bytes=100))) as client:
        answer = await client.post(webhook_path("secret-token"), headers=headers, content=body)
    assert (answer.status_code, answer.content) == (404, b"")
    assert await requests_of(run) == []
    assert words in caplog.text
    assert "secret-token" not in caplog.text


@IN_MEMORY
async def test_a_store_that_is_away_is_404_and_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(token: str) -> HookRecord:
        raise WorldUnavailableError("the store is away")

    monkeypatch.setattr(world.storage, "get_hook", away)
    with caplog.at_level(logging.ERROR, "perdure"):
        async with client_of(app(world)) as client:
            answer = await client.post(webhook_path("t1"))
    assert (answer.status_code, answer.content) == (404, b"")
    assert "the store is away" in caplog.text
