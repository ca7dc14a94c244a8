"""Reading a tracking request's query: only the parameters that are asked for are ever decoded."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes


def split(query: str) -> dict[str, str]:
    """Raw values by raw name; the first of several stands. No decoding: most requests need two or three of the values."""
    if not query:
        return {}
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name not in found:
            found[name] = value
    return found


def coded(query: str) -> bool:
    """Whether any text in a query may be written in another way than it reads."""
    return "%" in query or "+" in query or not query.isascii()


def form_text(raw: str, errors: str = "replace") -> str:
    """A value as forms write it: `+` is a space, `%XX` are UTF-8 bytes. UnicodeDecodeError with `errors="strict"` only."""
    return url_text(raw.replace("+", " ") if "+" in raw else raw, errors)


def url_text(raw: str, errors: str = "replace") -> str:
    """A value with `%XX` undone and `+` left alone: what a URL inside a URL needs, where a plus is a plus."""
    if "%" not in raw and raw.isascii():
        return raw
    return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8", errors)
