"""URI: refusals in our words of URLs that the driver would refuse, or pass over in part.

Its own words come from several places, by several exceptions, and may repeat a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from pymongo.common import URI_OPTIONS_ALIAS_MAP, URI_OPTIONS_VALIDATOR_MAP
from pymongo.errors import InvalidURI, PyMongoError
from pymongo.uri_parser import parse_uri

from perdure.display import shown_option
from perdure.errors import UsageError

__all__ = ("check_uri", "words_of")

_KNOWN = frozenset({*URI_OPTIONS_VALIDATOR_MAP, *URI_OPTIONS_ALIAS_MAP})
_LONGEST = 300  # of a driver's words
_ESCAPE = (
    "user, password and host: percent-encode what is special in them (urllib.parse.quote_plus)"
)


def check_uri(uri: str, options: Sequence[tuple[str, str]], *, text: str) -> None:
    """Pass only a URL that the driver takes, whole.

    Raises:
        UsageError: it does not; names the option, or the part.
    """
    for name, _ in options:
        if name.lower() not in _KNOWN:
            raise UsageError(
                f"{text!r} has an option {shown_option(name)!r} that MongoDB's driver does not know"
            )
    try:
        parse_uri(uri)
    except InvalidURI:
        raise UsageError(f"{text!r}: {_ESCAPE}") from None
    except (PyMongoError, ValueError, TypeError, OSError) as exc:
        raise UsageError(f"{text!r}: {words_of(str(exc), uri)}") from None


def words_of(text: str, uri: str = "") -> str:
    """The driver's words, without the topology that it appends, and without secrets."""
    for noise in (" (configured timeouts", ", Timeout: ", ", Topology Description", ", full error"):
        text = text.partition(noise)[0]
    for secret in _secrets(uri):
        text = text.replace(secret, "…")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _secrets(uri: str) -> list[str]:
    """Password and option values, longest first; words that stand in many messages are none."""
    parts = urlsplit(uri)
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    values = [part.partition("=")[2] for part in parts.query.split("&")]
    words = {password, *values} | {unquote(value) for value in (password, *values)}
    return sorted((one for one in words if len(one) > 3), key=len, reverse=True)
