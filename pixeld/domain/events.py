"""Events: their kinds, their columns, and the one encoding they have from the buffer to the warehouse.

An encoded event is one line: a JSON array whose first item is the kind's code and whose other items are the kind's columns, in
the order given here, ended by a newline. Field names are spelled once, in this file, and never travel: an order is about
180 bytes instead of 460. No address and no user agent is a column of anything; what is derived from them is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import orjson


class Quality(StrEnum):
    """Why an event does or doesn't count. Flagged and kept, never silently dropped."""

    HUMAN = "human"  #: counts
    BOT = "bot"  #: the user agent names a crawler, a monitor or a script
    PREFETCH = "prefetch"  #: the browser fetched ahead; nobody may ever look
    HEAD = "head"  #: a HEAD request: a link checker, not a visit
    NOT_A_MEMBER = "not_a_member"  #: no approved membership between this client and this partner
    BAD_DEEP_LINK = "bad_deep_link"  #: `u` was refused; the visitor went to the landing page instead


class Drop(StrEnum):
    """Why an event is not stored. Each is counted under this name and told in `X-Pixeld`."""

    UNKNOWN_CLIENT = "unknown_client"  #: no client has this id
    BAD_PATH = "bad_path"  #: below `/t/` but not a click, impression or order
    BAD_ORDER = "bad_order"  #: `order` missing, empty, over 128 characters or not printable
    BAD_AMOUNT = "bad_amount"  #: `amount` missing or not a plain decimal with the currency's number of places
    BAD_CURRENCY = "bad_currency"  #: `currency` is not an ISO 4217 code
    BAD_TEST = "bad_test"  #: `test` is neither `0` nor `1`
    BAD_CLICK = "bad_click"  #: `click` of a landing beacon is no click id of this client's that may still earn an order
    HEAD = "head"  #: an order pixel or a landing beacon asked for with HEAD does nothing
    BUFFER_FULL = "buffer_full"  #: more events wait for the disk than `buffer_bytes` holds
    NOT_DURABLE = "not_durable"  #: neither Redis nor the spill could make the event durable
    RATE_LIMITED = "rate_limited"  #: its address has more clicks and impressions than `rate_per_s`; never an order
    NOT_READY = "not_ready"  #: clients and partners have not been read yet, so that nothing can be decided


class Method(StrEnum):
    """How an order found its partner."""

    CLICK = "click"  #: by the click id that the shop handed over
    COOKIE = "cookie"  #: by the landing cookie or the referral cookie
    NONE = ""  #: it did not


#: One encoded event from its kind's code and its values, as `Kind.encode` makes it, but for what that call costs.
encode: Callable[[tuple[str | int, ...]], bytes] = partial(orjson.dumps, option=orjson.OPT_APPEND_NEWLINE)

