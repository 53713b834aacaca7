"""As much of Google's REST APIs as the real gcloud needs to deploy: resources by name, on 127.0.0.1. Every call is noted.

The shapes of lists and of finished operations are Google's published ones. What is created twice answers 409.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LISTS = {"serviceAccounts": "accounts"}
"""What a list is called in its answer, where that is not the collection's own name."""
IDS = ("secretId", "databaseId", "accountId")
APIS = (
    *("CLOUDSCHEDULER", "CLOUDTASKS", "FIRESTORE", "PUBSUB", "SECRETMANAGER", "IAM", "CLOUDRESOURCEMANAGER", "SERVICEUSAGE"),
    *("LOGGING", "MONITORING", "CLOUDFUNCTIONS", "CLOUDBILLING", "EVENTARC"),
)


@dataclass
class Google:
    """A project's resources by path below the API's version, and the calls that were made."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    permissions: list[str] | None = None
    status: int = 200
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def environment(self) -> dict[str, str]:
        """Return the variables that send gcloud here."""
        return {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": f"{self.url}/" for api in APIS}

    def written(self, method: str, part: str) -> list[tuple[str, Any]]:
        """Return paths and bodies of the calls of a method whose path holds `part`."""
        return [(path, body) for how, path, body in self.calls if how == method and part in path]

    def under(self, collection: str) -> dict[str, dict[str, Any]]:
        """Return the resources of a collection by their last name."""
        return {path.rpartition("/")[2]: held for path, held in self.resources.items() if f"/{collection}/" in path}

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """Do a call and return status and body."""
        parts = urlsplit(target)
        path, query = unquote(re.sub(r"^/v\d[a-z0-9]*/", "", parts.path)), parse_qs(parts.query)
        with self.lock:
            self.calls.append((method, unquote(target), body))
            if ":" in path.rpartition("/")[2]:
                return self._verb(path, body)
            if method == "GET":
                return self._get(path, query)
            return self._write(method, path, query, body)

    def _verb(self, path: str, body: Any) -> tuple[int, Any]:
        name, _, verb = path.rpartition(":")
        if verb == "testIamPermissions":
            granted = body["permissions"] if self.permissions is None else self.permissions
            return self.status, {"permissions": granted}
        if verb == "getIamPolicy":
            return 200, self.policies.get(name, {})
        if verb == "setIamPolicy":
            self.policies[name] = body["policy"]
            return 200, body["policy"]
        if verb == "addVersion":
            versions = self.resources[name].setdefault("versions", [])
            versions.append(body["payload"]["data"])
            return 200, {"name": f"{name}/versions/{len(versions)}", "clientSpecifiedPayloadChecksum": True}
        if verb in {"pause", "resume"}:
            self.resources[name]["state"] = "PAUSED" if verb == "pause" else "ENABLED"
            return 200, self.resources[name]
        return 200, {"name": "operations/done", "done": True, "response": {}}

    def _get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path in self.resources:
            return 200, self.resources[path]
        last = path.rpartition("/")[2]
        pattern = re.compile(re.escape(path).replace(r"/\-/", "/[^/]+/") + "/[^/]+")
        found = [held for name, held in self.resources.items() if pattern.fullmatch(name)]
        if last == "fields":
            wanted = "ttlConfig" if "ttlConfig" in query["filter"][0] else "indexConfig"
            found = [held for held in found if wanted in held]
        if not found and path.count("/") % 2:
            return 404, {"error": {"code": 404, "message": f"no {last}", "status": "NOT_FOUND"}}
        return 200, {LISTS.get(last, last): found}

    def _write(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if method == "DELETE":
            self.resources.pop(path)
            return 200, {}
        name = self._name(path, query, body or {}) if method == "POST" else path
        new = method == "POST" or (method == "PUT" and "/topics/" in path) or (method == "PUT" and "/subscriptions/" in path)
        if new and name in self.resources:
            self.refusals.append(name)
            return 409, {"error": {"code": 409, "message": f"{name} already exists", "status": "ALREADY_EXISTS"}}
        held = self.resources.setdefault(name, {})
        held |= {"name": name} | (body or {})
        if "serviceAccounts" in name:
            held |= {"email": name.rpartition("/")[2], "name": name}
        if "/databases" in path:
            place, _, below = name.partition("/collectionGroups")
            return 200, {"name": f"{place}/operations/done", "metadata": {}} | ({} if below else {"done": True, "response": held})
        return 200, held

    def _name(self, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> str:
        if path.endswith("serviceAccounts"):
            return f"{path}/{body['accountId']}@{path.split('/')[1]}.iam.gserviceaccount.com"
        given = next((query[key][0] for key in IDS if key in query), str(body.get("name", "")).rpartition("/")[2])
        return f"{path}/{given or len(self.resources) + 1}"


def serve(google: Google) -> ThreadingHTTPServer:
    """Start serving, on a free port, until the server that is returned is shut down."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = google.answer(self.command, self.path, json.loads(content) if content else None)
            said = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    google.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
