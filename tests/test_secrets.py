"""No secret in what is shown: reprs, messages, tracebacks, logs, warnings, the command line.

A marked secret is planted wherever one may be: as user, password and option of a world's URL, as
snapshot key, in the environment. Then all that a person might read is searched for the mark.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gc
import importlib
import json
import logging
import pickle
import pkgutil
import random
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from typer.testing import CliRunner

import perdure
import perdure_mongodb
import perdure_s3
import perdure_sqlite
from perdure import Worker, Workflow, start, step
from perdure.abc import World
from perdure.cli import app
from perdure.display import shown_url
from perdure.errors import PerdureError, UsageError
from perdure.model import RunId
from perdure.testing.faults import FaultyWorld, random_faults
from perdure.testing.memory import MemoryWorld
from perdure.worlds import make_world
from perdure_mongodb import MongoWorld
from perdure_mongodb.testing import Mongod
from perdure_s3 import S3World

MARK = "s3cr3tMark"
JUNK = st.text("/?#@%:[]&=+ \\\"'<>é\n\x1b;,.", max_size=4)
SECRET_OPTIONS = (
    *(
        "password",
        "token",
        "aws_secret_access_key",
        "tlsCertificateKeyFilePassword",
        "proxyPassword",
    ),
    *("authMechanismProperties", "tls", "w", "shards", "poll", "timeout"),
    *("synchronous", "driver", "endpoint_url"),
)
HARMLESS = ("replicaSet=rs0", "shards=1", "synchronous=normal", "authSource=a")
UNHURRIED = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)


@st.composite
def _secrets(draw: st.DrawFn) -> str:
    """The mark, among characters that have a meaning in a URL."""
    return draw(JUNK) + MARK + draw(JUNK)


@st.composite
def _logins(draw: st.DrawFn) -> str:
    """Nothing, or user and password, either of them the mark."""
    user = draw(st.sampled_from(["", "me", MARK]))
    return draw(
        st.sampled_from(
            [
                f"{user}:{draw(_secrets())}@",
                f"{draw(_secrets())}:@",
                f"{MARK}@",
                "",
                user and f"{MARK}:x@",
            ]
        )
    )


@st.composite
def _options(draw: st.DrawFn) -> str:
    """Options, in the values of which the mark may be."""
    value = st.one_of(
        _secrets(), st.sampled_from([f"http://me:{MARK}@host", f"http%3A//{MARK}%40host"])
    )
    chosen: list[str] = draw(st.lists(st.sampled_from([*SECRET_OPTIONS, *HARMLESS]), max_size=3))
    options = [one if "=" in one else f"{one}={draw(value)}" for one in chosen]
    return "?" + "&".join(options) if options else ""


@st.composite
def _urls(draw: st.DrawFn) -> str:
    """Well made or not, with the mark where a secret may be, as careless people write it."""
    parts = (
        draw(st.sampled_from(["mongodb", "s3", "sqlite", "memory", "postgres", "mongo db", ""])),
        draw(st.sampled_from(["://", "://", "://", "://", ":///", ":/", ":"])),
        draw(_logins()),
        draw(st.sampled_from(["host", "h1:1,h2:2", "host:port", "[::1]:27017", "[::1", "", "{n}"])),
        draw(st.sampled_from(["", "/", "/db", "//tmp/x.db", "/a/b", "/a b"])),
        draw(_options()),
        draw(st.sampled_from(["", "", f"#{MARK}", f"#{draw(_secrets())}"])),
    )
    return "".join(parts)


def _told(exc: BaseException) -> str:
    """All that is shown of an exception by any means."""
    facts = vars(exc).items()
    return "\n".join(
        [
            *(str(exc), repr(exc), *traceback.format_exception(exc)),
            *(f"{name}={value!r}" for name, value in facts),
            repr(pickle.dumps(exc)),
        ]
    )


def _clean(text: str) -> None:
    __tracebackhide__ = True
    assert MARK not in text


def _shown_of(world: World) -> str:
    """All that is shown of a world: itself, and the objects of ours that it is made of."""
    seen: set[int] = set()
    left: list[object] = [world]
    shown = [world.url]
    while left:
        one = left.pop()
        if id(one) in seen or not type(one).__module__.startswith("perdure"):
            continue
        seen.add(id(one))
        shown.append(repr(one))
        left += gc.get_referents(one)
        left += [item for held in gc.get_referents(one) for item in gc.get_referents(held)]
    return "\n".join(shown)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=UNHURRIED)
@given(url=_urls())
@example(f"s3://AKIA:{MARK}@bucket/prefix")
@example(f"s3://AKIA:x/{MARK}@bucket/prefix")
@example(f"s3://AKIA:{MARK}/bucket/prefix")
@example(f"s3://bucket/x?shards={MARK}")
@example(f"s3://bucket/x?endpoint_url=http://me:{MARK}@host")
@example(f"s3://bucket/x?aws_secret_access_key={MARK}")
@example(f"mongodb://me:{MARK}@host:port/db")
@example(f"mongodb://me:{MARK}/db")
@example(f"mongodb://me:{MARK}%@host/db")
@example(f"mongodb://me:{MARK}@@host/db")
@example(f"mongodb://me:{MARK}@[::1/db")
@example(f"mongodb://me:{MARK}@host/db?driver={MARK}")
@example(f"mongodb://host/db?tls={MARK}")
@example(f"mongodb://me:{MARK}@host/db?nope={MARK}")
@example(f"sqlite://me:{MARK}@host/x.db")
@example(f"sqlite:///x.db?key={MARK}")
@example(f"me:{MARK}@host/db")
def test_a_url_that_is_refused_or_closed_is_shown_without_secrets(url: str) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            world = make_world(url)
        except PerdureError as exc:
            _clean(_told(exc))
        else:
            _clean(_shown_of(world))
            with pytest.raises(PerdureError) as caught:
                anyio.run(world.storage.get_run, RunId("run_a"))
            _clean(_told(caught.value))
    _clean("\n".join(str(one.message) for one in said))
    _clean(shown_url(url))


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=UNHURRIED)
@given(url=_urls())
def test_the_command_line_repeats_no_secret_of_a_url(url: str) -> None:
    done = CliRunner().invoke(app, ["certify", url, "--only", "!"])
    _clean(done.output)
    done = CliRunner().invoke(app, ["move", "run_a", "--to", url, "--world", "nosuch://x"])
    _clean(done.output)
    assert done.exit_code == 2, done.output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://name", "memory://name"),
        ("sqlite:////home/me@work/x.db", "sqlite:////home/me@work/x.db"),
        ("sqlite:///x.db?synchronous=normal", "sqlite:///x.db?synchronous=normal"),
        (
            "mongodb://u:p@h:1,h:2/db?replicaSet=r&x=y",
            "mongodb://***@h:1,h:2/db?replicaSet=r&x=***",
        ),
        ("mongodb://u:p/w@h/db", "mongodb://***"),
        ("mongodb://u:pw/db", "mongodb://***"),
        ("s3://b/p/q?region=r-1&shards=4", "s3://b/p/q?region=r-1&shards=4"),
        ("s3://b/p?endpoint_url=http://h:1", "s3://b/p?endpoint_url=http://h:1"),
        ("s3://b/p?endpoint_url=http%3A//u%3Ap%40h", "s3://b/p?endpoint_url=http://***@h"),
        ("x://h/p?flag", "x://h/p?***"),
        ("x://h/p#f", "x://h/p#***"),
        ("sqlite:///u:p@h/x.db", "sqlite:///***@h/x.db"),
        ("no url", "***"),
        ("x://a\x1b[m", "x://***"),
        ("x://a/\x1b[m", "x://a/\\x1b[m"),
    ],
)
def test_a_url_is_shown_as_far_as_it_is_harmless(url: str, shown: str) -> None:
    assert shown_url(url) == shown


async def _opened(world: World) -> None:
    async with world:
        pass


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")  # PyMongo's, after a refusal
@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_mongodb_server_that_is_not_there_or_refuses(
    mongod: Mongod, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "perdure")
    gone = f"127.0.0.1:1/db?serverSelectionTimeoutMS=100&driver={driver}"
    there = f"{mongod.address}/db?authSource=admin&driver={driver}"
    for url in (
        f"mongodb://me:{MARK}@{gone}",
        f"mongodb://me:{MARK}@{there}",
        f"mongodb://{MARK}:x@{there}",
    ):
        world = MongoWorld(url)
        with pytest.raises(PerdureError) as caught:
            await _opened(world)
        if f"{MARK}:x" not in url:  # servers name the user in what they say of him
            _clean(_told(caught.value))
        _clean(_shown_of(world))
    gc.collect()  # the sockets PyMongo does not close when it is refused
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("perdure")]
    _clean("\n".join(ours))


@pytest.mark.slow
@pytest.mark.anyio
async def test_an_s3_server_that_is_not_there_or_refuses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, MARK)
    monkeypatch.setattr("perdure_s3._cas._TRIES", 2)
    world = S3World("s3://bucket/x?endpoint_url=http://127.0.0.1:1&region=r&timeout=1")
    with pytest.raises(PerdureError) as caught:
        await _opened(world)
    _clean(_told(caught.value))
    _clean(_shown_of(world))
    _clean(caplog.text)


@step(name="secrets:fail", max_retries=1)
async def fail() -> None:
    raise ValueError("no")


@step(name="secrets:add")
async def add(n: int) -> int:
    return n + 1


FLOW = """
import { fail, add } from "python:secrets";
import { sleep } from "workflow";
export async function flow() {
  "use workflow";
  let n = 0;
  for (let i = 0; i < 3; i++) { n = await add(n); await sleep(1); }
  try { await fail(); } catch (error) { n += 1; }
  return n;
}
"""


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_snapshot_key_is_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "perdure")
    monkeypatch.setenv("PERDURE_SNAPSHOT_KEY", f"{MARK} of sixteen bytes or more")
    flow = Workflow.from_source(FLOW, filename="f.ts")
    async with make_world(f"sqlite:///{tmp_path}/x.db") as world, Worker(world) as worker:
        run = await start(flow, world=world)
        assert await run.result(timeout=30) == 4
        shown = "\n".join(_reprs_of_ours())
        assert repr(worker) in shown
        assert "Carrying(" in shown
    _clean(shown)
    _clean(caplog.text)
    monkeypatch.setenv("PERDURE_SNAPSHOT_KEY", MARK)  # too short
    with pytest.raises(UsageError) as caught:
        Worker(MemoryWorld())
    _clean(_told(caught.value))


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_run_s_secret_is_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in reprs and logs while it runs, nor in anything that is shown or moved after it."""
    caplog.set_level(logging.DEBUG, "perdure")
    secret = MARK.encode().ljust(32, b"x")
    monkeypatch.setattr("perdure._runtime.start.fresh_secret", lambda: secret)
    url, other = f"sqlite:///{tmp_path}/x.db", f"sqlite:///{tmp_path}/y.db"
    flow = Workflow.from_source(FLOW, filename="f.ts")
    async with make_world(url) as world, Worker(world):
        run = await start(flow, world=world, run_id="run_a")
        assert await run.result(timeout=30) == 4
        assert (await world.storage.get_run(RunId("run_a"))).secret == secret
        shown = "\n".join(_reprs_of_ours())
    for command in (
        *COMMANDS[:3],
        *COMMANDS[6:],
        ("runs",),
        ("inspect", "run_a"),
        ("verify", "run_a"),
    ):
        shown += CliRunner().invoke(app, [*command, "--world", url]).output
    shown += CliRunner().invoke(app, ["move", "run_a", "--world", url, "--to", other]).output
    assert "run_a" in shown
    for form in (MARK, secret.hex(), base64.b64encode(secret).decode()[:40]):
        assert form not in shown + caplog.text


