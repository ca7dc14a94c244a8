"""The data map: the operator's one statement of what is collected, read from ``config/privacy.toml``.

Parsed once, into frozen values: whoever holds a `DataMap` from `load` holds words that P3P knows, text that
XML can carry and addresses that are safe in an attribute. That its claims agree with each other is another
matter, which `coherence` judges. "REC" is the W3C Recommendation P3P1.0 of 16 April 2002.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pixeld.errors import PolicyError
from pixeld.privacy import vocabulary as p3p
from pixeld.privacy.reading import Shape, Table


@dataclass(frozen=True, slots=True)
class Entity:
    """Who answers for the data: a name and at least one way to reach them (REC 3.2.4). "" is not stated."""

    name: str
    email: str = ""
    uri: str = ""
    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class Dispute:
    """Where to turn when the promise is broken, and what comes of it (REC 3.2.6, 3.2.7)."""

    resolution_type: str
    service: str
    short_description: str
    remedies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Practice:
    """One purpose or one recipient, and whether the visitor has a say in it (REC 3.3.4, 3.3.5)."""

    name: str
    required: str = "always"


@dataclass(frozen=True, slots=True)
class PlaceNames:
    """Where something lies, by the names it has there: `columns` as `table.column`; `keys` of Redis and `files` of the data
    directory, with `*` for what differs; `cookies` and fields of `log` lines by their names.
    """

    columns: tuple[str, ...]
    keys: tuple[str, ...]
    files: tuple[str, ...]
    cookies: tuple[str, ...]
    log: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every name, as a reader would say what kind it is of."""
        kinds = {"": self.columns, "Redis ": self.keys, "file ": self.files, "cookie ": self.cookies, "log ": self.log}
        return tuple(f"{kind}{name}" for kind, names in kinds.items() for name in names)


@dataclass(frozen=True, slots=True)
class DataItem:
    """One field. `categories` is complete, whether the map states them or the base data schema fixes them.

    `kept_days` is 0 for what is gone once the request is answered, and None for what is kept without limit.
    """

    ref: str
    optional: bool
    categories: tuple[str, ...]
    what: str
    where: str
    kept_days: int | None
    places: PlaceNames


@dataclass(frozen=True, slots=True)
class Statement:
    """Fields that are treated alike (REC 3.3.1). The title is the page's; P3P has no place for it."""

    title: str
    consequence: str
    ground: str
    non_identifiable: bool
    purposes: tuple[Practice, ...]
    recipients: tuple[Practice, ...]
    retention: str
    data: tuple[DataItem, ...]


@dataclass(frozen=True, slots=True)
class Holding:
    """Something that is kept of people who log in. The page tells it; P3P speaks of visits only (REC 1.1) and doesn't."""

    what: str
    why: str
    recipients: str
    ground: str
    where: str
    kept: str
    places: PlaceNames


@dataclass(frozen=True, slots=True)
class Machinery:
    """Something that the server keeps to do its work, which says nothing about anybody. `kept_days` as a DataItem's."""

    what: str
    kept: str
    kept_days: int | None
    places: PlaceNames


