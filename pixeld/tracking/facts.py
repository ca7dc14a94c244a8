"""The plain values of a request that a decision sees."""

from __future__ import annotations

from typing import NamedTuple

from pixeld.tracking.audience import Browser


class Facts(NamedTuple):
    """One request under `/t/`. Text is as it came in; nothing here is trusted.

    `target` is the request target (path and query, undecoded), `cookie` the header's value, `""` when absent. `address` and
    the browser's user agent go no further than to what is derived from them. `now_ms` is milliseconds since 1970, UTC.
    """

    method: str
    target: str
    cookie: str
    browser: Browser
    address: str
    country: str
    now_ms: int
