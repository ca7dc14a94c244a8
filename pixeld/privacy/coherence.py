"""Whether a data map unsays what it says.

Only what a compact policy cannot show, since it mixes all statements; what it does show is `compact.lint`'s
business. "REC" is the W3C Recommendation P3P1.0 of 16 April 2002.
"""

from __future__ import annotations

from collections.abc import Iterator

from pixeld.privacy import vocabulary as p3p
from pixeld.privacy.datamap import DataMap, Statement


def contradictions(data_map: DataMap) -> list[str]:
    """A message for each pair of claims that cannot both be true: the field, the token, what to change."""
    found: list[str] = []
    for number, statement in enumerate(data_map.statements):
        place = f"statements[{number}]"
        if data_map.access == "nonident":
            found += _identified_uses(place, statement, 'access = "nonident" (NOI)')
        if statement.non_identifiable:
            found += _identified_uses(place, statement, "non_identifiable = true (NID)")
            found += _identifiers(place, statement)
        found += _timetable(place, statement)
    found += _tables(data_map)
    return found


def _identified_uses(place: str, statement: Statement, claim: str) -> Iterator[str]:
    """REC 3.3.4 defines these purposes as uses of identified data."""
    for name in (practice.name for practice in statement.purposes):
        if name in p3p.IDENTIFIED_PURPOSES:
            token = p3p.PURPOSES[name].token
            yield (f"{place}.purposes: {name} ({token}) is a use of identified data, and {claim} says "
                   "that there is none. Drop the purpose or the claim.")


def _identifiers(place: str, statement: Statement) -> Iterator[str]:
    """REC 3.3.3: non-identifiable data is anonymous for good, so nothing in it tells people apart."""
    for number, item in enumerate(statement.data):
        for name in item.categories:
            if name in p3p.IDENTIFIED_CATEGORIES or name == "uniqueid":
                token = p3p.CATEGORIES[name].token
                yield (f"{place}.data[{number}].categories: {name} ({token}) tells people apart, and "
                       "non_identifiable = true (NID) says that nothing does. Drop the field or the claim.")


def _timetable(place: str, statement: Statement) -> Iterator[str]:
    """REC 3.3.6: all but `indefinitely` need a timetable; that of `no-retention` ends with the request."""
    token = p3p.RETENTIONS[statement.retention].token
    for number, item in enumerate(statement.data):
        fits, wanted = {
            "no-retention": (item.kept_days == 0, "kept_days = 0"),
            "indefinitely": (item.kept_days is None, "no kept_days"),
        }.get(statement.retention, (bool(item.kept_days), "kept_days of 1 or more"))
        if not fits:
            said = "no limit" if item.kept_days is None else f"{item.kept_days}"
            yield (f"{place}.data[{number}].kept_days: {said} contradicts retention = "
                   f'"{statement.retention}" ({token}), which goes with {wanted}. Change one of them.')


def _tables(data_map: DataMap) -> Iterator[str]:
    """A row of a table goes whole: whatever is kept in one goes at the same time."""
    said: dict[str, set[int | None]] = {}
    for table, kept_days in data_map.tables():
        said.setdefault(table, set()).add(kept_days)
    for table, days in said.items():
        if len(days) > 1:
            listed = " and ".join("no limit" if each is None else str(each) for each in sorted(days, key=lambda day: day or 0))
            yield f"kept_days: {listed} contradict each other for what is kept in table {table}. Write one of them everywhere."
