"""One node's queue in Redis: its stream of chunks, its lease, its manifest and its dead letters. Implements ports.Queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from pixeld.domain.events import ChunkId, first_ms
from pixeld.domain.ports import Backlog, Manifest
from pixeld.errors import ChunkRefused, LeaseLost, QueueAway
from pixeld.storage import keys
from pixeld.storage.redis import NO_REPLICAS, DedicatedConnection, RedisClient, Replicas, failures, write

_DATA = b"e"  # the only field of a stream entry
_PAGE = 500  # dead letters read at once

# allow-oom: a full Redis is emptied by flushing, which must therefore still be able to write its few bytes (Redis 7, Valkey).
_PUSH_ALL = """
local refused = {}
for i = 1, #ARGV, 2 do
  local added = redis.pcall('XADD', KEYS[1], ARGV[i], 'e', ARGV[i + 1])
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then return added end
    table.insert(refused, (i + 1) / 2)
  end
end
return refused
"""
_ANNOUNCE = """#!lua flags=allow-oom
return redis.call('SADD', KEYS[1], ARGV[1])
"""
_BURY = """#!lua flags=allow-oom
for i = 1, #ARGV, 3 do redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'reason', ARGV[i + 1], 'event', ARGV[i + 2]) end
return 1
"""
# A lease is granted when nobody holds one, or to its own holder again: a node that restarts after a crash needn't wait for
# its earlier self, which the data directory's lock has shown to be gone.
# The fence is the clock in microseconds, or one more than the last: after a failover to a server that misses the newest grant,
# counting alone would give two holders the same number, and each would pass for the other.
_ACQUIRE = """#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, string.find(held, ' ') + 1) ~= ARGV[1] then return false end
local now = redis.call('TIME')
local fence = math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now[1] * 1000000 + now[2])
fence = string.format('%.0f', fence)
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], fence .. ' ' .. ARGV[1], 'PX', ARGV[2])
return tonumber(fence)
"""
# The counter decides, not the lease: one that ran out while its holder was busy, and that nobody has taken, is still its own.
_RENEW = """#!lua flags=allow-oom
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[3], 'PX', ARGV[2])
return 1
"""
_RELEASE = """#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, string.len(ARGV[1]) + 1) == ARGV[1] .. ' ' then redis.call('DEL', KEYS[1]) end
return 1
"""
_WRITE_MANIFEST = """#!lua flags=allow-oom
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'first', ARGV[2], 'last', ARGV[3], 'rows', ARGV[4], 'digest', ARGV[5], 'state', ARGV[6],
  'fence', ARGV[1])
return 1
"""
# A stream keeps the bytes of a deleted entry for as long as one of its neighbours is there, and writes them into the
# append-only file, too: so what is left of it is written anew, elsewhere, and takes its place at once. ARGV has ids of
# entries, and what their `event` is from now on; nothing, for those that go.
_ANEW = """#!lua flags=allow-oom
local left = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[2])
if #left == 0 then return 0 end
local changed, kept = {}, 0
for i = 1, #ARGV, 2 do changed[ARGV[i]] = ARGV[i + 1] end
for _, entry in ipairs(left) do
  local fields, event = entry[2], changed[entry[1]]
  if event ~= '' then
    for i = 1, #fields, 2 do if event and fields[i] == 'event' then fields[i + 1] = event end end
    redis.call('XADD', KEYS[2], entry[1], unpack(fields))
    kept = kept + 1
  end