@dataclass(frozen=True, slots=True)
class DataMap:
    """All that the compact policy, the policy file and the page say."""

    policy_name: str
    discuri: str
    opturi: str
    expiry_s: int
    entity: Entity
    access: str
    disputes: tuple[Dispute, ...]
    statements: tuple[Statement, ...]
    accounts: tuple[Holding, ...]
    machinery: tuple[Machinery, ...]

    @property
    def kept_days(self) -> dict[str, int | None]:
        """For each table, how many days its rows stay; None is without limit. `coherence` sees to it that all who speak of a
        table say the same.
        """
        return dict(self.tables())

    @property
    def promises(self) -> dict[str, int | None]:
        """For each place on this server, as `clickhouse:clicks`, `redis:pixeld:{*}:queue` or `file:spill/*`, how many days its
        content stays; None is without a limit of days.
        """
        said = [(item.places, item.kept_days) for statement in self.statements for item in statement.data]
        said += [(each.places, each.kept_days) for each in self.machinery] + [(each.places, None) for each in self.accounts]
        keys = {f"redis:{name}": days for places, days in said for name in places.keys}
        files = {f"file:{name}": days for places, days in said for name in places.files}
        return keys | files | {f"clickhouse:{table}": days for table, days in self.kept_days.items()}

    @property
    def cookies(self) -> dict[str, int | None]:
        """For each cookie of visitors, how many days it lives at most; None is without limit."""
        items = [item for statement in self.statements for item in statement.data]
        return {name: item.kept_days for item in items for name in item.places.cookies}

    def tables(self) -> Iterator[tuple[str, int | None]]:
        """Each table, with how many days its rows stay, as often as that is said."""
        said = [(item.places, item.kept_days) for statement in self.statements for item in statement.data]
        for places, kept_days in (*said, *((each.places, each.kept_days) for each in self.machinery)):
            for table in dict.fromkeys(column.partition(".")[0] for column in places.columns):
                yield table, kept_days


def load(toml: str | bytes) -> DataMap:
    """The map that this TOML writes down. Raises one PolicyError that tells everything wrong with it."""
    try:
        tree = tomllib.loads(toml.decode() if isinstance(toml, bytes) else toml)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"The privacy data map is not TOML in UTF-8: {error}. Mend it there.") from error
    root = Table(tree)
    data_map = _data_map(root)
    if complaints := root.close():
        raise PolicyError("\n  - ".join(["The privacy data map does not say what it must:", *complaints]))
    return data_map


