"""What a competent developer writes in an evening from the guides: record by record, get, compare, set, mark."""

from __future__ import annotations

import time

import requests
from google.cloud.firestore import SERVER_TIMESTAMP, Client
from google.cloud.firestore_v1.base_query import FieldFilter

COLLECTION = "by_hand"


def to_firestore(url: str, token: str, client: Client) -> tuple[int, float]:
    """Carry what waits in Django over to documents; return how many changes that were, and the seconds."""
    session, number, began = _session(token), 0, time.perf_counter()
    while changes := session.get(f"{url}/changes/?entity=member&limit=500", timeout=60).json()["results"]:
        for change in changes:
            document = client.collection(COLLECTION).document(change["key"])
            held = document.get().to_dict() or {}
            if any(held.get(name) != value for name, value in change["fields"].items()):
                document.set(change["fields"], merge=True)
            marked = session.post(f"{url}/mark-synced/", json={"run_id": "by-hand", "ids": [change["id"]]}, timeout=60)
            marked.raise_for_status()
            number += 1
    return number, time.perf_counter() - began


def to_django(url: str, token: str, client: Client) -> tuple[int, float]:
    """Carry what waits in Firestore's queue over to Django; return how many changes that were, and the seconds."""
    session, number, began = _session(token), 0, time.perf_counter()
    waiting = client.collection("sync_queue").where(filter=FieldFilter("sync_status", "==", "pending"))
    for entry in waiting.stream():
        held = entry.to_dict() or {}
        names = ("entity", "tenant", "key", "action", "fields", "stamp", "base")
        change = {"id": entry.id} | {name: held.get(name) for name in names}
        answer = session.post(f"{url}/apply/", json={"run_id": "by-hand", "changes": [change]}, timeout=60)
        answer.raise_for_status()
        if answer.json()["results"][0]["outcome"] == "applied":
            entry.reference.update({"sync_status": "synced", "synced_at": SERVER_TIMESTAMP})
            number += 1
    return number, time.perf_counter() - began


def _session(token: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Token {token}"
    return session
