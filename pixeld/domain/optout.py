"""The opt-out cookie: the one thing that a visitor who wants to be left alone leaves here.

The value is `OPT_OUT`, exactly: Internet Explorer leaves a cookie `ID=OPT_OUT` alone whatever a site's privacy policy says.
"""

from __future__ import annotations

NAME, VALUE = "ID", "OPT_OUT"
DAYS = 400  # the most that browsers keep a cookie
COOKIE = f"{NAME}={VALUE}"
_WHERE = "Path=/; Max-Age={}; Secure; HttpOnly; SameSite=None"
SET = f"{COOKIE}; {_WHERE.format(DAYS * 86_400)}"  #: the `Set-Cookie` of opting out
UNSET = f"{NAME}=; {_WHERE.format(0)}"  #: and of opting in again


def chosen(cookies: str) -> bool:
    """Whether a `Cookie` header says that its sender has opted out."""
    return COOKIE in cookies and any(pair.strip(" \t") == COOKIE for pair in cookies.split(";"))