# A policy's name is the fragment of a URI and an XML name at once.
_NAME = Shape(re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*"), "a name of letters, digits, '_', '.' and '-'")
# Only what a browser may follow safely from the page: no javascript:, nothing that ends an attribute.
_URI = Shape(re.compile(r"(https?://[^/\s\"<>\\]+|/(?!/))[^\s\"<>\\]*"), "an http(s) address or a path")
_COLUMN = Shape(re.compile(r"[a-z0-9_]+\.[a-z0-9_]+"), "a column like clicks.partner")
_KEY = Shape(re.compile(r"[a-z0-9_:{}*-]+"), "a key of Redis like pixeld:{accounts}:mail:*")
_FILE = Shape(re.compile(r"[a-z0-9_/.*-]+"), "a path in the data directory like spill/*")
_COOKIE = Shape(re.compile(r"[A-Za-z0-9_-]+"), "a cookie's name")
_FIELD = Shape(re.compile(r"[a-z0-9_]+"), "the name of a field")
_EMAIL = Shape(re.compile(r"[^@\s\"<>?&]+@[^@\s\"<>?&]+"), "an e-mail address")


def _spellings(terms: Iterable[str]) -> Mapping[str, Practice]:
    """Every way to write a practice: ``name``, or ``name:required`` where the visitor has a say in it."""
    bare = {name: Practice(name) for name in terms}
    return bare | {f"{name}:{word}": Practice(name, word) for name in bare for word in p3p.REQUIRED}


_PURPOSES = _spellings(p3p.PURPOSES)
_RECIPIENTS = _spellings(p3p.RECIPIENTS)


def _data_map(table: Table) -> DataMap:
    return DataMap(
        policy_name=table.text("policy_name", shape=_NAME),
        discuri=table.text("discuri", shape=_URI),
        opturi=table.text("opturi", default="", shape=_URI),
        # REC 2.3.2.3: a day is what user agents assume; less would be a promise that they do not read.
        expiry_s=table.number("expiry_s", least=86_400),
        entity=_entity(table.table("entity")),
        access=table.word("access", p3p.ACCESS),
        disputes=tuple(map(_dispute, table.tables("disputes", least=0))),
        statements=tuple(map(_statement, table.tables("statements"))),
        accounts=tuple(map(_holding, table.tables("accounts", least=0))),
        machinery=tuple(map(_machinery, table.tables("machinery", least=0))),
    )


def _entity(table: Table) -> Entity:
    entity = Entity(
        name=table.text("name"),
        email=table.text("email", default="", shape=_EMAIL),
        uri=table.text("uri", default="", shape=_URI),
        street=table.text("street", default=""),
        city=table.text("city", default=""),
        region=table.text("region", default=""),
        postal_code=table.text("postal_code", default=""),
        country=table.text("country", default=""),
    )
    if not any(key in table for key in ("email", "uri", "street")):
        table.complain("", "names no way to ask a question. Give an email, a uri or a street.")
    return entity


def _dispute(table: Table) -> Dispute:
    return Dispute(
        resolution_type=table.word("resolution_type", p3p.RESOLUTIONS),
        service=table.text("service", shape=_URI),
        short_description=table.text("short_description"),
        remedies=table.words("remedies", p3p.REMEDIES, least=0),
    )


def _statement(table: Table) -> Statement:
    return Statement(
        title=table.text("title"),
        consequence=table.text("consequence"),
        ground=table.word("ground", p3p.GROUNDS),
        non_identifiable=table.flag("non_identifiable"),
        purposes=_practices(table, "purposes", _PURPOSES),
        recipients=_practices(table, "recipients", _RECIPIENTS),
        retention=table.word("retention", p3p.RETENTIONS),
        data=tuple(map(_item, table.tables("data"))),
    )


def _practices(table: Table, key: str, spellings: Mapping[str, Practice]) -> tuple[Practice, ...]:
    practices = tuple(spellings[word] for word in dict.fromkeys(table.words(key, spellings)) if word)
    names = [practice.name for practice in practices]
    for name in sorted({name for name in names if names.count(name) > 1}):
        table.complain(key, f'"{name}" stands there with two kinds of consent. Keep one.')
    for practice in practices:
        if practice.name in p3p.ALWAYS_REQUIRED and practice.required != "always":
            table.complain(key, f'nobody can decline "{practice.name}", the service itself. Write it bare.')
    return practices


def _item(table: Table) -> DataItem:
    ref = table.word("ref", p3p.REFS)
    fixed = p3p.REFS.get(ref, ())
    variable = ref in p3p.REFS and not fixed
    categories = table.words("categories", p3p.CATEGORIES, least=1 if variable else 0)
    if fixed and categories and set(categories) != set(fixed):
        # REC 3.4: a policy has no say in the categories of an element whose schema fixes them.
        table.complain("categories", f"P3P fixes those of {ref}: {', '.join(fixed)}. Leave the key out.")
    return DataItem(
        ref=ref,
        optional=table.flag("optional"),
        categories=fixed or categories,
        what=table.text("what"),
        where=table.text("where"),
        kept_days=table.optional_number("kept_days", least=0),
        places=_places(table),
    )


def _places(table: Table) -> PlaceNames:
    places = PlaceNames(
        columns=table.texts("columns", _COLUMN),
        keys=table.texts("keys", _KEY),
        files=table.texts("files", _FILE),
        cookies=table.texts("cookies", _COOKIE),
        log=table.texts("log", _FIELD),
    )
    if not places.all and not any(key in table for key in ("columns", "keys", "files", "cookies", "log")):
        table.complain("", "names no place. Name columns, keys, files, cookies or fields of the log.")
    return places


def _holding(table: Table) -> Holding:
    return Holding(
        what=table.text("what"),
        why=table.text("why"),
        recipients=table.text("recipients"),
        ground=table.word("ground", p3p.GROUNDS),
        where=table.text("where"),
        kept=table.text("kept"),
        places=_places(table),
    )


def _machinery(table: Table) -> Machinery:
    return Machinery(
        what=table.text("what"),
        kept=table.text("kept"),
        kept_days=table.optional_number("kept_days", least=1),
        places=_places(table),
    )
