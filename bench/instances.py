"""What stands between callers, instances and peers in production: a front that spreads calls, and distance."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from local.ports import HOST

PIECE = 65536
LONGEST_CALL = 1800


class Front:
    """Gives each call to an instance that is free, as Cloud Run does for functions that take one call at a time."""

    def __init__(self) -> None:
        """Describe it; it listens inside `with`, and calls wait until there is an instance."""
        self.free: queue.Queue[str] = queue.Queue()
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                front._pass_on(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Front:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _pass_on(self, handler: Any) -> None:
        sent = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "host"}
        instance = self.free.get()
        try:
            answer = requests.post(instance + handler.path, data=sent, headers=headers, timeout=LONGEST_CALL)
        finally:
            self.free.put(instance)
        handler.send_response(answer.status_code)
        handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)


@contextmanager
def distance(target: str, seconds: float) -> Iterator[str]:
    """Yield the HOST:PORT of a way to `target` on which everything sent arrives so much later; what is answered does not."""
    with socket.create_server((HOST, 0)) as server:
        threading.Thread(target=_accept, args=(server, target, seconds), daemon=True).start()
        yield f"{HOST}:{server.getsockname()[1]}"


def _accept(server: socket.socket, target: str, seconds: float) -> None:
    with suppress(OSError):
        while True:
            near, _ = server.accept()
            threading.Thread(target=_connected, args=(near, target, seconds), daemon=True).start()


def _connected(near: socket.socket, target: str, seconds: float) -> None:
    host, _, port = target.partition(":")
    with near, socket.create_connection((host, int(port))) as far:
        for line in (near, far):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        there = threading.Thread(target=_carry, args=(near, far, seconds), daemon=True)
        there.start()
        _carry(far, near, 0)
        there.join()


def _carry(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """Pass on each piece so many seconds after it came, the next being read meanwhile, until the source has no more."""
    pieces: queue.Queue[tuple[float, bytes]] = queue.Queue()

    def write() -> None:
        with suppress(OSError):
            while (item := pieces.get())[1]:
                time.sleep(max(0.0, item[0] - time.monotonic()))
                target.sendall(item[1])
            target.shutdown(socket.SHUT_WR)

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    with suppress(OSError):
        while piece := source.recv(PIECE):
            pieces.put((time.monotonic() + seconds, piece))
    pieces.put((0.0, b""))
    writing.join()
