"""A proxy between the functions and the backend that breaks what it is told to break."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

import requests

Fault = Callable[[BaseHTTPRequestHandler, Callable[[], requests.Response]], bool]
"""Answers a request in its own way and returns True, or returns False to let it through. The second argument forwards."""


def status(code: int, **headers: str) -> Fault:
    """Answer with a status and an empty body, without asking the backend."""

    def fault(handler: BaseHTTPRequestHandler, forward: Callable[[], requests.Response]) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return fault


def page(handler: BaseHTTPRequestHandler, forward: Callable[[], requests.Response]) -> bool:
    """Answer with a page for people, as a gateway does."""
    body = b"<html><body>We are back soon</body></html>"
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    return True


def half(handler: BaseHTTPRequestHandler, forward: Callable[[], requests.Response]) -> bool:
    """Do what was asked, and lose half of the answer on the way back."""
    answer = forward()
    handler.send_response(answer.status_code)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(answer.content)))
    handler.end_headers()
    handler.wfile.write(answer.content[: len(answer.content) // 2])
    return True


class Proxy:
    """Listens on 127.0.0.1 inside `with`. `faults` maps the end of a path (`apply/`) to what goes wrong there."""

    def __init__(self, backend_url: str) -> None:
        self.backend = urlsplit(backend_url)
        self.faults: dict[str, Fault] = {}
        self.seen: list[str] = []
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
        path = urlsplit(handler.path).path
        self.seen.append(path.rstrip("/").rpartition("/")[2])
        sent = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in {"host", "accept-encoding"}}

        def forward() -> requests.Response:
            url = f"{self.backend.scheme}://{self.backend.netloc}{handler.path}"
            return requests.request(handler.command, url, data=sent, headers=headers, timeout=60)

        fault = next((fault for end, fault in self.faults.items() if path.endswith(end)), None)
        handler.close_connection = fault is not None
        if fault is None or not fault(handler, forward):
            answer = forward()
            handler.send_response(answer.status_code)
            handler.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            handler.send_header("Content-Length", str(len(answer.content)))
            handler.end_headers()
            handler.wfile.write(answer.content)
