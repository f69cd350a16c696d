"""A world on plain files: one file for each run, written whole or not at all, under one lock.

``files:///folder``; ``?sync=no`` for tests. ``perdure.worldkit.pure.Book`` knows the meaning of
every call for a run; the rest is where a run is kept, and atomic, durable writes. Small on purpose:
a claim reads every run's file, a write rewrites one whole. For many runs use a database.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from perdure import abc, errors, model as m
from perdure.worldkit import pure as low
from perdure.worldkit.blocking import BlockingStore, BlockingWorld, Part, reads, writes
from perdure.worldkit.clock import Clock, SystemClock
from perdure.worldkit.files import dump_values, file_lock, load_values, make_folder, replace_file

__all__ = ("FilesWorld",)


@dataclass(slots=True)
class Page:
    """All there is of a run but its blobs: one file."""

    book: low.Book
    events: list[m.LoggedEvent] = field(default_factory=list[m.LoggedEvent])
    streams: dict[str, low.StreamLog] = field(default_factory=dict[str, low.StreamLog])


@final
class Files(BlockingStore):
    """The folder. All of this blocks; what changes files holds ``locked``."""

    def __init__(self, url: str, root: Path, clock: Clock, *, sync: bool) -> None:
        super().__init__(url, clock)
        self.root, self.sync = root, sync

    def create(self) -> None:
        """Make what is missing; take away what a killed writer left half written."""
        for name in ("runs", "blobs", "parts"):
            make_folder(self.root / name)
        with self.locked():
            for left in (self.root / "parts").iterdir():
                left.unlink()
            for page in self.pages():
                self.deliver(page)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """One writer at a time, of all threads and processes."""
        return file_lock(self.root / "lock")

    def path(self, run_id: str) -> Path:
        return self.root / "runs" / hashlib.sha256(run_id.encode()).hexdigest()

    def blobs(self, run_id: str | None) -> Path:
        """A run's blobs have a folder of their own, to go with it."""
        return self.root / "blobs" / ("all" if run_id is None else self.path(run_id).name)

    def load(self, path: Path) -> Page | None:
        """A page of one's own: what is done to it is not done until it is saved."""
        try:
            return load_values(path.read_bytes(), Page)
        except FileNotFoundError:
            return None

    def page(self, run_id: str) -> Page:
        """A run's, or ``RunNotFoundError``."""
        page = self.load(self.path(run_id))
        if page is None:
            raise errors.RunNotFoundError(run_id)
        return page

    def pages(self) -> Iterator[Page]:
        return filter(None, map(self.load, (self.root / "runs").iterdir()))

    def save(self, page: Page) -> None:
        """The commit of this world: all of a run, or nothing."""
        page.events += page.book.written
        page.book.written = []
        self.replace(self.path(page.book.record.run_id), dump_values(page))

    def deliver(self, page: Page) -> None:
        """Bring what a run has for others to them; what is there already changes nothing."""
        for letter in page.book.letters:
            answer = self.bring(page, letter)
            page.book.settle(letter, answer, now_ms=self.now_ms())
            self.save(page)

    def bring(self, page: Page, letter: low.Letter) -> m.Event | None:
        """Bring one letter of a page; returns what that is to be told."""
        now = self.now_ms()
        if isinstance(letter, m.ChildStart):
            return low.start_child(letter, self.create_run, now_ms=now)
        ours = letter.run_id == page.book.record.run_id
        if ours and isinstance(letter, m.Append) and low.is_cancel(letter.event):
            self.cancel_children(page, letter.event)
            return None
        other = page if ours else self.load(self.path(letter.run_id))
        if other is None:
            return low.end_of_missing(letter, now_ms=now) if isinstance(letter, m.Watch) else None
        answer = low.take_letter(other.book, letter, sender=page.book.record, now_ms=now)
        self.save(other)
        if not ours:
            self.deliver(other)  # a run that was cancelled tells those who watch it
        return answer

    def cancel_children(self, page: Page, event: m.Event) -> None:
        """Tell the runs that a run has started, and theirs, that it was cancelled."""
        started, parent = low.started_by([e.event for e in page.events]), page.book.record.run_id
        for child in filter(None, map(self.load, map(self.path, started))):
            low.cancel_child(child.book, event, parent=parent, now_ms=self.now_ms())
            self.save(child)
            self.deliver(child)

    def create_run(self, new: m.NewRun) -> tuple[m.RunRecord, bool]:
        page = self.load(self.path(new.run_id))
        if page is not None:
            page.book.check_same(new)
            return page.book.record, False
        page = Page(low.Book.create(new, due_ms=self.now_ms(), holder=self.holder))
        self.save(page)
        return page.book.record, True

    def replace(self, path: Path, data: bytes) -> None:
        replace_file(path, data, part=self.root / "parts" / new_token(), sync=self.sync)

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
        """Its letters first, and its parent's, lest that starts it again; its file last."""
        page = self.load(self.path(run_id))
        parent = None if page is None else low.parent_of(page.book.record)
        for other in filter(None, (page, self.load(self.path(parent)) if parent else None)):
            self.deliver(other)
        shutil.rmtree(self.blobs(run_id), ignore_errors=True)
        self.path(run_id).unlink(missing_ok=True)

    def is_watching(self, watcher: m.Watcher) -> bool:
        page = self.load(self.path(watcher.run_id))
        return low.is_watching(watcher, None if page is None else page.book.record)

    def holder(self, token: str) -> m.HookRecord | None:
        """Who holds a token; under the lock nobody else can take it."""
        holders = (p.book.blocking(token, now_ms=self.now_ms()) for p in self.pages())
        return next(filter(None, holders), None)


