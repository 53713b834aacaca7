"""The calls of a graph over Bolt, and its errors as ours. Nothing else here knows the driver.

Its messages may hold values, so only its codes are repeated, and its own log lines are turned off.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, TypeVar

from neo4j import Driver, ManagedTransaction, Session
from neo4j.exceptions import ClientError, ConfigurationError, ConstraintError, DriverError, Neo4jError

from shared.breaker import Breaker
from shared.errors import SyncError, TerminalBatch, Transient

T = TypeVar("T")
Row = Mapping[str, Any]


class Declined(TerminalBatch):
    """The server took none of a transaction. One record in it may be to blame."""


class Contended(Exception):
    """What was read in a transaction is not so any more; it is rolled back, and done again."""


class Transaction:
    """What is asked within one transaction."""

    def __init__(self, managed: ManagedTransaction) -> None:
        self._managed = managed

    def __call__(self, statement: str, **parameters: Any) -> list[Row]:
        """Return the rows that a statement answers."""
        return list(self._managed.run(statement, parameters).data())


class Bolt:
    """One database of a server. `connect` makes the driver when it is first needed; all is read and written in managed
    transactions, which the driver repeats where the server says that it helps."""

    def __init__(self, peer: str, uri: str, database: str, connect: Callable[[], Driver], breaker: Breaker | None = None) -> None:
        self.peer, self.uri, self.database, self.breaker = peer, uri, database, breaker
        self._connect = connect

    @cached_property
    def _driver(self) -> Driver:
        logging.getLogger("neo4j").setLevel(logging.CRITICAL)
        return self._connect()

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        if "_driver" in self.__dict__:
            self._driver.close()
            del self._driver

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` returns, done in a transaction that only reads."""
        return self._guarded(lambda: self._session(lambda session: session.execute_read(_asking(work))))

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` returns, done in a transaction that is committed; `work` may be called several times.

        Two that make one thing at the same moment can clash over its constraint: that is tried once more, and finds it made.
        """

        def once() -> T:
            return self._session(lambda session: session.execute_write(_asking(work)))

        def twice() -> T:
            try:
                return once()
            except ConstraintError:
                return once()

        return self._guarded(twice)

    def define(self, statements: Sequence[str]) -> None:
        """Make constraints and indexes, each in a transaction of its own, as they have to be."""
        for each in statements:
            self._guarded(partial(self._execute, each))

    def _execute(self, statement: str) -> None:
        self._driver.execute_query(statement, database_=self.database)

    def now(self) -> datetime:
        """Return the time by the server's clock, in milliseconds."""
        [row] = self.read(lambda ask: ask("RETURN timestamp() AS now"))
        return datetime.fromtimestamp(row["now"] / 1000, UTC)

    def _session(self, work: Callable[[Session], T]) -> T:
        with self._driver.session(database=self.database) as session:
            return work(session)

    def _guarded(self, work: Callable[[], T]) -> T:
        return self.breaker.call(lambda: self._translated(work)) if self.breaker else self._translated(work)

    def _translated(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (Neo4jError, DriverError) as error:
            raise self._said(error) from None

    def _said(self, error: Neo4jError | DriverError) -> SyncError:
        at, code = f"peer {self.peer!r} at {self.uri}, database {self.database!r}", str(getattr(error, "code", None) or "")
        if code.startswith("Neo.ClientError.Security."):
            hint = "mend `user`, or the secret that `password` names, or what that user may do"
            return TerminalBatch(f"{at}: it refuses the user or the password ({code}); {hint}")
        if code == "Neo.ClientError.Database.DatabaseNotFound":
            return TerminalBatch(f"{at}: there is no such database on that server; create it, or mend `database` in sync.yaml")
        if isinstance(error, ConfigurationError):
            return TerminalBatch(f"{at}: this address cannot be used ({type(error).__name__}); mend `uri` in sync.yaml")
        if isinstance(error, DriverError):
            hint = "is the server running, and is this its Bolt address (its port is 7687 unless it was changed)?"
            return Transient(f"{at}: no answer ({type(error).__name__}); {hint}")
        if not isinstance(error, ClientError):
            return Transient(f"{at}: could not do it now ({code}); the next run tries again")
        if code == "Neo.ClientError.Statement.SyntaxError":
            return TerminalBatch(f"{at}: does not know a statement ({code}); Neo4j from 5.7 on does: is it older?")
        return Declined(f"{at}: refused what was to be written ({code}); see the server's log, and its constraints")


def _asking(work: Callable[[Transaction], T]) -> Callable[[ManagedTransaction], T]:
    return lambda managed: work(Transaction(managed))
