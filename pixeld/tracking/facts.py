"""The plain values of a request that a decision sees."""

from __future__ import annotations

from pixeld.tracking.audience import Browser

# One request under `/t/`: (method, target, cookie, browser, address, country, now_ms). Text is as it came in, and not trusted.
# `target` is the request target (path and query, undecoded), `cookie` the header's value, `""` when absent. `address` and the
# browser's user agent go no further than to what is derived from them. `now_ms` is milliseconds since 1970, UTC. A plain
# tuple: to make and to drop a named one, and to read seven names of it, takes 0.25 µs longer.
Facts = tuple[str, str, str, Browser, str, str, int]