new_token = functools.partial(secrets.token_hex, 8)


class FilesStorage(Part[Files], abc.Storage):
    """Runs and logs."""

    @writes
    def create_run(self, new: m.NewRun) -> tuple[m.RunRecord, bool]:
        return self.store.create_run(new)

    @writes
    def append(self, append: m.Append) -> m.Appended:
        self.store.counters["appends"] += 1
        with self.store.changing(append.run_id) as page:
            done = page.book.append(append, now_ms=self.store.now_ms())
        self.store.deliver(page)  # a cancellation is told to those who watch the run
        return done

    @writes
    def commit(self, commit: m.TurnCommit) -> m.Committed:
        now, holder = self.store.now_ms(), self.store.holder
        if commit.new is not None and self.store.load(self.store.path(commit.run_id)) is None:
            begun = low.Book.begin(commit, now_ms=now, holder=holder, new_token=new_token)
            page, done = Page(begun[0]), begun[1]
        else:
            page = self.store.page(commit.run_id)
            done = page.book.commit(commit, now_ms=now, holder=holder, new_token=new_token)
        self.store.save(page)
        self.store.deliver(page)
        self.store.counters["commits"] += 1
        return done

    @reads
    def get_run(self, run_id: m.RunId) -> m.RunRecord:
        return self.store.page(run_id).book.record

    @reads
    def load_run(self, run_id: m.RunId, *, after: int | None = None) -> m.RunState:
        page = self.store.page(run_id)
        return low.run_state(page.book.record, page.book.snapshots, page.events, after=after)

    @reads
    def read_events(
        self, run_id: m.RunId, *, after: int = 0, limit: int = 1000
    ) -> tuple[m.LoggedEvent, ...]:
        return tuple(self.store.page(run_id).events[max(after, 0) :][: max(limit, 0)])

    @reads
    def get_hook(self, token: str) -> m.HookRecord:
        with self.store.locked():  # lest it moves from a page that is read later to an earlier one
            hook = self.store.holder(token)
        if hook:
            return hook
        raise errors.HookNotFoundError(token)

    async def wait_ended(self, run_id: m.RunId, *, wait_ms: int) -> m.RunRecord:
        look = functools.partial(self.get_run, run_id)
        return await self.store.until(wait_ms, look, lambda record: record.status.is_ended)


