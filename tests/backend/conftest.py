"""Configures Django for this folder only, and runs every test that asks for `db` on SQLite and on PostgreSQL."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "backend")]
os.environ["DJANGO_SETTINGS_MODULE"] = "register.settings"
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
    "true"  # a browser driven in the same process keeps a loop, which Django takes for asynchronous code
)
for name in ("DJANGO_SECRET_KEY", "DJANGO_DEBUG", "DJANGO_ALLOWED_HOSTS", "SYNC_QUEUE_SIGNING_KEYS"):
    os.environ.pop(name, None)
given = os.environ.get("DATABASE_URL")
os.environ["DATABASE_URL"] = "sqlite:///:memory:"  # the fixtures put real ones in its place

import django  # noqa: E402

django.setup()
del os.environ["DATABASE_URL"]  # other tests start backends of their own
if given is not None:
    os.environ["DATABASE_URL"] = given

import databases  # noqa: E402
from calls import Client  # noqa: E402


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for the session."""
    from local.postgres import Postgres, programs

    if programs() is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    with Postgres() as server:
        yield server.url


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.stack)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database, in place of Django's default one."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/db.sqlite3"
    else:
        url = request.getfixturevalue("postgres_url")
    with databases.default(url):
        yield request.param


@pytest.fixture
def db(database: str) -> Iterator[str]:
    """The database, empty; its vendor."""
    databases.empty()
    yield database
    databases.close()


@pytest.fixture
def client(db: str) -> Client:
    """A caller with a token that may do everything."""
    return Client.with_token("sync")
