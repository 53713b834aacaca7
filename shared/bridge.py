"""What agents and scripts sync with, in Python: the functions' own services behind a few plain calls. No second engine."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from shared import service, wiring
from shared.authored import write_as
from shared.callers import Caller, Role
from shared.claims import Claims
from shared.config import NAME
from shared.decision import Decision
from shared.errors import BadRequest, SyncError
from shared.model import Json, RecordId
from shared.native import plain
from shared.peers.firestore import FirestorePeer
from shared.resolve import resolve
from shared.rollups import by_day
from shared.run import Order, Pair
from shared.single import End, sync_records
from shared.statistics import told_of_days

Direction = Literal["both", "to_left", "to_right"]
MOST = 500
"""Records that are synced at a time."""


@dataclass(frozen=True, slots=True)
class Synced:
    """How a record was left, and what stood in the way if it is not alike on both sides."""

    key: str
    end: End
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether both sides hold the same of it by now."""
        return self.end == "equal"


class Bridge:
    """One pair, for scripts. Works in this process, with the environment variables that the functions are configured by."""

    def __init__(self, pair: str, by: str = "script") -> None:
        if pair not in wiring.settings().pairs:
            raise BadRequest(f"pair: there is no pair {pair!r}; there are: {', '.join(wiring.settings().pairs)}")
        self.name, self.by = pair, by

    @property
    def pair(self) -> Pair:
        """The pair, made when it is first needed."""
        return wiring.pairs()[self.name]

    def record(self, entity: str, key: str, tenant: str | None = None) -> RecordId:
        """Return the name of a record; BadRequest for an entity or a tenant that the pair does not have."""
        if entity not in self.pair.scope.entities:
            raise BadRequest(f"entity: there is no {entity!r}; there are: {', '.join(self.pair.scope.entities)}")
        tenants = self.pair.tenants.get(entity)
        if (tenants is None) != (tenant is None) or (tenants and tenant not in tenants):
            raise BadRequest(f"tenant: of {entity!r} it is one of: {', '.join(tenants or ['none'])}")
        return RecordId(entity, key, tenant)

    def sync(self, entity: str, key: str, direction: Direction = "both", tenant: str | None = None) -> Synced:
        """Make both sides alike in one record, and say how it is left."""
        return self.sync_many(entity, [key], direction, tenant)[key]

    def sync_many(
        self, entity: str, keys: Sequence[str], direction: Direction = "both", tenant: str | None = None
    ) -> dict[str, Synced]:
        """Make both sides alike in these records, and say of each how it is left. A failure is in the answer, not raised."""
        answers: dict[str, Synced] = {}
        chosen = list(dict.fromkeys(keys))
        for start in range(0, len(chosen), MOST):
            ids = [self.record(entity, key, tenant) for key in chosen[start : start + MOST]]
            answers |= self._synced(ids, direction)
        return answers

    def _synced(self, ids: Sequence[RecordId], direction: Direction) -> dict[str, Synced]:
        left, right = self.pair.left.name, self.pair.right.name
        way = {"both": None, "to_right": f"{left}_to_{right}", "to_left": f"{right}_to_{left}"}[direction]
        order = Order(_run_id(), way, by=self.by)
        report, ends = sync_records(self.pair, ids, order, wiring.store(), wiring.now, wiring.log())
        error = report.failure.message if report.failure else None
        return {id.key: Synced(id.key, end, error) for id, end in ends.items()}

    def run(self, **asked: Any) -> dict[str, Any]:
        """Carry over all that waits, as `bidirectional_sync` does, and return its answer."""
        return service.sync_asked(service.SyncRequest(pair=self.name, **asked), self._call())[0]

    def status(self) -> dict[str, Any]:
        """Return what waits, the last run, and what needs somebody."""
        pairs: dict[str, Any] = service.health(self._call())[0]["result"]["pairs"]
        told: dict[str, Any] = pairs[self.name]
        return told

    def health(self) -> bool:
        """Return whether nothing needs somebody."""
        return not self.status()["problems"]

    def conflicts(self, pending: bool = False, most: int = 100) -> list[dict[str, Any]]:
        """Return the conflicts of the last 30 days, or only those that wait for a decision."""
        wanted = {"status": "open"} if pending else {}
        found = wiring.store().conflicts(self.name, wanted, most)
        return [{"id": each.path.partition("/")[2], **plain(dict(each.fields))} for each in found]

    def resolve(self, id: str, keep: Literal["local", "incoming", "value"], value: Json = None, note: str | None = None) -> None:
        """Decide a conflict, by a newer write to both sides; NotFound, NotOpen and BadRequest say why it cannot be."""
        asked: dict[str, Any] = {"id": id, "keep": keep, "note": note, "by": self.by}
        asked |= {"value": value} if keep == "value" else {}
        resolve(wiring.pairs(), wiring.store(), wiring.now, wiring.log(), Decision.model_validate(asked))

    def statistics(self, days: int = 30) -> dict[str, Any]:
        """Return what the runs of the last days came to."""
        return told_of_days(by_day(wiring.store(), self.name, days, wiring.now()), by_months=False)

    def _call(self) -> service.Call:
        caller = Caller(self.by, self.by, Role.OPERATOR)
        return service.Call(uuid.uuid4().hex, _run_id(), False, wiring.now(), caller)


