"""`pixeld serve` with a clock that somebody else can step: its offset in ms is 8 bytes of a file that both map."""

import asyncio
import mmap
import os
import sys
from pathlib import Path

import uvloop

from pixeld import app, settings
from pixeld.cli.serve import announce
from pixeld.errors import PixeldError

OFFSET = "CAMPAIGN_CLOCK"


def main():
    with Path(os.environ[OFFSET]).open("r+b") as file:
        offset = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(
                app.serve(settings.load(os.environ), started=announce, clock=lambda: app.now_ms() + offset[0])
            )
    except PixeldError as error:
        sys.exit(f"pixeld: {error}")


if __name__ == "__main__":
    main()
