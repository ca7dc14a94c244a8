"""Requests as browsers send them: saved headers in each browser's order, and the mix that a day of a shop is like."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

Headers = Sequence[tuple[str, str]]

_FETCH = (("Sec-Fetch-Dest", "image"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Site", "cross-site"))
_VISIT = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
_IMAGES = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
_PAGES = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
_SHOP, _BLOG = ("Referer", "https://shop.example/"), ("Referer", "https://blog.example/")


def _browser(agent: str, accept: str, encodings: str, languages: str, *rest: tuple[str, str]) -> Headers:
    named = (("User-Agent", agent), ("Accept", accept), ("Accept-Encoding", encodings), ("Accept-Language", languages))
    return (*named, *rest)


_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) "
_CHROME = _WINDOWS + "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_EDGE = _CHROME + " Edg/131.0.0.0"
_ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
_SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
    "Mobile/15E148 Safari/604.1"
)
_ZSTD, _BROTLI = "gzip, deflate, br, zstd", "gzip, deflate, br"

CHROME = _browser(_CHROME, _IMAGES, _ZSTD, "de-DE,de;q=0.9,en;q=0.8", _SHOP, *_FETCH)
#: (agent, accept-encoding, accept-language, whether it sends a referral cookie to another site)
_SEEN = (
    (_CHROME, _ZSTD, "de-DE,de;q=0.9,en;q=0.8", True),
    (_ANDROID, _ZSTD, "fr-FR,fr;q=0.9", True),
    (_SAFARI, _BROTLI, "en-GB,en;q=0.9", False),
    (_EDGE, _ZSTD, "en-US,en;q=0.9", True),
    (_FIREFOX, _ZSTD, "de,en-US;q=0.7,en;q=0.3", False),
)


def request(url: str, target: str, headers: Headers, cookie: str = "") -> bytes:
    """One complete request for `target` on the server at `url`."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {urlsplit(url).netloc}", *(f"{name}: {value}" for name, value in headers)]
    if cookie:
        lines.append(f"Cookie: {cookie}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def mix(url: str, client: str, partner: str, cookie: str) -> list[bytes]:
    """A hundred requests of five browsers: 60 impressions, 30 clicks, 10 orders. Browsers that block the cookie of another
    site bring the click id with the order, as the snippet does.
    """
    click_id = cookie.partition("=")[2].partition(".")[0]
    found = []
    for number in range(100):
        agent, encodings, languages, cookies = _SEEN[number % len(_SEEN)]
        images = _browser(agent, _IMAGES, encodings, languages)
        sent = cookie if cookies else ""
        match number // len(_SEEN) % 10:
            case 4:
                earned = "" if cookies else f"&click={click_id}"
                target = f"/t/{client}/o.gif?amount=24.90&currency=EUR&order=B-{{n}}{earned}"
                found.append(request(url, target, (*images, _SHOP, *_FETCH), sent))
            case 1 | 5 | 8:
                pages = _browser(agent, _PAGES, encodings, languages, _BLOG, *_VISIT)
                found.append(request(url, f"/t/{client}/c/{partner}?s1=newsletter&cid={{n}}", pages, sent))
            case _:
                target = f"/t/{client}/i/{partner}.gif?s1=sidebar&cid={{n}}"
                found.append(request(url, target, (*images, _BLOG, *_FETCH), sent))
    return found
