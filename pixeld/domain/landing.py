"""Where a click may lead: the client's landing page, or a deep link into the client's own hosts. Never an open redirect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

MAX_BYTES = 2048
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
# RFC 3986 has no others; a space, a quote, a control or a non-ASCII character in a Location is some client's own reading.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)


def host_of(url: str) -> str | None:
    """The host (with its port if one is given, lower case) of an absolute http(s) URL without surprises; None for any other.

    Surprises are what two readers of one URL disagree on: userinfo, a backslash, control characters, spaces, non-ASCII, an
    empty or bracketed host, a bad port, more than MAX_BYTES.
    """
    if len(url) > MAX_BYTES or _URL.fullmatch(url) is None:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.netloc.lower()
    if parts.scheme not in ("http", "https") or "@" in host or not url[len(parts.scheme) :].startswith("://"):
        return None
    name = host if port is None else host.removesuffix(f":{port}")
    if _HOST.fullmatch(name) is None:
        return None
    return host


def allowed(url: str, hosts: frozenset[str]) -> bool:
    """Whether `url` leads to one of `hosts` (exact names, lower case; a port counts as part of the name)."""
    host = host_of(url)
    return host is not None and host in hosts


def escaped(url: str) -> str:
    """`url` with what people type and paste but no URL has, such as letters with accents, percent-encoded as browsers do."""
    return quote(url, safe="%-._~:/?#[]@!$&'()*+,;=")


def around(url: str, name: str) -> tuple[str, str]:
    """What stands before and after the value when a parameter `name` is added at the end of the query of `url`: everything
    else, the fragment included, byte for byte.

    `name` and the value must need no escaping (a click parameter and a click id never do).
    """
    rest, hash_, fragment = url.partition("#")
    separator = "?" if "?" not in rest else "" if rest.endswith(("?", "&")) else "&"
    return f"{rest}{separator}{name}=", f"{hash_}{fragment}"


def tracking_link(base: str, client: str, partner: str, query: Mapping[str, str]) -> str:
    """The link with which a partner sends visitors to a client: `base` is the tracker's URL, `query` what a click carries."""
    given = urlencode(query, quote_via=quote)
    return f"{base}/t/{client}/c/{partner}" + (f"?{given}" if given else "")
