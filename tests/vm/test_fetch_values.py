# ruff: noqa: E501  # one program a line
"""Headers, Request and Response between Python and a guest, and what is refused of them by name.

That they behave as in Node is tested in tests/differential.
"""

from __future__ import annotations

from typing import Any, cast

import cbor2
import pytest
from hypothesis import given, settings

from perdure._model.commands import Completed, Failed
from perdure._protocol.codec import decode, decode_error, encode
from perdure._protocol.frames import GuestDelivery
from perdure._protocol.tags import Tag
from perdure.values import Headers, Request, Response
from tests.protocol.test_fetch import VALUES
from tests.vm.conftest import RunOf, ValueOf

PASS = 'import { work } from "python:steps"; export async function w(v) { return await work(v); }'


def passed(run_of: RunOf, value: object) -> list[object]:
    """*value* as a step has it, and as the result of the run to which that went back."""
    run = run_of(PASS)
    (argument,) = decode(run.step_of(run.start(value)).args)
    outcome = run.complete(argument).outcome
    run.guest.close()
    assert isinstance(outcome, Completed), outcome
    return [argument, decode(outcome.value)]


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_a_value_crosses_and_comes_back(run_of: RunOf, value: object) -> None:
    for back in passed(run_of, value):
        assert back == value


def test_values_within_others_stay_themselves(run_of: RunOf) -> None:
    request = Request("PUT", "http://a/", body="b")
    _, back = passed(run_of, {"all": [request, Headers({"A": "b"}), Response()], "again": request})
    assert back["again"] is back["all"][0]  # type: ignore[index]  # an object's parts
    assert back == {"all": [request, Headers({"a": "b"}), Response()], "again": request}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("return new Headers([['b', '1'], ['A', ' 2 '], ['B', '3']]);", Headers([("a", "2"), ("b", "1"), ("b", "3")])),
        ("const r = new Response('é', { status: 201, statusText: 'OK' }); await r.text(); return r;", Response("é", status=201, status_text="OK")),
        ("const r = new Request('http://a/b', { method: 'put', body: new Uint8Array([1]) }); return [r.clone(), r];", [Request("PUT", "http://a/b", body=b"\1")] * 2),
        ("return Response.error();", Response(status=0)),
        ("return Response.redirect('http://a/b');", Response(status=302, headers={"location": "http://a/b"})),
    ],
)  # fmt: skip
def test_values_of_workflow_code_arrive_in_python(
    run_of: RunOf, value_of: ValueOf, body: str, value: object
) -> None:
    assert value_of(run_of(f"export async function w() {{ {body} }}").start()) == value


@pytest.mark.parametrize(
    ("sent", "code", "answer"),
    [
        (Request("POST", "http://a/?q=1", body='{"n": [1]}'), "[v instanceof Request, v.method, v.url, new URL(v.url).searchParams.get('q'), (await v.json()).n, v.bodyUsed]", [True, "POST", "http://a/?q=1", "1", [1], True]),
        (Headers({"A": "b"}), "[v instanceof Headers, v.get('a'), [...v]]", [True, "b", [["a", "b"]]]),
        (Response("hi", status=404), "[v instanceof Response, v.ok, v.status, await v.text(), v.type]", [True, False, 404, "hi", "default"]),
        (Response(status=0), "[v.type, v.status, v.body]", ["error", 0, None]),
        (Request("POST", "http://a/", reply="$reply/1"), "typeof v.respondWith", "function"),
        (Request("POST", "http://a/"), "'respondWith' in v", False),
    ],
)  # fmt: skip
def test_values_of_python_are_whole_in_workflow_code(
    run_of: RunOf, value_of: ValueOf, sent: object, code: str, answer: object
) -> None:
    assert (
        value_of(run_of(f"export async function w(v) {{ return {code}; }}").start(sent)) == answer
    )


