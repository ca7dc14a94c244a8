"""P3P: one data map, three renderings, and the rules that keep them honest. A case's id is its rule."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from pixeld.errors import PolicyError
from pixeld.privacy import (
    Policy,
    check_policy_file,
    compact_policy,
    default_map,
    header,
    ie6_medium,
    lint,
    load,
    mozilla,
    privacy_json,
    privacy_page,
    render_policy_file,
    vocabulary,
)
from pixeld.privacy import page as page_module

DATA = Path(__file__).parent / "data" / "p3p"
SHIPPED_TOML = (Path(__file__).parents[2] / "config" / "privacy.toml").read_text(encoding="utf-8")
SHIPPED = load(SHIPPED_TOML)
TOKENS = tomllib.loads((DATA / "tokens.toml").read_text())
VECTORS = {each["name"]: each for each in tomllib.loads((DATA / "vectors.toml").read_text())["vector"]}
VALID = (DATA / "valid-tracker.xml").read_text()
P3P = "{http://www.w3.org/2002/01/P3Pv1}"

Tree = dict[str, Any]


def tree() -> Tree:
    """A small map without fault, as TOML would give it; fresh each time, for a case to spoil."""
    return {
        "policy_name": "shop",
        "discuri": "/privacy",
        "expiry_s": 86_400,
        "access": "nonident",
        "entity": {"name": "Example Ltd", "email": "privacy@shop.example"},
        "disputes": [
            {"resolution_type": "law", "service": "/law", "short_description": "The law", "remedies": ["law"]}
        ],
        "statements": [
            {
                "title": "Visits",
                "consequence": "Visits are counted.",
                "purposes": ["current", "pseudo-analysis:opt-out"],
                "recipients": ["ours"],
                "retention": "stated-purpose",
                "ground": "consent",
                "data": [
                    {"ref": "#dynamic.http", "what": "The request.", "where": "a log", "kept_days": 7, "log": ["request"]},
                    {
                        "ref": "#dynamic.cookies",
                        "categories": ["state"],
                        "what": "A cookie.",
                        "where": "your browser",
                        "kept_days": 1,
                        "cookies": ["ref"],
                    },
                ],
            }
        ],
        "opturi": "/opt-out",
    }


def toml(value: object) -> str:
    """TOML for what a map is made of; every character of a text escaped, so that none is special."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(character):08X}" for character in value) + '"'
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{key} = {toml(each)}' for key, each in value.items())}}}"
    return str(value)


def written(source: Tree) -> str:
    return "\n".join(f"{key} = {toml(value)}" for key, value in source.items())


def spoilt(change: Callable[[Tree], object]) -> str:
    source = tree()
    change(source)
    return written(source)


# --- the compact policy, read ---


@pytest.mark.parametrize("name", VECTORS)
def test_lint_of_a_known_policy(name: str) -> None:
    vector = VECTORS[name]
    assert [f"{finding.code}: {finding.subject}" for finding in lint(vector["cp"])] == vector["lint"]


@pytest.mark.parametrize("name", VECTORS)
def test_internet_explorer_on_a_known_policy(name: str) -> None:
    vector = VECTORS[name]
    verdict = ie6_medium(vector["cp"])
    said = "accept" if verdict.accepted else " ".join(["block", *verdict.tokens])
    assert said == vector["ie6"]
    assert verdict.accepted or all(token in verdict.sentence for token in verdict.tokens)


@pytest.mark.parametrize("name", VECTORS)
def test_mozilla_on_a_known_policy(name: str) -> None:
    assert mozilla(VECTORS[name]["cp"]) == VECTORS[name]["mozilla"]


LINT_RULES = {
    "one token of each group is enough": ("NOI CUR OUR NOR STA", []),
    "NID leaves out all but the access": ("NOI NID", []),
    "NID does not leave out the access": ("NID", ["missing: ACCESS"]),
    "one access only": ("NOI ALL CUR OUR NOR STA", ["several-access: NOI ALL"]),
    "a repetition is no second access": ("NOI NOI CUR OUR NOR STA", []),
    "remedies need DSP": ("NON COR LAW CUR OUR NOR STA", ["remedies-without-disputes: COR LAW"]),
    "an identifier is not anonymous": ("NON NID UNI", ["nid-identifying: NID UNI"]),
    "a government number is not anonymous": ("NON NID GOV", ["nid-identifying: NID GOV"]),
    "NOI forbids identified data": ("NOI CUR OUR NOR FIN", ["noi-identified: NOI FIN"]),
    "purposes and recipients take i and o": ("NOI CUR ADMi OUR DELo NOR STA", []),
    "no other suffix": ("NOI CUR ADMx OUR NOR STA", ["suffix: ADMx"]),
    "one suffix": ("NOI CUR ADMio OUR NOR STA", ["suffix: ADMio"]),
    "OUR takes no suffix": ("NOI CUR OURo NOR STA", ["suffix: OURo"]),
    "a category takes no suffix": ("NOI CUR OUR NOR STAi", ["suffix: STAi"]),
    "more spaces than needed do no harm": ("  NOI CUR  OUR NOR STA ", []),
    "only a space parts tokens": ("NOI CUR OUR NOR STA\tNAV", ["suffix: STA\tNAV"]),
}


@pytest.mark.parametrize(("cp", "findings"), LINT_RULES.values(), ids=LINT_RULES)
def test_lint_rule(cp: str, findings: list[str]) -> None:
    assert [f"{finding.code}: {finding.subject}" for finding in lint(cp)] == findings


def test_a_finding_reads_as_a_sentence_that_names_its_token() -> None:
    assert str(lint("NOI CURa OUR NOR STA")[0]) == "CURa: CUR takes no suffix 'a'. Write CUR."


