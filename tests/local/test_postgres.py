"""The PostgreSQL server of the tests: a crash of it takes nothing that was committed, and nothing of it is left."""

import psycopg
import pytest

from local.postgres import Postgres, programs

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL's initdb and pg_ctl are not installed"),
]


def test_a_crash_keeps_what_was_committed_and_drops_what_was_not():
    with Postgres() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            connection.execute("BEGIN")
            connection.execute("INSERT INTO kept VALUES (2)")
            server.stop()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("COMMIT")
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)
