"""Versions of the privacy policy: what changed, who was told, who consented."""

from __future__ import annotations

from typing import NamedTuple

from pixeld.accounts.account import Account


class PolicyVersion(NamedTuple):
    """One version. Where `changes_use`, personal data is used anew, and `question` asks each user whether it may be theirs."""

    number: int  #: from 1
    posted_ms: int  #: 0 for the first version, which is there from the start
    summary: str
    changes_use: bool
    question: str


class Policies:
    """The versions, newest last. Version 1 is there before any is posted."""

    async def current(self) -> PolicyVersion:
        """The newest version."""
        raise NotImplementedError

    async def history(self) -> list[PolicyVersion]:
        """Every version, newest first."""
        raise NotImplementedError

    async def post(self, summary: str, changes_use: bool, question: str, who: str) -> PolicyVersion:
        """Post a new version and notify every account by mail. InvalidForm (summary, question)."""
        raise NotImplementedError

    async def consent(self, account: Account, version: int, answer: bool) -> Account:
        """Remember an answer to a version's question; it may be given anew. NotFound for a version that asks nothing."""
        raise NotImplementedError

    async def question_for(self, account: Account) -> PolicyVersion | None:
        """The oldest version whose question the account has to answer; None when it has none."""
        raise NotImplementedError

    async def use_allowed(self, account: Account, version: int | None = None) -> bool:
        """Whether the account's data may be used as `version` (the newest that changes use, without one) says: once it said
        yes, or registered under that version or a later one. Until then the old use holds.
        """
        raise NotImplementedError
