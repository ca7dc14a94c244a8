"""Forms without a session: taken from our own pages only, as browsers tell it."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from pixeld.errors import BadInput, Forbidden

_FORM = "application/x-www-form-urlencoded"
_FETCH_SITE = "Sec-Fetch-Site"
_FROM_ELSEWHERE = (
    "Your browser doesn't say that this comes from our own page, so that nothing was changed: another site may have sent it. "
    "Open the page anew and use its buttons."
)


async def chosen(request: web.Request, *known: str) -> str:
    """Which button was pressed: the form's `do`. Forbidden for a form of another site, BadInput for no button of ours."""
    if not own(request):
        raise Forbidden(_FROM_ELSEWHERE)
    wanted = None
    if request.content_type == _FORM:
        with suppress(LookupError, ValueError):  # an encoding that nobody knows, or bytes that are none of it
            wanted = (await request.post()).get("do")
    if not isinstance(wanted, str) or wanted not in known:
        raise BadInput("This form has no such button. Open the page anew.", "do")
    return wanted


def own(request: web.Request) -> bool:
    """Whether a request is from a page of this very origin, by what its browser says and no page can.

    Every browser since 2023 tells by `Sec-Fetch-Site`. Before that, `Origin` does; and the oldest send none with a form to
    their own site, but a `Referer`, which these pages ask for (`Referrer-Policy: same-origin`). None of them: no.
    """
    site = request.headers.get(_FETCH_SITE)
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get(hdrs.ORIGIN, request.headers.get(hdrs.REFERER, ""))
    try:
        return bool(request.host) and urlsplit(origin).netloc.lower() == request.host.lower()
    except ValueError:
        return False
