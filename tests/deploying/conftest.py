"""A tree to deploy from, and a Google to deploy to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deploying.google import Google, serve
from deploying.trees import build, pretended


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, which only read it."""
    return build(tmp_path_factory.mktemp("deployable") / "tree")


@pytest.fixture
def google() -> Iterator[Google]:
    kept = Google()
    server = serve(kept)
    yield kept
    server.shutdown()
    server.server_close()


@pytest.fixture
def env(tmp_path: Path, google: Google) -> dict[str, str]:
    """Variables under which gcloud and firebase are pretended, and somebody is logged in who may do all."""
    return pretended(tmp_path, google)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "django-token"
    path.write_text("a-secret-of-django\n")
    return path
