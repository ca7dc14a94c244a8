"""Where a request comes from: the visitor's address and country, believed only as far as a trusted proxy tells them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple, Protocol

from aiohttp import hdrs
from multidict import MultiMapping, istr

MAX_PROXIES = 16  # one behind another; each entry that is looked at costs some 9 µs, and a visitor may write a thousand
_CACHE = 10_000  # addresses, as hashes (see rate.py); a look-up costs 2 to 20 µs in the database, 0.1 µs here; 1 MB when full


class CountryReader(Protocol):
    """What is used of a `maxminddb.Reader`."""

    def get(self, ip_address: str) -> object:
        """The record of an address, None when it has none."""


class Peer(NamedTuple):
    """The other end of a connection. For one that is not a trusted proxy, this is all there is to know of its requests."""

    address: str
    country: str
    trusted: bool


class Origin:
    """Finds (address, country) of requests. Nothing here raises, whatever a peer or a proxy writes.

    `networks` are the trusted proxies'. `X-Forwarded-For` and `country_header` are read from them and from nobody else, so
    that a visitor cannot choose an address or a country.
    """

    __slots__ = ("_country_db", "_known", "_networks", "country_header")

    def __init__(
        self,
        networks: Iterable[IPv4Network | IPv6Network] = (),
        country_header: str = "",
        country_db: CountryReader | None = None,
    ) -> None:
        self._networks = tuple(networks)
        self.country_header = istr(country_header)
        self._country_db, self._known = country_db, dict[int, str]()

    def peer(self, peername: object) -> Peer:
        """Once a connection; `peername` as its transport gives it: (host, port, …), a path, or None."""
        found = _address(str(peername[0])) if isinstance(peername, tuple) and peername else None
        if found is None:
            return Peer("", "", trusted=False)
        trusted = self._trusts(found)
        return Peer(str(found), "" if trusted else self._country_of(str(found)), trusted)

    def of(self, peer: Peer, forwarded: str, told: str) -> tuple[str, str]:
        """(address, country) of one request; an empty text is one that nobody knows. `forwarded` and `told` are
        what the methods of these names find.
        """
        if not peer.trusted:
            return peer.address, peer.country
        address = self._visitor(peer, forwarded)
        return address, told or self._country_of(address)

    def forwarded(self, headers: MultiMapping[str]) -> str:
        """The addresses that headers name, whoever wrote them."""
        return ",".join(headers.getall(hdrs.X_FORWARDED_FOR, ()))

    def told(self, headers: MultiMapping[str]) -> str:
        """The country that headers tell, whoever wrote them."""
        return _code(headers.get(self.country_header)) if self.country_header else ""

    def _country_of(self, address: str) -> str:
        if self._country_db is None:
            return ""
        key = hash(address)
        country = self._known.get(key)
        if country is None:
            if len(self._known) >= _CACHE:
                self._known.clear()
            country = self._known[key] = _look_up(self._country_db, address)
        return country

    def _visitor(self, peer: Peer, forwarded: str) -> str:
        """The rightmost forwarded address that is no trusted proxy's.

        Each proxy appends the peer it saw, so that everything left of that address is the visitor's own say. Where a trusted
        proxy wrote no address, the one before it stands. No more than MAX_PROXIES are looked through.
        """
        address = peer.address
        for text in reversed(forwarded.rsplit(",", MAX_PROXIES)[-MAX_PROXIES:]):
            found = _address(text)
            if found is None:
                break
            address = str(found)
            if not self._trusts(found):
                break
        return address

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that `text` names, alone or as proxies also write it (`1.2.3.4:80`, `[::1]:80`); None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])  # a zone is the proxy's own affair
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found  # ::ffff:1.2.3.4 is what a dual-stack socket calls 1.2.3.4


def _look_up(country_db: CountryReader, address: str) -> str:
    """What the database says: MaxMind's layout, or the flat one that IPinfo and others use."""
    try:
        record = country_db.get(address)
    except Exception:  # noqa: BLE001 - an IPv6 address in an IPv4 database, a damaged file: no country is no reason to fail
        return ""
    if not isinstance(record, dict):
        return ""
    country = record.get("country")
    return _code(country.get("iso_code") if isinstance(country, dict) else country or record.get("country_code"))


def _code(value: object) -> str:
    """A country's two letters; empty for anything else."""
    return value.upper() if isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha() else ""
