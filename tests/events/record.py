"""Records what the Firestore emulator really posts for a set of writes, into recorded.json beside this file.

Run by hand, `python -m tests.events.record`, when a new emulator is taken into use; the tests replay the recording.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore

from local.emulator import Emulator
from local.process import wait_until

RECORDED = Path(__file__).with_name("recorded.json")
PROJECT = "recorded"


def main() -> None:
    posts: list[dict[str, Any]] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            headers = {
                name.lower(): value for name, value in self.headers.items() if name.lower().startswith(("ce-", "content-type"))
            }
            posts.append({"path": self.path, "headers": headers, "body": base64.b64encode(body).decode()})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Emulator(functions=f"127.0.0.1:{server.server_port}", project=PROJECT) as emulator:
        emulator.register_trigger("track_member_changes", "members/{id}")
        emulator.register_trigger("track_event_changes", "branches/{tenant}/events/{id}")
        names = write(emulator.host)
        wait_until(lambda: len(posts) >= len(names), f"{len(names)} events")
    server.shutdown()
    RECORDED.write_text(json.dumps(dict(zip(names, posts, strict=True)), indent=1, ensure_ascii=False) + "\n")


def write(host: str) -> list[str]:
    """Write as clients and as the sync do; return a name for each event to come."""
    import os

    os.environ["FIRESTORE_EMULATOR_HOST"] = host
    client = firestore.Client(project=PROJECT, credentials=AnonymousCredentials())
    line = "2026-11-22T03:10:56.123456Z|django|0123456789abcdef"
    member = client.document("members/0101302399")
    member.set({"name": "Jón", "fee": "10.00", "birthDate": None})
    member.update({"phone": "555 0001"})
    member.set({"name": "Jón", "_sync": {"fields": {"name": line}, "hash": 1, "bucket": 1}})
    member.delete()
    client.document("members/never-there").delete()
    client.document("members/þ ð%2Fö.x").set({"name": "x"})
    client.document("branches/rvk/events/e 1").set({"title": "x"})
    return ["created", "updated", "written_by_the_sync", "deleted", "missing_deleted", "odd_key", "nested"]


if __name__ == "__main__":
    main()
