"""Browsers, and requests as they send them: saved headers of six kinds, and the mix that a day of a shop is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Headers = Sequence[tuple[str, str]]

_FETCH = (("Sec-Fetch-Dest", "image"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Site", "cross-site"))
_VISIT = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
_PAGES = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
SHOP, BLOG = ("Referer", "https://shop.example/"), ("Referer", "https://blog.example/")
LANGUAGES = ("de-DE,de;q=0.9,en;q=0.8", "en-US,en;q=0.9", "fr-FR,fr;q=0.9,en-US;q=0.7", "pl,en;q=0.8", "it-IT,it;q=0.9")


@dataclass(frozen=True, slots=True)
class Browser:
    """One kind. `images` is what it accepts as one, `hints` are of itself, which go to secure origins only; `cookies` says
    whether it sends the referral cookie from another site's page.
    """

    agent: str
    images: str
    encodings: str
    hints: Headers = ()
    cookies: bool = False

    def image(self, languages: str, referer: tuple[str, str], *, secure: bool = False) -> Headers:
        """The headers with which it loads an image of a page."""
        return self._headers(self.images, languages, referer, _FETCH, secure)

    def page(self, languages: str, referer: tuple[str, str], *, secure: bool = False) -> Headers:
        """The headers with which it follows a link on a page."""
        return self._headers(_PAGES, languages, referer, _VISIT, secure)

    def _headers(self, accept: str, languages: str, referer: tuple[str, str], fetch: Headers, secure: bool) -> Headers:
        named = (("User-Agent", self.agent), ("Accept", accept), ("Accept-Encoding", self.encodings))
        return (*named, ("Accept-Language", languages), *(self.hints if secure else ()), referer, *fetch)


def _blink(system: str, platform: str, *, mobile: bool = False, edge: str = "") -> Browser:
    agent = f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 {'Mobile ' if mobile else ''}"
    hints = (
        ("sec-ch-ua", '"Chromium";v="131", "Not_A Brand";v="24"'),
        ("sec-ch-ua-mobile", f"?{mobile:d}"),
        ("sec-ch-ua-platform", f'"{platform}"'),
    )
    images = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    return Browser(f"{agent}Safari/537.36{edge}", images, "gzip, deflate, br, zstd", hints, cookies=True)


def _safari(system: str, build: str) -> Browser:
    return Browser(
        f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 {build}",
        "image/webp,image/avif,image/jxl,image/heic,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "gzip, deflate, br",
    )


_WINDOWS = "Windows NT 10.0; Win64; x64"
BROWSERS = (
    _blink(_WINDOWS, "Windows"),
    _blink("Linux; Android 10; K", "Android", mobile=True),
    _safari("iPhone; CPU iPhone OS 18_1 like Mac OS X", "Mobile/15E148 Safari/604.1"),
    _blink(_WINDOWS, "Windows", edge=" Edg/131.0.0.0"),
    Browser(
        f"Mozilla/5.0 ({_WINDOWS}; rv:133.0) Gecko/20100101 Firefox/133.0",
        "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
        "gzip, deflate, br, zstd",
    ),
    _safari("Macintosh; Intel Mac OS X 10_15_7", "Safari/605.1.15"),
)
CHROME = BROWSERS[0].image(LANGUAGES[0], SHOP)


def tail(host: str, headers: Headers, cookie: str = "") -> bytes:
    """What follows a request's target."""
    lines = [" HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if cookie:
        lines.append(f"Cookie: {cookie}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def request(url: str, target: str, headers: Headers, cookie: str = "") -> bytes:
    """One complete request for `target` on the server at `url`."""
    return f"GET {target}".encode() + tail(urlsplit(url).netloc, headers, cookie)


def mix(url: str, client: str, partner: str, cookie: str) -> list[bytes]:
    """A hundred requests of five browsers: 60 impressions, 30 clicks, 10 orders. Browsers that block the cookie of another
    site bring the click id with the order, as the snippet does.
    """
    click_id = cookie.partition("=")[2].partition(".")[0]
    seen = list(zip(BROWSERS, LANGUAGES, strict=False))
    found = []
    for number in range(100):
        browser, languages = seen[number % len(seen)]
        sent = cookie if browser.cookies else ""
        match number // len(seen) % 10:
            case 4:
                earned = "" if browser.cookies else f"&click={click_id}"
                target = f"/t/{client}/o.gif?amount=24.90&currency=EUR&order=B-{{n}}{earned}"
                found.append(request(url, target, browser.image(languages, SHOP), sent))
            case 1 | 5 | 8:
                target = f"/t/{client}/c/{partner}?s1=newsletter&cid={{n}}"
                found.append(request(url, target, browser.page(languages, BLOG), sent))
            case _:
                target = f"/t/{client}/i/{partner}.gif?s1=sidebar&cid={{n}}"
                found.append(request(url, target, browser.image(languages, BLOG), sent))
    return found
