"""fetch in steps: what the policy allows, and all that it must not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from perdure import Fetch, Worker, open_world, start
from perdure._steps.addresses import Addresses
from perdure._steps.policy import Origin
from perdure.errors import UsageError
from tests.steps.by_hand import flow_of

pytestmark = pytest.mark.anyio
GONE = web.AppKey("gone", asyncio.Event)  # a request's connection is


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "path": request.path_qs,
            "body": body.decode(),
            "headers": {name.lower(): value for name, value in request.headers.items()},
        },
        headers={"X-Answer": "yes"},
    )


async def redirect(request: web.Request) -> web.Response:
    status = int(request.query.get("status", "302"))
    return web.Response(status=status, headers={"Location": request.query["to"]})


async def drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(int(request.query.get("n", "3"))):
        await response.write(f"<{number}>".encode() * int(request.query.get("times", "1")))
        await asyncio.sleep(0)
    return response


async def hang(request: web.Request) -> web.StreamResponse:
    try:
        await asyncio.sleep(60)
    finally:
        request.app[GONE].set()
    return web.Response()


@asynccontextmanager
async def served() -> AsyncGenerator[tuple[str, web.Application]]:
    """A server's URL."""
    app = web.Application()
    app[GONE] = asyncio.Event()
    app.router.add_route("*", "/redirect", redirect)
    app.router.add_route("*", "/drip", drip)
    app.router.add_route("*", "/hang", hang)
    app.router.add_route("*", "/{tail:.*}", echo)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}", app
    finally:
        await runner.cleanup()


async def fetched(body: str, fetch: Fetch | None, *args: object) -> Any:
    """What a step with this body returns; ``[name, message]`` of what it throws."""
    steps = f"""step("f", async (url, other) => {{
      try {{ {body} }} catch (e) {{ return [e.name, e.message]; }}
    }});"""
    async with open_world("memory://") as world, Worker(world, steps=[], fetch=fetch):
        run = await start(flow_of("return await f(...args);", steps), args, world=world)
        return await run.result(timeout=20)


def policy(url: str, **options: Any) -> Fetch:
    return Fetch([url], private=["127.0.0.0/8", "::1/128"], **options)


async def test_nothing_is_fetched_by_default() -> None:
    async with served() as (url, _):
        name, text = await fetched("return await fetch(url)", None, url)
    assert name == "FetchNotAllowedError"
    assert "Worker(fetch=Fetch(allow=['api.example.com']))" in text


async def test_a_request_goes_out_as_it_was_made_and_comes_back() -> None:
    body = """
      const r = await fetch(url + "/a?b=c%20d", { method: "POST", body: JSON.stringify({ x: 1 }),
        headers: { "content-type": "application/json", "X-Own": "mine" } });
      return { ok: r.ok, status: r.status, url: r.url, type: r.headers.get("content-type"),
        answer: r.headers.get("x-answer"), redirected: r.redirected,
        echo: await r.json(), used: r.bodyUsed };
    """
    async with served() as (url, _):
        answer = await fetched(body, policy(url), url)
    echo = answer.pop("echo")
    assert answer == {
        "ok": True,
        "status": 200,
        "url": f"{url}/a?b=c%20d",
        "type": "application/json; charset=utf-8",
        "answer": "yes",
        "redirected": False,
        "used": True,
    }
    assert (echo["method"], echo["path"], echo["body"]) == ("POST", "/a?b=c%20d", '{"x":1}')
    assert echo["headers"]["x-own"] == "mine"
    assert "cookie" not in echo["headers"]


async def test_a_body_is_read_as_it_comes() -> None:
    body = """
      const r = await fetch(url + "/drip?n=3"), reader = r.body.getReader(), d = new TextDecoder();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return text;
        text += d.decode(value);
      }
    """
    async with served() as (url, _):
        assert await fetched(body, policy(url), url) == "<0><1><2>"


async def test_redirects_are_followed_within_the_policy() -> None:
    body = """
      const headers_ = { authorization: "secret" };
      const r = await fetch(url, { method: "POST", body: "b", headers: headers_ });
      const { method, body, headers } = await r.json();
      return [r.redirected, r.url.slice(-2), method, body, headers.authorization ?? null];
    """
    async with served() as (url, _), served() as (other, _):
        allowed = Fetch([url, other], private=["127.0.0.0/8"])
        for status, target, expected in (
            (302, "/a", [True, "/a", "GET", "", "secret"]),
            (303, "/a", [True, "/a", "GET", "", "secret"]),
            (307, "/a", [True, "/a", "POST", "b", "secret"]),
            (308, f"{other}/a", [True, "/a", "POST", "b", None]),
        ):
            where = f"{url}/redirect?status={status}&to={target}"
            assert await fetched(body, allowed, where) == expected


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://localhost/",
        "https://example.com/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://user:password@127.0.0.1/",
        "//127.0.0.1:1/",
        "gopher://127.0.0.1/",
        "data:text/plain,hello",
    ],
)
async def test_a_redirect_does_not_lead_out_of_the_policy(target: str) -> None:
    async with served() as (url, _):
        allowed = Fetch([url, "http://169.254.169.254", "http://localhost"], private=["127.0.0.1"])
        if "localhost" in target:
            allowed = policy(url)
        where = f"{url}/redirect?to={target}"
        name, _ = await fetched("return await fetch(url)", allowed, where)
    assert name == "FetchNotAllowedError"


