"""The tracker, measured in a process of its own: `python -m bench.tracking`; names of edited documents on standard input.

Each document's event is handed to it, and after each the like of what it wrote is committed with no thought.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any

from cloudevents.http import CloudEvent
from flask import Flask
from google.cloud.firestore_v1.types import firestore as calls
from google.events.cloud.firestore_v1.types import DocumentEventData

from bench.ceiling import QUEUE
from bench.ours import warmed
from bench.raw import RawFirestore, update
from shared import events

TRACKER = Flask("track_member_changes")


def track(raw: RawFirestore, names: list[str]) -> dict[str, list[float]]:
    """Return the seconds of each event, and of each raw commit."""
    warmed()
    tracked, committed = list[float](), list[float]()
    for document in _read(raw, names):
        tracked.append(_seconds(_receiving(document)))
        request = _like_adoption(raw, document.name)
        committed.append(_seconds(lambda request=request: raw.unary("Commit", request)))  # type: ignore[misc]
    return {"tracked": tracked, "committed": committed}


def _read(raw: RawFirestore, names: list[str]) -> list[Any]:
    answers = map(calls.BatchGetDocumentsResponse.pb().FromString, raw.stream("BatchGetDocuments", raw.get_request(names)))
    return [answer.found for answer in answers]


def _receiving(document: Any) -> Callable[[], None]:
    """Return what hands the tracker the event of a document as it is."""
    body = DocumentEventData.pb()()
    body.value.ParseFromString(document.SerializeToString())
    subject = "documents/" + document.name.partition("/documents/")[2]
    attributes = {
        "type": "google.cloud.firestore.document.v1.written",
        "source": "//firestore.googleapis.com/projects/p/databases/(default)",
        "id": uuid.uuid4().hex,
        "subject": subject,
        "document": subject.removeprefix("documents/"),
        "time": datetime.now(UTC).isoformat(),
    }
    event = CloudEvent(attributes, body.SerializeToString())

    def receive() -> None:
        with TRACKER.test_request_context():
            events.receive(event, "member")

    return receive


def _like_adoption(raw: RawFirestore, name: str) -> bytes:
    """Return the commit of the writes that an adoption was, to other collections."""
    [document], key = _read(raw, [name]), name.rpartition("/")[2]
    found = map(calls.RunQueryResponse.pb().FromString, raw.stream("RunQuery", raw.query_request(QUEUE, {"key": key}, None, 1)))
    [entry] = [row.document for row in found if row.HasField("document")]
    for each in (document, entry):
        each.name = each.name.replace("/documents/", "/documents/raw_")
    writes = [update(document, ["_sync"]), update(entry)]
    return bytes(calls.CommitRequest.pb()(database=raw.database, writes=writes).SerializeToString())


def _seconds(work: Callable[[], Any]) -> float:
    with redirect_stdout(sys.stderr):  # the log
        began = time.perf_counter()
        work()
        return time.perf_counter() - began


if __name__ == "__main__":
    host, project = os.environ["FIRESTORE_EMULATOR_HOST"], os.environ["GOOGLE_CLOUD_PROJECT"]
    sys.stdout.write(json.dumps(track(RawFirestore(host, project), json.load(sys.stdin))) + "\n")
