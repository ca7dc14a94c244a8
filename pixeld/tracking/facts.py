"""The plain values of a request that a decision sees."""

from __future__ import annotations

from typing import NamedTuple


class Facts(NamedTuple):
    """One request under `/t/`. Text is as it came in; nothing here is trusted.

    `target` is the request target (path and query, undecoded). `cookie`, `user_agent`, `accept_language` are the
    headers' values, `""` when absent. `ahead` says whether the browser fetches ahead of a visit (`Sec-Purpose`,
    `Purpose`, `X-Moz`). `address` and `user_agent` go no further than to what is derived from them. `now_ms` is
    milliseconds since 1970, UTC.
    """

    method: str
    target: str
    cookie: str
    user_agent: str
    accept_language: str
    ahead: bool
    address: str
    country: str
    now_ms: int
