"""What clients and partners may learn of who comes to them. The rule, and why it holds; `storage.audience` asks ClickHouse.

**The rule.** Once a UTC day is over, the human visitors of each group are cut into atoms of at least k of them, and the atoms'
sizes, in tens, are released. A group is a client's visitors who first came through one partner that day, or, where those are
fewer than k, through any such partner (the pool, whose partner is `""`). What was released for a day is never made again, and
every question about an audience is answered by adding released numbers up.

**Why that is enough.** Whatever somebody asks, in whatever order, from whichever accounts, and subtracts, it is made of the
released numbers alone. A difference is worth something where one set of people lies within another. So it must hold that
whatever can be known to lie within another differs from it by nobody, or by whole atoms:

- *Values of one dimension.* Each visitor of a group is in one atom, that of its first click on the day. Values of fewer than
  k go into `other`; should that have fewer than k, the smallest atoms follow until it has (complementary suppression). Nobody
  is left over: a total minus all that is shown is nobody.
- *Dimensions that imply each other.* Safari on iOS lies within iOS: two partitions, each of them fine, would tell those who
  use iOS without Safari, were they three. Hence device, browser and system are cut from ONE partition, of their combinations,
  and so are categories, of which somebody may have several: from the sets of them. The numbers that are released are sums of
  the same atoms.
- *Partners.* With and without one partner differs by atoms of that partner's group. A client's numbers minus those of all its
  partners are the pool: k or more, or nothing. Nobody is in two groups of a client and day: whoever leads a crowd through two
  links, and all of it but one person through the second, would learn that person's traits from the difference.
- *Days.* Atoms are of one day. Longer periods are sums, so that adjacent periods differ by whole days.
- *Time of asking.* A late event would be the difference between two versions of a day. There is one version.
- *Other reports.* They count by day, partner and label, by nothing of the visitor; subtracting gives the size of a group at
  most, which its owner knows anyway. (Exact counts by trait are for operators with a permission.) The clock time of a visit is
  no secret from them: an order's own is in the list of orders, and a report that is asked for every minute, or for the days of
  several time zones, tells when visits came. What is told here is how many came at an hour, not what else they have in common.

**Who counts as distinct.** A new salt makes the same person another visitor, be it for a restart or for a second server. A
number says which salt it is of (SALT_BITS), and a set has as many visitors as the salt that knows most of them: never more
than there were addresses and browsers. What is shown is the sum, as in every report.

**What it does not do.** It does not help against somebody who already knows all but one of k visitors, or who sends k - 1 of
his own: that is so with every rule that counts heads. Whoever leads one crowd on two days, or to two clients, and the second
time without somebody, is kept from the difference by nothing but the rounding. Nor does it count one person with two browsers
as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

OTHER = "other"  #: the value of those whose own is held by too few
POOL = ""  #: the partner of a client's visitors through partners with too few
ROUND = 10  #: released numbers are multiples of it
SALT_BITS = 16  #: the upper bits of a visitor's number, which are the same for all numbers of one salt

Key = tuple[str, ...]
Tally = Counter[int]  #: visitors by the salt that they were numbered with
Cells = dict[Key, Tally]
Groups = dict[str, Cells]  #: by partner


class Trait(StrEnum):
    """What an audience can be broken down by, one at a time."""

    COUNTRY = "country"
    LANGUAGE = "language"
    DEVICE = "device"
    BROWSER = "browser"
    OS = "os"
    HOUR = "hour"  #: of the day, in UTC
    VISIT = "visit"  #: `new` or `returning`; empty where that can't be known
    CATEGORY = "category"  #: what those bought who agreed to its being counted


#: Partitions by name, and the traits whose values are the items of a key. A category's key is all that a visitor has.
FAMILIES = {
    "country": (Trait.COUNTRY,),
    "language": (Trait.LANGUAGE,),
    "technology": (Trait.DEVICE, Trait.BROWSER, Trait.OS),
    "hour": (Trait.HOUR,),
    "visit": (Trait.VISIT,),
    "category": (Trait.CATEGORY,),
}


class Atom(NamedTuple):
    """A number to release: so many visitors of a group, in tens, have this value."""

    partner: str
    trait: Trait
    value: str
    visitors: int


def persons(tally: Tally) -> int:
    """How many different visitors there surely are."""
    return max(tally.values(), default=0)


def groups(by_partner: Groups, k: int) -> Groups:
    """The groups that have k visitors or more: those of partners, and of all others together, under POOL."""
    found: Groups = {}
    pool: Cells = {}
    for partner, cells in by_partner.items():
        if _enough(cells, k):
            found[partner] = cells
            continue
        for key, tally in cells.items():
            pool.setdefault(key, Counter()).update(tally)
    return found | ({POOL: pool} if _enough(pool, k) else {})


def release(family: str, told: Groups, k: int) -> Iterator[Atom]:
    """What is released of these groups (by partner, or POOL) from one of FAMILIES; nothing of a group of fewer than k."""
    for partner, cells in sorted(told.items()):
        shown: dict[tuple[Trait, str], Tally] = {}
        for key, tally in partition(cells, k, _coarser(family, cells), _rest(family)).items():
            for known in _values(family, key):
                shown.setdefault(known, Counter()).update(tally)
        for (trait, value), tally in sorted(shown.items()):
            yield Atom(partner, trait, value, rounded(tally.total()))


def partition(cells: Cells, k: int, coarser: Mapping[Key, Key], rest: Key) -> dict[Key, Tally]:
    """Atoms of `cells` with k visitors or more, under their own keys, under `coarser` ones, or together under `rest`.
    Everybody is in one of them; there is none when all together are fewer than k.
    """
    atoms: dict[Key, Tally] = {}
    for key, tally in cells.items():
        kept = key if persons(tally) >= k else coarser.get(key, key)
        atoms.setdefault(kept, Counter()).update(tally)
    small = [key for key, tally in atoms.items() if persons(tally) < k or key == rest]
    together = _sum(atoms.pop(key) for key in small)
    while small and persons(together) < k and atoms:
        smallest = min(atoms, key=lambda key: (persons(atoms[key]), key))
        together.update(atoms.pop(smallest))
    if persons(together) >= k:
        atoms[rest] = together
    return atoms


def rounded(visitors: int) -> int:
    """In tens, half of them upwards."""
    return (visitors + ROUND // 2) // ROUND * ROUND


def _coarser(family: str, cells: Cells) -> dict[Key, Key]:
    """What a key that too few have is called before it is called `other`: of a combination its device, of several categories
    the one that most have.
    """
    if family == "technology":
        return {key: (key[0], OTHER, OTHER) for key in cells}
    if family != "category":
        return {}
    buyers: Counter[str] = Counter()
    for key, tally in cells.items():
        buyers.update(dict.fromkeys(key, persons(tally)))
    return {key: (max(key, key=lambda category: (buyers[category], category)),) for key in cells if key}


def _rest(family: str) -> Key:
    return () if family == "category" else (OTHER,) * len(FAMILIES[family])


def _values(family: str, key: Key) -> Iterable[tuple[Trait, str]]:
    if family == "category":
        return [(Trait.CATEGORY, category) for category in key]
    return list(zip(FAMILIES[family], key, strict=True))


def _enough(cells: Cells, k: int) -> bool:
    return persons(_sum(cells.values())) >= k


def _sum(tallies: Iterable[Tally]) -> Tally:
    total: Tally = Counter()
    for tally in tallies:
        total.update(tally)
    return total
