# ruff: noqa: E501  # one program a line
"""createWebhook() in a guest: its command, and what it refuses at the call."""

from __future__ import annotations

from typing import cast

import pytest

from perdure._model.commands import OpenHook
from perdure._protocol.codec import decode
from perdure._protocol.frames import GuestDelivery
from perdure.values import Response
from tests.vm.conftest import RunOf, ValueOf

HEAD = 'import { createWebhook } from "workflow"; export async function w() {'


@pytest.mark.parametrize(
    ("options", "respond_with", "metadata"),
    [
        ("", None, None),
        ("{}", None, None),
        ("{ respondWith: undefined }", None, None),
        ("{ respondWith: 'manual', metadata: { a: [1] } }", "manual", {"a": [1]}),
        ("{ respondWith: new Response('a', { status: 201 }) }", Response("a", status=201), None),
    ],
)
def test_a_webhook_is_a_hook_that_says_how_to_answer(
    run_of: RunOf, options: str, respond_with: object, metadata: object
) -> None:
    (command,) = run_of(f"{HEAD} await createWebhook({options}); }}").start().turns[0].commands
    assert isinstance(command, OpenHook)
    assert command.webhook
    assert len(command.token) == 32
    assert command.metadata is not None
    assert decode(command.metadata) == {"respondWith": respond_with, "metadata": metadata}


@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        ("1", "TypeError", "object of options, not 1"),
        ("null", "TypeError", "object of options"),
        ("{ token: 'a' }", "TypeError", "nobody can guess it; leave it out"),
        ("{ token: '' }", "TypeError", "leave it out"),
        ("{ minRetention: '1d' }", "TypeError", "no option minRetention"),
        ("{ experimental_minRetention: '1d' }", "TypeError", "no option minRetention"),
        ("{ respondWith: 'maybe' }", "TypeError", 'a Response or "manual", not "maybe"'),
        ("{ respondWith: {} }", "TypeError", 'a Response or "manual"'),
        ("{ respondWith: new Request('http://a') }", "TypeError", 'a Response or "manual"'),
        ("{ respondWith: Response.error() }", "TypeError", "no answer"),
        ("{ metadata: () => 1 }", "SerializationError", "metadata"),
    ],
)
def test_odd_options_are_refused_at_the_call(
    run_of: RunOf, value_of: ValueOf, options: str, name: str, text: str
) -> None:
    source = (
        f"{HEAD} try {{ createWebhook({options}); }} catch (e) {{ return [e.name, e.message]; }} }}"
    )
    error = cast("list[str]", value_of(run_of(source).start()))
    assert error[0] == name
    assert text in error[1]


def test_a_webhook_comes_from_its_function_and_stays_as_it_is(
    run_of: RunOf, value_of: ValueOf
) -> None:
    body = (
        "const webhook = createWebhook(); const tries = [() => new webhook.constructor(), () => { webhook.token = 1 },"
        " () => { Object.getPrototypeOf(webhook).then = 1 }, () => webhook.url]; const seen = [];"
        " for (const attempt of tries) { try { attempt(); seen.push(0) } catch (e) { seen.push(e.name) } }"
        " webhook.dispose(); return [...seen, typeof webhook.token, webhook[Symbol.asyncIterator]() !== undefined]; }"
    )
    answer = value_of(run_of(f"{HEAD} {body}").start())
    assert answer == ["TypeError", "TypeError", "TypeError", "WebhookUrlError", "string", True]


@pytest.mark.parametrize(
    "end",
    [
        "return await hook;",
        "return hook;",
        "return await Promise.race([hook]);",
        "const v = await hook; return v;",
    ],
)
@pytest.mark.parametrize("kind", ["createHook", "createWebhook"])
def test_the_payload_may_be_the_result(
    run_of: RunOf, value_of: ValueOf, kind: str, end: str
) -> None:
    run = run_of(
        f'import {{ {kind} }} from "workflow"; export async function w() {{ const hook = {kind}(); {end} }}'
    )
    run.start()
    received = GuestDelivery(position=2, at_ms=1, kind="hook_received", id="hook_1", value=b"\x05")
    assert value_of(run.guest.resume([received])) == 5
