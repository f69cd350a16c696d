"""Letters: which ones end a line, may stand in a name, or are spelled by an escape. Pure.

Every reader of a source takes the text that ``plain_text`` returns, where a line ends in a line
feed. ECMA-262 knows two more ends of a line, U+2028 and U+2029; these stay, since a template or a
string may hold them. Lines are counted as editors do, without them.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ("SEPARATORS", "odd_letter", "plain_text", "spelled", "string_value")

SEPARATORS = "\u2028\u2029"  # ends of a line that are no line feed
# Of the others these kinds begin a name, or go on with one, and so do these letters whatever their
# kind. A letter newer than this Python has no kind yet: the engine judges it.
_BEGINS = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nl", "Cn"})
_GOES_ON = _BEGINS | {"Mn", "Mc", "Nd", "Pc"}
_BEGIN_ALSO = frozenset("$_\u1885\u1886\u2118\u212e\u309b\u309c")
_GO_ON_ALSO = (
    _BEGIN_ALSO
    | frozenset(map(chr, range(0x1369, 0x1372)))
    | frozenset("\u00b7\u0387\u19da\u200c\u200d\u30fb\uff65")
)
# Compiled when they are first used, as those of tokens.
_ESCAPE = r"\\u([\da-fA-F]{4})|\\u\{([\da-fA-F]+)\}"
_STRING_ESCAPE = rf"{_ESCAPE}|\\x([\da-fA-F]{{2}})|\\([\s\S])"
_CONTROLS = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "0": "\0",
    **dict.fromkeys("\n\u2028\u2029", ""),  # the line goes on
}


def plain_text(text: str) -> str:
    """The text as ECMA-262 and TypeScript read it: no byte order mark, each line's end a feed.

    In JavaScript and in JSON a carriage return means the same as a line feed wherever one may
    stand; in a template both are a line feed.
    """
    if text[:1] == "\ufeff":
        text = text[1:]
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def spelled(name: str) -> str:
    """A name without escapes."""
    return name if "\\" not in name else re.sub(_ESCAPE, _letter, name)


def string_value(literal: str) -> str:
    """The text that a string in quotes stands for."""
    inner = literal[1:-1]
    if "\\" not in inner:
        return inner
    halves = re.sub(_STRING_ESCAPE, _letter, inner)  # of what two escapes may spell together
    return halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def odd_letter(name: str) -> str | None:
    """The first letter of a name that no name may have; None if there is none.

    Args:
        name: without escapes.
    """
    for at, letter in enumerate(name):
        also, kinds = (_GO_ON_ALSO, _GOES_ON) if at else (_BEGIN_ALSO, _BEGINS)
        if letter not in also and unicodedata.category(letter) not in kinds:
            return letter
    return None


def _letter(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or (escape[3] if escape.re.pattern == _STRING_ESCAPE else "")
    if not code:
        return _CONTROLS.get(escape[4], escape[4])
    number = int(code, 16)
    return chr(number) if number <= 0x10FFFF else "\ufffd"
