"""Who is at work on a record: a claim per record, so that two agents never write the same one at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.errors import SyncError
from shared.model import RecordId
from shared.naming import hashed_id, state_id
from shared.peers.documents import Contended, Snapshot, Write
from shared.retention import CLAIM
from shared.store import Store

CLAIMS = "sync_claims"


class Claimed(SyncError):
    """Another agent is at work on the record."""


@dataclass(frozen=True)
class Claims:
    """Claims records in the name of one agent, each for so long."""

    store: Store
    now: Callable[[], datetime]
    holder: str
    length: timedelta = CLAIM

    def take(self, record: RecordId) -> None:
        """Claim a record, or hold it for longer; Claimed while another agent has it."""
        found = self._found(record)
        other, until = found.fields.get("holder"), found.fields.get("until")
        if other not in {None, self.holder} and until is not None and until > self.now():
            raise Claimed(f"agent {other!r} is at work on this record; try again later")
        body = {"holder": self.holder, "until": self.now() + self.length, "expire_at": self.now() + self.length}
        try:
            self.store.documents.commit([Write(found.path, body, seen=found)])
        except Contended:
            raise Claimed("another agent has just claimed this record; try again later") from None

    def give_back(self, record: RecordId) -> None:
        """Let others have the record. Of a claim that ran out and is another's by now, nothing is touched."""
        found = self._found(record)
        if found.fields.get("holder") == self.holder:
            try:
                self.store.documents.commit([Write(found.path, None, seen=found)])
            except Contended:
                return

    def _found(self, record: RecordId) -> Snapshot:
        path = f"{CLAIMS}/{state_id(record.entity, hashed_id(record.tenant, record.key))}"
        return self.store.documents.get([path])[0][path]
