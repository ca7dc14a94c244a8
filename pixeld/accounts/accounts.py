"""Accounts: everything that somebody can do with one."""

from __future__ import annotations

from pixeld.accounts.access import Access
from pixeld.accounts.joining import Joining
from pixeld.accounts.owndata import OwnData
from pixeld.accounts.secondfactor import SecondFactor


class Accounts(Joining, Access, SecondFactor, OwnData):
    """How an account begins (joining.py), is entered (access.py), asks for more than a password (secondfactor.py), and what
    its owner does with his data (owndata.py).

    A form is a mapping of field names to texts; InvalidForm tells of every field that is wrong. `address` is the peer's
    network address: attempts are counted by it, and it is kept as a keyed hash only. Every method raises QueueAway without
    Redis.
    """
