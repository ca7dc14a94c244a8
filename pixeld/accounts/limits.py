"""How often something may be tried: the table of all limits."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from pixeld.accounts.links import LIFE_S
from pixeld.accounts.vault import Vault
from pixeld.domain.ports import Records
from pixeld.errors import TooMany


class Limit(NamedTuple):
    """At most `most` attempts within `window_s` of the first. `instead` says what to do rather than to wait."""

    most: int
    window_s: float
    instead: str = ""


#: An address may be a whole company's; an account may be attacked from many addresses, and its owner not be locked out by one.
LIMITS = {
    "log-in by address": Limit(200, 3600),
    "log-in by account and address": Limit(10, 900),
    "log-in by account": Limit(50, 3600),
    "password": Limit(10, 900),  # asked for again, of one account that is logged in
    "code": Limit(10, 3600),  # 3 of 1,000,000 are right: a year of guesses, of somebody who has the password, finds one in 4
    "registration by address": Limit(20, 3600),
    "registration by e-mail address and address": Limit(3, 6 * 3600),
    # As with resets: whoever is refused has links in the mailbox. 24 mails a day at most.
    "registration by e-mail address": Limit(
        6,
        6 * 3600,
        "this address was registered several times within hours; the links are in its mailbox, and each holds for a day: "
        "follow one, and correct afterwards what was typed (all but the id), or try again in 6 hours",
    ),
    "reset by address": Limit(20, 3600),
    "reset by account and address": Limit(3, 3600),
    # No longer than those links hold: whoever is refused has one in the mailbox that works, and using it begins this anew. So
    # nobody's asking keeps the owner out.
    "reset by account": Limit(
        5,
        LIFE_S["reset"],
        "this was asked for several times within the hour; if the address has an account, the links are in its mailbox, and "
        "each holds for an hour",
    ),
    "invitation": Limit(40, 86_400),  # to one partner, client, or the operators, which have 20 accounts at most
    "new e-mail address": Limit(5, 86_400),  # of one account, which gave its password: others cannot use it up
    "confirmation": Limit(10, 900),  # guesses at an account's password, of somebody who has a link of it
    # Of one client to one partner, or the other way: no mailbox is flooded, and a message to all partners is one to each.
    "message": Limit(10, 86_400, "there have been 10 messages within a day, as many as one gets; wait until tomorrow"),
}


class Limits:
    """Counts attempts. What is counted by, a network or an e-mail address, is stored as a keyed hash only."""

    def __init__(self, records: Records, vault: Vault) -> None:
        self._records, self._vault = records, vault

    async def attempt(self, name: str, *by: str) -> None:
        """Count an attempt, before it is made. TooMany when there were too many."""
        limit = LIMITS[name]
        if await self._records.count("limit", self._id(name, by), limit.window_s) > limit.most:
            wait = f"too many attempts; please wait {max(round(limit.window_s / 60), 1)} minutes, then try again"
            raise TooMany(limit.instead or wait, limit.window_s)

    async def forget(self, name: str, *by: str) -> None:
        """Begin anew: the attempt was a success."""
        await self._records.delete("limit", self._id(name, by))

    def _id(self, name: str, by: tuple[str, ...]) -> str:
        return self._vault.look_up(f"limit {name}", "\0".join(by))[0]


def network(address: str) -> str:
    """What stands for a peer: its IPv4 address, or the /64 of which an IPv6 peer has every address to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 6 and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
