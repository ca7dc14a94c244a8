"""The menus, by audience: (path, name) in the order in which they are shown."""

from __future__ import annotations

MENUS: dict[str, tuple[tuple[str, str], ...]] = {
    "partner": (
        ("/portal/partner", "Overview"),
        ("/portal/partner/clients", "Find clients"),
        ("/portal/partner/memberships", "Memberships"),
        ("/portal/partner/links", "Tracking links"),
        ("/portal/partner/transactions", "Transactions"),
        ("/portal/performance", "Performance"),
        ("/portal/audience", "Audience"),
        ("/portal/keys", "API keys"),
        ("/portal/account", "Your account"),
    ),
    "client": (
        ("/portal/client", "Overview"),
        ("/portal/client/partners", "Partners"),
        ("/portal/client/orders", "Orders"),
        ("/portal/performance", "Performance"),
        ("/portal/audience", "Audience"),
        ("/portal/client/commission", "Commission"),
        ("/portal/client/messages", "Messages"),
        ("/portal/client/pixel", "Order pixel"),
        ("/portal/client/settings", "Settings"),
        ("/portal/client/colleagues", "Colleagues"),
        ("/portal/keys", "API keys"),
        ("/portal/account", "Your account"),
    ),
    "operator": (
        ("/portal/operator", "Overview"),
        ("/portal/operator/clients", "Clients"),
        ("/portal/operator/partners", "Partners"),
        ("/portal/operator/memberships", "Memberships"),
        ("/portal/operator/accounts", "Accounts"),
        ("/portal/performance", "Performance"),
        ("/portal/audience", "Audience"),
        ("/portal/operator/mail", "Mail outbox"),
        ("/portal/operator/policies", "Privacy policy"),
        ("/portal/operator/audit", "Audit log"),
        ("/portal/operator/health", "Health"),
        ("/portal/account", "Your account"),
    ),
}


def here(menu: tuple[tuple[str, str], ...], path: str) -> str:
    """The entry of `menu` that `path` is, or is below; the longest one. Empty for none."""
    return max((to for to, _ in menu if path == to or path.startswith(f"{to}/")), key=len, default="")
