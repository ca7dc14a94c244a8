"""The visitor's own pages: what their browser holds, and how they delete it, opt out and opt in again.

They need neither an account nor JavaScript, and are there without the portal. A shop's page lies below `/t/{client}/`, as its
cookie is sent nowhere else; `/my-data` shows them all, each in a frame.
"""

from __future__ import annotations

from pixeld.web.visitor.keys import BURST, PER_S, Services
from pixeld.web.visitor.pages import add_routes

__all__ = ["BURST", "PER_S", "Services", "add_routes"]
