"""The page that shows the API's OpenAPI document to people. It needs no script, and nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup, escape

_LOADER = jinja2.PackageLoader("pixeld.web", "templates/api")
_CODE = re.compile("`([^`]+)`")


def page(document: Mapping[str, Any]) -> str:
    """The document as HTML, beside which `style()` is `docs.css` and the document itself `openapi.json`."""
    return _ENVIRONMENT.get_template("docs.html").render(document=document)


def style() -> str:
    """Its stylesheet."""
    return _LOADER.get_source(_ENVIRONMENT, "docs.css")[0]


def _prose(text: str) -> Markup:
    """Text with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


_ENVIRONMENT = jinja2.Environment(loader=_LOADER, autoescape=True, trim_blocks=True, lstrip_blocks=True)
_ENVIRONMENT.filters["prose"] = _prose