@pytest.mark.parametrize("use", ["SAM", "OTR", "UNR", "PUB", "IVA", "IVD", "CON", "TEL", "OTP"])
@pytest.mark.parametrize("category", ["PHY", "ONL", "GOV", "FIN"])
def test_internet_explorer_wants_a_choice_in_each_use_of_identified_data(category: str, use: str) -> None:
    rest = f"NON CUR OUR NOR {category}"
    accepted = {suffix for suffix in ("", "a", "i", "o") if ie6_medium(f"{rest} {use}{suffix}").accepted}
    assert accepted == {"i", "o"}
    assert ie6_medium(f"NON CUR OUR NOR UNI {use}").accepted


MOZILLA_RULES = {
    "LOC is unknown to it": ("CUR LOC", "invalid"),
    "CUS of the drafts is known to it": ("CUR CUSo", "non_pii"),
    "delivery is a use": ("CUR DEL", "no_consent"),
    "opt-out is implicit consent": ("CUR DELo", "implicit"),
    "opt-in is explicit consent": ("CUR DELi", "explicit"),
    "the worse class wins": ("CUR DELi TELo", "implicit"),
    "five letters are no token": ("CUR ADMoo", "invalid"),
}


@pytest.mark.parametrize(("cp", "consent"), MOZILLA_RULES.values(), ids=MOZILLA_RULES)
def test_mozilla_rule(cp: str, consent: str) -> None:
    assert mozilla(cp) == consent


# --- the header ---


POLICYREFS = {
    "a path where the public address is unknown": (None, "/w3c/p3p.xml"),
    "absolute where it is known": ("https://t.example", "https://t.example/w3c/p3p.xml"),
    "no doubled slash": ("https://t.example/", "https://t.example/w3c/p3p.xml"),
}


@pytest.mark.parametrize(("public_url", "policyref"), POLICYREFS.values(), ids=POLICYREFS)
def test_header_grammar_has_a_comma_between_policyref_and_cp(public_url: str | None, policyref: str) -> None:
    value = header("NOI CUR OUR NOR STA", public_url)
    assert re.fullmatch(r'policyref="[^"\s]+", CP="[A-Zio]+( [A-Zio]+)*"', value)
    assert value == f'policyref="{policyref}", CP="NOI CUR OUR NOR STA"'


@pytest.mark.parametrize("bad", ['NOI", CP="ALL', "NOI\r\nSet-Cookie: a=b", "NOI é"], ids=ascii)
def test_header_lets_nothing_out_of_its_quotes(bad: str) -> None:
    with pytest.raises(PolicyError, match="cannot stand in a P3P header"):
        header(bad)
    with pytest.raises(PolicyError, match="cannot stand in a P3P header"):
        header("NOI", bad)


# --- the shipped map ---


def test_shipped_map_gives_the_policy_that_the_header_is_known_by() -> None:
    assert Policy.from_map(SHIPPED).compact == "NOI DSP COR CUR ADM PSA PSAi OUR STP BUS UNI PUR COM NAV INT STA PRE"


def test_packaged_default_is_the_shipped_map() -> None:
    assert default_map() == SHIPPED


def test_shipped_policy_is_clean_and_accepted() -> None:
    policy = Policy.from_map(SHIPPED)
    assert lint(policy.compact) == []
    assert check_policy_file(policy.xml) == []
    assert ie6_medium(policy.compact).accepted
    assert mozilla(policy.compact) == "no_consent"  # because of UNI, which is true and therefore stays


def test_shipped_map_claims_neither_an_address_nor_a_user_agent() -> None:
    refs = {item.ref for statement in SHIPPED.statements for item in statement.data}
    clicks = {"#dynamic.clickstream.uri", "#dynamic.clickstream.timestamp"}
    assert refs == clicks | {"#dynamic.cookies", "#dynamic.miscdata"}


# --- the policy file ---


def test_valid_sample_passes() -> None:
    assert check_policy_file(VALID.encode()) == []


DEPLOYED_SAMPLES = {
    "root POLICIES, STATEMENT without DATA-GROUP": (
        "invalid-root-and-data.xml",
        [
            "POLICIES: a policy reference file begins with META",
            "POLICIES/POLICY/STATEMENT: DATA-GROUP is missing",
            "POLICIES/POLICY: opt-in is offered without opturi",
            "POLICIES/POLICY/ENTITY: it has no #business.contact-info",
        ],
    ),
    "about of a policy that is not there": (
        "invalid-dangling-about.xml",
        ["POLICY-REF about=xmlcoding.xml#FidelityWebsites: this file holds no POLICY of that name"],
    ),
}


@pytest.mark.parametrize(("sample", "complaints"), DEPLOYED_SAMPLES.values(), ids=DEPLOYED_SAMPLES)
def test_deployed_samples_that_are_wrong(sample: str, complaints: list[str]) -> None:
    found = check_policy_file((DATA / sample).read_bytes())
    assert len(found) == len(complaints)
    for complaint in complaints:
        assert any(each.startswith(complaint) for each in found), found


STATEMENT = "META/POLICIES/POLICY/STATEMENT"