def _reprs_of_ours() -> Iterator[str]:
    for one in gc.get_objects():
        if not isinstance(one, type) and type(one).__module__.startswith("perdure"):
            with contextlib.suppress(AttributeError):  # one whose making was refused
                yield repr(one)


SECRETIVE = ("key", "secret", "password", "uri", "credentials")


def _value_classes() -> dict[type[object], str]:
    """The dataclasses of ours that hold a secret, with the field that does."""
    classes: dict[type[object], str] = {}
    for package in (perdure, perdure_mongodb, perdure_s3, perdure_sqlite):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not info.name.endswith("__main__"):
                for kind in vars(importlib.import_module(info.name)).values():
                    classes |= _secretive(kind)
    return classes


def _fields(kind: Any) -> list[str]:
    return [member.name for member in dataclasses.fields(kind)]


def _secretive(kind: Any) -> dict[type[object], str]:
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return {}
    members = [m.name for m in dataclasses.fields(kind) if "bytes" in str(m.type)]
    secret = [name for name in members if name in SECRETIVE]
    return {kind: secret[0]} if secret else {}


def test_a_key_is_not_shown_by_the_value_that_holds_it() -> None:
    classes = _value_classes()
    assert {"Carrying", "TurnInput", "NewRun", "RunRecord"} <= {kind.__name__ for kind in classes}
    for kind, name in classes.items():
        value = object.__new__(kind)
        for other in _fields(kind):
            object.__setattr__(value, other, MARK.encode() if other == name else None)
        _clean(repr(value))


