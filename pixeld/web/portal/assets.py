"""Stylesheet, scripts and pictures: served from memory, under addresses that change with what is in them."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

_FOREVER = "public, max-age=31536000, immutable"
_KINDS = (".css", ".js", ".svg")  # what is served; licences and notes beside them are for readers of the source


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    kind: str


def address(name: str) -> str:
    """Where `name`, a path below `web/static/portal/`, is served. KeyError when there is no such file."""
    return f"/portal/static/{_names()[name]}"


async def serve(request: web.Request) -> web.Response:
    """One file; under an old or made-up address there is none."""
    found = _assets().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return web.Response(body=found.body, content_type=found.kind, charset="utf-8", headers={"Cache-Control": _FOREVER})


@cache
def _assets() -> dict[str, _Asset]:
    return {_names()[name]: _Asset(body, mimetypes.guess_type(name)[0] or "") for name, body in _files().items()}


@cache
def _names() -> dict[str, str]:
    """Each file's name, and the name that it is served by: `portal.css` is `portal.0123456789ab.css`."""
    names = {}
    for name, body in _files().items():
        stem, _, ending = name.rpartition(".")
        names[name] = f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{ending}"
    return names


@cache
def _files() -> dict[str, bytes]:
    return dict(_below(resources.files("pixeld.web") / "static" / "portal", ""))


def _below(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _below(each, f"{path}{each.name}/")
        elif each.name.endswith(_KINDS):
            found.append((path + each.name, each.read_bytes()))
    return found
