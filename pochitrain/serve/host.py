"""Which names the service answers under.

A page of anybody's can make its own name lead to 127.0.0.1 (DNS rebinding); the browser then lets
it read what the service says. It cannot change the Host header, which still holds that name.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class AllowedHosts:
    """ASGI middleware: answers under localhost, addresses (which no name leads to), and `names`."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        """`names`: in any case; `*` for all."""
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
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if "*" in self.names or name in self.names:
            return True
        return name == "localhost" or name.endswith(".localhost") or is_address(name)


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
