"""The chat of examples/chat: cut off in mid-answer, or killed, each reader has the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, final

import anyio
import anyio.to_thread
import httpx
import pytest

from tests.examples.programs import LIMIT, Program, commands, copied, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.crash]


@final
class Chat:
    """The server over its restarts."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self.open()

    def open(self) -> None:
        """Start it as its README does, on a port that is free."""
        (command,) = [line for line in commands(self.folder) if "uvicorn chat" in line]
        command = command.replace("--port 8000", "--port 0")
        self.program: Program = self._stack.enter_context(running(command, self.folder))
        self.url: str = self.program.wait_line(r"running on (http://\S+)")[1]
        self.gone = anyio.Event()

    async def restart(self) -> None:
        """Kill it, and start it again."""
        gone = self.gone
        await anyio.to_thread.run_sync(self.program.kill)
        await anyio.to_thread.run_sync(self.open)
        gone.set()

    def client(self) -> httpx.AsyncClient:
        """One for whichever process is up."""
        return httpx.AsyncClient(base_url=self.url, timeout=LIMIT, trust_env=False)

    async def ask(self, question: str) -> str:
        """Ask; returns the chat's id."""
        async with self.client() as client:
            answer = await client.post("/chats", json={"question": question})
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])


@final
class Page:
    """What a browser's page has of an answer: words by their index."""

    def __init__(self, chat: Chat, name: str) -> None:
        self.words: dict[int, str] = {}
        self.last_id = ""
        self.connections = 0
        self.rewinds = 0
        self._chat = chat
        self._name = name

    async def read(self, *, words: int | None = None) -> bool:
        """Read until the end, or for so many words more; whether it came to the end."""
        count = 0
        while True:
            gone = self._chat.gone
            try:
                async for kind, data in self._events():
                    if kind == "end":
                        return True
                    self._take(kind, data)
                    count += 1
                    if count == words:
                        return False
            except httpx.TransportError:
                await gone.wait()

    def _take(self, kind: str, data: Any) -> None:
        if kind == "rewind":
            self.rewinds += 1
            for first, end in data:
                for index in range(first, end):
                    self.words.pop(index, None)
        else:
            index = int(self.last_id) - 1
            assert index not in self.words, "a word comes once"
            self.words[index] = data

    async def _events(self) -> AsyncIterator[tuple[str, Any]]:
        """The events of one connection; as ``EventSource`` does it."""
        self.connections += 1
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        path = f"/chats/{self._name}/events"
        async with (
            self._chat.client() as client,
            client.stream("GET", path, headers=headers) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, fields[name] = line.partition(": ")
                    continue
                self.last_id = fields["id"]
                yield fields["event"], json.loads(fields["data"])

    @property
    def text(self) -> str:
        """The words in order."""
        return " ".join(self.words[index] for index in sorted(self.words))


async def test_readers_have_the_whole_answer_over_cuts_and_kills(tmp_path: Path) -> None:
    with ExitStack() as stack:
        chat = Chat(copied("chat", tmp_path), stack)
        name = await chat.ask("Why?")
        steady, cut, late = Page(chat, name), Page(chat, name), Page(chat, name)
        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as group:
                group.start_soon(steady.read)
                for _ in range(3):
                    assert not await cut.read(words=5)  # its connection is lost
                await chat.restart()  # killed in mid-answer
                assert not await cut.read(words=5)
                group.start_soon(cut.read)
            assert await late.read()  # from the beginning, once it is over
        async with chat.client() as client:
            answer = (await client.get(f"/chats/{name}")).json()["answer"]
    assert answer.startswith("That is a good question . You asked: 'Why?'. ")
    assert (steady.text, cut.text, late.text) == (answer, answer, answer)
    assert steady.rewinds == late.rewinds == 1  # of ten words the next is hardly ever the same
    assert cut.connections >= 5


async def test_who_asks_wrongly_is_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        chat = Chat(copied("chat", tmp_path), stack)
        async with chat.client() as client:
            for path in ("/chats/none", "/chats/none/events"):
                assert (await client.get(path)).status_code == 404
            assert (await client.post("/chats", json={"question": ""})).status_code == 422
            name = await chat.ask("Who?")
            wrong = {"Last-Event-ID": "x"}
            answer = await client.get(f"/chats/{name}/events", headers=wrong)
            assert answer.status_code == 422
            assert "EventSource" in (await client.get("/")).text