STRUCTURE_RULES = {
    "well-formed": ("</META>", "", "The file is not well-formed XML"),
    "namespace": (' xmlns="http://www.w3.org/2002/01/P3Pv1"', "", "META: it is not of P3P"),
    "namespace of a draft": ("2002/01/P3Pv1", "2000/12/p3pv1", "META: it is not of P3P"),
    "one POLICY-REFERENCES": (
        "<POLICIES>",
        "<POLICY-REFERENCES><POLICY-REF about='#tracker'><COOKIE-INCLUDE/></POLICY-REF></POLICY-REFERENCES>"
        "<POLICIES>",
        "META: there are 2 of POLICY-REFERENCES",
    ),
    "about resolves": ('about="#tracker"', 'about="#other"', "POLICY-REF about=#other: this file"),
    "about is mandatory": (' about="#tracker"', "", "the attribute about is missing"),
    "EXCLUDE needs INCLUDE": ("INCLUDE>", "EXCLUDE>", "EXCLUDE without INCLUDE"),
    "cookies covered": ('<COOKIE-INCLUDE name="*" value="*" domain="*" path="*"/>', "", "no COOKIE-INCLUDE"),
    "EXPIRY": ('max-age="86400"', 'max-age="soon"', "neither max-age in seconds nor date"),
    "name is mandatory": (' name="tracker"', "", "POLICY: the attribute name is missing"),
    "discuri": ('discuri="https://tracker.example/privacy"', 'discuri=""', "attribute discuri is missing"),
    "no TEST": ("<ENTITY>", "<TEST/><ENTITY>", "TEST voids the policy"),
    "ENTITY": ("ENTITY>", "EXTENSION>", "POLICY: ENTITY is missing"),
    "ENTITY has a name": ("#business.name", "#business.department", "no #business.name"),
    "the name is not empty": (">Example Ltd<", "><", "no #business.name"),
    "ENTITY has a contact": (
        "#business.contact-info.online.email", "#business.x", "no #business.contact-info",
    ),
    "ACCESS": ("<ACCESS><nonident/></ACCESS>", "", "POLICY: ACCESS is missing"),
    "exactly one access": ("<nonident/>", "<nonident/><all/>", "ACCESS: it holds 2 values"),
    "access is known": ("<nonident/>", "<nobody/>", "ACCESS: nobody is not one of nonident"),
    "resolution-type is known": ('"service"', '"duel"', "resolution-type duel is not one of"),
    "service of DISPUTES": (
        'service="https://tracker.example/privacy"', "", "the attribute service is missing",
    ),
    "REMEDIES is not empty": ("<correct/>", "", "REMEDIES: it holds 0 values"),
    "STATEMENT": ("STATEMENT>", "EXTENSION>", "POLICY: STATEMENT is missing"),
    "PURPOSE": ("PURPOSE>", "EXTENSION>", f"{STATEMENT}: PURPOSE is missing"),
    "RECIPIENT": ("RECIPIENT>", "EXTENSION>", f"{STATEMENT}: RECIPIENT is missing"),
    "RETENTION": ("RETENTION>", "EXTENSION>", f"{STATEMENT}: RETENTION is missing"),
    "exactly one retention": (
        "<business-practices/>", "<business-practices/><indefinitely/>", "RETENTION: it holds 2 values",
    ),
    "recipient is known": ("<ours/>", "<theirs/>", "RECIPIENT: theirs is not one of ours"),
    "at least one recipient": ("<ours/>", "", "RECIPIENT: it holds 0 values"),
    "purpose is known": ("<admin/>", "<espionage/>", "PURPOSE: espionage is not one of"),
    "category is known": ("<state/>", "<mood/>", "CATEGORIES: mood is not one of"),
    "required is known": ("<admin/>", '<admin required="maybe"/>', "admin has required=maybe"),
    "current is required": (
        "<current/>", '<current required="always"/>', "current takes no attribute required",
    ),
    "opturi is optional as such": (' opturi="https://tracker.example/optout" xml:lang="en">', ">", None),
    "opt-in with opturi": ("<admin/>", '<admin required="opt-in"/>', None),
    "ref has a #": ('ref="#dynamic.http"', 'ref="dynamic.http"', "ref dynamic.http has no #"),
    "ref is mandatory": (' ref="#dynamic.http"', "", "the attribute ref is missing"),
    "categories on miscdata": (
        'ref="#dynamic.http"', 'ref="#dynamic.miscdata"', "#dynamic.miscdata may mean anything",
    ),
    "categories on cookies": (
        "<CATEGORIES><uniqueid/><navigation/><state/><purchase/></CATEGORIES>", "",
        f"{STATEMENT}/DATA-GROUP/DATA[3]: #dynamic.cookies may mean anything",
    ),
    "one CONSEQUENCE": ("<CONSEQUENCE>", "<CONSEQUENCE/><CONSEQUENCE>", "2 of CONSEQUENCE"),
    "order of children": ("<RETENTION>", "<CONSEQUENCE/><RETENTION>", "The order is CONSEQUENCE"),
    "no strange children": ("<RETENTION>", "<HINT/><RETENTION>", "HINT does not belong here"),
    "extensions are passed over": ("<PURPOSE>", "<EXTENSION><PURPOSE/></EXTENSION><PURPOSE>", None),
    "data schemas are passed over": ("<POLICIES>", "<POLICIES><DATASCHEMA><DATA/></DATASCHEMA>", None),
}


@pytest.mark.parametrize(("old", "new", "complaint"), STRUCTURE_RULES.values(), ids=STRUCTURE_RULES)
def test_structure_rule(old: str, new: str, complaint: str | None) -> None:
    found = check_policy_file(VALID.replace(old, new).encode())
    assert (complaint is None) == (not found), found
    assert complaint is None or any(complaint in each for each in found), found


def test_an_opt_out_needs_an_opturi() -> None:
    spoilt_file = re.sub(r' opturi="[^"]*"', "", VALID.replace("<admin/>", '<admin required="opt-out"/>'))
    assert check_policy_file(spoilt_file.encode()) == [
        "META/POLICIES/POLICY: opt-out is offered without opturi. Say where (REC 3.2.2)."
    ]


