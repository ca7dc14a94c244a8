"""The data map: the operator's one statement of what is collected, read from ``config/privacy.toml``.

Parsed once, into frozen values: whoever holds a `DataMap` from `load` holds words that P3P knows, text that
XML can carry and addresses that are safe in an attribute. That its claims agree with each other is another
matter, which `coherence` judges. "REC" is the W3C Recommendation P3P1.0 of 16 April 2002.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class Statement:
    """Fields that are treated alike (REC 3.3.1). The title is the page's; P3P has no place for it."""

    title: str
    consequence: str
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
    where: str
    kept: str


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
    )


def _holding(table: Table) -> Holding:
    return Holding(what=table.text("what"), why=table.text("why"), where=table.text("where"), kept=table.text("kept"))
