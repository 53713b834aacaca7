"""The contract of a peer. Every peer passes tests/test_peers.py unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from shared.digests import Digest, Hashed
from shared.errors import SyncError
from shared.model import Acknowledgement, Change, Page, Problem, Record, RecordId, Result, Scope, Status
from shared.policy import Mode


class Peer(Protocol):
    """One of the two systems of a pair.

    Every method may raise Transient (try later, nothing is lost) and TerminalBatch (somebody must mend the peer first).
    """

    @property
    def name(self) -> str:
        """Unique over all pairs; the origin in the stamps of what is written there."""
        ...

    def changes(self, scope: Scope) -> Iterator[Page]:
        """Yield pages of what waits in the queue: all that was pending at the start, of one record in stamp order.

        Repeats are harmless. What is acknowledged between two pages is not shown again.
        """
        ...

    def apply(self, changes: Sequence[Change], run_id: str, mode: Mode = Mode.LWW) -> list[Result]:
        """Apply the changes by the one rule and return a result for each, in their order; twice equals once.

        One bad change spoils no other. Conflicts are stored before the loser is overwritten.
        """
        ...

    @property
    def foresees(self) -> bool:
        """Whether `refuses` tells for certain."""
        ...

    def refuses(self, change: Change) -> Problem | None:
        """Return why the peer could not take a change as things are, as far as it can tell without writing anything."""
        ...

    def pending(self, scope: Scope) -> int:
        """Return about how many changes wait in the queue, cheaply; of other scopes too where no less can be asked."""
        ...

    def pending_deletes(self, scope: Scope) -> int:
        """Return how many deletes wait in the queue."""
        ...

    def count(self, scope: Scope) -> int:
        """Return how many live records there are of the one entity in `scope`; 0 if that cannot be told."""
        ...

    def acknowledge(self, run_id: str, done: Acknowledgement) -> None:
        """Label entries of this peer's queue; touches nothing else. Safe to repeat."""
        ...

    def settle(self, run_id: str, conflicts: Sequence[str]) -> None:
        """Take note that these conflicts are stored elsewhere and need not be reported again."""
        ...

    def read(self, ids: Sequence[RecordId], adopting: bool = True) -> list[Record]:
        """Return those of the records that exist or have a tombstone, each adopted before it is shown.

        Without `adopting`, where the peer can: as they would be once adopted, and nothing is written.
        """
        ...

    def records(self, scope: Scope, entity: str, after: str | None = None) -> Iterator[list[Record]]:
        """Yield all live records of an entity, about in the order of their keys. A page is never empty.

        To compare, not to send: an unseen edit is shown with the stamp that it would get, where the peer can show it
        without adopting it. What comes up to the key `after`, in the order of document ids, may be left out.
        """
        ...

    def status(self, scope: Scope) -> Status:
        """Return the queue's figures."""
        ...


@runtime_checkable
class Polled(Protocol):
    """A peer whose system has no queue: what is new there is found by asking, once a run, and put into a queue of ours."""

    @property
    def writable(self) -> bool:
        """Whether the system takes changes at all. If not, nothing is carried to it."""
        ...

    def poll(self, scope: Scope, tenants_of: Callable[[str], Sequence[str | None]]) -> Mapping[str | None, SyncError]:
        """Adopt what is new and return what went wrong, by tenant: one that fails stops no other."""
        ...


@runtime_checkable
class Eraser(Protocol):
    """A peer that keeps something of deleted records, and can drop it."""

    def erase(self, record: RecordId) -> Mapping[str, int] | None:
        """Drop all values that are kept of a deleted record (hidden, queued, in conflict) and return how many of each kind.

        The tombstone stays, and no stale change ever refills it. Safe to repeat; Transient if the record is not deleted.
        None: whoever keeps this peer has to do it there.
        """
        ...


@runtime_checkable
class Teller(Protocol):
    """A peer that tells the digests of a whole entity in one answer."""

    def digests(self, scope: Scope, entity: str) -> list[Digest] | None:
        """Return the digest of each of the 4096 buckets; None if this peer does without digests after all."""
        ...

    def hashes(self, scope: Scope, entity: str, buckets: Mapping[int, Digest]) -> Iterator[tuple[set[int], list[Hashed]]]:
        """Yield the live records of these buckets, some whole buckets at a time: which ones, and what is in them.

        `buckets` are given with their digests, to tell how much that will be.
        """
        ...


@runtime_checkable
class Asked(Protocol):
    """A peer that answers about one part at a time, from what it noted when it last adopted or applied."""

    def digest(self, scope: Scope, entity: str, buckets: range, hashes: range) -> Digest:
        """Return how many records lie in these buckets with these hashes, and the sum of their hashes."""
        ...

    def hashed(self, scope: Scope, entity: str, buckets: range, hashes: range) -> list[Hashed]:
        """Return the records that lie there. Meant for few."""
        ...
