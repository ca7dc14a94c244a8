"""`pixeld` that tells its visitors' salts, for test_no_trace.py; the same command line. `TOLD_SALTS` names the file."""

import os
from pathlib import Path

from pixeld import app
from pixeld.cli import main
from pixeld.tracking.audience import Visitors


class Told(Visitors):
    """Writes every salt down, which the real one never does."""

    def __init__(self, random):
        def told(size):
            salt = random(size)
            with Path(os.environ["TOLD_SALTS"]).open("a") as file:
                file.write(f"{salt.hex()}\n")
            return salt

        super().__init__(told)


if __name__ == "__main__":
    app.Visitors = Told
    main()
