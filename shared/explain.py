"""The story of one record, told from what lies about it: each version, who wrote it, what became of it and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from shared import wire
from shared.canonical import same
from shared.errors import TerminalRecord
from shared.letters import Letter
from shared.model import Change, Json, Side, Stamp, Value, Version, instant, side_stamp, stamp_time
from shared.native import loaded
from shared.retention import RETENTION
from shared.story import Event, Facts, FieldNow, Row, Story


def tell(facts: Facts, now: datetime) -> Story:
    """Return what the facts say."""
    events = [*_queued(facts), *_waiting(facts), *_conflicts(facts)]
    events += _refused(facts, {each.id for each in events})
    events += _only_held(facts, {each.stamp for each in events})
    fields = [_field_now(facts, name) for name in sorted({name for each in facts.versions.values() for name in each.fields})]
    return Story(facts.record, sorted(events, key=lambda each: each.at), fields, _state(facts, fields), list(_notes(facts, now)))


def known(facts: Facts) -> bool:
    """Return whether anything at all is known of the record."""
    return bool(facts.queue or facts.conflicts or facts.letters or any(each.known for each in facts.versions.values()))


def _queued(facts: Facts) -> Iterator[Event]:
    for row in facts.queue:
        fate = _fate(facts, row, _letter(facts, row["id"]))
        try:
            change = wire.change_from_json(row, None, loaded)
        except TerminalRecord:
            yield Event(_when(row.get("created_at")), "unreadable entry", "sync_queue", fate, id=row["id"])
            continue
        yield _written(change, fate, row.get("run_id"), row["id"])


def _written(change: Change, fate: str, run: str | None, id: str) -> Event:
    what = "deleted" if change.deletes else "created" if change.action == "create" else "written"
    values = {name: value.value for name, value in change.fields.items()}
    fate += f"; correlation {change.correlation_id}" if change.correlation_id else ""
    return Event(_at(change.latest), what, _origin(change.latest), fate, values, change.latest, run, id)


def _fate(facts: Facts, row: Row, letter: Letter | None) -> str:
    status, run = row.get("sync_status"), _run(facts, row.get("run_id"))
    if status == "synced":
        return f"carried over {_when(row.get('synced_at'))}{run}"
    if status == "superseded":
        return f"overtaken by {row.get('superseded_by')}{run}"
    if status == "failed":
        return f"refused: {row.get('error')}{run}{_letter_state(letter)}"
    return f"waits since {_when(row.get('created_at'))}{_tried(letter)}"


def _letter(facts: Facts, change_id: str) -> Letter | None:
    return next((letter for letter, _ in facts.letters if letter.change_id == change_id), None)


def _tried(letter: Letter | None) -> str:
    return f"; {letter.attempts} attempt(s), {letter.reason}: {letter.message}" if letter else ""


def _letter_state(letter: Letter | None) -> str:
    return f"; dead letter {letter.id} is {letter.status}" if letter else ""


def _run(facts: Facts, id: object) -> str:
    status = facts.runs.get(str(id), {}).get("status")
    return f", run {id}{' (failed)' if status == 'failed' else ''}" if id else ""


def _waiting(facts: Facts) -> Iterator[Event]:
    queued = {row["id"] for row in facts.queue}
    for change in facts.waiting:
        if change.id not in queued:
            tried = _tried(_letter(facts, change.id))
            yield _written(change, f"waits in {_origin(change.latest)}'s queue{tried}", None, change.id)


def _conflicts(facts: Facts) -> Iterator[Event]:
    for row in facts.conflicts:
        local, incoming = _sides(row)
        settled = "" if row.get("status", "open") == "open" else f"; {row['status']}"
        kept = f"both values are kept in sync_conflicts/{row['id']}{settled}"
        found = f"{_decided(row, local, incoming)}{_run(facts, row.get('run_id'))}; {kept}"
        sides = {side_stamp(side): _said(side) for side in sorted((local, incoming), key=side_stamp)}
        by_peer = {_origin(stamp): value for stamp, value in sides.items()}
        values: Mapping[str, Json] = by_peer if len(by_peer) == len(sides) else {str(stamp): sides[stamp] for stamp in sides}
        yield Event(_at(max(sides)), "conflict", str(row["field"]), found, values, None, row.get("run_id"), row["id"])


def _sides(row: Row) -> tuple[Side, Side]:
    name = str(row["field"])
    return wire.side_from_json(name, row["local"], loaded), wire.side_from_json(name, row["incoming"], loaded)


def _said(side: Side) -> Json:
    return side.value if isinstance(side, Value) else "(deleted)"


def _decided(row: Row, local: Side, incoming: Side) -> str:
    if row.get("winner") not in {"local", "incoming"}:
        return f"not decided ({row.get('rule')})"
    sides = (local, incoming) if row["winner"] == "local" else (incoming, local)
    won, lost = map(side_stamp, sides)
    return f"{_origin(won)}'s won over {_origin(lost)}'s of {_at(lost)} ({row.get('rule')})"


def _refused(facts: Facts, told: set[str | None]) -> Iterator[Event]:
    """Yield the dead letters of changes that no entry tells of."""
    for letter, row in facts.letters:
        if letter.change_id in told:
            continue
        said = f"{letter.reason}: {letter.message}; {letter.attempts} attempt(s), the last {_when(row.get('last_at'))}"
        verb = "waits" if letter.status == "waiting" else "refused"
        fate = f"{verb}: {said}{_run(facts, row.get('run_id'))}{_letter_state(letter)}"
        if letter.change:
            yield _written(letter.change, fate, row.get("run_id"), letter.id)
        else:
            yield Event(_when(row.get("first_at")), "refused", letter.source, fate, id=letter.id)


def _only_held(facts: Facts, told: set[Stamp | None]) -> Iterator[Event]:
    """Yield the writes that are known only from what is held: their entries have expired, or lie where nothing is kept."""
    written: dict[Stamp, dict[str, Json]] = {}
    for version in facts.versions.values():
        for name, value in version.fields.items():
            written.setdefault(value.stamp, {})[name] = value.value
        if version.deleted:
            written.setdefault(version.deleted, {})
    for stamp, fields in written.items():
        if stamp in told:
            continue
        holders = [peer for peer, version in facts.versions.items() if _holds(version, stamp)]
        fate = "held on both sides" if len(holders) == len(facts.versions) else f"held by {' and '.join(holders)} alone"
        unseen = [name for peer in holders for name in facts.unseen.get(peer, ()) if name in fields]
        if unseen:
            fate = "an edit that no trigger has seen yet; the next run or reconcile that meets it adopts it"
        yield Event(_at(stamp), "written" if fields else "deleted", _origin(stamp), fate, fields, stamp)


def _holds(version: Version, stamp: Stamp) -> bool:
    return version.deleted == stamp or any(value.stamp == stamp for value in version.fields.values())


def _field_now(facts: Facts, name: str) -> FieldNow:
    held = {peer: version.fields.get(name) for peer, version in facts.versions.items()}
    sides = [value for value in held.values() if value]
    alike = len(sides) == len(held) and all(same(sides[0].value, each.value) for each in sides)
    unseen = any(name in names for names in facts.unseen.values())
    present = {value.stamp for value in sides}
    lost = [each for row in facts.conflicts if row["field"] == name for each in _lost_to(row, present)]
    return FieldNow(name, held, "unseen" if unseen else "equal" if alike else "differs", lost)


def _lost_to(row: Row, present: set[Stamp]) -> Iterator[Side]:
    local, incoming = _sides(row)
    winner, loser = (local, incoming) if row.get("winner") == "local" else (incoming, local)
    if row.get("winner") in {"local", "incoming"} and side_stamp(winner) in present:
        yield loser


def _state(facts: Facts, fields: Sequence[FieldNow]) -> str:
    gone = [peer for peer, version in facts.versions.items() if version.deleted]
    missing = [peer for peer, version in facts.versions.items() if not version.known]
    if len(gone) == len(facts.versions):
        return "deleted on both sides"
    if gone or missing:
        parts = [f"deleted in {peer}" for peer in gone] + [f"not in {peer}" for peer in missing]
        return ", ".join(parts)
    unlike = [each.name for each in fields if each.state != "equal"]
    return f"differs in {', '.join(unlike)}" if unlike else "equal on both sides"


def _notes(facts: Facts, now: datetime) -> Iterator[str]:
    for peer, names in facts.unseen.items():
        if names:
            yield f"{peer}: {', '.join(names)} edited, and not adopted yet"
    stamps = [value.stamp for version in facts.versions.values() for value in version.fields.values()]
    if stamps and now - stamp_time(min(stamps)) > RETENTION:
        old = f"what was carried over more than {RETENTION.days} days ago has expired from sync_queue"
        yield f"{old}; of that, only what is still held is told"


def _origin(stamp: Stamp) -> str:
    return stamp.partition("|")[2]


def _at(stamp: Stamp) -> str:
    return stamp.partition("|")[0]


def _when(time: object) -> str:
    return instant(time) if isinstance(time, datetime) else "at an unknown time"
