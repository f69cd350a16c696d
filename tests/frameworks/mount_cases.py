"""Twenty things that the HTTP app does, whichever application it is part of."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

from tests.frameworks.services import Service

__all__ = ("CASES",)

HEALTH = "/.well-known/workflow/v1/health"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def own_routes_go_on(at: Service) -> None:
    assert httpx.get(f"{at.own_url}/own", trust_env=False, timeout=60).text == "own"


def an_unknown_path_is_404(at: Service) -> None:
    assert at.client.get("/elsewhere").status_code == 404


def it_is_healthy(at: Service) -> None:
    assert at.client.get(HEALTH).json()["healthy"] is True
    for method in ("GET", "HEAD", "POST"):
        assert at.client.request(method, HEALTH).status_code == 200


def it_describes_itself(at: Service) -> None:
    assert at.client.get("/api/openapi.json").json()["openapi"] == "3.1.0"


def without_the_key_nothing_is_shown(at: Service) -> None:
    answer = at.client.get("/api/runs", headers={"authorization": ""})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def a_run_is_started_and_waited_for(at: Service) -> None:
    assert at.ended(at.begin("sums", 1, 2)) == 3


def runs_are_listed(at: Service) -> None:
    run_id = at.begin("say", "listed")
    runs = at.client.get("/api/runs", params={"limit": 1}).json()["runs"]
    assert [run["id"] for run in runs] == [run_id]


def events_are_read(at: Service) -> None:
    run_id = at.begin("sums", 1, 2)
    at.ended(run_id)
    events = at.client.get(f"/api/runs/{run_id}/events").json()["events"]
    assert events[-1]["type"] == "run_completed"


def the_console_is_read(at: Service) -> None:
    run_id = at.begin("say", "ä")
    at.ended(run_id)
    lines: list[str] = []
    while not lines:  # they follow the commit that ends the run
        lines = at.client.get(f"/api/runs/{run_id}/log").json()["lines"]
    assert "ä" in lines[0]


def a_run_is_cancelled(at: Service) -> None:
    path = f"/api/runs/{at.begin('sleep', 'x')}/cancel"
    assert at.client.post(path, json={}).json()["status"] == "cancelled"


def a_run_is_woken(at: Service) -> None:
    run_id = at.begin("sleep", "woken")
    while not at.client.post(f"/api/runs/{run_id}/wake", json={}).json()["waits"]:
        pass
    assert at.ended(run_id) == "woken"


def a_hook_is_resumed(at: Service) -> None:
    run_id = at.begin("hook", f"token of {at.framework}")
    body = {"token": at.token(run_id), "payload": {"a": [None]}}
    assert at.client.post("/api/hooks/resume", json=body).status_code == 200
    assert at.ended(run_id) == {"a": [None]}


def a_stream_is_followed_and_gone_on_with(at: Service) -> None:
    """Events come while the run goes on; a client that comes again has the rest."""
    path = f"/api/runs/{at.begin('tell', '4')}/streams/out"
    for headers, expected in (({}, 0), ({"last-event-id": "1"}, 2)):
        with at.client.stream("GET", path, headers=headers) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            for line in answer.iter_lines():
                if line == f'data: {{"n": {expected}}}':
                    expected += 1
                if expected == 4:
                    break


def a_webhook_takes_every_method(at: Service) -> None:
    run_id = at.begin("webhook", str(len(METHODS)))
    path = at.webhook(run_id)
    for method in METHODS:
        answer = at.client.request(method, path)
        assert (answer.status_code, answer.content) == (202, b"")
    assert [request[0] for request in at.ended(run_id)] == list(METHODS)


def a_request_arrives_as_it_was_sent(at: Service) -> None:
    run_id = at.begin("webhook", "1")
    path = f"{at.webhook(run_id)}?a=%20b&c=%C3%A4"
    body = bytes(range(256))
    at.client.post(path, content=body, headers=[("x-a", "1"), ("x-a", "2")])
    assert at.ended(run_id) == [["POST", at.url + path, "1, 2", list(body)]]


def a_response_arrives_as_it_was_made(at: Service) -> None:
    run_id = at.begin("fixed", "fixed text")
    answer = at.client.post(at.webhook(run_id), content=b"sent")
    assert (answer.status_code, answer.text) == (201, "fixed text")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["content-type"] == "text/x"
    assert at.ended(run_id) == "sent"


def a_step_answers_a_caller(at: Service) -> None:
    at.gate.touch()
    run_id = at.begin("manual", "")
    answer = at.client.post(at.webhook(run_id), content=b"Ada")
    assert (answer.text, answer.headers["x-by"]) == ("hi Ada", "step")
    assert at.ended(run_id) == "answered"


def strangers_learn_nothing(at: Service) -> None:
    run_id = at.begin("hook", f"plain of {at.framework}")
    for token in (at.token(run_id), "nobody"):
        answer = at.client.post(f"/.well-known/workflow/v1/webhook/{token}", content=b"x")
        assert (answer.status_code, answer.content) == (404, b"")


def a_body_that_is_too_large_is_refused(at: Service) -> None:
    path = at.webhook(at.begin("webhook", "1"))
    body = b" " * 100_001
    assert at.client.post(path, content=body).status_code == 404
    answer = at.client.post("/api/runs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def a_caller_that_goes_is_let_go(at: Service) -> None:
    """The step that answers it is not heard, and the run goes on."""
    waiting = at.gate.with_suffix(".waiting")
    at.gate.unlink(missing_ok=True)
    waiting.unlink(missing_ok=True)
    run_id = at.begin("manual", "")
    path, parts = at.webhook(run_id), urlsplit(at.url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: 0\r\n\r\n"
        connection.sendall(head.encode())
        while not waiting.exists():
            pass
    at.gate.touch()
    assert at.ended(run_id) == "answered"


CASES: tuple[Callable[[Service], None], ...] = (
    own_routes_go_on,
    an_unknown_path_is_404,
    it_is_healthy,
    it_describes_itself,
    without_the_key_nothing_is_shown,
    a_run_is_started_and_waited_for,
    runs_are_listed,
    events_are_read,
    the_console_is_read,
    a_run_is_cancelled,
    a_run_is_woken,
    a_hook_is_resumed,
    a_stream_is_followed_and_gone_on_with,
    a_webhook_takes_every_method,
    a_request_arrives_as_it_was_sent,
    a_response_arrives_as_it_was_made,
    a_step_answers_a_caller,
    strangers_learn_nothing,
    a_body_that_is_too_large_is_refused,
    a_caller_that_goes_is_let_go,
)
