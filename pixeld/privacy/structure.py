"""A structural check of our own policy file, element by element.

Not a schema validation: W3C's schema for P3P is no longer to be had, and nothing here claims to stand in for
it. The rules are those of REC 2.3 and 3 ("REC" is the W3C Recommendation P3P1.0 of 16 April 2002) that the
Mozilla/IBM parser enforced, plus one of ours: a file without COOKIE-INCLUDE backs no compact policy, which
speaks about cookies only. It is given pixeld's own output and test samples, never a stranger's file; so the
parser's open flank against entity bombs does not matter here, and this must not be fed from a request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from xml.etree import ElementTree as ET

from pixeld.privacy import vocabulary as p3p
from pixeld.privacy.policyfile import NAMESPACE

# REC 2.3.2, 3.2, 3.3: the children in their order; ? at most one, * any number, + at least one. EXTENSION may
# stand anywhere and is passed over.
_STATEMENT = "CONSEQUENCE? PURPOSE RECIPIENT RETENTION DATA-GROUP+"
# REC 3.3.3: data that is anonymous needs no more than that said.
_ANONYMOUS_STATEMENT = "CONSEQUENCE? NON-IDENTIFIABLE PURPOSE? RECIPIENT? RETENTION? DATA-GROUP*"
_CHILDREN = {
    "META": "POLICY-REFERENCES POLICIES?",
    "POLICY-REFERENCES": "EXPIRY? POLICY-REF+ HINT*",
    "POLICY-REF": "INCLUDE* EXCLUDE* COOKIE-INCLUDE* COOKIE-EXCLUDE* METHOD*",
    "POLICIES": "EXPIRY? DATASCHEMA? POLICY*",
    "POLICY": "TEST? ENTITY ACCESS DISPUTES-GROUP? STATEMENT+",
    "ENTITY": "DATA-GROUP",
    "DISPUTES-GROUP": "DISPUTES+",
    "DISPUTES": "LONG-DESCRIPTION? IMG? REMEDIES?",
    "DATA-GROUP": "DATA+",
    "DATA": "CATEGORIES?",
}
# Elements that hold words of the vocabulary: exactly one (True) or at least one.
_WORDS: Mapping[str, tuple[Mapping[str, p3p.Term], bool]] = {
    "ACCESS": (p3p.ACCESS, True),
    "REMEDIES": (p3p.REMEDIES, False),
    "PURPOSE": (p3p.PURPOSES, False),
    "RECIPIENT": (p3p.RECIPIENTS, False),
    "RETENTION": (p3p.RETENTIONS, True),
    "CATEGORIES": (p3p.CATEGORIES, False),
}
_ATTRIBUTES = {
    "POLICY-REF": ("about",),
    "POLICY": ("name", "discuri"),
    "DISPUTES": ("resolution-type", "service"),
    "IMG": ("src", "alt"),
    "DATA": ("ref",),
}


def check_policy_file(xml: bytes) -> list[str]:
    """What is wrong with this policy reference file, each complaint with its place; empty if nothing is."""
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        return [f"The file is not well-formed XML: {error}."]
    found = []
    if _name(root) != "META":
        found.append(f"{_name(root)}: a policy reference file begins with META (REC 2.3.2).")
    if root.tag != f"{{{NAMESPACE}}}{_name(root)}":
        found.append(f'{_name(root)}: it is not of P3P. Write xmlns="{NAMESPACE}" (REC 2.3.2).')
    for place, element in _walk(root, _name(root)):
        found += [f"{place}: {complaint}" for rule in _RULES for complaint in rule(element)]
    return [*found, *_unresolved(root)]


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _walk(element: ET.Element, place: str) -> Iterator[tuple[str, ET.Element]]:
    """Every element and its place, ``META/POLICIES/POLICY/STATEMENT[2]``; extensions and schemas left out."""
    yield place, element
    siblings = Counter(_name(child) for child in element)
    seen: Counter[str] = Counter()
    for child in element:
        name = _name(child)
        seen[name] += 1
        if name not in ("EXTENSION", "DATASCHEMA"):
            yield from _walk(child, f"{place}/{name}" + (f"[{seen[name]}]" if siblings[name] > 1 else ""))


def _below(element: ET.Element, name: str) -> list[ET.Element]:
    return [each for each in element.iter() if _name(each) == name]


def _children(element: ET.Element) -> Iterator[str]:
    names = [name for name in map(_name, element) if name != "EXTENSION"]
    model = _CHILDREN.get(_name(element))
    if _name(element) == "STATEMENT":
        model = _ANONYMOUS_STATEMENT if "NON-IDENTIFIABLE" in names else _STATEMENT
    if model is None:
        return
    wanted = [(part.rstrip("?*+"), part[-1]) for part in model.split()]
    for name, times in wanted:
        count = names.count(name)
        if count == 0 and times not in "?*":
            yield f"{name} is missing. Add {'at least' if times == '+' else 'exactly'} one."
        elif count > 1 and times not in "*+":
            yield f"there are {count} of {name}. Keep one."
    order = [name for name, _ in wanted]
    yield from (f"{name} does not belong here. Take it out." for name in names if name not in order)
    known = [name for name in names if name in order]
    if known != sorted(known, key=order.index):
        yield f"the children stand as {' '.join(known)}. The order is {' '.join(order)}."


def _words(element: ET.Element) -> Iterator[str]:
    terms, exactly_one = _WORDS.get(_name(element), ({}, False))
    if not terms:
        return
    names = [name for name in map(_name, element) if name != "EXTENSION"]
    if not names or (exactly_one and len(names) > 1):
        many = "exactly" if exactly_one else "at least"
        yield f"it holds {len(names)} values. Write {many} one of {', '.join(terms)}."
    yield from (f"{name} is not one of {', '.join(terms)}." for name in names if name not in terms)


def _attributes(element: ET.Element) -> Iterator[str]:
    for attribute in _ATTRIBUTES.get(_name(element), ()):
        if not element.get(attribute):
            yield f"the attribute {attribute} is missing. Write it."
    resolution = element.get("resolution-type")
    if resolution and resolution not in p3p.RESOLUTIONS:
        yield f"resolution-type {resolution} is not one of {', '.join(p3p.RESOLUTIONS)}."
    if _name(element) == "EXPIRY" and not (element.get("max-age", "").isdecimal() or element.get("date")):
        yield "it has neither max-age in seconds nor date. Write one (REC 2.3.2.3)."


def _consent(element: ET.Element) -> Iterator[str]:
    if _name(element) not in ("PURPOSE", "RECIPIENT"):
        return
    for practice in element:
        required = practice.get("required")
        if required is not None and _name(practice) in p3p.ALWAYS_REQUIRED:
            yield f"{_name(practice)} takes no attribute required. Take it out."
        elif required is not None and required not in p3p.REQUIRED:
            yield f"{_name(practice)} has required={required}, not one of {', '.join(p3p.REQUIRED)}."


def _data(element: ET.Element) -> Iterator[str]:
    ref = element.get("ref")
    if _name(element) != "DATA" or not ref:
        return
    if "#" not in ref:
        yield f"ref {ref} has no #, so that it names no element of a schema."
    elif p3p.REFS.get(f"#{ref.partition('#')[2]}") == () and not _below(element, "CATEGORIES"):
        yield f"{ref} may mean anything. Give it CATEGORIES (REC 5.6)."


def _entity(element: ET.Element) -> Iterator[str]:
    if _name(element) != "ENTITY":
        return
    refs = {(each.get("ref") or "").partition("#")[2] for each in _below(element, "DATA") if each.text}
    if "business.name" not in refs:
        yield "it has no #business.name. Say who it is (REC 3.2.4)."
    if not any(ref.startswith("business.contact-info.") for ref in refs):
        yield "it has no #business.contact-info. Say how to reach them (REC 3.2.4)."


def _policy(element: ET.Element) -> Iterator[str]:
    if _name(element) != "POLICY":
        return
    if _below(element, "TEST"):
        yield "TEST voids the policy (REC 3.2.3). Take it out."
    choices = {each.get("required") for each in element.iter()} & {"opt-in", "opt-out"}
    if choices and not element.get("opturi"):
        yield f"{' and '.join(sorted(map(str, choices)))} is offered without opturi. Say where (REC 3.2.2)."


def _policy_ref(element: ET.Element) -> Iterator[str]:
    if _name(element) != "POLICY-REF":
        return
    if _below(element, "EXCLUDE") and not _below(element, "INCLUDE"):
        yield "EXCLUDE without INCLUDE is ignored (REC 2.3.2). Add INCLUDE or drop it."
    if not _below(element, "COOKIE-INCLUDE"):
        yield "no COOKIE-INCLUDE, so that the policy speaks for no cookie. Add one."


_RULES: tuple[Callable[[ET.Element], Iterator[str]], ...] = (
    _children, _words, _attributes, _consent, _data, _entity, _policy, _policy_ref,
)


def _unresolved(root: ET.Element) -> Iterator[str]:
    names = {policy.get("name") for policy in _below(root, "POLICY")}
    for reference in _below(root, "POLICY-REF"):
        about = reference.get("about")
        if about and not (about.startswith("#") and about[1:] in names):
            yield f"POLICY-REF about={about}: this file holds no POLICY of that name. Correct one of them."