def test_a_non_identifiable_statement_may_say_no_more() -> None:
    anonymous = re.sub(
        "<STATEMENT>.*</STATEMENT>", "<STATEMENT><NON-IDENTIFIABLE/></STATEMENT>", VALID, flags=re.S
    )
    assert check_policy_file(anonymous.encode()) == []


# --- one map, three renderings ---

FIXED = {  # of the base data schema, written down a second time
    "#dynamic.clickstream": {"navigation", "computer", "demographic"},
    "#dynamic.clickstream.uri": {"navigation"},
    "#dynamic.http": {"navigation", "computer"},
    "#dynamic.searchtext": {"interactive"},
    "#user.bdate": {"demographic"},
}
FIXED_IDENTIFIED = {
    "#user.name": {"physical", "demographic"},
    "#user.home-info.online": {"online"},
}
IDENTIFIED = {"physical", "online", "government", "financial"}
USES_OF_IDENTIFIED = {"individual-analysis", "individual-decision", "contact", "telemarketing"}


def prose() -> st.SearchStrategy[str]:
    """Text in any script, with all that XML and HTML would rather not see in it."""
    characters = st.characters(exclude_categories=("Cc", "Cs", "Cn"), include_characters="<>&\"'")
    return st.text(characters, min_size=5, max_size=20).map(lambda text: " ".join(text.split())).filter(bool)


def some(words: list[str], least: int = 1) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=least, max_size=4, unique=True)


@st.composite
def practices(draw: st.DrawFn, words: list[str], choice: bool) -> list[str]:
    """Practices with or without a say in them; all with one where identified data asks for it."""
    consents = [":opt-in", ":opt-out"] if choice else ["", ":always", ":opt-in", ":opt-out"]
    free = {"current", "ours"}
    return [word + ("" if word in free else draw(st.sampled_from(consents))) for word in draw(some(words))]


@st.composite
def statements(draw: st.DrawFn, identified: bool) -> Tree:
    anonymous = not identified and draw(st.booleans())
    refs = dict(FIXED, **(FIXED_IDENTIFIED if identified else {}))
    barred = IDENTIFIED | ({"uniqueid"} if anonymous else set())
    categories = [name for name in TOKENS["CATEGORIES"].values() if identified or name not in barred]
    purposes = [name for name in TOKENS["PURPOSE"].values() if identified or name not in USES_OF_IDENTIFIED]
    retention = draw(st.sampled_from(list(TOKENS["RETENTION"].values())))
    days = {"no-retention": st.just(0), "indefinitely": st.none()}.get(retention, st.integers(1, 4000))

    def item() -> Tree:
        fixed = draw(st.booleans())
        kept_days = draw(days)
        return {
            "ref": draw(st.sampled_from(list(refs) if fixed else ["#dynamic.cookies", "#dynamic.miscdata"])),
            **({} if fixed else {"categories": draw(some(categories))}),
            **({} if kept_days is None else {"kept_days": kept_days}),
            "optional": draw(st.booleans()),
            "what": draw(prose()),
            "where": draw(prose()),
            "keys": ["visits:*"],
        }

    return {
        "title": draw(prose()),
        "consequence": draw(prose()),
        "non_identifiable": anonymous,
        "purposes": draw(practices(purposes, identified)),
        "recipients": draw(practices(list(TOKENS["RECIPIENT"].values()), identified)),
        "retention": retention,
        "ground": draw(st.sampled_from(list(vocabulary.GROUNDS))),
        "data": [item() for _ in range(draw(st.integers(1, 3)))],
    }


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Maps without fault, all of what the vocabulary offers."""
    identified = draw(st.booleans())
    accesses = [name for name in TOKENS["ACCESS"].values() if name != "nonident" or not identified]
    dispute = st.fixed_dictionaries(
        {
            "resolution_type": st.sampled_from(["service", "independent", "court", "law"]),
            "service": st.just("https://court.example/?a=1&b=2"),
            "short_description": prose(),
            "remedies": some(list(TOKENS["REMEDIES"].values()), least=0),
        }
    )
    return {
        "policy_name": draw(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,9}", fullmatch=True)),
        "discuri": "/privacy?a=1&b=2",
        "opturi": "https://shop.example/opt-out",
        "expiry_s": draw(st.integers(86_400, 10**9)),
        "access": draw(st.sampled_from(accesses)),
        "entity": {"name": draw(prose()), "email": "o'neill@shop.example", "city": draw(prose())},
        "disputes": draw(st.lists(dispute, max_size=2)),
        "statements": draw(st.lists(statements(identified), min_size=1, max_size=3)),
    }


def tokens_of(xml: bytes) -> set[str]:
    """The compact policy that the XML calls for, worked out from the file alone (REC 4.5)."""
    policy = ET.fromstring(xml).find(f".//{P3P}POLICY")
    assert policy is not None
    token = {group: {name: token for token, name in table.items()} for group, table in TOKENS.items()}
    suffix = {None: "", "always": "", "opt-in": "i", "opt-out": "o"}
    said = set()
    for group in ("ACCESS", "REMEDIES", "PURPOSE", "RECIPIENT", "RETENTION", "CATEGORIES"):
        for word in policy.iterfind(f".//{P3P}{group}/*"):
            said.add(token[group][word.tag.removeprefix(P3P)] + suffix[word.get("required")])
    for data in policy.iterfind(f".//{P3P}STATEMENT/{P3P}DATA-GROUP/{P3P}DATA"):
        fixed = (FIXED | FIXED_IDENTIFIED).get(data.get("ref", ""), set())
        said |= {token["CATEGORIES"][name] for name in fixed}
    if policy.find(f".//{P3P}DISPUTES") is not None:
        said.add("DSP")
    if all(each.find(f"{P3P}NON-IDENTIFIABLE") is not None for each in policy.iterfind(f"{P3P}STATEMENT")):
        said.add("NID")
    return said


class Text(HTMLParser):
    """What a reader of the page sees, its head apart, and the tags that carry it."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.decode())
        self.close()
        self.said = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "body":
            self.words.clear()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@settings(max_examples=60, deadline=None, database=None)