COMMANDS = (
    ("runs", "--json"),
    ("inspect", "run_a", "--json"),
    ("log", "run_a"),
    ("run", "flow.ts#flow"),
    ("start", "flow.ts#flow", "--json"),
    ("worker",),
    ("verify", "run_a", "--json"),
    ("cancel", "run_a"),
    ("rerun", "run_a"),
)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_command_line_shows_no_secret(
    command: tuple[str, ...], by: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_SNAPSHOT_KEY", f"{MARK} of sixteen bytes or more")
    url = f"mongodb://me:{MARK}@127.0.0.1:1/db?serverSelectionTimeoutMS=10"
    arguments = [*command, "--world", url] if by == "option" else list(command)
    if by == "environment":
        monkeypatch.setenv("PERDURE_WORLD", url)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 3, done.output
    _clean(done.output)
    arguments = ["move", "run_a", "--world", "memory://x", "--to", url]
    _clean(CliRunner().invoke(app, arguments).output)


@pytest.mark.slow
def test_a_certificate_names_its_url_without_secrets() -> None:
    done = CliRunner().invoke(
        app, ["certify", f"memory://me:{MARK}@{{n}}", "--only", "text", "--json"]
    )
    assert done.exit_code == 0, done.output
    _clean(done.output)
    assert json.loads(done.stdout)["url"] == "memory://***@{n}"


def test_a_faulty_world_shows_no_more_than_the_one_inside() -> None:
    inner = MongoWorld(f"mongodb://me:{MARK}@host/db")
    _clean(repr(FaultyWorld(inner, random_faults(random.Random(0), rate=0))))