SUB_IDS = ("s1", "s2", "s3", "s4", "s5")
LABELS = (*SUB_IDS, "partner_click_id", "creative")  #: what a partner writes about its clicks and impressions
_TRIES = 24  # bits: 16 million chunks in a row may fail, hours of load; the 40 that are left count 10**12 events
_AUDIENCE = ("country", "device", "browser", "os", "language")
#: What an event says of who made it, rather than of what was done. Shown in groups only.
TRAITS = frozenset((*_AUDIENCE, "visitor", "visit", "categories"))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event: `code` starts its encoded line, `table` holds it, `columns` are its values in order.

    Types: `at_ms` (milliseconds since 1970, UTC), `visitor` (unsigned 64 bits), `clicked_at` (seconds since 1970, 0 = none),
    `locks_at` (seconds since 1970, 0 = never), `amount_minor` and `commission_minor` (minor units of `currency`) are
    integers; every other value is a string, empty when there is none. `partition` is the table's, as `strftime` writes it.
    """

    name: str
    code: str
    table: str
    columns: tuple[str, ...]
    partition: str = "%Y%m"

    def encode(self, *values: str | int) -> bytes:
        """One encoded event; `values` in the order of `columns`."""
        return encode((self.code, *values))


_TRAFFIC = (*LABELS, *_AUDIENCE)
_VISIT = ("at_ms", "client", "partner", "quality", "consent")  # `consent` is a Verdict
# `visit` is `new`, or `returning` when the browser's cookie held an earlier click to this client; empty where none can be set.
CLICK = Kind("click", "c", "clicks", (*_VISIT, "click_id", "visitor", *_TRAFFIC, "visit"))
IMPRESSION = Kind("impression", "i", "impressions", (*_VISIT, "visitor", *_TRAFFIC))
_ORDER = (
    "at_ms",
    "client",
    "order_id",
    "partner",
    "method",
    "click_id",
    "clicked_at",
    "amount_minor",
    "currency",
    "coupon",
    "customer",
    "quality",
    "consent",
    *_AUDIENCE,
    "commission_minor",
    "locks_at",
)
ORDER = Kind("order", "o", "order_events", _ORDER)
TEST_ORDER = Kind("test_order", "t", "test_order_events", _ORDER)  # kept apart: no report reads this table
# What somebody decided about an order, whichever observation of it stands. Nobody's request makes one.
DECISION = Kind("decision", "d", "order_decisions", ("at_ms", "client", "order_id", "status", "who", "reason"))
# What an order of a visitor who has agreed says of what was bought, and a visitor's wish to have that forgotten.
AFFINITY = Kind("affinity", "f", "affinities", ("at_ms", "client", "partner", "click_id", "visitor", "categories"), "%Y%m%d")
FORGET = Kind("forget", "x", "forgotten", ("at_ms", "client", "click_id"), "%Y%m%d")
# A click or an impression (`what`) of a visitor who may not be tracked, of which only how many there were is kept.
REFUSAL = Kind("refusal", "r", "refusals", ("at_ms", "client", "partner", "what", "consent"))

KINDS = {kind.code: kind for kind in (CLICK, IMPRESSION, ORDER, TEST_ORDER, DECISION, AFFINITY, FORGET, REFUSAL)}


@dataclass(frozen=True, slots=True, order=True)
class ChunkId:
    """The name of one chunk, and its id in the Redis stream: `epoch` is fixed once per start; `seq` is how many events were
    made durable before it, times 2**24, plus how many chunks could not be since.

    So ids alone tell how many events lie between two chunks, wherever these wait. Strictly increasing over the life of a
    data directory, so that Redis itself refuses a repeat (XADD takes no id that is not greater than the last) and a retry
    after an unknown outcome cannot store a chunk twice.
    """

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @property
    def earlier(self) -> int:
        """How many events were made durable before this chunk, counted from where its epoch began to count."""
        return self.seq >> _TRIES

    def next(self, events: int) -> ChunkId:
        """The id after this one, of whose events `events` were made durable: all, or none (0)."""
        return ChunkId(self.epoch, (self.earlier + events) << _TRIES if events else self.seq + 1)

    def before(self) -> ChunkId:
        """The greatest id below this one (both parts are unsigned 64-bit numbers in Redis)."""
        return ChunkId(self.epoch, self.seq - 1) if self.seq else ChunkId(self.epoch - 1, 2**64 - 1)

    @classmethod
    def parse(cls, text: str | bytes) -> ChunkId:
        """Read a stream id back. ValueError when it isn't one."""
        epoch, _, seq = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(epoch), int(seq))


def first_ms(chunk: bytes) -> int | None:
    """When the first event of a chunk was taken, which is its oldest; None when that is no event."""
    try:
        return next((int(values[0]) for _, values in decode(chunk[: chunk.find(b"\n") + 1])), None)
    except ValueError:
        return None


def decode(chunk: bytes) -> Iterator[tuple[Kind, list[str | int]]]:
    """Every event of a chunk, with its kind. ValueError at the first line that is not one of the encoded forms."""
    for line in chunk.splitlines():
        match orjson.loads(line):
            case [str(code), int(_), *_] as found if code in KINDS and len(found) == len(KINDS[code].columns) + 1:
                yield KINDS[code], found[1:]
            case _:
                raise ValueError("a line is not an event of a known kind")