@given(trees())
def test_any_faultless_map_gives_a_clean_policy_that_says_what_the_xml_says(source: Tree) -> None:
    data_map = load(written(source))
    policy = Policy.from_map(data_map)
    tokens = policy.compact.split(" ")
    assert set(tokens) == tokens_of(policy.xml)
    assert len(set(tokens)) == len(tokens)
    assert not any(token.endswith("a") for token in tokens)
    assert (lint(policy.compact), check_policy_file(policy.xml)) == ([], [])
    assert Policy.from_map(data_map) == policy


@settings(max_examples=40, deadline=None, database=None)
@given(trees())
def test_xml_carries_the_texts_of_any_map_unharmed(source: Tree) -> None:
    data_map = load(written(source))
    root = ET.fromstring(render_policy_file(data_map))
    assert [each.text for each in root.iter(f"{P3P}CONSEQUENCE")] == [
        statement["consequence"] for statement in source["statements"]
    ]
    assert [each.get("short-description") for each in root.iter(f"{P3P}DISPUTES")] == [
        dispute["short_description"] for dispute in source["disputes"]
    ]
    assert source["entity"]["name"] in [each.text for each in root.iter(f"{P3P}DATA")]
    assert [each.get("max-age") for each in root.iter(f"{P3P}EXPIRY")] == [str(source["expiry_s"])] * 2
    policy = root.find(f".//{P3P}POLICY")
    assert policy is not None
    assert policy.attrib == {
        "name": source["policy_name"],
        "discuri": source["discuri"],
        "opturi": source["opturi"],
        "{http://www.w3.org/XML/1998/namespace}lang": "en",
    }
    assert [each.get("optional") == "yes" for each in policy.iterfind(f"{P3P}STATEMENT//{P3P}DATA")] == [
        item["optional"] for statement in source["statements"] for item in statement["data"]
    ]


@settings(max_examples=40, deadline=None, database=None)
@given(trees())
@example(tomllib.loads(SHIPPED_TOML))
def test_page_of_any_map_says_it_all(source: Tree) -> None:
    said = Text(privacy_page(load(written(source)))).said
    kept = {None: "without a time limit", 0: "until the request is answered", 1: "1 day"}

    def says(text: str) -> bool:
        return " ".join(text.split()) in said

    for statement in source["statements"]:
        assert says(statement["title"])
        assert says(statement["consequence"])
        assert says(vocabulary.RETENTIONS[statement["retention"]].prose)
        for word in statement["purposes"]:
            assert says(vocabulary.PURPOSES[word.partition(":")[0]].prose)
        for word in statement["recipients"]:
            assert says(vocabulary.RECIPIENTS[word.partition(":")[0]].prose)
        for item in statement["data"]:
            days = item.get("kept_days")
            assert says(item["what"])
            assert says(f"Kept in: {item['where']}. Kept for: {kept.get(days, f'{days} days')}.")
            kinds = [vocabulary.CATEGORIES[name].prose for name in item.get("categories", [])]
            assert not kinds or says(f"Kind of data: {'; '.join(kinds)}.")
    assert says(vocabulary.ACCESS[source["access"]].prose)
    assert all(says(dispute["short_description"]) for dispute in source["disputes"])
    assert all(says(text) for text in source["entity"].values())


