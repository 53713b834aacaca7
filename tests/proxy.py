"""A proxy between the functions and the backend that breaks what it is told to break."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import requests


@dataclass(frozen=True)
class Forward:
    """A request on its way to the backend; calling it asks the backend and returns its answer."""

    method: str
    origin: str
    target: str
    headers: dict[str, str]
    sent: bytes
    noted: Callable[[Forward], None]

    def __call__(self) -> requests.Response:
        answer = requests.request(self.method, self.origin + self.target, data=self.sent, headers=self.headers, timeout=60)
        if answer.ok:
            self.noted(self)
        return answer

    def cut_short(self) -> None:
        """Send the backend the first half of the request and cut the connection."""
        place = urlsplit(self.origin)
        line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        line.putrequest(self.method, self.target)
        for name, value in self.headers.items():
            line.putheader(name, value)
        if self.sent:
            line.endheaders(self.sent[: len(self.sent) // 2])
        reset(line.sock)

    @property
    def call(self) -> str:
        """The call of the REST contract, such as `apply`."""
        return urlsplit(self.target).path.rstrip("/").rpartition("/")[2]

    @property
    def json(self) -> Any:
        """The body, as what it says."""
        return json.loads(gzip.decompress(self.sent) if self.headers.get("Content-Encoding") == "gzip" else self.sent)


Fault = Callable[[BaseHTTPRequestHandler, Forward], bool]
"""Answers a request in its own way and returns True, or returns False to let it through."""


def reset(line: socket.socket | None) -> None:
    """Cut a connection so that the other end is told of a reset, not of an end."""
    if line is not None and line.fileno() >= 0:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(line.detach())


def status(code: int, **headers: str) -> Fault:
    """Answer with a status and an empty body, without asking the backend."""

    def fault(handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return fault


def page(handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
    """Answer with a page for people, as a gateway does."""
    body = b"<html><body>We are back soon</body></html>"
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    return True


def half(handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
    """Do what was asked, and lose half of the answer on the way back."""
    answer = forward()
    _send(handler, answer, answer.content[: len(answer.content) // 2])
    return True


def refused(handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
    """Cut the caller off before the backend hears of the request."""
    reset(handler.connection)
    return True


def cut_short(handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
    """Cut both sides off when half of the request is through."""
    forward.cut_short()
    reset(handler.connection)
    return True


def unanswered(handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
    """Do what was asked, and cut the caller off instead of answering."""
    forward()
    reset(handler.connection)
    return True


def late(seconds: float) -> Fault:
    """Let the request through after a while."""

    def fault(handler: BaseHTTPRequestHandler, forward: Forward) -> bool:
        time.sleep(seconds)
        return False

    return fault


def _send(handler: BaseHTTPRequestHandler, answer: requests.Response, content: bytes) -> None:
    handler.send_response(answer.status_code)
    handler.send_header("Content-Type", answer.headers.get("Content-Type", ""))
    handler.send_header("Content-Length", str(len(answer.content)))
    handler.end_headers()
    handler.wfile.write(content)


class Proxy:
    """Listens on 127.0.0.1 inside `with`. `faults` maps the end of a path (`apply/`) to what goes wrong there.

    `seen` names the calls that came, `done` holds the requests that the backend answered well.
    """

    def __init__(self, backend_url: str) -> None:
        self.backend = urlsplit(backend_url)
        self.faults: dict[str, Fault] = {}
        self.seen: list[str] = []
        self.done: list[Forward] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.handle(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{self.backend.path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Do with a request what is to be done; where the backend is gone, or the caller, cut the other one off."""
        try:
            self._handle(handler)
        except OSError:  # requests' own errors are such too
            reset(handler.connection)

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        sent = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in {"host", "accept-encoding"}}
        origin = f"{self.backend.scheme}://{self.backend.netloc}"
        forward = Forward(handler.command, origin, handler.path, headers, sent, self.done.append)
        self.seen.append(forward.call)
        path = urlsplit(handler.path).path
        fault = next((fault for end, fault in self.faults.items() if path.endswith(end)), None)
        handler.close_connection = fault is not None
        if fault is None or not fault(handler, forward):
            answer = forward()
            _send(handler, answer, answer.content)
