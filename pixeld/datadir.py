"""The data directory: one process at a time, and the few small files that make a node itself: its name, keys and
admin token.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pixeld.domain.tokens import Keyring
from pixeld.errors import DataDirInUse, SettingsError

_SOCKET_PATH_MAX = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
_NODE = re.compile(r"([0-9a-f]{12}) (\d+)")


class DataDir:
    """An open, locked data directory. `holder` describes this process to the next one that would like it.

    Raises DataDirInUse, naming the one that has it, or SettingsError when the directory can't be made or written.
    """

    def __init__(self, path: Path, holder: str) -> None:
        self.path = path
        self._elsewhere: tempfile.TemporaryDirectory[str] | None = None
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(path, holder)
        except OSError as error:
            raise SettingsError(_unusable(path, error)) from error
        try:
            self.node = self._name()
        except BaseException:
            self.close()
            raise

    def admin_token(self, given: str | None) -> str:
        """The token of the admin API: the one given, else this directory's own, made at the first start. Always on
        disk, mode 0600.
        """
        token = (given or "").strip()
        if token:
            self._write("admin-token", token + "\n")
        else:
            token = self._kept("admin-token", lambda: secrets.token_urlsafe(32))
        if not token:
            raise SettingsError(f"{self.path / 'admin-token'} is empty; remove it, or set PIXELD_ADMIN_TOKEN")
        return token

    def keyring(self, given: str | None) -> Keyring:
        """The signing keys: those given, else this directory's own; as the function `keyring`."""
        return keyring(self.signing_keys(given))

    def signing_keys(self, given: str | None) -> str:
        """What `keyring` makes keys of, as text: a secret."""
        return given or self._kept("signing-keys", lambda: f"0:{secrets.token_hex(32)}")

    def vault_keys(self, make: Callable[[], str]) -> str:
        """This directory's own keys of the vault, made at the first start: a secret. The first seals, all open."""
        return self._kept("vault-keys", make)

    def renew_vault_keys(self, make: Callable[[], str]) -> str:
        """The same with a new one first; on disk before it is returned."""
        keys = f"{make()},{self.vault_keys(make)}"
        self._write("vault-keys", keys + "\n")
        return keys

    def next_epoch(self, at_least: int) -> int:
        """A number greater than every earlier one and at least `at_least`; on disk before it is returned."""
        epoch = max(at_least, self.epoch() + 1)
        self._write("epoch", f"{epoch}\n")
        return epoch

    def epoch(self) -> int:
        """The newest number that `next_epoch` returned, 0 before the first."""
        kept = self._read("epoch")
        try:
            return 0 if kept is None else int(kept)
        except ValueError:
            raise SettingsError(f"{self.path / 'epoch'} does not hold a number; restore it from a backup") from None

    def registry(self) -> bytes | None:
        """The last picture of the registry, for a start without Redis."""
        return self._read("registry.json")

    def keep_registry(self, picture: bytes) -> None:
        """Keep the registry's picture."""
        write(self.path / "registry.json", picture.decode())

    def socket(self, name: str) -> Path:
        """Where to bind a unix socket. Not in here when the path would be too long for the system: then in a folder of ours
        that `close` removes.
        """
        path = self.path.resolve() / name
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        self._elsewhere = self._elsewhere or tempfile.TemporaryDirectory(prefix="pixeld-")
        return Path(self._elsewhere.name) / name

    def forget_registry(self) -> None:
        """Delete the picture, where nobody will keep it up to date: names in it would outlive those who had them."""
        (self.path / "registry.json").unlink(missing_ok=True)

    def close(self) -> None:
        """Let another process have it."""
        if self._elsewhere is not None:
            self._elsewhere.cleanup()
        self._lock.close()

    def _name(self) -> str:
        """The node's name, made at the first start and bound to this very directory (its inode).

        A copy of the directory, made to start a second server, gets a name of its own: two writers under one name would each
        take the other's chunk ids for repeats of theirs. So does a restored backup; its old queue is flushed all the same.
        """
        inode, kept = self.path.stat().st_ino, self._read("node")
        if kept is not None:
            found = _NODE.fullmatch(kept.decode(errors="replace").strip())
            if found is None:
                raise SettingsError(f"{self.path / 'node'} does not hold a node's name; restore it from a backup")
            if int(found[2]) == inode:
                return found[1]
        name = secrets.token_hex(6)
        self._write("node", f"{name} {inode}\n")
        return name

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        kept = self._read(name)
        if kept is not None:
            return kept.decode(errors="replace").strip()
        made = make()
        self._write(name, made + "\n")
        return made

    def _read(self, name: str) -> bytes | None:
        """A file of the directory; None when there is none. SettingsError when it can't be read."""
        path = self.path / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}; let pixeld's user read it") from error

    def _write(self, name: str, text: str) -> None:
        try:
            write(self.path / name, text)
        except OSError as error:
            raise SettingsError(_unusable(self.path, error)) from error


def keyring(text: str) -> Keyring:
    """The signing keys that `id:hex,id:hex` says, of which the first signs. SettingsError for what isn't that."""
    try:
        pairs = [part.strip().split(":", 1) for part in text.split(",")]
        keys = {int(key_id): bytes.fromhex(key) for key_id, key in pairs}
        return Keyring(keys, int(pairs[0][0]))
    except ValueError as error:
        # never the text itself: it is a secret
        reason = str(error) if str(error).startswith("signing key") else "it must be like 1:<hex>,0:<hex>"
        raise SettingsError(f"signing_keys cannot be used: {reason}") from None


def _unusable(path: Path, error: OSError) -> str:
    mend = "let pixeld's user read and write all of it, or " if error.errno == errno.EACCES else ""
    return f"the data directory {path} cannot be used: {error.strerror}; {mend}name another with PIXELD_DATA_DIR"


def _lock(path: Path, holder: str) -> IO[str]:
    file = (path / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        file.seek(0)
        other = file.read().strip() or "another process"
        file.close()
        raise DataDirInUse(
            f"the data directory {path} is in use by {other}; stop that one, or give this one a directory of its own "
            "with PIXELD_DATA_DIR"
        ) from None
    file.truncate(0)
    file.write(holder)
    file.flush()
    return file


def write(path: Path, text: str) -> None:
    """Replace a file whole, readable by this user only, and on disk before this returns."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
