"""What is put under load, and pixeld in its four roles."""

from __future__ import annotations

import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import browsers, machine, pixeld

ORDER = f"/t/{pixeld.CLIENT}/o.gif?amount=24.90&currency=EUR&order=B-{{n}}"
CLICK = f"/t/{pixeld.CLIENT}/c/{pixeld.PARTNER}?s1=newsletter&cid={{n}}"
IMPRESSION = f"/t/{pixeld.CLIENT}/i/{pixeld.PARTNER}.gif?s1=sidebar&cid={{n}}"
_SETTLE_S, _LOOK_S, _CALM = 60.0, 0.3, 0.15


@dataclass(frozen=True)
class Subject:
    """A server and what is asked of it. `stored()` counts what it has stored so far, `settle()` waits until nothing is left
    to do; a server that stores nothing has neither.
    """

    name: str
    url: str
    requests: Sequence[bytes]
    pids: tuple[int, ...]
    redis_pids: tuple[int, ...] = ()
    stored: Callable[[], int] | None = None
    settle: Callable[[], object] | None = None


def roles(server: pixeld.Pixeld) -> list[Subject]:
    """One running pixeld, asked for each kind of event in turn and for a mix."""

    mix = browsers.mix(server.public_url, pixeld.CLIENT, pixeld.PARTNER, server.cookie)
    asked = {"order": _one(server, ORDER), "click": _one(server, CLICK), "impression": _one(server, IMPRESSION), "mix": mix}
    return [role(server, f"pixeld {name}", requests) for name, requests in asked.items()]


def beside_its_office(server: pixeld.Pixeld, core: int) -> Subject:
    """A pixeld with one worker, whose other process moves to `core`."""
    move_office(server, core)
    return role(server, "pixeld order, 1 worker", _one(server, ORDER))


def move_office(server: pixeld.Pixeld, core: int) -> None:
    """Of a pixeld with workers, move the process that flushes to `core`: it is no more on the one that answers."""
    for pid in server.pids:
        machine.pin(pid, core)


def _one(server: pixeld.Pixeld, target: str) -> list[bytes]:
    return [browsers.request(server.public_url, target, browsers.CHROME, server.cookie)]


def role(server: pixeld.Pixeld, name: str, requests: Sequence[bytes]) -> Subject:
    """A running pixeld and what is asked of it."""

    def stored() -> int:
        return metric(server, "pixeld_stored_events_total")

    pids = server.pids + server.worker_pids
    return Subject(name, server.public_url, requests, pids, server.redis_pids, stored, lambda: settle(server))


def settle(server: pixeld.Pixeld) -> None:
    """Wait until everything answered is in ClickHouse and the engine's merges have ended. Exits when that takes over 60 s."""
    deadline = time.monotonic() + _SETTLE_S
    flushed = False
    while time.monotonic() < deadline:
        before = machine.cpu_s(server.pids + server.worker_pids)
        try:
            server.api("POST", "/api/flush")
            flushed = True
        except urllib.error.HTTPError as error:  # 503: more than can be flushed in the 15 s that it waits
            error.close()
        time.sleep(_LOOK_S)
        if flushed and machine.cpu_s(server.pids + server.worker_pids) - before < _CALM * _LOOK_S:
            return
    sys.exit(f"pixeld is still busy {_SETTLE_S:.0f} s after a round; the next round would measure this one's flush")


def metric(server: pixeld.Pixeld, name: str) -> int:
    """A counter of the running pixeld."""
    with urllib.request.urlopen(f"{server.admin_url}/metrics", timeout=10) as reply:
        match = re.search(rf"^{name} (\S+)$", reply.read().decode(), re.MULTILINE)
    assert match is not None, f"there is no metric {name}"
    return int(float(match[1]))
