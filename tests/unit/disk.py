"""A modelled disk: what a process sees of it, what is durable, and any state that a power cut may leave of the difference.

What POSIX permits and this does: bytes that were not synced are lost, kept or torn at any byte, page by page and in any order, with
zeros or garbage in the holes, and the length may grow before they come; a truncation is undone; each name that was not synced in its
directory is there or not, whatever became of the others. A failed sync may have let go of what it should have written: another one
succeeds and writes nothing. What it does not do, as no file system that journals its metadata does: touch synced bytes because others
were written behind them, or show one file's old bytes in another.

`choose(n)` decides what is open, a number from 0 to n - 1; 0 is always "it didn't reach the disk", n - 1 "it did".
"""

import errno
from pathlib import Path

PAGE = 16  # far below a real one, so that every record has several
BLOCK = 4096  # what a medium loses at once

# What each call may fail with, here.
ERRORS = {
    "mkdir": (errno.EIO, errno.ENOSPC),
    "sizes": (errno.EIO,),
    "create": (errno.EIO, errno.ENOSPC, errno.EMFILE),
    "write": (errno.EIO, errno.ENOSPC),
    "sync": (errno.EIO, errno.ENOSPC),
    "sync_path": (errno.EIO,),
    "read": (errno.EIO, errno.EMFILE),
    "truncate": (errno.EIO, errno.EROFS),
    "unlink": (errno.EIO, errno.EROFS),
    "close": (errno.EIO,),
}


class PowerCut(BaseException):
    """The machine stops here."""


class Killed(BaseException):
    """The process stops here, the machine doesn't."""


class _File:
    def __init__(self):
        self.seen, self.kept = bytearray(), bytearray()
        self.pending = []  # what was done to `seen` since the last sync: (position, bytes) written, or (length, None) cut
        self.bad = set()  # blocks that can't be read

    def do(self, at, data):
        self.seen = _done(self.seen, at, data)
        self.pending.append((at, data))

    def settle(self, choose):
        for at, data in self.pending:
            self.kept = _perhaps(self.kept, at, data, choose)
        self.pending = []

    def sync(self):
        for at, data in self.pending:
            self.kept = _done(self.kept, at, data)
        self.pending = []

    def fail_to_sync(self, choose):
        how = choose(3)
        if how == 0:
            return  # still dirty
        self.settle(choose)
        if how == 1:  # dropped from memory too: zeros where nothing had been
            self.seen = (self.kept + bytes(len(self.seen)))[: len(self.seen)]


def _done(image, at, data):
    if data is None:
        return (image + bytes(at))[:at]
    return bytearray(image[:at].ljust(at, b"\0") + data + image[at + len(data) :])


def _perhaps(image, at, data, choose):
    if data is None:
        return _done(image, at, None) if choose(2) else image
    how = choose(4)
    if how == 0 or not data:
        return image
    if how == 1:
        return _done(image, at, data[: choose(len(data) + 1)])
    if how == 3:
        return _done(image, at, data)
    torn = bytearray(data[: 1 + choose(len(data))])
    for start in range(0, len(torn), PAGE):
        part = slice(start, min(start + PAGE, len(torn)))
        fill = choose(3)
        if fill < 2:
            torn[part] = bytes(((start + n) * 167 + 41) % 256 if fill else 0 for n in range(part.stop - start))
    return _done(image, at, bytes(torn))


class _Directory:
    def __init__(self):
        self.seen, self.kept = {}, {}
        self.pending = {}  # name → what it stood for, since the last sync, oldest first

    def set(self, name, node):
        self.pending.setdefault(name, [self.kept.get(name)]).append(node)
        if node is None:
            del self.seen[name]
        else:
            self.seen[name] = node

    def settle(self, choose):
        for name, states in self.pending.items():
            self._keep(name, states[choose(len(states))])
        self.pending = {}

    def sync(self):
        for name, states in self.pending.items():
            self._keep(name, states[-1])
        self.pending = {}

    def fail_to_sync(self, choose):
        if choose(2):
            self.settle(choose)

    def _keep(self, name, node):
        self.kept.pop(name, None)
        if node is not None:
            self.kept[name] = node


class _Handle:
    def __init__(self, disk, file):
        self.disk, self.file, self.start, self.closed = disk, file, disk.starts, False

    def live(self):
        assert self.start == self.disk.starts and not self.closed, "a file is used after its process or after its end"
        return self.file

    def close(self):
        self.live()
        self.closed = True
        self.disk._called("close")


