"""What lies in a directory that a server is writing to: a file may go between its listing and its reading."""

import os
from contextlib import suppress
from pathlib import Path


def contents(directory):
    """(path, bytes) of every file that is there long enough to be read."""
    for folder, _, names in os.walk(directory):  # which passes over a folder that has gone, unlike rglob
        for name in names:
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                if path.is_file():  # no socket
                    yield path, path.read_bytes()
