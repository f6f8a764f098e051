"""Access control of the studio: same-origin requests, from this machine or with the token; one session per user."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION, TOKEN = "refinefuse-session", "refinefuse-token"  # cookie names
_YEAR = 31_536_000
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def is_loopback(host: str) -> bool:
    """Return whether a server bound to this host is reachable only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """ASGI middleware that admits requests of the studio's page and assigns each browser a session.

    Blocks other web sites open in the same browser, whether by DNS rebinding or by cross-origin requests.

    Args:
        app: the wrapped application.
        token: token that every browser must present once; empty means none, and only loopback host names are accepted.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request, or pass it on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        cookies = _cookies(headers)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self.token and given and secrets.compare_digest(given.encode(), self.token.encode()):
            response = RedirectResponse("/", 303, _HEADERS)
            response.set_cookie(TOKEN, self.token, _YEAR, httponly=True, samesite="strict")
            return await response(scope, receive, send)
        refusal = self._refusal(headers, cookies)
        if refusal is not None:
            return await refusal(scope, receive, send)
        session = cookies.get(SESSION, "")
        is_new = len(session) < 20
        scope["session"] = session = secrets.token_urlsafe(24) if is_new else session
        await self.app(scope, receive, _with_headers(send, session if is_new else None))
        return None

    def _refusal(self, headers: Headers, cookies: Mapping[str, str]) -> PlainTextResponse | None:
        host = headers.get("host", "")
        origin = headers.get("origin")
        if not self.token and not is_loopback(_name(host)):
            return PlainTextResponse("Open the studio at the address that it printed.", 403, _HEADERS)
        if origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("Other websites may not use the studio.", 403, _HEADERS)
        shown = cookies.get(TOKEN, "")
        if self.token and not secrets.compare_digest(shown.encode(), self.token.encode()):
            text = "This studio requires a token. Open the full address that `refinefuse studio` printed."
            return PlainTextResponse(text, 401, _HEADERS)
        return None


def _name(host: str) -> str:
    """Strip the port from a host."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _with_headers(send: Send, session: str | None) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            if session is not None:
                cookie = f"{SESSION}={session}; Path=/; Max-Age={_YEAR}; SameSite=Strict"  # read by the page
                headers.append("Set-Cookie", cookie)
        await send(message)

    return wrapped
