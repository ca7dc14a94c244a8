"""The crew and processes that do what a test wants of them: hang, be late, or not be there to be had."""

import asyncio
import errno
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest

from pixeld.errors import Unavailable
from pixeld.metrics import Metrics
from pixeld.parts import crew as crews
from pixeld.parts.crew import Crew
from pixeld.settings import Settings
from pixeld.tasks import Tasks
from pixeld.tracking.audience import Visitors
from tests.conftest import FrozenClock

WELL = """
import json, socket, sys, time
end = socket.socket(fileno=int(sys.argv[1])).makefile("rw")

def say(**message):
    print(json.dumps(message), file=end, flush=True)

look = {"figures": {}, "empty": True, "refusing": False, "late": False, "connections": 0}
said = {"look": look, "report": {"answers": [], "counts": {}}, "registry": 1}
say(tell="ready", given={"node": "a1b2c3d4e5f6"})
for line in end:
    message = json.loads(line)
    if message.get("ask") == "look":
        time.sleep(0)
        say(number=message["number"], value=said)
    elif message.get("tell") == "stop":
        break
"""
LATE = WELL.replace("sleep(0)", "sleep(0.03)")
HANGS = "import time; time.sleep(60)"  # before it has said anything


@asynccontextmanager
async def a_crew(workers=1):
    """Started, its looks a tenth of a second apart; and its metrics. A part that fails fails the test."""
    flusher, metrics = SimpleNamespace(events=0, problem=None), Metrics()
    links, flushers = SimpleNamespace(queue=lambda node: node), SimpleNamespace(run=lambda node, pressed: flusher)
    settings, visitors, clock = Settings(workers=workers, shutdown_s=1), Visitors(os.urandom), FrozenClock()
    failed = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        crew = Crew(settings, "a test", links, flushers, metrics, visitors, clock)
        await crew.start(stack, Tasks(stack, failed))
        yield crew, metrics
        assert not failed.done()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(crews, "_LOOK_S", 0.1)
    monkeypatch.setattr(crews, "_SILENT_LOOKS", 50)  # as many seconds as with those of a whole second: a busy machine hangs for some
    monkeypatch.setattr(crews, "_PROGRAM", WELL)


async def until(true):
    async with asyncio.timeout(120):
        while not true():
            await asyncio.sleep(0.01)


def another(worker, pid):
    """Whether another process answers in its place."""
    return worker.running and worker.state()["ok"] and worker.state()["pid"] != pid


async def test_a_worker_that_hangs_is_killed_and_another_started(caplog):
    async with a_crew() as (crew, metrics):
        (worker,) = crew.workers
        pid = worker.state()["pid"]
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: another(worker, pid))
        assert metrics.counts == {"pixeld_worker_kills_total": 1, "pixeld_worker_restarts_total": 1}
        assert "a worker hangs and is killed" in caplog.messages


async def test_a_worker_that_answers_late_is_not_killed(monkeypatch):
    monkeypatch.setattr(crews, "_PROGRAM", LATE)
    monkeypatch.setattr(crews, "_LOOK_S", 0.02)
    monkeypatch.setattr(crews, "_SILENT_LOOKS", 150)  # three seconds
    async with a_crew() as (crew, metrics):
        (worker,) = crew.workers
        pid, answers = worker.state()["pid"], crews._SILENT_LOOKS + 30
        await until(lambda: worker._channel.heard > answers and not worker.state()["ok"])
        assert worker.state()["pid"] == pid and not metrics.counts


async def test_a_start_that_hangs_is_killed_and_tried_again(monkeypatch):
    async with a_crew() as (crew, metrics):
        (worker,) = crew.workers
        pid = worker.state()["pid"]
        with monkeypatch.context() as hanging:
            hanging.setattr(crews, "_PROGRAM", HANGS)
            hanging.setattr(crews, "_START_S", -0.5)  # beside one of shutdown_s
            os.kill(pid, signal.SIGKILL)
            await until(lambda: "has not started within" in worker.state().get("reason", ""))
        await until(lambda: another(worker, pid))
        assert metrics.counts["pixeld_worker_kills_total"] >= 1


async def test_a_first_start_that_hangs_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(crews, "_PROGRAM", HANGS)
    monkeypatch.setattr(crews, "_START_S", -0.5)
    with pytest.raises(Unavailable, match="worker 0 has not started within 0 s, and is killed"):
        async with a_crew():
            pass


def refuse(monkeypatch, owner, name, when):
    """Have the system refuse the call of that number; every socket pair that it gives."""
    pair, calls, pairs = crews.socket.socketpair, [], []
    monkeypatch.setattr(crews.socket, "socketpair", lambda: pairs.append(pair()) or pairs[-1])
    real = getattr(owner, name)

    def call(*given):
        calls.append(given)
        if len(calls) == when:
            raise OSError(errno.EAGAIN, "not now")
        return real(*given)

    monkeypatch.setattr(owner, name, call)
    return pairs


REFUSALS = pytest.mark.parametrize(
    ("owner", "name"),
    [(crews.socket, "socketpair"), (crews, "_spawn"), (crews.Channel, "over")],
    ids=["a socket pair", "a process", "a transport"],
)


@REFUSALS
async def test_what_the_system_refuses_once_is_tried_again_and_nothing_is_left_open(monkeypatch, caplog, owner, name):
    async with a_crew() as (crew, metrics):
        (worker,) = crew.workers
        pid = worker.state()["pid"]
        pairs = refuse(monkeypatch, owner, name, 1)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: another(worker, pid))
        assert metrics.counts["pixeld_worker_restarts_total"] == 2
        killed, refused = (record.exit_code for record in caplog.records if record.msg == "a worker is started again")
        assert killed == -signal.SIGKILL != refused, "the end of the one before was taken for this one's"
        for ours, theirs in pairs[:-1]:
            assert ours.fileno() == theirs.fileno() == -1


async def test_a_first_start_that_the_system_refuses_is_told_in_a_sentence_and_no_other_goes_on(monkeypatch):
    async def under_way(*given):
        await asyncio.Event().wait()

    started, spawn = [], crews._spawn
    monkeypatch.setattr(crews, "_spawn", lambda end: started.append(spawn(end)) or started[-1])
    monkeypatch.setattr(crews.Channel, "over", under_way)
    refuse(monkeypatch, crews, "_spawn", 2)
    with pytest.raises(Unavailable, match="worker 1: the system starts no process for it: .*not now"):
        async with a_crew(workers=2):
            pass
    (first,) = started
    assert first.returncode == -signal.SIGKILL