async def test_redirects_end() -> None:
    async with served() as (url, _):
        loop = f"{url}/redirect?to=/redirect%3Fto=/a"
        name, text = await fetched("return await fetch(url)", policy(url, max_redirects=1), loop)
        assert (name, "more than 1 redirects" in text) == ("TypeError", True)
        name, text = await fetched(
            "return await fetch(url, { redirect: 'error' })", policy(url), loop
        )
        assert name == "TypeError"
        manual = """const r = await fetch(url, { redirect: "manual" });
          return [r.status, r.headers.get("location")];"""
        assert await fetched(manual, policy(url), loop) == [302, "/redirect?to=/a"]


async def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    """Which is looked at where the connection is made: no second look-up can tell otherwise."""
    async with served() as (url, _):
        port = url.rpartition(":")[2]
        where = f"http://localhost:{port}"
        name, text = await fetched("return await fetch(url)", Fetch([where]), where)
    assert name == "FetchNotAllowedError"
    assert "which is no public address" in text


async def test_sizes_are_bounded() -> None:
    async with served() as (url, _):
        name, text = await fetched(
            "return (await (await fetch(url + '/drip?n=10&times=1000')).text()).length",
            policy(url, max_response_bytes=10_000),
            url,
        )
        assert (name, "max_response_bytes" in text) == ("FetchNotAllowedError", True)
        name, text = await fetched(
            "return await fetch(url, { method: 'POST', body: 'x'.repeat(2000) })",
            policy(url, max_request_bytes=1000),
            url,
        )
        assert (name, "max_request_bytes" in text) == ("FetchNotAllowedError", True)


async def test_a_request_takes_no_longer_than_its_time() -> None:
    async with served() as (url, _):
        name, _ = await fetched("return await fetch(url + '/hang')", policy(url, timeout=0.1), url)
    assert name == "TimeoutError"


@pytest.mark.parametrize(
    ("signal", "name"),
    [("AbortSignal.timeout(50)", "TimeoutError"), ("c.signal", "AbortError")],
)
async def test_a_signal_ends_a_request(signal: str, name: str) -> None:
    body = f"""const c = new AbortController(); setTimeout(() => c.abort(), 50);
      return await fetch(url + "/hang", {{ signal: {signal} }});"""
    async with served() as (url, app):
        assert (await fetched(body, policy(url), url))[0] == name
        await asyncio.wait_for(app[GONE].wait(), 5)  # the connection, too


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "other.example"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "upgrade"},
        {"Upgrade": "h2c"},
        {"Proxy-Authorization": "x"},
        {"Expect": "100-continue"},
    ],
)
async def test_headers_of_the_connection_cannot_be_set(headers: dict[str, str]) -> None:
    async with served() as (url, _):
        name, _ = await fetched(
            "return await fetch(url, { headers: other })", policy(url), url, headers
        )
    assert name == "FetchNotAllowedError"


async def test_what_no_server_answers_is_a_type_error() -> None:
    async with served() as (url, _):
        pass
    name, text = await fetched("return await fetch(url)", policy(url), url)
    assert name == "TypeError"
    assert text.startswith("fetch failed: ")


@pytest.mark.parametrize(
    ("pattern", "url", "expected"),
    [
        ("api.example.com", ("https", "api.example.com", 443), True),
        ("API.example.com", ("https", "api.example.com", 443), True),
        ("api.example.com", ("http", "api.example.com", 80), False),
        ("api.example.com", ("https", "api.example.com", 8443), False),
        ("api.example.com", ("https", "api.example.com.evil.org", 443), False),
        ("api.example.com", ("https", "xapi.example.com", 443), False),
        ("api.example.com:8443", ("https", "api.example.com", 8443), True),
        ("*.example.com", ("https", "a.b.example.com", 443), True),
        ("*.example.com", ("https", "example.com", 443), False),
        ("*.example.com", ("https", "badexample.com", 443), False),
        ("http://example.com", ("http", "example.com", 80), True),
        ("*", ("https", "any.org", 443), True),
        ("*", ("http", "any.org", 80), False),
    ],
)
async def test_origins(pattern: str, url: tuple[str, str, int], expected: bool) -> None:
    assert Origin(pattern).has(*url) is expected
    assert Fetch([pattern]).allows(*url) is expected


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1"),
        *("2001:0:7f00:1::", "127.1", "0x7f.1", "2130706433", "localhost", ""),
    ],
)
async def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not Addresses([]).have(address)


async def test_public_addresses_are_not() -> None:
    for address in ("93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"):
        assert Addresses([]).have(address)
    assert Addresses(["10.1.0.0/16"]).have("10.1.2.3")
    assert not Addresses(["10.1.0.0/16"]).have("10.2.2.3")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fetch("api.example.com"),
        lambda: Fetch([7]),  # type: ignore[list-item]  # that is the test
        lambda: Fetch(["ftp://a.b"]),
        lambda: Fetch(["a.b/path"]),
        lambda: Fetch(["a b"]),
        lambda: Fetch([], private=["10.0.0.0/99"]),
        lambda: Fetch([], timeout=0),
        lambda: Fetch([], max_redirects=-1),
        lambda: Fetch([], max_response_bytes=True),
    ],
)
async def test_a_policy_that_is_none_is_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


async def test_a_policy_is_a_policy() -> None:
    async with open_world("memory://") as world:
        with pytest.raises(UsageError, match=r"fetch is a perdure\.Fetch"):
            Worker(world, fetch=["api.example.com"])  # type: ignore[arg-type]  # that is the test
