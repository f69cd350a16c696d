"""Display: foreign text and world URLs in the form in which they may be shown.

Text from workflows, steps and stores is data. In a terminal or a log it must neither give orders
(control characters, escape sequences), nor hide or turn round what stands beside it (bidirectional
marks, characters without width), nor forge a line. A URL may carry a password. All that is shown
of either, in messages, logs, reprs and the command line, goes through here. Pure. Patterns are
compiled when they are first used, which most processes never do.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

__all__ = ("shown_lines", "shown_option", "shown_text", "shown_url")

HIDDEN = "***"

# Printable to Python, and still without a form of their own: fillers and variation selectors.
_INVISIBLE = (
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164"
    "\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_BREAK = "\r\n|\n"
_TAB = " " * 4

_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]{0,30})://"
_URL = _SCHEME + r"(?:([^/?#]*)@)?([^/?#@]*)(/[^?#]*)?(?:\?([^#]*))?(#(?s:.*))?"
_HOST = r"(?:[\w.%{}-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
_ENDPOINT = r"(?<![^&])endpoint_url=[^&#]*"
_LOGIN_IN_PATH = r"(?s)/(?:.*:.*|[^/]*)@"  # after one slash too many
_NAME = r"[\w.-]{0,60}"
_WORD = r"(?i)\d{1,9}(?:\.\d{1,9})?|true|false|full|normal|majority|primary|motor|pymongo"
_NAMING = frozenset({"appname", "authsource", "region", "replicaset"})  # options with a name


def shown_text(value: object) -> str:
    r"""*value* as text of one line; characters without a form become escapes such as ``\x1b``."""
    text = _text_of(value)
    if text.isprintable() and not (not text.isascii() and re.search(_INVISIBLE, text)):
        return text
    is_invisible = re.compile(_INVISIBLE).match
    return "".join([c if c.isprintable() and not is_invisible(c) else _escape(c) for c in text])


def shown_lines(value: object) -> str:
    """*value* as text of several lines, each like ``shown_text``; all but the first are indented.

    So no line of it can be taken for the beginning of another message.
    """
    text = _text_of(value)
    if "\n" not in text and "\t" not in text:
        return shown_text(text)
    lines = [shown_text(line.replace("\t", _TAB)) for line in re.split(_BREAK, text.rstrip("\r\n"))]
    return "\n".join([lines[0], *[f"  {line}" if line else "" for line in lines[1:]]])


def shown_url(url: str) -> str:
    """A world's *url* without secrets: each part that is or might be one is replaced by ``***``.

    User and password are one, and so is any option's value but numbers, a few words, and names in
    options that hold a name. A URL that is not understood is shown by its scheme alone.
    """
    match = re.fullmatch(_URL, url)
    if match is None:
        scheme_match = re.match(_SCHEME, url)
        return f"{scheme_match[1]}://{HIDDEN}" if scheme_match else HIDDEN
    scheme, user, hosts, path, options, fragment = match.groups()
    path = path or ""
    rest = re.sub(_ENDPOINT, "", f"{options}#{fragment}")
    after = path + rest if hosts or user is not None else rest
    if "@" in after or not all(re.fullmatch(_HOST, host) for host in hosts.split(",")):
        return f"{scheme}://{HIDDEN}"  # a password with a slash, say
    if login := re.match(_LOGIN_IN_PATH, path):
        path = f"/{HIDDEN}@{path[login.end() :]}"
    text = f"{scheme}://{'' if user is None else HIDDEN + '@'}{hosts}{path}"
    if options is not None:
        text += "?" + "&".join(_shown_option(option) for option in options.split("&"))
    return shown_text(text if fragment is None else f"{text}#{HIDDEN}")


def shown_option(name: str) -> str:
    """An option's *name*, for a message; one that is no name may be a part of a password."""
    return name if re.fullmatch(r"[\w.-]{1,40}", name) else HIDDEN


def _shown_option(option: str) -> str:
    name, mark, value = option.partition("=")
    if not mark or not re.fullmatch(r"\w{1,40}", name):
        return HIDDEN
    if name == "endpoint_url":
        return f"{name}={shown_url(unquote(value))}"
    harmless = _NAME if name.lower() in _NAMING else _WORD
    return f"{name}={value if re.fullmatch(harmless, value) else HIDDEN}"


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except Exception as exc:  # of a user's class, an exception say; this is no place to fail
        return f"({type(value).__name__} without a text: {type(exc).__name__})"


def _escape(character: str) -> str:
    if not character.isprintable():
        return repr(character)[1:-1]
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
