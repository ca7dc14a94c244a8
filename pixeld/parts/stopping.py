"""How a process is asked to stop, or told to begin anew with its files, and what happens if it can't stop in time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


def on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stop`; a second one ends the process at once."""

    def handle() -> None:
        if stop.is_set():
            os._exit(1)  # asked twice: what is answered is on disk already
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, handle)


def on_hangup(do: Callable[[], None]) -> None:
    """SIGHUP does this, instead of ending the process."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, do)


def limit(seconds: float) -> threading.Timer:
    """A timer that, once started, ends the process so much later, whatever hangs: a thread in the middle of a query can be
    waited for, not stopped. A thread of its own: it must not depend on what hangs.
    """
    late = threading.Timer(seconds, _end)
    late.daemon = True
    return late


def _end() -> None:
    log.critical("not everything was stopped in time; what was answered is on disk")
    os._exit(1)