def _run_id() -> str:
    return f"{wiring.now():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class Event:
    """What an agent is told: `event_type` is `ENTITY.WHAT`, such as `submission.updated`."""

    event_type: str
    entity: str
    key: str
    tenant: str | None


@dataclass
class AgentBridge:
    """A pair for one agent, under its own name: `auto` syncs what an event is about at once, else `flush` does.

    What the agent writes goes to Firestore, its workspace, with its name as the origin.
    """

    name: str
    pair: str
    auto: bool = True
    waiting: list[Event] = field(default_factory=list)
    """Events that came while `auto` was off."""

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name) or self.name in wiring.settings().peers:
            raise BadRequest(f"name: {self.name!r} cannot be an agent's: a-z, 0-9, _ and -, 32 at most, and not a peer's name")
        self.bridge = Bridge(self.pair, by=self.name)
        self._claims = Claims(wiring.store(), wiring.now, self.name)

    def process_event(self, event: Mapping[str, Any]) -> Synced | None:
        """Sync the record that an event is about, `{event_type, key, tenant}`; None if it is put off until `flush`."""
        told = self._event(event)
        if not self.auto:
            self.waiting.append(told)
            return None
        return self.bridge.sync(told.entity, told.key, tenant=told.tenant)

    def flush(self) -> dict[tuple[str, str | None, str], Synced]:
        """Sync what events were about that were put off; answers by entity, tenant and key."""
        told, self.waiting = list(dict.fromkeys(self.waiting)), []
        places = dict.fromkeys((each.entity, each.tenant) for each in told)
        answers: dict[tuple[str, str | None, str], Synced] = {}
        for entity, tenant in places:
            keys = [each.key for each in told if (each.entity, each.tenant) == (entity, tenant)]
            found = self.bridge.sync_many(entity, keys, tenant=tenant)
            answers |= {(entity, tenant, key): each for key, each in found.items()}
        return answers

    @contextmanager
    def claimed(self, entity: str, key: str, tenant: str | None = None) -> Iterator[Work]:
        """Have a record to oneself meanwhile; Claimed while another agent has it. A claim runs out by itself after 5 minutes."""
        record = self.bridge.record(entity, key, tenant)
        self._claims.take(record)
        try:
            yield Work(self, record)
        finally:
            self._claims.give_back(record)

    def _event(self, event: Mapping[str, Any]) -> Event:
        kind, key, tenant = str(event.get("event_type", "")), event.get("key"), event.get("tenant")
        entity, _, what = kind.partition(".")
        if not what or not isinstance(key, str):
            raise BadRequest("event: it takes event_type, such as `submission.updated`, and the record's key")
        self.bridge.record(entity, key, tenant)
        return Event(kind, entity, key, tenant)


@dataclass(frozen=True)
class Work:
    """A record that an agent has claimed."""

    agent: AgentBridge
    record: RecordId

    def read(self) -> dict[str, Json]:
        """Return the record's fields as the workspace holds them; empty if it is not there."""
        found = self._workspace().read([self.record])
        live = [each.version for each in found if each.version.deleted is None]
        return {name: each.value for name, each in live[0].fields.items()} if live else {}

    def write(self, **values: Json) -> Synced | None:
        """Write fields in the agent's name, and sync the record if that is on; Claimed if the claim ran out and is another's."""
        self.agent._claims.take(self.record)
        made = write_as(self._workspace(), self.agent.name, self.record, values)
        if made:
            about = wiring.log().record(self.record)
            wiring.store().audit("agent_write", uuid.uuid4().hex, self.agent.name, wiring.now(), fields=sorted(values), **about)
        if not self.agent.auto:
            return None
        return self.agent.bridge.sync(self.record.entity, self.record.key, tenant=self.record.tenant)

    def _workspace(self) -> FirestorePeer:
        pair = self.agent.bridge.pair
        found = [peer for peer in (pair.left, pair.right) if isinstance(peer, FirestorePeer)]
        if not found:
            raise SyncError(f"pair {pair.name!r} has no Firestore; an agent's workspace lies there")
        return found[0]
