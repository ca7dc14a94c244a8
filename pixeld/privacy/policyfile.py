"""The policy file, ``/w3c/p3p.xml``: a policy reference file with the full policy inline.

"REC" is the W3C Recommendation P3P1.0 of 16 April 2002. The order of elements is the one that its grammar and
the Mozilla/IBM parser share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from xml.etree import ElementTree as ET

from pixeld.privacy import vocabulary as p3p
from pixeld.privacy.datamap import DataItem, DataMap, Dispute, Entity, Practice, Statement

NAMESPACE = "http://www.w3.org/2002/01/P3Pv1"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

# The policy speaks for what tracking serves and for the cookies that visitors are given, and for nothing else: the
# partner portal on the same host has sessions of its own, which this policy does not describe. So cookies of the whole
# host are named one by one.
_COVERED = "/t/*"


def render_policy_file(data_map: DataMap) -> bytes:
    """The promises of the compact policy and the page as UTF-8 XML. The same map gives the same bytes."""
    root = ET.Element("META", xmlns=NAMESPACE)
    references = ET.SubElement(root, "POLICY-REFERENCES")
    _expiry(references, data_map)
    reference = ET.SubElement(references, "POLICY-REF", about=f"#{data_map.policy_name}")
    ET.SubElement(reference, "INCLUDE").text = _COVERED
    ET.SubElement(reference, "COOKIE-INCLUDE", name="*", value="*", domain="*", path=_COVERED)
    for name in (name for statement in data_map.statements for item in statement.data for name in item.places.cookies):
        ET.SubElement(reference, "COOKIE-INCLUDE", name=name, value="*", domain="*", path="/")
    policies = ET.SubElement(root, "POLICIES")
    # Erratum E2 of the REC leaves open whether the references' EXPIRY holds for inline policies too.
    _expiry(policies, data_map)
    _policy(policies, data_map)
    ET.indent(root)
    xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _expiry(parent: ET.Element, data_map: DataMap) -> None:
    ET.SubElement(parent, "EXPIRY", {"max-age": str(data_map.expiry_s)})


def _policy(parent: ET.Element, data_map: DataMap) -> None:
    opturi = {"opturi": data_map.opturi} if data_map.opturi else {}
    policy = ET.SubElement(
        parent, "POLICY", {"name": data_map.policy_name, "discuri": data_map.discuri, **opturi, _LANG: "en"}
    )
    _entity(policy, data_map.entity)
    _named(policy, "ACCESS", [data_map.access])
    if data_map.disputes:
        group = ET.SubElement(policy, "DISPUTES-GROUP")
        for dispute in data_map.disputes:
            _dispute(group, dispute)
    for statement in data_map.statements:
        _statement(policy, statement)


def _entity(parent: ET.Element, entity: Entity) -> None:
    group = ET.SubElement(ET.SubElement(parent, "ENTITY"), "DATA-GROUP")
    for ref, value in {
        "#business.name": entity.name,
        "#business.contact-info.postal.street": entity.street,
        "#business.contact-info.postal.city": entity.city,
        "#business.contact-info.postal.stateprov": entity.region,
        "#business.contact-info.postal.postalcode": entity.postal_code,
        "#business.contact-info.postal.country": entity.country,
        "#business.contact-info.online.email": entity.email,
        "#business.contact-info.online.uri": entity.uri,
    }.items():
        if value:
            ET.SubElement(group, "DATA", ref=ref).text = value


def _dispute(parent: ET.Element, dispute: Dispute) -> None:
    element = ET.SubElement(parent, "DISPUTES", {
        "resolution-type": dispute.resolution_type,
        "service": dispute.service,
        "short-description": dispute.short_description,
    })
    if dispute.remedies:
        _named(element, "REMEDIES", dispute.remedies)


def _statement(parent: ET.Element, statement: Statement) -> None:
    element = ET.SubElement(parent, "STATEMENT")
    ET.SubElement(element, "CONSEQUENCE").text = statement.consequence
    if statement.non_identifiable:
        ET.SubElement(element, "NON-IDENTIFIABLE")
    _practices(element, "PURPOSE", statement.purposes, statement)
    _practices(element, "RECIPIENT", statement.recipients, statement)
    _named(element, "RETENTION", [statement.retention])
    group = ET.SubElement(element, "DATA-GROUP")
    for item in statement.data:
        _item(group, item)


def _practices(parent: ET.Element, tag: str, practices: Iterable[Practice], statement: Statement) -> None:
    element = ET.SubElement(parent, tag)
    for practice in practices:
        required = {} if practice.required == "always" else {"required": practice.required}
        child = ET.SubElement(element, practice.name, required)
        if practice.name == "other-purpose":  # REC 3.3.4: it must be explained where it stands
            child.text = statement.consequence


def _item(parent: ET.Element, item: DataItem) -> None:
    data = ET.SubElement(parent, "DATA", {"ref": item.ref, **({"optional": "yes"} if item.optional else {})})
    if not p3p.REFS[item.ref]:
        _named(data, "CATEGORIES", item.categories)
        for other in data.iter("other-category"):  # REC 3.4: likewise
            other.text = item.what


def _named(parent: ET.Element, tag: str, names: Collection[str]) -> None:
    element = ET.SubElement(parent, tag)
    for name in names:
        ET.SubElement(element, name)
