"""The function before the rooms: it knows who is asking, hands out the page, and lets sockets through to their room."""

import re
import time
from pathlib import Path
from urllib.parse import parse_qs, quote

import sessions
from room import Room

from holdfast import Env, Request, Response

__all__ = ["Room", "fetch"]

LOBBY = "/rooms/lobby"
ROOM = re.compile(r"/rooms/([a-z0-9-]{1,40})")
NAME = re.compile(r"\w[\w .'-]{0,29}")
USER = "X-User"
LOGIN, PAGE, SCRIPT = [(Path(__file__).parent / name).read_text() for name in ("login.html", "room.html", "room.js")]
# Nothing but our own script runs in our pages, and nobody frames them.
POLICY = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'"


def fetch(request: Request, env: Env) -> Response:
    if request.path == "/room.js":
        return _text(SCRIPT, "text/javascript")
    if request.method == "POST":
        return _log_in(request, env)
    user = sessions.read(request.headers.get("Cookie", ""), env.SESSION_KEY, time.time())
    if user is None:
        return _text(LOGIN, status=401)
    found = ROOM.fullmatch(request.path)
    if found is None:
        return Response("", 303, {"Location": LOBBY})
    if not request.wants_socket and not request.wants_events:
        return _text(PAGE)
    request.headers[USER] = quote(user)  # what a client says there is replaced: the room believes it
    return env.ROOM.id_from_name(found[1]).fetch(request)


def _log_in(request: Request, env: Env) -> Response:
    """Whoever gives a name is believed. Ask for more here: a password, a mail, another service."""
    name = parse_qs(request.text()).get("name", [""])[0].strip()
    if not NAME.fullmatch(name):
        return _text(LOGIN, status=400)
    cookie = sessions.make(name, env.SESSION_KEY, time.time(), secure=request.url.startswith("https:"))
    to = request.path if ROOM.fullmatch(request.path) else LOBBY  # "//other.example" is a path too
    return Response("", 303, {"Location": to, "Set-Cookie": cookie})


def _text(text: str, kind: str = "text/html", status: int = 200) -> Response:
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Security-Policy": POLICY}
    return Response(text, status, headers)