end
if kept == 0 then redis.call('DEL', KEYS[1]) else redis.call('RENAME', KEYS[2], KEYS[1]) end
return kept
"""


class RedisQueue:
    """The queue of `node`. Needs Redis 6.2 or newer (XTRIM MINID, exclusive ranges) or any Valkey.

    What a failover must not take back is written once `replicas` have it too: chunks, manifests and the lease's fence. A
    replica has everything that came before what it has, so that dead letters and trims need no waiting of their own.
    """

    def __init__(self, redis: RedisClient, node: str, replicas: Replicas = NO_REPLICAS) -> None:
        self.node = node
        self._redis, self._held, self._replicas = redis, DedicatedConnection(redis), replicas
        self._stream, self._lease, self._fence = keys.queue(node), keys.lease(node), keys.fence(node)
        self._manifest, self._dead, self._repeated = keys.manifest(node), keys.dead(node), keys.repeated(node)
        self._owner = ""

    async def announce(self) -> None:
        """Make the queue known to every flusher."""
        await self._script("announcing the queue", _ANNOUNCE, [keys.STREAMS], [self.node])

    async def push(self, chunk_id: ChunkId, data: bytes, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Store a chunk durably under its id. ChunkRefused, and nothing stored, when the stream has had that or a greater id.

        `meanwhile` is called when it has been sent, for what can be done while Redis works; not if it never is.
        """
        with failures("storing a chunk"):
            try:
                command = "XADD", self._stream, str(chunk_id), _DATA, data
                if self._replicas.count:
                    await write(self._redis, self._replicas, *command)
                else:
                    await self._held.execute(*command, meanwhile=meanwhile)
            except ResponseError as error:
                if "equal or smaller" not in str(error):
                    raise
                await self._refused(chunk_id)

    async def push_all(self, chunks: Sequence[tuple[ChunkId, bytes]]) -> None:
        """Store all with one fsync, in order; none behind one that failed. ChunkRefused, as `push`, and the others stored."""
        args = [value for chunk_id, data in chunks for value in (str(chunk_id), data)]
        refused = await self._script("storing chunks", _PUSH_ALL, [self._stream], args, self._replicas)
        if refused:
            with failures("storing chunks"):
                await self._refused(chunks[refused[-1] - 1][0])

    async def _refused(self, chunk_id: ChunkId) -> None:
        """Raise ChunkRefused once replicas have what the stream has; QueueAway when it is another server's word."""
        if self._replicas.count:  # waiting is for a connection's own last write, and the refused one wrote nothing
            await write(self._redis, self._replicas, "SET", self._repeated, str(chunk_id))
        last = ChunkId.parse((await self._redis.xinfo_stream(self._stream))["last-generated-id"])
        if last < chunk_id:
            raise QueueAway("Redis: another server answers than the one that refused the chunk")
        raise ChunkRefused(f"queue {self.node} is at {last} and takes no chunk {chunk_id}", last)

    async def last_id(self) -> ChunkId:
        """The greatest id that the stream ever held, trimmed ones included."""
        with failures("reading the queue"):
            if not await self._redis.exists(self._stream):
                return ChunkId(0, 0)
            return ChunkId.parse((await self._redis.xinfo_stream(self._stream))["last-generated-id"])

    async def read(self, after: ChunkId, *, count: int, until: ChunkId | None = None) -> list[tuple[ChunkId, bytes]]:
        """Up to `count` chunks after `after`, at most until `until`, oldest first."""
        with failures("reading the queue"):
            entries = await self._redis.xrange(self._stream, f"({after}", str(until) if until else "+", count)
        return [(ChunkId.parse(entry_id), fields[_DATA]) for entry_id, fields in entries]

    async def acquire(self, owner: str, ttl_ms: int) -> int | None:
        """Take the lease; its fencing token, or None while another owner holds it."""
        self._owner = owner
        replicas, args = self._replicas, [owner, ttl_ms]
        granted: int | None = await self._script("taking the lease", _ACQUIRE, [self._lease, self._fence], args, replicas)
        return granted

    async def renew(self, fence: int, ttl_ms: int) -> None:
        """Hold the lease longer."""
        args = [fence, ttl_ms, self._owner]
        if not await self._script("renewing the lease", _RENEW, [self._lease, self._fence], args):
            raise LeaseLost(f"queue {self.node} has a newer lease than {fence}; this flusher stops")

    async def release(self, fence: int) -> None:
        """Give the lease back, if it is still ours."""
        await self._script("releasing the lease", _RELEASE, [self._lease], [fence])

    async def manifest(self) -> Manifest | None:
        """The newest manifest, or None before the first batch."""
        with failures("reading the manifest"):
            return _manifest(await self._redis.hgetall(self._manifest))

    async def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest, unless a newer lease exists."""
        m, where = manifest, [self._manifest, self._fence]
        args = [m.fence, str(m.first), str(m.last), m.rows, m.digest, m.state]
        if not await self._script("writing the manifest", _WRITE_MANIFEST, where, args, self._replicas):
            raise LeaseLost(f"queue {self.node} has a newer lease than {m.fence}; this flusher stops")

    async def _script(
        self, doing: str, text: str, keys: list[str], args: list[Any], replicas: Replicas = NO_REPLICAS
    ) -> Any:
        with failures(doing):
            try:
                return await write(self._redis, replicas, "EVAL", text, len(keys), *keys, *args)
            except ResponseError as error:
                if "compiling" not in str(error):
                    raise
                # Redis before 7 knows no flags; there a script that has written something may go on when memory is full
                plain = "redis.call('DEL', KEYS[1] .. ':none')\n" + text.partition("\n")[2]
                return await write(self._redis, replicas, "EVAL", plain, len(keys), *keys, *args)

    async def bury(self, entries: Sequence[tuple[str, str, bytes]]) -> None:
        """Put (event id, reason, bytes) on the dead-letter stream, all or none."""
        await self._script("writing dead letters", _BURY, [self._dead], [value for entry in entries for value in entry])

    async def flushed(self) -> ChunkId:
        """Up to where its chunks are in ClickHouse, as the newest manifest has it; `ChunkId(0, 0)` before the first."""
        newest = await self.manifest()
        return ChunkId(0, 0) if newest is None else newest.last if newest.state == "done" else newest.first.before()

    async def dead_letters(self) -> AsyncIterator[tuple[str, dict[str, bytes]]]:
        """Every dead letter, oldest first: its id in the stream, and `id`, `reason` and `event` of what was buried."""
        after = "-"
        while after:
            with failures("reading dead letters"):
                page = await self._redis.xrange(self._dead, min=after, count=_PAGE)
            for id, fields in page:
                yield id.decode(), {name.decode(): value for name, value in fields.items()}
            after = f"({page[-1][0].decode()}" if len(page) == _PAGE else ""

    async def erase(self, dead_letters: Mapping[str, bytes]) -> None:
        """Change dead letters, by their ids in the stream, to what is left of them, which may be nothing; and delete, to the
        last byte, what they were and what was trimmed.
        """
        changed = [value for letter in dead_letters.items() for value in letter]
        for stream, args in ((self._stream, []), (self._dead, changed)):
            await self._script("writing a stream anew", _ANEW, [stream, f"{stream}:anew"], args)

    async def trim(self, upto: ChunkId) -> None:
        """Forget every chunk up to and including `upto`."""
        with failures("trimming the queue"):
            await self._redis.execute_command("XTRIM", self._stream, "MINID", str(ChunkId(upto.epoch, upto.seq + 1)))

    async def backlog(self, until: ChunkId | None = None) -> Backlog:
        """What it holds. However long it is, two chunks of each epoch are read: ids tell how many events lie between."""
        with failures("reading the queue's length"):
            chunks, dead = await self._redis.xlen(self._stream), await self._redis.xlen(self._dead)
        after = await self.flushed() if chunks else ChunkId(0, 0)
        events, oldest_ms = 0, None
        while first := await self.read(after, count=1, until=until):
            ((first_id, data),) = first
            oldest_ms = oldest_ms or first_ms(data)
            end = ChunkId(first_id.epoch, 2**64 - 1)
            with failures("reading the queue"):
                found = await self._redis.xrevrange(self._stream, str(min(end, until or end)), str(first_id), 1)
            if not found:
                break  # flushed and trimmed between the two looks
            after = ChunkId.parse(found[0][0])
            events += after.earlier - first_id.earlier + found[0][1][_DATA].count(b"\n")
        return Backlog(chunks, dead, events, oldest_ms)


async def others(redis: RedisClient, own: Collection[str]) -> Backlog:
    """What the queues of all nodes but our own hold together: those of nodes that are gone, and of living ones."""
    names = [node for node in await nodes(redis) if node not in own]
    with failures("reading the length of other queues"):
        async with redis.pipeline(transaction=False) as pipe:
            for node in names:
                pipe.xlen(keys.queue(node)).xlen(keys.dead(node))
            lengths = await pipe.execute()
    found = [await RedisQueue(redis, node).backlog() for node, chunks in zip(names, lengths[::2], strict=True) if chunks]
    return Backlog(
        chunks=sum(backlog.chunks for backlog in found),
        dead_letters=sum(lengths[1::2]),
        events=sum(backlog.events for backlog in found),
        oldest_ms=min((backlog.oldest_ms for backlog in found if backlog.oldest_ms), default=None),
    )


def _manifest(found: dict[bytes, bytes]) -> Manifest | None:
    if not found:
        return None
    text = {name.decode(): value.decode() for name, value in found.items()}
    first, last = ChunkId.parse(text["first"]), ChunkId.parse(text["last"])
    return Manifest(first, last, int(text["rows"]), text["digest"], text["state"], int(text["fence"]))


async def nodes(redis: RedisClient) -> list[str]:
    """Every node that ever announced a queue."""
    with failures("listing the queues"):
        return sorted(name.decode() for name in await redis.smembers(keys.STREAMS))
