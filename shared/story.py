"""What the story of one record is made of: the facts that were found, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from shared import wire
from shared.letters import Letter
from shared.model import Change, Json, RecordId, Side, Stamp, Value, Version

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found about a record. `versions` are what the sides hold, by the peers' names, as they would be once adopted;
    `unseen` the fields whose present value no queue knows yet; rows carry their document's id as `id`."""

    record: RecordId
    versions: Mapping[str, Version]
    unseen: Mapping[str, Sequence[str]] = field(default_factory=dict)
    queue: Sequence[Row] = ()
    waiting: Sequence[Change] = ()
    """Changes in the queues that keep nothing of what is carried."""
    conflicts: Sequence[Row] = ()
    letters: Sequence[tuple[Letter, Row]] = ()
    runs: Mapping[str, Row] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `at` is a time as text; `fields` are the values written; `fate` says what became of it."""

    at: str
    what: str
    where: str
    fate: str
    fields: Mapping[str, Json] = field(default_factory=dict)
    stamp: Stamp | None = None
    run: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class FieldNow:
    """A field as it is: value and stamp by peer; `state` is equal, differs or unseen; `overtook` is what lost to it."""

    name: str
    held: Mapping[str, Value | None]
    state: str
    overtook: Sequence[Side] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        held = {peer: asdict(value) if value else None for peer, value in self.held.items()}
        lost = [wire.side_to_json(self.name, each) for each in self.overtook]
        return {"field": self.name, "held": held, "state": self.state, "overtook": lost}


@dataclass(frozen=True, slots=True)
class Story:
    """A record's story: what happened, in the order of time, and how things are."""

    record: RecordId
    events: Sequence[Event]
    fields: Sequence[FieldNow]
    state: str
    notes: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """Return the story as JSON."""
        return {
            "record": asdict(self.record),
            "state": self.state,
            "events": [asdict(each) for each in self.events],
            "fields": [each.as_json() for each in self.fields],
            "notes": list(self.notes),
        }
