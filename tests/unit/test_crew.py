"""What the crew tells its workers and hears from them, without their processes."""

import asyncio
import configparser
import json
import socket
from pathlib import Path
from types import SimpleNamespace

from pixeld.metrics import Metrics
from pixeld.parts.channel import Channel
from pixeld.parts.crew import Crew
from pixeld.settings import Settings
from pixeld.tracking.audience import DAY_MS, Visitors
from tests.conftest import FrozenClock


class Heard:
    """A channel's office end; what it told."""

    def __init__(self):
        self.salts = []

    def tell(self, what, *, salts):
        assert what == "salts"
        self.salts.append(salts)


def test_a_worker_has_the_salt_of_the_next_day_before_midnight_and_loses_yesterdays_after_it():
    clock, random = FrozenClock(10 * DAY_MS), iter(range(1, 100))
    visitors = Visitors(lambda n: next(random).to_bytes(n))
    crew = Crew(Settings(workers=1), "a test", None, None, Metrics(), visitors, clock)
    (worker,), channel = crew.workers, Heard()
    worker._channel = channel
    for hours in (0, 1, 22.9):
        clock.forward(hours * 3600)
        worker.hand_out(crew.salts())
    assert [list(salts) for salts in channel.salts] == [["10", "11"]]
    clock.forward(3600)
    worker.hand_out(crew.salts())
    before, after = channel.salts
    assert list(after) == ["11", "12"] and after["11"] == before["11"] != after["12"]


async def test_a_look_that_arrives_together_with_the_last_report_does_not_take_its_place():
    ours, theirs = socket.socketpair()
    metrics = Metrics()
    (worker,) = Crew(Settings(workers=1), "a test", None, None, metrics, Visitors(bytes), FrozenClock()).workers
    worker._channel = await Channel.over(ours, worker._answer, worker._told)
    worker._flusher, worker._started = SimpleNamespace(events=0, problem=None), asyncio.get_running_loop().create_future()
    worker._started.set_result(None)
    worker._well.set()
    looking = asyncio.create_task(worker.look())
    await asyncio.sleep(0)
    asked = json.loads(await asyncio.to_thread(theirs.recv, 4096))
    earlier, last = ({"answers": [], "counts": {"pixeld_stored_events_total": n}} for n in (2, 3))
    look = {"figures": {}, "empty": True, "refusing": False, "late": False, "connections": 0}
    seen = {"number": asked["number"], "value": {"look": look, "report": earlier, "registry": 1}}
    ended = {"tell": "ended", "given": {"report": last}}
    theirs.sendall(b"".join(json.dumps(said).encode() + b"\n" for said in (seen, ended)))
    theirs.close()
    await asyncio.gather(looking, worker._channel.run())
    metrics.settle(worker.name)
    assert metrics.counts == {"pixeld_stored_events_total": 3}


def test_systemd_leaves_a_worker_that_ran_out_of_memory_to_its_office():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(Path(__file__).parents[2] / "config" / "pixeld.service")
    assert unit["Service"]["OOMPolicy"] == "continue"
