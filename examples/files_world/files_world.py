"""A world on plain files: one file for each run, written whole or not at all, under one lock.

``files:///folder``. ``perdure.lowlevel.Book`` knows what every call means for a run; what is left
is where a run is kept, how a write becomes atomic and durable, and how waiters hear of it. Small
on purpose: a claim reads every run's file, a write rewrites one whole. For many runs use a store.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import pickle
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, final

import anyio.to_thread

from perdure import abc, errors, lowlevel as low, model as m
from perdure.testing.clock import Clock, SystemClock
from perdure.waiting import Bells

__all__ = ("FilesWorld",)

LOOK_EVERY_S = 0.05  # for what other processes wrote


@dataclass(slots=True)
class Page:
    """All there is of a run but its blobs: one file."""

    book: low.Book
    events: list[m.LoggedEvent] = field(default_factory=list[m.LoggedEvent])
    streams: dict[str, low.StreamLog] = field(default_factory=dict[str, low.StreamLog])


class _Values(pickle.Unpickler):
    """Loads pages and the values of the contracts, and no code."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name.startswith(("perdure._model.", "perdure._core.")) or global_name == "Page":
            return super().find_class(module_name, global_name)
        raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in a run's file")


# --- the folder -----------------------------------------------------------------------------------


@final
class Files:
    """One open world: its folder, its clock, its bells. What changes files holds ``locked``."""

    def __init__(self, url: str, root: Path, clock: Clock) -> None:
        self.url, self.root, self.now_ms = url, root, clock.now_ms
        self.bells, self.is_open = Bells(clock), False
        self.counters = {"commits": 0, "appends": 0, "claims": 0}

    def create(self) -> None:
        """Make what is missing; take away what a killed writer left half written."""
        for name in ("runs", "blobs", "parts"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        with self.locked():
            for left in (self.root / "parts").iterdir():
                left.unlink()

    @contextlib.contextmanager
    def locked(self) -> Generator[None, None, None]:
        """One writer at a time, of all threads and processes; the lock goes with its holder."""
        with open(self.root / "lock", "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def path(self, run_id: str) -> Path:
        return self.root / "runs" / hashlib.sha256(run_id.encode()).hexdigest()

    def blobs(self, run_id: str | None) -> Path:
        """A run's blobs have a folder of their own, to go with it."""
        return self.root / "blobs" / ("all" if run_id is None else self.path(run_id).name)

    def load(self, path: Path) -> Page | None:
        """A page of one's own: what is done to it is not done until it is saved."""
        try:
            with open(path, "rb") as file:
                page: Page = _Values(file).load()
        except FileNotFoundError:
            return None
        return page

    def page(self, run_id: str) -> Page:
        """A run's, or ``RunNotFoundError``."""
        page = self.load(self.path(run_id))
        if page is None:
            raise errors.RunNotFoundError(run_id)
        return page

    def pages(self) -> Iterator[Page]:
        found = map(self.load, (self.root / "runs").iterdir())
        return (page for page in found if page is not None)

    def save(self, page: Page) -> None:
        """The commit of this world: all of a run, or nothing."""
        page.events += page.book.written
        page.book.written = []
        self.replace(self.path(page.book.record.run_id), pickle.dumps(page))

    def replace(self, path: Path, data: bytes) -> None:
        """Write elsewhere, sync, rename, sync the name."""
        part = self.root / "parts" / new_token()
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    @contextlib.contextmanager
    def changing(self, run_id: str) -> Generator[Page, None, None]:
        """A run's page, saved at the end of the block; a block that raises changes nothing."""
        page = self.page(run_id)
        yield page
        self.save(page)

    @contextlib.contextmanager
    def holding(self, lease: m.Lease) -> Generator[low.Book, None, None]:
        """The book with a lease's item, saved at the end of the block."""
        try:
            run_id = lease.item if lease.is_wake else lease.item.partition("/")[0]
            with self.changing(run_id) as page:
                yield page.book
        except errors.RunNotFoundError:
            raise errors.LeaseLostError(lease.item) from None

    def forget(self, run_id: str) -> None:
        """The run's file last: a deletion that was cut short can be repeated."""
        shutil.rmtree(self.blobs(run_id), ignore_errors=True)
        self.path(run_id).unlink(missing_ok=True)

    def holder(self, token: str) -> m.HookRecord | None:
        """Who holds a token; under the lock nobody else can take it."""
        return next((p.book.hooks[token] for p in self.pages() if token in p.book.hooks), None)

    def check(self) -> None:
        if not self.is_open:
            raise errors.WorldClosedError(self.url)

    async def looks(self, wait_ms: int) -> AsyncIterator[None]:
        """Look now, and again whenever something may have changed, until the time is up."""
        self.check()
        every = lambda: LOOK_EVERY_S  # noqa: E731
        async for _ in self.bells.attempts("changed", wait_ms, check=self.check, poll_s=every):
            yield


def new_token() -> str:
    return secrets.token_hex(8)


class Part:
    """One contract of the world."""

    def __init__(self, files: Files) -> None:
        self.files = files


P = ParamSpec("P")
T = TypeVar("T")
PartT = TypeVar("PartT", bound=Part)
Work = Callable[Concatenate[PartT, P], T]
Method = Callable[Concatenate[PartT, P], Coroutine[Any, Any, T]]


def reads(work: Work[PartT, P, T]) -> Method[PartT, P, T]:
    """A method that looks at files, in a thread."""

    @functools.wraps(work)
    async def method(self: PartT, /, *args: P.args, **named: P.kwargs) -> T:
        def run() -> T:
            try:
                return work(self, *args, **named)
            except OSError as exc:
                raise errors.WorldUnavailableError(f"world {self.files.url}: {exc}") from exc

        self.files.check()
        return await anyio.to_thread.run_sync(run)

    return method


def writes(work: Work[PartT, P, T]) -> Method[PartT, P, T]:
    """A method that changes files, under the lock. One that is cancelled may still land, whole."""

    @reads
    @functools.wraps(work)
    def method(self: PartT, /, *args: P.args, **named: P.kwargs) -> T:
        with self.files.locked():
            answer = work(self, *args, **named)
        self.files.bells.ring("changed")
        return answer

    return method


# --- the six contracts ----------------------------------------------------------------------------


class FilesStorage(Part, abc.Storage):
    """Runs and logs."""

    @writes
    def create_run(self, new: m.NewRun) -> tuple[m.RunRecord, bool]:
        page = self.files.load(self.files.path(new.run_id))
        if page is not None:
            page.book.check_same(new)
            return page.book.record, False
        page = Page(low.Book.create(new, due_ms=self.files.now_ms()))
        self.files.save(page)
        return page.book.record, True

    @writes
    def append(self, append: m.Append) -> m.Appended:
        self.files.counters["appends"] += 1
        with self.files.changing(append.run_id) as page:
            return page.book.append(append, now_ms=self.files.now_ms())

    @writes
    def commit(self, commit: m.TurnCommit) -> m.Committed:
        page = self.files.load(self.files.path(commit.run_id))
        if page is None:
            if commit.new is None:
                raise errors.RunNotFoundError(commit.run_id)
            page = Page(low.Book.create(commit.new, due_ms=None))
        now, holder = self.files.now_ms(), self.files.holder
        done = page.book.commit(commit, now_ms=now, holder=holder, new_token=new_token)
        self.files.save(page)
        self.files.counters["commits"] += 1
        return done

    @reads
    def get_run(self, run_id: m.RunId) -> m.RunRecord:
        return self.files.page(run_id).book.record

    @reads
    def load_run(self, run_id: m.RunId, *, after: int | None = None) -> m.RunState:
        page = self.files.page(run_id)
        if page.book.record.status.is_ended:
            return m.RunState(record=page.book.record, chain=(), events=())
        chain = tuple(page.book.snapshots) if after is None else ()
        if after is None:
            after = chain[-1].consumed if chain else 0
        return m.RunState(record=page.book.record, chain=chain, events=tuple(page.events[after:]))

    @reads
    def read_events(
        self, run_id: m.RunId, *, after: int = 0, limit: int = 1000
    ) -> tuple[m.LoggedEvent, ...]:
        return tuple(self.files.page(run_id).events[max(after, 0) :][:limit])

    @reads
    def get_hook(self, token: str) -> m.HookRecord:
        held = self.files.holder(token)
        if held is None:
            raise errors.HookNotFoundError(token)
        return held

    async def wait_ended(self, run_id: m.RunId, *, wait_ms: int) -> m.RunRecord:
        record = await self.get_run(run_id)
        async for _ in self.files.looks(wait_ms):
            record = await self.get_run(run_id)
            if record.status.is_ended:
                break
        return record


class FilesQueue(Part, abc.Queue):
    """Wakes and messages: they are in their runs' books."""

    @writes
    def wake(self, run_id: m.RunId, *, due_ms: int) -> None:
        with contextlib.suppress(errors.RunNotFoundError), self.files.changing(run_id) as page:
            page.book.arm(due_ms)

    @writes
    def send(self, messages: Sequence[m.NewMessage]) -> None:
        for run_id in {new.run_id for new in messages}:  # they are of one run
            with contextlib.suppress(errors.RunNotFoundError), self.files.changing(run_id) as page:
                for new in messages:
                    page.book.send(new, now_ms=self.files.now_ms())

    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[m.WakeClaim, ...]:
        return await self._claim(low.claim_due_wakes, limit, visibility_ms, wait_ms)

    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[m.MessageClaim, ...]:
        claim = functools.partial(low.claim_due_messages, topics=topics)
        return await self._claim(claim, limit, visibility_ms, wait_ms)

    @writes
    def extend(self, leases: Sequence[m.Lease], *, visibility_ms: int) -> tuple[m.Lease, ...]:
        now, renewed = self.files.now_ms(), list[m.Lease]()
        for lease in leases:
            with contextlib.suppress(errors.LeaseLostError), self.files.holding(lease) as book:
                renewed.append(book.extend(lease, now_ms=now, until_ms=now + visibility_ms))
        return tuple(renewed)

    @writes
    def finish(self, end: m.LeaseEnd) -> None:
        with self.files.holding(end.lease) as book:
            book.finish(end, now_ms=self.files.now_ms())

    @writes
    def release(self, lease: m.Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
        with self.files.holding(lease) as book:
            book.release(lease, now_ms=self.files.now_ms(), delay_ms=delay_ms, ran=ran)

    @reads
    def count_waiting(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        books = (page.book for page in self.files.pages())
        return low.count_due(books, topics, now_ms=self.files.now_ms())

    async def _claim(
        self, claim: Callable[..., Any], limit: int, visibility_ms: int, wait_ms: int
    ) -> tuple[Any, ...]:
        claims: tuple[Any, ...] = ()
        async for _ in self.files.looks(wait_ms):
            claims = await self._claim_now(claim, limit, visibility_ms)
            if claims:
                break
        self.files.counters["claims"] += len(claims)
        return claims

    @writes
    def _claim_now(
        self, claim: Callable[..., Any], limit: int, visibility_ms: int
    ) -> tuple[Any, ...]:
        now, pages = self.files.now_ms(), {p.book.record.run_id: p for p in self.files.pages()}
        books, until = [page.book for page in pages.values()], now + visibility_ms
        found = claim(books, limit=limit, now_ms=now, until_ms=until, new_token=new_token)
        for book in {book.record.run_id: book for book, _ in found}.values():
            self.files.save(pages[book.record.run_id])
        return tuple(claimed for _, claimed in found)


class FilesSnapshots(Part, abc.Snapshots):
    """Chains: they are in their runs' books."""

    @writes
    def save(self, run_id: m.RunId, snapshot: m.Snapshot) -> None:
        with contextlib.suppress(errors.RunNotFoundError), self.files.changing(run_id) as page:
            if not page.book.record.status.is_ended:
                page.book.keep_snapshot(snapshot)

    @reads
    def load(self, run_id: m.RunId) -> tuple[m.Snapshot, ...]:
        page = self.files.load(self.files.path(run_id))
        return tuple(page.book.snapshots) if page is not None else ()

    @writes
    def delete(self, run_id: m.RunId) -> None:
        with contextlib.suppress(errors.RunNotFoundError), self.files.changing(run_id) as page:
            page.book.snapshots.clear()


class FilesStreams(Part, abc.Streams):
    """Streams: they are in their runs' pages."""

    @writes
    def append(
        self, run_id: m.RunId, name: str, chunks: Sequence[bytes], *, writer: str, sequence: int
    ) -> int:
        with self.files.changing(run_id) as page:
            log = page.streams.setdefault(name, low.StreamLog())
            return log.append(chunks, writer=writer, sequence=sequence, run_id=run_id, name=name)

    async def read(
        self, run_id: m.RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> m.StreamPage:
        page = await self._read(run_id, name, start, limit)
        async for _ in self.files.looks(wait_ms):
            page = await self._read(run_id, name, page.start, limit)
            if page.chunks or (await self.info(run_id, name)).closed:
                break
        return page

    @reads
    def _read(self, run_id: m.RunId, name: str, start: int, limit: int) -> m.StreamPage:
        return self._log(run_id, name).read(start=start, limit=limit)

    @writes
    def close(self, run_id: m.RunId, name: str) -> None:
        with self.files.changing(run_id) as page:
            page.streams.setdefault(name, low.StreamLog()).closed = True

    @reads
    def info(self, run_id: m.RunId, name: str) -> m.StreamInfo:
        return self._log(run_id, name).info(name)

    @reads
    def list_streams(self, run_id: m.RunId) -> tuple[m.StreamInfo, ...]:
        streams = self.files.page(run_id).streams
        return tuple(streams[name].info(name) for name in sorted(streams))

    def _log(self, run_id: m.RunId, name: str) -> low.StreamLog:
        return self.files.page(run_id).streams.get(name, low.StreamLog())


class FilesCatalogue(Part, abc.Catalogue):
    """Lists and deletion."""

    @reads
    def list_runs(
        self, where: m.RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> m.RunPage:
        records = (page.book.record for page in self.files.pages())
        return low.list_page(records, where, cursor=cursor, limit=limit)

    @writes
    def delete_run(self, run_id: m.RunId) -> None:
        page = self.files.load(self.files.path(run_id))
        if page is not None and not page.book.record.status.is_ended:
            raise errors.RunLiveError(run_id)
        self.files.forget(run_id)

    @writes
    def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        records = [page.book.record for page in self.files.pages()]
        ended = [(r.ended_at_ms, r.run_id) for r in records if r.ended_at_ms is not None]
        chosen = sorted(pair for pair in ended if pair[0] < ended_before_ms)[:limit]
        for _, run_id in chosen:
            self.files.forget(run_id)
        return len(chosen)


class FilesBlobs(Part, abc.Blobs):
    """Bytes by their sha256, a file each."""

    @writes
    def put(self, digest: m.Digest, data: bytes, *, run_id: m.RunId | None = None) -> None:
        if hashlib.sha256(data).hexdigest() != digest:
            raise errors.WorldContractError(f"{digest} is not the sha256 of the blob's bytes")
        folder = self.files.blobs(run_id)
        folder.mkdir(exist_ok=True)
        self.files.replace(folder / digest, data)

    @reads
    def get(self, digest: m.Digest, *, run_id: m.RunId | None = None) -> bytes:
        try:
            return (self.files.blobs(run_id) / digest).read_bytes()
        except FileNotFoundError:
            raise errors.BlobNotFoundError(digest) from None

    @reads
    def has(self, digest: m.Digest, *, run_id: m.RunId | None = None) -> bool:
        return (self.files.blobs(run_id) / digest).exists()


@final
class FilesWorld(abc.World):
    """``files:///folder``, for any number of processes on one machine."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        scheme, _, path = url.partition("://")
        if scheme != "files" or not path.startswith("/"):
            raise errors.UsageError(f"{url!r} names no folder; write files:///absolute/folder")
        self._files = files = Files(url, Path(path), clock or SystemClock())
        self.storage, self.queue = FilesStorage(files), FilesQueue(files)
        self.snapshots, self.streams = FilesSnapshots(files), FilesStreams(files)
        self.catalogue, self.blobs = FilesCatalogue(files), FilesBlobs(files)

    @property
    def url(self) -> str:
        return self._files.url

    @property
    def capabilities(self) -> frozenset[abc.Capability]:
        of = abc.Capability
        return frozenset({of.SHARED, of.DURABLE, of.ATOMIC_QUEUE})

    async def open(self) -> None:
        await anyio.to_thread.run_sync(self._files.create)
        self._files.is_open = True

    async def aclose(self) -> None:
        self._files.is_open = False
        self._files.bells.ring_all()  # whoever waits hears that it is closed

    def now_ms(self) -> int:
        return self._files.now_ms()

    async def settle(self) -> None:
        """What has returned is there."""

    def statistics(self) -> dict[str, int]:
        return dict(self._files.counters)