def leaves(value: object, place: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The place of everything in a map that is no list of tables and no table."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*place, key))
    elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            yield from leaves(each, (*place, number))
    else:
        yield place


def another(key: object, value: object) -> object:
    """A value that a key of the map may have, too."""
    choices = {
        "ground": list(vocabulary.GROUNDS),
        "retention": ["business-practices", "legal-requirement"],
        "ref": ["#dynamic.clickstream.timestamp", "#dynamic.clickstream.uri"],
        "access": ["nonident", "none"],
        "resolution_type": list(vocabulary.RESOLUTIONS),
    }
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case list():
            more = {"purposes": "develop", "recipients": "unrelated", "remedies": "money", "categories": "content"}
            return [*value, {"columns": "other.name", "log": "other_name"}.get(str(key)) or more.get(str(key), "other-name")]
        case "#dynamic.cookies" | "#dynamic.miscdata":
            return "#dynamic.cookies" if value == "#dynamic.miscdata" else "#dynamic.miscdata"
        case str() if key in choices:
            return next(word for word in choices[str(key)] if word != value)
        case str() if key in ("discuri", "service", "uri"):
            return value + "/elsewhere"
    return f"{value}x"


def rendered(source: Tree) -> tuple[bytes, bytes, bytes]:
    data_map = load(written(source))
    return privacy_page(data_map), privacy_json(data_map), render_policy_file(data_map)


P3P_ALONE = {"policy_name", "discuri", "expiry_s", "ref"}  # no reader of the page misses them
# Of these P3P has no word; the rest of the map is in the policy file.
NOT_P3P = {"title", "ground", "what", "where", "kept_days", "columns", "keys", "files", "log"}
PLACES = list(leaves(tomllib.loads(SHIPPED_TOML)))


@pytest.mark.parametrize("place", PLACES, ids=[".".join(map(str, place)) for place in PLACES])
def test_each_page_changes_when_what_it_says_changes_and_not_else(place: tuple[Any, ...]) -> None:
    source = tomllib.loads(SHIPPED_TOML)
    before, table = rendered(source), source
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = another(place[-1], table[place[-1]])
    page, machine, policy_file = (old != new for old, new in zip(before, rendered(source), strict=True))
    of_visits = place[0] not in ("accounts", "machinery")
    assert (page, machine, policy_file) == (place[-1] not in P3P_ALONE, True, of_visits and place[-1] not in NOT_P3P)


def test_the_same_map_gives_the_same_bytes_always() -> None:
    assert Policy.from_map(load(SHIPPED_TOML)) == Policy.from_map(default_map())


def test_page_shows_the_compact_policy_and_links_to_the_policy_file() -> None:
    page = Text(Policy.from_map(SHIPPED).page)
    assert compact_policy(SHIPPED) in page.said
    assert "/w3c/p3p.xml" in [attributes.get("href") for _, attributes in page.tags]


def test_page_tells_what_one_may_decline_and_where() -> None:
    page = Text(privacy_page(load(written(tree()))))
    assert "to count and compare without finding out who anybody is, unless you object" in page.said
    assert "/opt-out" in [attributes.get("href") for _, attributes in page.tags]


def test_page_says_what_is_not_the_rule() -> None:
    source = tree()
    said = Text(privacy_page(load(written(source)))).said
    assert ("Not always present." in said, "This is anonymous" in said) == (False, False)
    assert "Rely on the law: The law What comes of it: the law decides what you are due." in said
    source["statements"][0]["non_identifiable"] = True
    source["statements"][0]["data"][0]["optional"] = True
    source["disputes"][0]["remedies"] = ["money", "correct"]
    said = Text(privacy_page(load(written(source)))).said
    assert ("Not always present." in said, "This is anonymous" in said) == (True, True)
    assert "What comes of it: we pay compensation; we put the mistake right." in said


def test_what_is_kept_of_people_who_log_in_is_on_the_page_and_not_in_what_p3p_says_of_visits() -> None:
    source = tree()
    plain = load(written(source))
    assert plain.accounts == () and "If you log in here" not in Text(privacy_page(plain)).said
    source["accounts"] = [
        {
            "what": "Your e-mail.", "why": "To reach you.", "where": "a vault", "kept": "until you leave", "recipients": "nobody",
            "ground": "contract", "keys": ["mails:*"],
        }
    ]
    told = load(written(source))
    said = Text(privacy_page(told)).said
    assert "Your e-mail. To reach you. Kept in: a vault. Kept for: until you leave. Who receives it: nobody." in said
    assert "an agreement with you needs it. Exactly where Redis mails:*" in said
    assert (compact_policy(told), render_policy_file(told)) == (compact_policy(plain), render_policy_file(plain))


def test_page_gives_an_address_to_write_to() -> None:
    source = tree()
    source["entity"].update(street="1 High Street", city="Anytown", uri="https://shop.example/about")
    page = Text(privacy_page(load(written(source))))
    hrefs = [attributes.get("href") for _, attributes in page.tags]
    assert {"mailto:privacy@shop.example", "https://shop.example/about"} <= set(hrefs)
    assert "Example Ltd 1 High Street Anytown privacy@shop.example https://shop.example/about" in page.said


def test_a_gap_in_the_page_is_an_error_and_not_a_blank() -> None:
    with pytest.raises(UndefinedError):
        page_module._ENVIRONMENT.from_string("{{ forgotten }}").render()


def test_page_is_accessible_and_loads_nothing() -> None:
    html = privacy_page(SHIPPED)
    page = Text(html)
    tags = [tag for tag, _ in page.tags]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert not {"script", "img", "link", "iframe"} & set(tags)
    assert {"main", "title", "h1"} <= set(tags)
    assert page.tags[0] == ("html", {"lang": "en"})
    assert b"@media (prefers-color-scheme: dark)" in html
    labels = [attributes["aria-labelledby"] for tag, attributes in page.tags if tag == "section"]
    assert len(labels) == len(SHIPPED.statements) + 5  # people who log in, machinery, choices, who it is, the same for machines
    assert labels == ids


def test_policy_speaks_for_what_tracking_serves_and_nothing_else() -> None:
    reference = ET.fromstring(render_policy_file(SHIPPED)).find(f".//{P3P}POLICY-REF")
    assert reference is not None
    assert [each.text for each in reference.iter(f"{P3P}INCLUDE")] == ["/t/*"]
    assert [each.attrib for each in reference.iter(f"{P3P}COOKIE-INCLUDE")] == [
        {"name": name, "value": "*", "domain": "*", "path": path}
        for name, path in [("*", "/t/*"), *((name, "/") for name in ("pxref", "__Secure-pxref", "pxref-landing", "__Host-pxref", "ID"))]
    ]


def test_other_purposes_and_categories_are_explained_where_they_stand() -> None:
    source = tree()
    source["statements"][0]["purposes"] = ["other-purpose"]
    source["statements"][0]["data"][1]["categories"] = ["other-category"]
    root = ET.fromstring(render_policy_file(load(written(source))))
    assert [each.text for each in root.iter(f"{P3P}other-purpose")] == ["Visits are counted."]
    assert [each.text for each in root.iter(f"{P3P}other-category")] == ["A cookie."]


def test_vocabulary_is_that_of_the_recommendation() -> None:
    groups = {
        "ACCESS": vocabulary.ACCESS,
        "REMEDIES": vocabulary.REMEDIES,
        "PURPOSE": vocabulary.PURPOSES,
        "RECIPIENT": vocabulary.RECIPIENTS,
        "RETENTION": vocabulary.RETENTIONS,
        "CATEGORIES": vocabulary.CATEGORIES,
    }
    assert {
        group: {term.token: name for name, term in terms.items()} for group, terms in groups.items()
    } == TOKENS


def test_one_practice_with_different_consent_is_told_in_full() -> None:
    source = tree()
    source["statements"].append(
        {**source["statements"][0], "purposes": ["pseudo-analysis", "develop:opt-in"]}
    )
    assert "CUR DEVi PSA PSAo OUR" in compact_policy(load(written(source)))


def test_nid_stands_only_if_every_statement_is_anonymous() -> None:
    source = tree()
    source["statements"].append({**source["statements"][0], "non_identifiable": True})
    assert "NID" not in compact_policy(load(written(source))).split()
    source["statements"][0]["non_identifiable"] = True
    assert "NID" in compact_policy(load(written(source))).split()


# --- maps that are refused ---


def statement(**changes: object) -> Callable[[Tree], object]:
    return lambda source: source["statements"][0].update(changes)


def cookie(**changes: object) -> Callable[[Tree], object]:
    return lambda source: source["statements"][0]["data"][1].update(changes)


def both(*changes: Callable[[Tree], object]) -> Callable[[Tree], object]:
    return lambda source: [change(source) for change in changes]


def second_statement(source: Tree) -> None:
    source["statements"].append(copy.deepcopy(source["statements"][0]))


SCRIPT = "javascript:alert(1)"


def access(word: str) -> Callable[[Tree], object]:
    return lambda source: source.update(access=word)


CONTRADICTIONS = {
    "nonident with a physical category": (cookie(categories=["physical"]), ["NOI PHY"]),
    "nonident with a field that the schema fixes": (cookie(ref="#user.name", categories=[]), ["NOI PHY"]),
    "nonident with a use of identified data": (
        statement(purposes=["contact:opt-in"]), ["statements[0].purposes", "CON", "NOI"],
    ),
    "PHY with a bare contact": (
        both(access("none"), cookie(categories=["physical"]), statement(purposes=["contact"])),
        ["PHY CON: Internet Explorer"],
    ),
    "FIN with a bare unrelated recipient": (
        both(access("all"), cookie(categories=["financial"]), statement(recipients=["unrelated"])),
        ["FIN UNR: Internet Explorer"],
    ),
    "anonymous with an identifier": (
        both(access("none"), statement(non_identifiable=True), cookie(categories=["uniqueid"])),
        ["statements[0].data[1].categories: uniqueid (UNI)", "NID UNI"],
    ),
    "anonymous with an identifier in one statement of two": (
        both(second_statement, statement(non_identifiable=True), cookie(categories=["uniqueid"])),
        ["statements[0].data[1].categories: uniqueid (UNI)", "NID"],
    ),
    "anonymous with a place to live in one statement of two": (
        both(
            access("none"),
            second_statement,
            statement(non_identifiable=True),
            cookie(categories=["physical"]),
        ),
        ["statements[0].data[1].categories: physical (PHY)", "NID"],
    ),
    "anonymous with a use of identified data": (
        both(access("none"), statement(non_identifiable=True, purposes=["telemarketing:opt-in"])),
        ["statements[0].purposes: telemarketing (TEL)", "NID"],
    ),
    "no retention but days": (
        statement(retention="no-retention"), ["statements[0].data[0].kept_days: 7", "NOR", "kept_days = 0"],
    ),
    "no limit but days": (
        statement(retention="indefinitely"), ["statements[0].data[1].kept_days: 1", "IND", "no kept_days"],
    ),
    "a purpose but no days": (cookie(kept_days=0), ["statements[0].data[1].kept_days: 0", "STP"]),
    "a timetable without a limit": (
        lambda source: source["statements"][0]["data"][1].pop("kept_days"),
        ["statements[0].data[1].kept_days: no limit", "STP"],
    ),
    "one table and two times": (
        lambda source: [item.update(columns=[f"visits.c{item['kept_days']}"]) for item in source["statements"][0]["data"]],
        ["1 and 7 contradict each other", "table visits"],
    ),
    "an opt-out that leads nowhere": (lambda source: source.pop("opturi"), ["opt-out", "opturi"]),
}


@pytest.mark.parametrize(("change", "named"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_map_that_contradicts_itself_is_refused_by_name(
    change: Callable[[Tree], object], named: list[str]
) -> None:
    data_map = load(spoilt(change))
    with pytest.raises(PolicyError) as refusal:
        Policy.from_map(data_map)
    assert all(name in str(refusal.value) for name in named), refusal.value


MALFORMED_MAPS = {
    "unknown key at the top": (
        lambda source: source.update(discury="/x"), 'discury: there is no such key. Did you mean "discuri"?',
    ),
    "unknown key in a statement": (
        statement(retentoin="x"), 'statements[0].retentoin: there is no such key. Did you mean "retention"?',
    ),
    "unknown key in a field": (
        cookie(kept_day=3),
        'statements[0].data[1].kept_day: there is no such key. Did you mean "kept_days"?',
    ),
    "unlike any key": (
        lambda source: source["entity"].update(zzz=1),
        "entity.zzz: there is no such key. Choose from: city, country, email, name,",
    ),
    "unknown word": (access("nonidnt"), 'access: "nonidnt" is not known here. Did you mean "nonident"?'),
    "unknown consent": (
        statement(purposes=["current", "contact:opt_in"]),
        'statements[0].purposes: "contact:opt_in" is not known here. Did you mean "contact:opt-in"?',
    ),
    "current takes no consent": (
        statement(purposes=["current:opt-in"]), 'statements[0].purposes: nobody can decline "current"',
    ),
    "ours takes no consent": (
        statement(recipients=["ours:opt-out"]), 'statements[0].recipients: nobody can decline "ours"',
    ),
    "twice": (statement(purposes=["admin", "admin"]), 'statements[0].purposes: "admin" stands there twice'),
    "twice with different consent": (
        statement(purposes=["admin", "admin:opt-in"]), '"admin" stands there with two kinds of consent',
    ),
    "no purpose": (statement(purposes=[]), "statements[0].purposes: is empty. Name at least 1."),
    "list": (statement(purposes="admin"), "purposes: is 'admin'. Write a list of words instead."),
    "words": (statement(purposes=[1]), "purposes: holds something else. Write a list of words."),
    "missing word": (
        lambda source: source["statements"][0].pop("retention"),
        "statements[0].retention: is missing. Write one of no-retention, stated-purpose,",
    ),
    "missing discuri": (lambda source: source.pop("discuri"), "discuri: is missing"),
    "entity": (lambda source: source.pop("entity"), "entity: is missing. Write a table, [entity]."),
    "entity is a table": (lambda source: source.update(entity=3), "entity: is 3. Write a table"),
    "no contact": (lambda source: source["entity"].pop("email"), "entity: names no way to ask a question"),
    "no statement": (lambda source: source.update(statements=[]), "statements: is empty"),
    "short expiry": (lambda source: source.update(expiry_s=60), "expiry_s: 60 is less than 86400"),
    "no number": (lambda source: source.update(expiry_s=True), "expiry_s: is True. Write a whole"),
    "days before the visit": (cookie(kept_days=-1), "kept_days: -1 is less than 0"),
    "no flag": (cookie(optional="yes"), "optional: is 'yes'. Write true or false instead."),
    "unknown ref": (
        cookie(ref="#dynamic.cookie"),
        '"#dynamic.cookie" is not known here. Did you mean "#dynamic.cookies"?',
    ),
    "a cookie without categories": (
        lambda source: source["statements"][0]["data"][1].pop("categories"),
        "statements[0].data[1].categories: is missing",
    ),
    "categories against the schema": (
        lambda source: source["statements"][0]["data"][0].update(categories=["state"]),
        "statements[0].data[0].categories: P3P fixes those of #dynamic.http: computer, navigation",
    ),
    "no sentence": (cookie(what="  \n "), "statements[0].data[1].what: is empty"),
    "control": (cookie(what="a\x00b"), "statements[0].data[1].what: holds a control character"),
    "U+FFFF": (cookie(what="a\uffffb"), "what: holds a control character, which XML cannot carry"),
    "no script in discuri": (lambda source: source.update(discuri=SCRIPT), f'discuri: "{SCRIPT}" is not'),
    "no script in opturi": (lambda source: source.update(opturi=SCRIPT), f'opturi: "{SCRIPT}" is not'),
    "no script in a contact": (
        lambda source: source["entity"].update(uri=SCRIPT), f'entity.uri: "{SCRIPT}" is not an http(s)',
    ),
    "no script in a dispute": (
        lambda source: source["disputes"][0].update(service=SCRIPT), f'service: "{SCRIPT}" is not an http(s)',
    ),
    "two slashes lead elsewhere": (
        lambda source: source.update(discuri="//evil.example"), 'discuri: "//evil.example" is not',
    ),
    "a backslash is a slash to browsers": (
        lambda source: source.update(discuri="/\\evil.example"), 'discuri: "/\\evil.example" is not',
    ),
    "e-mail address": (
        lambda source: source["entity"].update(email="a@b?cc=c@d"), "is not an e-mail address",
    ),
    "name is a fragment": (lambda source: source.update(policy_name="two words"), "policy_name:"),
}


@pytest.mark.parametrize(("change", "complaint"), MALFORMED_MAPS.values(), ids=MALFORMED_MAPS)
def test_a_map_that_does_not_say_what_it_must(change: Callable[[Tree], object], complaint: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        load(spoilt(change))
    assert complaint in str(refusal.value)
    assert str(refusal.value).count("\n  - ") == 1


def test_a_misspelt_optional_key_is_recognised_too() -> None:
    def misspell(source: Tree) -> None:
        field = source["statements"][0]["data"][1]
        field["kept_day"] = field.pop("kept_days")

    with pytest.raises(PolicyError, match=r'kept_day: there is no such key\. Did you mean "kept_days"\?'):
        load(spoilt(misspell))


def test_all_complaints_are_told_together() -> None:
    with pytest.raises(PolicyError) as refusal:
        load(spoilt(both(access("x"), cookie(hue="red", what=""), lambda source: source.pop("discuri"))))
    places = [line.partition(":")[0] for line in str(refusal.value).splitlines()]
    field = "statements[0].data[1]"
    assert places[1:] == ["  - discuri", "  - access", f"  - {field}.what", f"  - {field}.hue"]


@pytest.mark.parametrize("bad", ["a = ", b"\xff"], ids=["syntax", "not UTF-8"])
def test_a_map_that_is_not_toml(bad: str | bytes) -> None:
    with pytest.raises(PolicyError, match=r"not TOML in UTF-8: .+ Mend it there\."):
        load(bad)


def test_white_space_of_the_file_is_not_part_of_the_sentence() -> None:
    assert load(spoilt(cookie(what="Two\n  lines. "))).statements[0].data[1].what == "Two lines."


def test_what_is_kept_of_people_who_log_in_is_told_once():
    told = [each["what"] for each in tomllib.loads(SHIPPED_TOML)["accounts"]]
    assert len(set(told)) == len(told)
