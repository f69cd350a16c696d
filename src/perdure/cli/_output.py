"""Output: data to stdout, as JSON or for people; everything else to stderr.

All that the command line prints goes through these functions, and through ``perdure.display`` in
them: no text is markup, none commands the terminal, and long text is cut, with a mark that says so.
Streams may be of any encoding. One that nobody reads any more ends the program quietly
where it is stdout, and is no longer written to where it is stderr.
"""

from __future__ import annotations

import errno
import json
import os
import re
import traceback
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from typing import IO, TypeAlias

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from .._model.runs import RunCode
from .._protocol.json_values import Json
from ..display import shown_lines, shown_text

__all__ = (
    "LONGEST_CELL",
    "UNREAD",
    "Cell",
    "counted",
    "cut",
    "help_unread_in_peace",
    "print_json",
    "print_source",
    "say",
    "show",
    "show_table",
    "shown_status",
    "spin",
    "to_second",
)

Cell: TypeAlias = "str | tuple[str, str]"  # with a style of ours

UNREAD = 141  # 128 + SIGPIPE, as of a program that the signal ends
LONGEST_CELL, LONGEST_TEXT = 1_000, 20_000
LONGEST_WHOLE = 30  # as long as a run's id
_UNREAD = (errno.EPIPE, errno.EINVAL)  # the latter is what Windows says of a pipe that nobody reads
_NOT_ASCII = re.compile(r"[^\n -~]+")


class _Terminal(Console):
    """A stream of ours."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Go on without a reader; the program ends if its data was meant for that reader."""
        self.quiet = True
        if self.stderr:
            return
        _discard(self.file)
        raise typer.Exit(UNREAD)

    @contextmanager
    def unread_in_peace(self) -> Generator[None, None, None]:
        """Let the output of the block go unread if nobody reads the stream any more."""
        try:
            yield
        except OSError as exc:
            if exc.errno not in _UNREAD:
                raise
            self.on_broken_pipe()

    def fitted(self, text: str) -> str:
        """*text* with escapes for characters that the stream's encoding lacks."""
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)


_out, _err = _Terminal(), _Terminal(stderr=True)


def show(text: str) -> None:
    """A message on stdout."""
    _print(_out, text)


def say(text: str, *, style: str = "") -> None:
    """A message on stderr."""
    _print(_err, text, style)


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    whole: Collection[str] = (),
) -> None:
    """A table on stdout; the first column is as wide as an id, which is to be copied.

    Without *columns* it has no head, and as many as its rows. Nor are the columns broken that
    *whole* names, such as dates; others make room for them.
    """
    heads = [Column(Text(name), overflow="fold") for name in columns]
    for n, head in enumerate(heads):
        if n == 0 or columns[n] in whole:
            longest = max((len(_cell(row[n])) for row in rows), default=0)
            head.min_width, head.no_wrap = min(LONGEST_WHOLE, longest), longest <= LONGEST_WHOLE
    table = Table(*heads, title=Text(title) if title else None, show_header=bool(heads))
    for row in rows:
        table.add_row(*[_cell(cell) for cell in row])
    with _out.unread_in_peace():
        _out.print(table)


def print_json(value: object) -> None:
    """One JSON document on stdout, the same whether or not it is a terminal."""
    indent = 2 if _out.is_terminal else None
    document = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    _write(_NOT_ASCII.sub(_json_escaped, document) + "\n")


def print_source(text: str) -> None:
    """A program, or a part of one, on stdout: no line of it is wrapped, cut or indented."""
    lines = [_out.fitted(shown_text(line.replace("\t", "    "))) for line in text.split("\n")]
    _write("\n".join(lines) + "\n")


@contextmanager
def spin(text: str) -> Generator[Callable[[str], None], None, None]:
    """Show on stderr, within the block, that something goes on; call with a later text."""
    plain = not _err.encoding.startswith("utf")
    status = Status(_line(_err, text), console=_err, spinner="line" if plain else "dots")
    with status:
        yield lambda later: status.update(_line(_err, later))


def counted(count: int, noun: str) -> str:
    """A count with a noun whose plural ends in s: 1 run, 2 runs."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def to_second(time: str | None) -> str:
    """A time in ISO 8601 as people read it, in UTC, to the second."""
    return "" if time is None else time.partition("+00:00")[0].partition(".")[0].replace("T", " ")


def shown_status(run: Json) -> str:
    """A run's status; of one that failed in another than the usual way, with the code of that."""
    status, code = str(run["status"]), run["code"]
    return status if code in (None, RunCode.USER_ERROR) else f"{status} {code}"


def cut(text: str, limit: int) -> str:
    """*text*, or its beginning and a word that it was cut."""
    return text if len(text) <= limit else f"{text[:limit]}… (cut, {len(text):,} characters)"


def _print(console: _Terminal, text: str, style: str = "") -> None:
    with console.unread_in_peace():
        console.print(_line(console, text, style), soft_wrap=True)


def _line(console: _Terminal, text: str, style: str = "") -> Text:
    return Text(console.fitted(shown_lines(cut(text, LONGEST_TEXT))), style=style)


def _cell(cell: Cell) -> Text:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return Text(_out.fitted(shown_text(cut(text, LONGEST_CELL))), style=style)


def _write(text: str) -> None:
    """On stdout as it is."""
    file = _out.file
    with _out.unread_in_peace():
        file.write(text)
        file.flush()


@contextmanager
def help_unread_in_peace() -> Generator[None, None, None]:
    """Likewise for text that typer prints by itself, such as ``--help``.

    Its console ends the program with 1, having noticed; plain output is noticed here.
    """
    try:
        with _out.unread_in_peace():
            yield
    except SystemExit as exc:
        *_, (frame, _) = traceback.walk_tb(exc.__traceback__)
        if frame.f_globals["__name__"] != Console.__module__:
            raise
        _out.on_broken_pipe()


def _discard(file: IO[str]) -> None:
    """Let the rest of a stream that nobody reads go nowhere: it is flushed once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def _json_escaped(match: re.Match[str]) -> str:
    """The text as it is where it can be shown and encoded, else escaped as JSON has it."""
    text = match[0]
    if _out.fitted(shown_text(text)) == text:
        return text
    return "".join([c if _out.fitted(shown_text(c)) == c else json.dumps(c)[1:-1] for c in text])
