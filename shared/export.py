"""All that the sync holds of one record, on both sides, as JSON: what a person is told who asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from shared import traces, wire
from shared.errors import NotFound
from shared.explain import known
from shared.facts import gather
from shared.letters import DEAD_LETTERS
from shared.log import Log
from shared.model import RecordId, Version, instant
from shared.native import loaded, plain
from shared.peers.documents import Snapshot
from shared.peers.layout import CONFLICTS, QUEUE
from shared.privacy import Subject
from shared.run import Pair
from shared.store import AUDIT, Store

EXPORT = "export_record"


@runtime_checkable
class Teller(Protocol):
    """A peer that can show more than its record and what waits: a backend that offers `about/`."""

    def about(self, record: RecordId) -> Any: ...


def export(
    pairs: Mapping[str, Pair], store: Store, now: Callable[[], datetime], log: Log, asked: Subject, id: str
) -> dict[str, Any]:
    """Return everything about a record, as JSON, after noting who asked for it. NotFound: nothing is known of it."""
    pair, record = asked.found_in(pairs)
    at, about = now(), log.record(record)
    store.audit(EXPORT, id, asked.by, at, **about)
    facts = gather(pair, record, store)
    if not known(facts):
        raise NotFound(f"nothing is known of this {record.entity}: neither side holds it, and nothing is kept of it")
    rows = store.about(record)
    audit = traces.audits(store, about["record"], rows[CONFLICTS], rows[DEAD_LETTERS])
    return {
        "record": asdict(record),
        "at": instant(at),
        "sides": {name: _side(version) for name, version in facts.versions.items()},
        "unseen": {name: list(fields) for name, fields in facts.unseen.items()},
        "waiting": [wire.change_to_json(change) for change in facts.waiting],
        **{name: _shown(rows[name]) for name in (QUEUE, CONFLICTS, DEAD_LETTERS)},
        AUDIT: _shown(audit),
        "backends": {peer.name: peer.about(record) for peer in (pair.left, pair.right) if isinstance(peer, Teller)},
    }


def _side(version: Version) -> dict[str, Any]:
    """Return what a side holds; under `deleted` the values are hidden ones."""
    fields = {name: asdict(value) for name, value in version.fields.items()}
    return {"held": version.known, "deleted": version.deleted, "fields": fields}


def _shown(rows: Iterable[Snapshot]) -> list[dict[str, Any]]:
    return [
        {"id": row.path.partition("/")[2], **{name: _plain(name, value) for name, value in row.fields.items()}} for row in rows
    ]


def _plain(name: str, native: Any) -> Any:
    """Return what a document holds as JSON; values that Firestore cannot hold as they are, are written out."""
    if isinstance(native, dict) and set(native) != {"json"}:
        return {each: _plain(each, value) for each, value in native.items()}
    return plain(native) if isinstance(native, list) else loaded(name, native)
