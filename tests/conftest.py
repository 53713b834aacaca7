"""Real parts for the tests: one emulator and one whole stack for all that ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.arcade import Arcade
from local.bundle import ROOT
from local.django_users import DjangoUsers
from local.emulator import Emulator
from local.postgres import Postgres, programs
from local.stack import Stack


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded under this name: `record_property("figures", text)`."""
    reports = [each for some in terminalreporter.stats.values() for each in some if isinstance(each, pytest.TestReport)]
    figures = [text for report in reports if report.when == "call" for name, text in report.user_properties if name == "figures"]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """The Firestore emulator, with no triggers. Every test takes a project of its own on it."""
    with Emulator() as running:
        yield running


@pytest.fixture(scope="session")
def arcade() -> Iterator[Arcade]:
    """A graph over Bolt, which stands for Neo4j."""
    with Arcade() as running:
        yield running


@contextmanager
def _running(folder: Path, database_url: str | None = None) -> Iterator[Stack]:
    """Emulator with triggers, Django, functions and secrets. One field has a name with all that is awkward in it."""
    config = folder / "sync.yaml"
    text = (
        (ROOT / "sync.yaml").read_text(encoding="utf-8").replace("notes: text", 'notes: {type: text, firestore: "no.tes `&` þ"}')
    )
    with Stack(folder / "up", functions_env={"SYNC_CONFIG": str(config)}, database_url=database_url) as running:
        config.write_text(text, encoding="utf-8")
        yield running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack, its Django on SQLite."""
    with _running(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def stack_on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack, its Django on PostgreSQL."""
    if programs() is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    with Postgres() as server, _running(tmp_path_factory.mktemp("stack-pg"), server.url) as running:
        yield running


@pytest.fixture(scope="session")
def users(stack: Stack) -> Iterator[DjangoUsers]:
    """People who work with the stack's Django."""
    assert stack.backend is not None
    with DjangoUsers(stack.backend.env, stack.backend.manage_script) as there:
        yield there


@pytest.fixture
def real(stack: Stack, users: DjangoUsers) -> Iterator[object]:
    """The stack, empty."""
    from real import Real

    client = stack.firestore()
    made = Real(stack, users, client)
    made.empty()
    yield made
    client.close()


@pytest.fixture
def backend(real: object) -> object:
    """The backend alone, with its users and the library's peer for it."""
    return real