REFUSED = {
    "new Response('a').body.getReader()": ("StreamNotUsableError", "by its text()"),
    "(async () => { for await (const part of new Response('a').body) part; })()": ("StreamNotUsableError", "by its text()"),
    "new Response(getWritable())": ("UnavailableInWorkflowContextError", "whole body"),
    "new Response((async function* () {})())": ("UnavailableInWorkflowContextError", "whole body"),
    "new Response('a').blob()": ("UnavailableInWorkflowContextError", "bytes()"),
    "new Request('http://a').formData()": ("UnavailableInWorkflowContextError", "URLSearchParams"),
    "request.respondWith(new Response())": ("UnavailableInWorkflowContextError", "pass the request to a step"),
    "request.clone().respondWith(new Response())": ("UnavailableInWorkflowContextError", "request.respond_with(Response(...))"),
    "new Request('http://a', { signal: {} })": ("UnavailableInWorkflowContextError", "to the step that fetches"),
}  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
def test_what_needs_a_step_is_refused_by_name(run_of: RunOf, value_of: ValueOf, code: str) -> None:
    source = (
        'import { getWritable } from "workflow"; export async function w(request) {'
        f" try {{ await ({code}); }} catch (e) {{ return [e.name, e.message]; }} }}"
    )
    answer = run_of(source).start(Request("POST", "http://a/", reply="$reply/1"))
    name, message = cast("list[str]", value_of(answer))
    assert (name, REFUSED[code][1] in message) == (REFUSED[code][0], True), message


def test_an_option_that_would_be_lost_does_not_cross(run_of: RunOf) -> None:
    source = (
        "export async function w() { return [new Request('http://a', { redirect: 'manual' })]; }"
    )
    outcome = run_of(source).start().outcome
    assert isinstance(outcome, Failed)
    error = decode_error(outcome.error)
    assert error.name == "SerializationError"
    assert "result[0]" in error.text
    assert "the option redirect of a Request does not cross" in error.text


MALFORMED: list[tuple[int, Any]] = [
        (Tag.HEADERS, [["a b", "1"]]),
        (Tag.HEADERS, [["a"]]),
        (Tag.HEADERS, 1),
        (Tag.REQUEST, ["GET", "/relative", [], None, None]),
        (Tag.REQUEST, ["GET", "http://u:p@a/", [], None, None]),
        (Tag.REQUEST, ["a b", "http://a/", [], None, None]),
        (Tag.RESPONSE, [99, "", [], None]),
        (Tag.RESPONSE, [204, "", [], b"a"]),
        (Tag.RESPONSE, [200, "a\nb", [], None]),
        (Tag.RESPONSE, [200, "", [], "text"]),
        (Tag.REQUEST, ["PUT", "http://a/", [], b"", 1]),
]  # fmt: skip


@pytest.mark.parametrize(("tag", "content"), MALFORMED, ids=repr)
def test_a_value_that_cannot_be_made_rejects_who_waits_for_it(
    run_of: RunOf, value_of: ValueOf, tag: int, content: object
) -> None:
    run = run_of(
        'import { work } from "python:steps";'
        " export async function w() { try { await work(); } catch (e) { return e.name; } }"
    )
    run.step_of(run.start())
    data = cbor2.dumps(cbor2.CBORTag(tag, content))
    answer = run.guest.resume(
        [GuestDelivery(position=2, at_ms=1, kind="step_completed", id="step_1", value=data)]
    )
    assert value_of(answer) in ("TypeError", "RangeError")


def test_reading_a_body_takes_no_turn(run_of: RunOf) -> None:
    source = "export async function w(r) { const c = r.clone(); return [await r.text(), await c.json(), await new Response('a').bytes()]; }"
    outcome = run_of(source).start(Request("POST", "http://a/", body="[1]")).outcome
    assert isinstance(outcome, Completed)
    assert decode(outcome.value) == ["[1]", [1], b"a"]
    assert outcome.value == encode(["[1]", [1], b"a"], where="value")
