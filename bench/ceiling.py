"""The ceiling: the same bytes as a delta sync moves, as ready calls page by page. Building them is not measured."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from google.cloud.firestore_v1.types import write as writes
from google.protobuf.timestamp_pb2 import Timestamp

from bench.raw import Chain, RawBackend, RawFirestore, check_written, packed, parts, run, value

RUN = "the-ceiling"
QUEUE = "sync_queue"
LABEL = ("sync_status", "synced_at", "run_id", "error", "expire_at")


def to_firestore(
    near: RawBackend, backend: RawBackend, firestore: RawFirestore, made: Mapping[str, Any], page_size: int
) -> list[Chain]:
    """Return, for each page of what waits in Django: fetch it, BatchGet its documents, BatchWrite what is to be, mark.

    `made` holds the write of each member's document by key; `near` is asked for what waits while the calls are built.
    """
    chains: list[Chain] = []
    cursor: str | None = ""
    while cursor is not None:
        target = f"changes/?entity=member&limit={page_size}" + (f"&cursor={cursor}" if cursor else "")
        body = json.loads(near.get(target))
        cursor = body["next"]
        keys = [change["key"] for change in body["results"]]
        mark = packed({"run_id": RUN, "ids": [change["id"] for change in body["results"]], "superseded": [], "failed": []})
        chain = [
            partial(backend.get, target),
            partial(
                firestore.stream, "BatchGetDocuments", firestore.get_request([f"{firestore.root}/members/{key}" for key in keys])
            ),
            *_written(firestore, [made[key] for key in keys]),
            partial(backend.post, "mark-synced/", mark),
        ]
        chains.append(chain)
    return chains


def to_django(near: RawFirestore, backend: RawBackend, firestore: RawFirestore, page_size: int) -> list[Chain]:
    """Return, for each page of what waits in Firestore's queue: query it, post its changes to apply/, BatchWrite the labels."""
    entries = near.documents(QUEUE)
    waiting = {"pair": "members", "sync_status": "pending", "entity": "member"}
    after, chains = None, list[Chain]()
    for page in parts(entries, page_size):
        body = packed({"run_id": RUN, "mode": "lww", "changes": [_change(entry) for entry in page]})
        chain = [
            partial(firestore.stream, "RunQuery", firestore.query_request(QUEUE, waiting, after, page_size)),
            partial(backend.post, "apply/", body),
            *_written(firestore, [_label(entry) for entry in page]),
        ]
        chains.append(chain)
        after = page[-1].name
    return chains


def climb(chains: Sequence[Chain], in_flight: int) -> float:
    """Make the calls and return the seconds they took; RuntimeError if one of the writes was refused."""
    began = time.perf_counter()
    answers = run(chains, in_flight)
    seconds = time.perf_counter() - began
    for chain, answered in zip(chains, answers, strict=True):
        for call, answer in zip(chain, answered, strict=True):
            if getattr(call, "args", ())[:1] == ("BatchWrite",):
                check_written(answer)
            elif getattr(call, "args", ())[:1] == ("apply/",):
                _check_applied(answer)
    return seconds


def _written(firestore: RawFirestore, made: Sequence[Any]) -> list[Any]:
    return [partial(firestore.unary, "BatchWrite", firestore.write_request(some)) for some in parts(made)]


def _change(entry: Any) -> dict[str, Any]:
    """Return a queue entry as apply/ takes it."""
    held = {name: plain(each) for name, each in entry.fields.items()}
    names = ("entity", "tenant", "key", "action", "fields", "stamp", "stamps", "base", "deleted", "deleted_base")
    return {"id": entry.name.rpartition("/")[2]} | {name: held.get(name) for name in names}


def plain(raw: Any) -> Any:
    """Return a message's value, of the kinds that JSON has."""
    kind = raw.WhichOneof("value_type")
    if kind == "map_value":
        return {name: plain(each) for name, each in raw.map_value.fields.items()}
    if kind == "array_value":
        return [plain(each) for each in raw.array_value.values]
    return None if kind == "null_value" else getattr(raw, kind)


def _label(entry: Any) -> Any:
    write, now = writes.Write.pb()(), datetime.now(UTC)
    write.update.name = entry.name
    for name, text in (("sync_status", "synced"), ("run_id", RUN)):
        write.update.fields[name].CopyFrom(value(text))
    write.update.fields["error"].null_value = 0
    write.update.fields["synced_at"].timestamp_value.CopyFrom(_stamp(now))
    write.update.fields["expire_at"].timestamp_value.CopyFrom(_stamp(now + timedelta(days=30)))
    write.update_mask.field_paths.extend(LABEL)
    write.current_document.exists = True
    return write


def _stamp(when: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(when)
    return stamp


def _check_applied(answer: bytes) -> None:
    outcomes = {result["outcome"] for result in json.loads(answer)["results"]} - {"applied"}
    if outcomes:
        raise RuntimeError(f"apply/ was to apply every change and answered {sorted(outcomes)} for some")
