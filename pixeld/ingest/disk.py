"""The file system as the spill uses it: one system call a method, so that a test can stop the world between any two."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path


class Disk:
    """Every method raises OSError. Nothing is durable before it is synced: bytes by their file, a name by its directory."""

    def mkdir(self, directory: Path) -> None:
        """Make a directory, and those above it, if it isn't there."""
        directory.mkdir(parents=True, exist_ok=True)

    def sizes(self, directory: Path) -> dict[str, int]:
        """Bytes by name of a directory's files."""
        with os.scandir(directory) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}

    def create(self, path: Path) -> FileIO:
        """A new, empty file to write to; never one that is there already. Unbuffered: closing it writes nothing."""
        return path.open("xb", buffering=0)

    def write(self, file: FileIO, data: bytes) -> None:
        """Write all of `data`; after an error, any part of it may be in the file."""
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]

    def sync(self, file: FileIO) -> None:
        """Make what was written durable."""
        os.fsync(file.fileno())

    def sync_path(self, path: Path) -> None:
        """Make a directory's names, or a file's bytes and length, durable."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, path: Path, size: int, at: int = 0) -> bytes:
        """`size` bytes from `at` on; fewer where the file ends."""
        with path.open("rb") as file:
            file.seek(at)
            return file.read(size)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file to its first `size` bytes."""
        os.truncate(path, size)

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        path.unlink()
