"""What browsers are told about every ordinary page: the headers that protect its readers.

Tracking replies have none of these: their bytes are the wire contract, and they are shown on other people's pages.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from pixeld.tracking.paths import tracks

CSP = "Content-Security-Policy"
_SOURCES = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
_HSTS_S = 31_536_000  # a year, which is what preload lists and auditors want at least


def csp(**sources: str) -> str:
    """The policy for all pages, but for what a page sets otherwise: `csp(style_src="'sha256-…'")`."""
    return "; ".join(f"{name} {value}" for name, value in (_SOURCES | _named(sources)).items())


def protect(app: web.Application, *, https: bool) -> None:
    """Have every reply of this application and those mounted in it carry the headers, tracking replies apart.

    What a handler has set itself stays. With `https`, browsers are told never to come without it again.
    """
    headers = {
        CSP: csp(),
        "X-Content-Type-Options": "nosniff",
        hdrs.REFERRER_POLICY: "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if https:
        headers["Strict-Transport-Security"] = f"max-age={_HSTS_S}"

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        if not tracks(request.rel_url.raw_path):
            for name, value in headers.items():
                response.headers.setdefault(name, value)

    app.on_response_prepare.append(add)


def _named(sources: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in sources.items()}
