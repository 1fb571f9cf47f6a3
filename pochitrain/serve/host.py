"""The host names that the service accepts.

A web page can make its own host name resolve to 127.0.0.1 (DNS rebinding), and the browser then
lets it read the responses of the service. It cannot change the Host header, which holds that name.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class AllowedHosts:
    """ASGI middleware: accepts localhost, IP addresses and `names` in the Host header."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        """Wrap `app`.

        Args:
            names: further host names, case-insensitive; `*` for all.
        """
        self.app = app
        self.names = {name.lower().rstrip(".") for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host") if scope["type"] == "http" else None
        if host is None or self.allows(host):  # HTTP/1.0 has no Host; browsers always send it
            await self.app(scope, receive, send)
            return
        reason = "The service does not answer under this name (--allowed-host NAME allows it)."
        await JSONResponse({"detail": reason}, 400)(scope, receive, send)

    def allows(self, host: str) -> bool:
        """Whether a Host header (name or address, perhaps with a port) is accepted."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if "*" in self.names or name in self.names:
            return True
        return name == "localhost" or name.endswith(".localhost") or is_address(name)


def is_address(name: str) -> bool:
    """Whether `name` is an IPv4 or IPv6 address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
