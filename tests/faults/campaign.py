"""A run: start everything, load it, strike it with faults drawn from a seed, let it recover, balance the books."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.faults.actions import FAULTS
from tests.faults.ledger import Ledger

VISITORS = 12
_PROGRESS, _PROGRESS_S = 40, 180  # events that must be answered between two faults, and how long that may take
_STRIKE_S = 400


@dataclass
class Result:
    """One run's figures; `wrong` is empty when every promise held."""

    engine: str
    seed: int
    faults: Counter = field(default_factory=Counter)
    answered: int = 0
    unknown: int = 0
    refused: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def as_json(self):
        return {**vars(self), "faults": dict(self.faults)}


async def run(engine, system, seed, faults, say=lambda text: None):
    """`faults` faults on `system`, which is started and stopped here. The same seed draws the same faults."""
    result, ledger, rnd = Result(engine, seed), Ledger(), random.Random(seed)
    began = time.monotonic()
    await system.start()
    visits = []
    try:
        await system.ready()
        visits = [
            asyncio.create_task(ledger.visit(system.nodes[n % len(system.nodes)], n, seed)) for n in range(VISITORS)
        ]
        await _strike(system, rnd, faults, ledger, result, say)
        for visit in visits:
            visit.cancel()
        for visit in await asyncio.gather(*visits, return_exceptions=True):
            if isinstance(visit, Exception) and not isinstance(visit, asyncio.CancelledError):
                raise visit
        await system.settle()
        result.wrong += await _reconciled(system, ledger)
        result.stored, result.lost, result.doubled = ledger.stored, len(ledger.lost), len(ledger.doubled)
        result.wrong += await system.stop()
    except Exception as error:  # noqa: BLE001 - whatever it was, it is this run's result
        result.wrong.append(f"the run broke off: {type(error).__name__}: {error}")
    finally:
        for visit in visits:
            visit.cancel()
        await system.abandon()
        result.answered, result.unknown = len(ledger.answered), len(ledger.unknown)
        result.refused, result.seconds = ledger.refused.total(), time.monotonic() - began
    return result


async def _reconciled(system, ledger):
    """What differs between ledger and ClickHouse, once it has had as long to put itself right as it may take."""
    deadline = time.monotonic() + system.patience_s
    while found := await ledger.reconcile(system.nodes[0], VISITORS):
        if ledger.wrong or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1)
    return []


async def _strike(system, rnd, faults, ledger, result, say):
    able = [fault for fault in FAULTS if fault.needs(system)]
    deck = []
    while result.faults.total() < faults:
        if len(deck) < 2:  # a deck, so that every kind comes as often as every other
            deck += rnd.sample(able, len(able))
        struck = [deck.pop(0)]
        if rnd.random() < 0.25 and result.faults.total() + 1 < faults:  # two at once, of different parts
            other = next((fault for fault in deck if fault.part != struck[0].part), None)
            if other is not None:
                deck.remove(other)
                struck.append(other)
        say(f"{result.faults.total() + 1}: {' + '.join(fault.name for fault in struck)}")
        async with asyncio.timeout(_STRIKE_S):
            await asyncio.gather(*(fault.strike(system, rnd) for fault in struck))
        result.faults.update(fault.name for fault in struck)
        if rnd.random() < 0.75:  # else the next one meets it while it recovers
            answered, deadline = len(ledger.answered), time.monotonic() + _PROGRESS_S
            while len(ledger.answered) < answered + _PROGRESS:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nothing was answered for {_PROGRESS_S} s after {struck}: {ledger.refused}")
                await asyncio.sleep(0.02)
