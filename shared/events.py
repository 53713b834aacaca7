"""Firestore's events as pokes, and what a tracker does with one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from cloudevents.http import CloudEvent
from flask import abort, current_app, request
from google.events.cloud.firestore_v1.types import DocumentEventData
from google.protobuf.message import DecodeError

from shared import wiring
from shared.errors import Refused, SyncError, TerminalRecord, unforeseen
from shared.mapping import Entity
from shared.model import Problem, parse_instant
from shared.naming import state_id
from shared.peers.documents import Snapshot, snapshot_of
from shared.tracker import QUEUED, Poke, track

_FIRST_BYTES = b"\x0a\x12\x1a"
"""How an event starts as protobuf (its first field is one of three messages); none of them is a letter of base64."""


def receive(event: CloudEvent, entity: str) -> None:
    """Adopt what the write behind an event left unseen. A record that can never be adopted becomes a dead letter; any
    other error is raised, so that the event is delivered again, without a message that might hold a value.

    Events are taken from Eventarc alone: anybody else is answered 401 or 403, and what is no event of Firestore's 400, by an
    HTTPException.
    """
    _refuse_strangers()
    try:
        _receive(event, entity)
    except TerminalRecord as error:
        wiring.log()("sync_fail", str(error), "ERROR", function=current_app.name)
        abort(400)
    except SyncError:
        raise
    except Exception as error:
        raise SyncError(unforeseen(error)) from None


def _refuse_strangers() -> None:
    try:
        wiring.callers().poke(request.headers)
    except Refused as error:
        wiring.log()(
            "refused", f"{current_app.name} answered {error.status}", "WARNING", function=current_app.name, reason=str(error)
        )
        abort(error.status, str(error))


def _receive(event: CloudEvent, entity: str) -> None:
    peer = wiring.firestore_peer(entity)
    log = wiring.log().bind(pair=peer.pair)
    pokes = list(pokes_of(event, peer.layouts[entity].entity))
    if not pokes:
        log(
            "wrong_collection",
            f"an event that is not of {entity!r} came to its tracker; see the trigger's document pattern",
            "ERROR",
        )
    for poke in pokes:
        try:
            done = track(peer, poke)
            log("tracked", done, "DEBUG", **log.record(poke.record))
            nudges = wiring.nudges(peer.pair) if done in QUEUED else None
            if nudges:
                nudges.nudge()
        except TerminalRecord as error:
            id = state_id(poke.record.tenant, entity, poke.record.key)
            letter = {id: (None, Problem(error.code, str(error), record=poke.record))}
            wiring.store().refuse(peer.pair, peer.name, letter, "tracker", wiring.now())
            log("dead_letter", str(error), "ERROR", reason=error.code, **log.record(poke.record))


def pokes_of(event: CloudEvent, entity: Entity) -> Iterator[Poke]:
    """Yield the pokes that an event is; none if its document belongs to another entity.

    An event without data names its document in an attribute, whose characters may or may not be percent-encoded, or be
    UTF-8 taken for Latin-1 (as HTTP headers are): every reading is poked, since poking a record that needs nothing does
    nothing.
    """
    before, after = _documents(event.get_data())
    moment = _moment(event.get_attributes().get("time"))
    known = after or before
    for path in [known.path] if known else _paths(event.get_attributes()):
        record = entity.record(path)
        if record is not None:
            yield Poke(record, before, after, moment)


def _moment(time: object) -> datetime:
    try:
        return time.astimezone(UTC) if isinstance(time, datetime) else parse_instant(str(time))
    except ValueError:
        raise TerminalRecord("malformed", "an event's time is no time") from None


def _paths(attributes: Any) -> Iterator[str]:
    subject = attributes.get("document") or str(attributes.get("subject") or "").removeprefix("documents/")
    latin = subject.encode("latin-1", "ignore").decode("utf-8", "ignore")
    yield from dict.fromkeys((subject, unquote(subject), latin))


def _documents(data: object) -> tuple[Snapshot | None, Snapshot | None]:
    """Return the document before and after the write, as far as the event's data carries them."""
    raw = DocumentEventData.pb()()
    try:
        raw.ParseFromString(_bytes(data))
    except (DecodeError, binascii.Error, ValueError):
        raise TerminalRecord("malformed", "an event's data is neither DocumentEventData nor that in base64") from None
    return _snapshot(raw.old_value), _snapshot(raw.value)


def _bytes(data: object) -> bytes:
    body = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else b""
    return base64.b64decode(body, validate=True) if body and body[:1] not in _FIRST_BYTES else body


def _snapshot(raw: Any) -> Snapshot | None:
    if not raw.name:
        return None
    found = snapshot_of(raw)
    return found if found.update_time and found.update_time > datetime.fromtimestamp(0, UTC) else None