class FilesQueue(Part[Files], abc.Queue):
    """Wakes and messages: they are in their runs' books."""

    @writes
    def wake(self, run_id: m.RunId, *, due_ms: int) -> None:
        with contextlib.suppress(errors.RunNotFoundError), self.store.changing(run_id) as page:
            page.book.arm(due_ms)

    @writes
    def send(self, messages: Sequence[m.NewMessage]) -> None:
        for run_id in {new.run_id for new in messages}:  # they are of one run
            with contextlib.suppress(errors.RunNotFoundError), self.store.changing(run_id) as page:
                for new in messages:
                    page.book.send(new, now_ms=self.store.now_ms())

    async def claim_wakes(
        self, *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[m.WakeClaim, ...]:
        return await self._claim_soon(wait_ms, low.claim_due_wakes, limit, visibility_ms)

    async def claim_messages(
        self, topics: Sequence[str], *, limit: int, visibility_ms: int, wait_ms: int = 0
    ) -> tuple[m.MessageClaim, ...]:
        claim = functools.partial(low.claim_due_messages, topics=topics)
        return await self._claim_soon(wait_ms, claim, limit, visibility_ms)

    @writes
    def extend(self, leases: Sequence[m.Lease], *, visibility_ms: int) -> tuple[m.Lease, ...]:
        now, renewed = self.store.now_ms(), list[m.Lease]()
        for lease in leases:
            with contextlib.suppress(errors.LeaseLostError), self.store.holding(lease) as book:
                renewed.append(book.extend(lease, now_ms=now, until_ms=now + visibility_ms))
        return tuple(renewed)

    @writes
    def finish(self, end: m.LeaseEnd) -> None:
        with self.store.holding(end.lease) as book:
            book.finish(end, now_ms=self.store.now_ms())

    @writes
    def release(self, lease: m.Lease, *, delay_ms: int = 0, ran: bool = False) -> None:
        with self.store.holding(lease) as book:
            book.release(lease, now_ms=self.store.now_ms(), delay_ms=delay_ms, ran=ran)

    @reads
    def count_waiting(self, topics: Sequence[str] | None = None) -> dict[str, int]:
        books = (page.book for page in self.store.pages())
        return low.count_due(books, topics, now_ms=self.store.now_ms())

    async def _claim_soon(
        self, wait_ms: int, claim: Callable[..., Any], limit: int, visibility_ms: int
    ) -> tuple[Any, ...]:
        look = functools.partial(self._claim, claim, limit, visibility_ms)
        return await self.store.until(wait_ms if limit > 0 else 0, look, len)

    @writes
    def _claim(self, claim: Callable[..., Any], limit: int, visibility_ms: int) -> tuple[Any, ...]:
        now, pages = self.store.now_ms(), {p.book.record.run_id: p for p in self.store.pages()}
        books, until = [page.book for page in pages.values()], now + visibility_ms
        found = claim(books, limit=limit, now_ms=now, until_ms=until, new_token=new_token)
        for run_id in {book.record.run_id for book, _ in found}:
            self.store.save(pages[run_id])
        self.store.counters["claims"] += len(found)
        return tuple(claimed for _, claimed in found)


class FilesSnapshots(Part[Files], abc.Snapshots):
    """Chains: they are in their runs' books."""

    @writes
    def save(self, run_id: m.RunId, snapshot: m.Snapshot) -> None:
        with contextlib.suppress(errors.RunNotFoundError), self.store.changing(run_id) as page:
            if not page.book.record.status.is_ended:
                page.book.keep_snapshot(snapshot)

    @reads
    def load(self, run_id: m.RunId) -> tuple[m.Snapshot, ...]:
        page = self.store.load(self.store.path(run_id))
        return tuple(page.book.snapshots) if page is not None else ()

    @writes
    def delete(self, run_id: m.RunId) -> None:
        with contextlib.suppress(errors.RunNotFoundError), self.store.changing(run_id) as page:
            page.book.snapshots.clear()


class FilesStreams(Part[Files], abc.Streams):
    """Streams: they are in their runs' pages."""

    @writes
    def append(
        self,
        run_id: m.RunId,
        name: str,
        chunks: Sequence[bytes],
        *,
        writer: str,
        sequence: int,
        attempt: int = 1,
    ) -> int:
        with self.store.changing(run_id) as page:
            log = page.streams.setdefault(name, low.StreamLog())
            return log.append(
                chunks, writer=writer, sequence=sequence, attempt=attempt, run_id=run_id, name=name
            )

    async def read(
        self, run_id: m.RunId, name: str, *, start: int = 0, limit: int = 1000, wait_ms: int = 0
    ) -> m.StreamPage:
        begin = (await self._find(run_id, name)).read(start=start, limit=0).start
        look, wait_ms = functools.partial(self._find, run_id, name), wait_ms if limit > 0 else 0
        log = await self.store.until(wait_ms, look, lambda log: log.has_news(begin))
        return log.read(start=begin, limit=limit)

    @writes
    def close(
        self, run_id: m.RunId, name: str, *, writer: str | None = None, attempt: int = 1
    ) -> None:
        with self.store.changing(run_id) as page:
            log = page.streams.setdefault(name, low.StreamLog())
            log.close(writer=writer, attempt=attempt, run_id=run_id, name=name)

    @writes
    def delete(self, run_id: m.RunId, name: str) -> None:
        with self.store.changing(run_id) as page:
            page.streams.pop(name, None)

    async def info(self, run_id: m.RunId, name: str) -> m.StreamInfo:
        return (await self._find(run_id, name)).info(name)

    @reads
    def list_streams(self, run_id: m.RunId) -> tuple[m.StreamInfo, ...]:
        logs = sorted(self.store.page(run_id).streams.items())
        return tuple(log.info(name) for name, log in logs if not low.is_system_stream(name))

    @reads
    def _find(self, run_id: m.RunId, name: str) -> low.StreamLog:
        return self.store.page(run_id).streams.get(name, low.StreamLog())


class FilesTransfer(Part[Files], abc.Transfer):
    """Departures and arrivals: a page is a run whole."""

    @writes
    def depart(self, departure: m.Departure) -> m.RunRecord:
        with self.store.changing(departure.run_id) as page:
            book, is_watching = page.book, self.store.is_watching
            book.drop_watchers([one for one in book.watchers if not is_watching(one)])
            return low.depart(page.book, departure, url=self.store.url, now_ms=self.store.now_ms())

    @reads
    def read_streams(self, run_id: m.RunId) -> tuple[m.StreamCopy, ...]:
        return tuple(log.copied(n) for n, log in sorted(self.store.page(run_id).streams.items()))

    @writes
    def arrive(self, copy: m.RunCopy) -> m.RunRecord:
        page = self.store.load(self.store.path(copy.record.run_id))
        if page is not None:
            return low.arrived_already(page.book, copy)
        streams = {stream.name: low.StreamLog.of(stream) for stream in copy.streams}
        page = Page(low.arrive(copy, holder=self.store.holder), streams=streams)
        self.store.save(page)
        return page.book.record

    @writes
    def confirm(self, run_id: m.RunId) -> m.RunRecord:
        with self.store.changing(run_id) as page:
            page.book.record = low.confirmed_record(page.book.record)
            return page.book.record


class FilesCatalogue(Part[Files], abc.Catalogue):
    """Lists and deletion."""

    @reads
    def list_runs(
        self, where: m.RunFilter, *, cursor: str | None = None, limit: int = 100
    ) -> m.RunPage:
        records = (page.book.record for page in self.store.pages())
        return low.list_page(records, where, cursor=cursor, limit=limit)

    @writes
    def delete_run(self, run_id: m.RunId) -> None:
        page = self.store.load(self.store.path(run_id))
        if page is not None and not page.book.record.status.is_over:
            raise errors.RunLiveError(run_id)
        self.store.forget(run_id)

    @writes
    def purge(self, *, ended_before_ms: int, limit: int = 100) -> int:
        records = (page.book.record for page in self.store.pages())
        chosen = low.ended_before(records, ended_before_ms, limit=limit)
        for run_id in chosen:
            self.store.forget(run_id)
        return len(chosen)


class FilesBlobs(Part[Files], abc.Blobs):
    """Bytes by their sha256, a file each."""

    @writes
    def put(self, digest: m.Digest, data: bytes, *, run_id: m.RunId | None = None) -> None:
        if hashlib.sha256(data).hexdigest() != digest:
            raise errors.WorldContractError(f"{digest} is not the sha256 of the blob's bytes")
        folder = self.store.blobs(run_id)
        make_folder(folder)
        self.store.replace(folder / digest, data)

    @reads
    def get(self, digest: m.Digest, *, run_id: m.RunId | None = None) -> bytes:
        try:
            return (self.store.blobs(run_id) / digest).read_bytes()
        except FileNotFoundError:
            raise errors.BlobNotFoundError(digest) from None

    @reads
    def has(self, digest: m.Digest, *, run_id: m.RunId | None = None) -> bool:
        return (self.store.blobs(run_id) / digest).exists()


@final
class FilesWorld(BlockingWorld):
    """``files:///folder``, for any number of processes on one machine."""

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        where, _, option = url.partition("?")
        scheme, _, path = where.partition("://")
        if scheme != "files" or not path.startswith("/") or option not in ("", "sync=no"):
            raise errors.UsageError(f"{url!r} names no folder; write files:///absolute/folder")
        files = Files(url, Path(path), clock or SystemClock(), sync=not option)
        super().__init__(files)
        self.storage, self.queue = FilesStorage(files), FilesQueue(files)
        self.snapshots, self.streams = FilesSnapshots(files), FilesStreams(files)
        self.catalogue, self.blobs = FilesCatalogue(files), FilesBlobs(files)
        self.transfer = FilesTransfer(files)

    @property
    def capabilities(self) -> frozenset[abc.Capability]:
        of = abc.Capability
        return frozenset({of.SHARED, of.DURABLE, of.ATOMIC_QUEUE})