class ModelDisk:
    """Has the methods of `Disk`, and knobs. `plan` is what happens and at which call from now on; `errors` go on after that."""

    def __init__(self, directory=Path("/data")):
        self.root, self.starts = _Directory(), 0
        self.choose = lambda n: 0
        self.plan = None  # (how many calls to let pass, "power cut" | "kill" | "error" | "errors")
        self.refuse = {}  # call → errno, until it is removed
        self.room = None  # bytes that fit, None for no end
        self.calls = []  # names of the calls so far
        self.failed = 0  # how many of them failed, but for want of room
        self.mkdir(directory)
        self._sync_all(self.root)

    # what the world does

    def power_cut(self):
        """Forget what isn't durable, but for what happens to be, and start again."""
        self._settle(self.root)
        self.starts += 1

    def kill(self):
        """End the process: what it wrote stays to be seen."""
        self.starts += 1

    def flip(self, path, bit):
        """Turn over one bit of a file, on the medium."""
        file = self.node(path)
        for image in (file.seen, file.kept):
            if bit // 8 < len(image):
                image[bit // 8] ^= 1 << bit % 8

    def node(self, path):
        """What stands at a path now; FileNotFoundError."""
        node = self.root
        for name in path.parts[1:]:
            if not isinstance(node, _Directory) or name not in node.seen:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
            node = node.seen[name]
        return node

    def files(self, directory):
        """Path → file, in the order of the names."""
        try:
            names = self.node(directory).seen
        except FileNotFoundError:
            return {}
        return {directory / name: names[name] for name in sorted(names) if isinstance(names[name], _File)}

    def put(self, path, data):
        """A file from somebody else, durable."""
        file = _File()
        file.seen, file.kept = bytearray(data), bytearray(data)
        directory = self.node(path.parent)
        directory.seen[path.name] = directory.kept[path.name] = file

    # what a process does

    def mkdir(self, directory):
        self._called("mkdir")
        node = self.root
        for name in directory.parts[1:]:
            if name not in node.seen:
                node.set(name, _Directory())
            node = node.seen[name]
        if isinstance(node, _File):
            raise FileExistsError(errno.EEXIST, "File exists", str(directory))

    def sizes(self, directory):
        self._called("sizes")
        self.node(directory)
        return {path.name: len(file.seen) for path, file in reversed(self.files(directory).items())}

    def create(self, path):
        self._called("create")
        directory = self.node(path.parent)
        if path.name in directory.seen:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        if self.room is not None and self._used() >= self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        directory.set(path.name, _File())
        return _Handle(self, directory.seen[path.name])

    def write(self, handle, data):
        file = handle.live()
        try:
            self._called("write")
        except (OSError, Killed):  # after a part of it
            file.do(len(file.seen), data[: self.choose(len(data) + 1)])
            raise
        fits = len(data) if self.room is None else max(0, self.room - self._used())
        file.do(len(file.seen), data[:fits])
        if fits < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def sync(self, handle):
        self._sync("sync", handle.live())

    def sync_path(self, path):
        self._sync("sync_path", self.node(path))

    def read(self, path, size, at=0):
        self._called("read")
        file = self.node(path)
        if any(block * BLOCK < at + size and at < (block + 1) * BLOCK for block in file.bad):
            raise self._error(errno.EIO)
        return bytes(file.seen[at : at + size])

    def truncate(self, path, size):
        self._called("truncate")
        self.node(path).do(size, None)

    def unlink(self, path):
        self._called("unlink")
        self.node(path)
        self.node(path.parent).set(path.name, None)

    def _sync(self, call, node):
        try:
            self._called(call)
        except OSError:
            node.fail_to_sync(self.choose)
            raise
        node.sync()

    def _called(self, call):
        self.calls.append(call)
        if call in self.refuse:
            raise self._error(self.refuse[call])
        if self.plan is None:
            return
        wait, what = self.plan
        self.plan = (wait - 1, what)
        if wait > 0 or (wait < 0 and what != "errors"):
            return
        if what == "power cut":
            raise PowerCut
        if what == "kill":
            raise Killed
        raise self._error(ERRORS[call][self.choose(len(ERRORS[call]))])

    def _error(self, number):
        self.failed += 1
        return OSError(number, errno.errorcode[number])

    def _used(self, node=None):
        node = node or self.root
        return len(node.seen) if isinstance(node, _File) else sum(map(self._used, node.seen.values()))

    def _settle(self, node):
        node.settle(self.choose)
        node.seen = node.kept.copy()
        if isinstance(node, _Directory):
            for child in node.seen.values():
                self._settle(child)

    def _sync_all(self, node):
        node.sync()
        if isinstance(node, _Directory):
            for child in node.seen.values():
                self._sync_all(child)
