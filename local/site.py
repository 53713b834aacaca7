"""Serves the pages on this machine as Firebase Hosting does: the same headers, `/api/**` led to the functions."""

import json
import sys
import threading
import urllib.parse
from collections.abc import Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from local.bundle import ROOT
from local.pages import built
from local.ports import HOST, port_from
from local.stack import Stack
from local.web import call

TAKES_UNSIGNED = {"FIREBASE_AUTH_EMULATOR_HOST": HOST}
"""What the functions must be told so that they take the tokens of people who have only said who they are. It counts beside an
emulator alone."""
CONFIG = "/__/firebase/init.json"
"""Where Hosting tells a page which project it belongs to."""
MOST = 1 << 20
"""Bytes of a call's body; more than the functions take."""
LONGEST = 1800.0


def headers(emulator: str) -> dict[str, str]:
    """Return the headers that firebase.json gives every page; beside an emulator, its address may be called too."""
    [every] = [each for each in json.loads((ROOT / "firebase.json").read_text())["hosting"]["headers"] if each["source"] == "**"]
    found = {each["key"]: each["value"] for each in every["headers"]}
    policy = "Content-Security-Policy"
    return found | {policy: found[policy].replace("connect-src 'self'", f"connect-src 'self' http://{emulator}")}


class Site:
    """The pages of a stack, served inside `with` by a thread. `url` is their address."""

    def __init__(self, stack: Stack, pages: Path | None = None) -> None:
        """Describe the server; the pages are made anew where that is due."""
        self._functions, emulator = stack.functions_url, stack.emulator_host
        self._pages = pages or built()
        self._config = {"projectId": stack.project, "apiKey": "local", "local": {"firestore": emulator}}
        self._headers = headers(emulator)
        self._port = port_from("BOTHWAYS_HOSTING_PORT")
        self.url = f"http://{HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._server = _Server((HOST, self._port), self._handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, *arguments: Any) -> "_Handler":
        return _Handler(*arguments, site=self)

    def allows(self, host: str | None) -> bool:
        """Return whether a request names this server: one of a page elsewhere, whose name leads here, does not."""
        return host in {f"{HOST}:{self._port}", f"localhost:{self._port}"}

    @property
    def config(self) -> bytes:
        """What a page must know of the project."""
        return json.dumps(self._config).encode()

    @property
    def pages(self) -> Path:
        """The folder that is served."""
        return self._pages

    @property
    def headers(self) -> Mapping[str, str]:
        """What every answer carries."""
        return self._headers

    def function(self, path: str, method: str, body: bytes | None, token: str | None) -> tuple[int, bytes]:
        """Return what the functions answer; 502 if they do not."""
        sent = {"Authorization": token} if token else {}
        try:
            return call(method, f"{self._functions}/dashboard{path}", json.loads(body) if body else None, sent, LONGEST)
        except OSError:
            return 502, b'{"errors": [{"kind": "Unreachable", "message": "the functions do not answer"}]}'


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has left before its answer came."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, site: Site) -> None:
        self._site = site
        super().__init__(*arguments, directory=str(site.pages))

    def do_GET(self) -> None:
        path = urllib.parse.urlsplit(self.path).path
        if not self._site.allows(self.headers.get("Host")):
            self._answer(421, b"{}")
        elif path == CONFIG:
            self._answer(200, self._site.config)
        elif path.startswith("/api/"):
            self._answer(*self._site.function(path, "GET", None, self.headers.get("Authorization")))
        else:
            self.path = path if path == "/" or "." in path.rpartition("/")[2] else f"{path}.html"  # as cleanUrls has it
            super().do_GET()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if not self._site.allows(self.headers.get("Host")) or length > MOST:
            self.close_connection = True
            self._answer(421, b"{}")
            return
        body, path = self.rfile.read(length), urllib.parse.urlsplit(self.path).path
        if path.startswith("/api/"):
            self._answer(*self._site.function(path, "POST", body, self.headers.get("Authorization")))
        else:
            self._answer(404, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Add what firebase.json says; nothing is kept, since the next `make` may serve something newer."""
        for name, value in self._site.headers.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing: paths are no news."""
