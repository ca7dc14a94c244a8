"""What is derived from a visitor's user agent, language and address, so that those themselves go nowhere.

Parsing a user agent costs some 500 µs (ua-parser with its regex extra, and 1,500 crawler patterns), a look-up in a bounded
cache 0.1 µs; a site's visitors share a few thousand user agents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from crawleruseragents import is_crawler
from ua_parser import parse

from pixeld.domain.audience import SALT_BITS

_CACHE = 10_000  # entries; about 5 MB when full
_MAX_UA = 512  # characters looked at: real ones are shorter, and a pattern's cost grows with length
_MAX_LANGUAGE = 8  # characters looked at: a primary subtag has two or three, and something ends it
DAY_MS = 86_400_000
_HASH_BYTES = 8 - SALT_BITS // 8  # 48 bits: among a million visitors of a client and day, two share one on 2 days of 1,000


class Agent(NamedTuple):
    """What a user agent says: classes and families, never versions."""

    device: str
    browser: str
    os: str
    bot: bool


def agent(user_agent: str) -> Agent:
    """Device class (`desktop`, `mobile`, `tablet`, `bot` or empty), browser and OS family. No user agent at all is a bot."""
    return _agent(user_agent[:_MAX_UA])  # cut before the cache, whose entries would hold 8 KB of a peer's choice otherwise


@lru_cache(maxsize=_CACHE)
def _agent(text: str) -> Agent:
    if not text.isascii():  # bytes that are no UTF-8 are lone surrogates here, and ua-parser raises on those
        text = text.encode("utf-8", "replace").decode()
    if not text or is_crawler(text):
        return Agent("bot", "", "", True)
    found = parse(text)
    browser = found.user_agent.family if found.user_agent else ""
    os = found.os.family if found.os else ""
    return Agent(_device(text, os), browser, os, False)


def _device(text: str, os: str) -> str:
    # Google's and Apple's own conventions: "Mobile" stands in phones' user agents, Android tablets leave it out.
    if "iPad" in text or "Tablet" in text or ("Android" in text and "Mobile" not in text):
        return "tablet"
    if "Mobi" in text or "iPhone" in text:
        return "mobile"
    return "desktop" if os else ""


def language(accept_language: str) -> str:
    """The primary subtag of the first language that is asked for (RFC 9110 §12.5.4), such as `de`; empty when none is."""
    return _language(accept_language[:_MAX_LANGUAGE])


@lru_cache(maxsize=_CACHE)
def _language(accept_language: str) -> str:
    tag = accept_language.partition(",")[0].partition(";")[0].strip().partition("-")[0].lower()
    return tag if 2 <= len(tag) <= 3 and tag.isascii() and tag.isalpha() else ""


class Browser(NamedTuple):
    """What a request says of the browser that sent it, the same in each of its requests. `user_agent` is for Visitors alone;
    `ahead` is whether it fetches ahead of a visit (`Sec-Purpose`, `Purpose`, `X-Moz`); `gpc` and `dnt` whether it objects to
    being tracked (`Sec-GPC`, `DNT`), `objects` whether it does so in either way.
    """

    user_agent: str
    bot: bool
    ahead: bool
    audience: tuple[str, str, str, str]  #: device, browser, os, language: columns of every event
    gpc: bool
    dnt: bool
    objects: bool

    @classmethod
    def of(cls, user_agent: str, accept_language: str, *, ahead: bool, gpc: bool = False, dnt: bool = False) -> Browser:
        """From the headers' values, `""` when absent."""
        device, browser, os, bot = agent(user_agent)
        return cls(user_agent, bot, ahead, (device, browser, os, language(accept_language)), gpc, dnt, gpc or dnt)


class Visitors:
    """A number that tells two visitors of one client on one day apart, and nothing else.

    The salt lives in memory only and is replaced every UTC day; the client is part of the hash. So a number can neither be
    joined across days or clients nor led back to an address, not even by whoever holds the database. A restart takes a new
    salt too: on that day a returning visitor counts twice. Which numbers are of one salt shows in their upper bits; among
    those nobody is twice.

    Several processes that answer for one server share the salts: one makes them `ahead`, the others `take` them from it. For a
    day of which nobody has told, a process has a salt of its own.
    """

    __slots__ = ("_day", "_keyed", "_random", "_salts", "_tag")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._salts: dict[int, bytes] = {}  # of at most two days, by day
        self._day, self._keyed = -1, blake2b()  # a hash that has taken that day's salt in: to copy one takes half as long
        self._tag = 0

    def number(self, client: str, address: str, user_agent: str, now_ms: int) -> int:
        """64 bits for this visitor of this client on this day: SALT_BITS that are the salt's, and a hash."""
        day = now_ms // DAY_MS
        if day != self._day:
            salt = self._salts.get(day) or self._make(day)
            self._day, self._keyed = day, blake2b(key=salt, digest_size=_HASH_BYTES)
            tag = blake2b(key=salt, digest_size=SALT_BITS // 8, person=b"tag").digest()
            self._tag = int.from_bytes(tag) << 8 * _HASH_BYTES
        # A NUL is in no client id, address or header value: one spelling for each triple.
        said = f"{client}\0{address}\0{user_agent}".encode(errors="surrogateescape")
        keyed = self._keyed.copy()
        keyed.update(said)
        return self._tag | int.from_bytes(keyed.digest())

    def ahead(self, now_ms: int) -> dict[int, bytes]:
        """The salts of this day and the next, by day; those of earlier days are forgotten."""
        day, self._day = now_ms // DAY_MS, -1
        self._salts = {each: self._salts.get(each) or self._random(32) for each in (day, day + 1)}
        return self._salts

    def take(self, salts: Mapping[int, bytes]) -> None:
        """Use these, which another process made, and forget all others."""
        self._salts, self._day = dict(salts), -1

    def _make(self, day: int) -> bytes:
        salt = self._random(32)
        self._salts = {day: salt} | {ahead: known for ahead, known in self._salts.items() if ahead == day + 1}
        return salt
