"""Dead letters: how a change that was refused, or must wait, lies in `sync_dead_letters`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from shared import wire
from shared.errors import TerminalRecord
from shared.model import Change, Problem, RecordId, Stamp
from shared.naming import state_id
from shared.native import loaded, size_of, stored
from shared.peers.documents import Snapshot
from shared.peers.layout import ROOM_FOR_VALUES
from shared.retention import RETENTION

DEAD_LETTERS = "sync_dead_letters"
Body: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. `source` is the peer whose change it was; `change` is None where the letter does not hold all of it, and
    `record` where it is not even known whose it was. `status`: open, waiting (runs try it again), replayed, superseded."""

    id: str
    pair: str
    source: str
    status: str
    reason: str
    message: str
    attempts: int
    change_id: str
    record: RecordId | None
    change: Change | None


def letter_path(pair: str, source: str, id: str) -> str:
    """Return where the letter of a queue's change lies."""
    return f"{DEAD_LETTERS}/{state_id(pair, source, id)}"


def letter_body(
    pair: str, source: str, id: str, change: Change | None, problem: Problem, known: Mapping[str, Any], now: datetime
) -> Body:
    """Return a letter's document after one more attempt; `known` is the document so far."""
    record = change.record if change else problem.record
    return {
        "pair": pair,
        "from": source,
        "entity": record.entity if record else None,
        "tenant": stored("tenant", record.tenant) if record else None,
        "key": stored("key", record.key) if record else None,
        "change_id": id,
        "change": _shown(change) if change else None,
        "attempts": known.get("attempts", 0) + 1,
        "first_at": known.get("first_at", now),
        "last_at": now,
        **_why(problem),
    }


def _why(problem: Problem) -> Body:
    return {"reason": problem.code, "message": problem.message, "fields": dict(problem.fields)}


def _shown(change: Change) -> Any:
    """Return a change as its dead letter shows it; the values of one too large for a document stay in its queue alone."""
    body = stored("change", wire.change_to_json(change))
    if size_of(body) <= ROOM_FOR_VALUES:
        return body
    return stored("change", wire.change_to_json(change, lambda name, value: None)) | {"values": "too large to be shown here"}


def letter_of(document: Snapshot) -> Letter:
    """Return the letter that lies in a document."""
    body = document.fields
    return Letter(
        id=document.path.partition("/")[2],
        pair=str(body.get("pair")),
        source=str(body.get("from")),
        status=str(body.get("status")),
        reason=str(body.get("reason")),
        message=str(body.get("message")),
        attempts=int(body.get("attempts", 0)),
        change_id=str(body.get("change_id")),
        record=_record(body),
        change=_change(body.get("change")),
    )


def _record(body: Mapping[str, Any]) -> RecordId | None:
    entity, key, tenant = body.get("entity"), loaded("key", body.get("key")), loaded("tenant", body.get("tenant"))
    named = isinstance(entity, str) and isinstance(key, str) and isinstance(tenant, str | None)
    return RecordId(str(entity), str(key), tenant) if named else None


def _change(native: Any) -> Change | None:
    body = loaded("change", native)
    try:
        return wire.change_from_json(body) if isinstance(body, dict) and "values" not in body else None
    except TerminalRecord:
        return None


def refused_again(letter: Letter, problem: Problem, now: datetime) -> Body:
    """Return what changes in a letter that was replayed in vain."""
    return {"attempts": letter.attempts + 1, "last_at": now, **_why(problem)}


def finished(status: str, run_id: str, now: datetime, by: Stamp | None = None) -> Body:
    """Return what changes in a letter that nobody need look at any more; it is kept for a while yet."""
    overtaken = {"superseded_by": by} if by else {}
    return {"status": status, "closed_at": now, "run_id": run_id, "expire_at": now + RETENTION, **overtaken}
