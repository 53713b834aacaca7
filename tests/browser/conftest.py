"""A real Chromium before the real stack: Firestore's emulator, Django, the functions, and the pages as hosting serves them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser.chromium import DESK, FLAGS, Opened, missing, program
from proxy import Proxy
from real import Real

from local.bundle import ROOT
from local.django_users import DjangoUsers
from local.site import TAKES_UNSIGNED, Site
from local.stack import Stack
from local.tasks import TaskServer

QUEUE = "projects/demo/locations/local/queues/bothways"
CONFIG = {
    # what sync.yaml says: what these tests have it say
    "phone: text": "phone: {type: text, policy: manual}",
    "real_time: {seconds: 5}": "",
    "shard_threshold: 20000, shards: 16": "shard_threshold: 100, shards: 4",
}


@pytest.fixture(scope="session", autouse=True)
def _all_is_there() -> None:
    """A plain user without Chromium is told so; where CI runs, these tests must run."""
    lacking = missing()
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(lacking, pytrace=False)
    if lacking:
        pytest.skip(lacking)


@pytest.fixture(scope="session")
def door() -> Iterator[Proxy]:
    """What Firestore's events and the tasks pass on their way to the functions: a test may hold them up there."""
    with Proxy("http://127.0.0.1:9") as standing:
        yield standing


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, door: Proxy) -> Iterator[Stack]:
    """The stack that the pages belong to. Conflicts over phones wait for somebody's decision, nothing is carried by itself, and
    from 100 changes on a run is handed out."""
    folder = tmp_path_factory.mktemp("pages")
    config, text = folder / "sync.yaml", (ROOT / "sync.yaml").read_text(encoding="utf-8")
    for plain, ours in CONFIG.items():
        assert plain in text
        text = text.replace(plain, ours)
    config.write_text(text, encoding="utf-8")
    with TaskServer(at_once=4) as tasks:
        queue = {"CLOUD_TASKS_HOST": tasks.address, "TASK_QUEUE": QUEUE, "FUNCTIONS_URL": door.url}
        env = {"SYNC_CONFIG": str(config), **TAKES_UNSIGNED, **queue}
        with Stack(folder / "up", functions_env=env, events=urlsplit(door.url).netloc) as running:
            door.backend = urlsplit(running.functions_url)
            yield running


@pytest.fixture(scope="session")
def site(house: Stack) -> Iterator[Site]:
    with Site(house) as serving:
        yield serving


@pytest.fixture(scope="session")
def people(house: Stack) -> Iterator[DjangoUsers]:
    assert house.backend is not None
    with DjangoUsers(house.backend.env, house.backend.manage_script) as there:
        yield there


@pytest.fixture
def world(house: Stack, people: DjangoUsers) -> Iterator[Real]:
    """The stack, empty."""
    client = house.firestore()
    made = Real(house, people, client)
    made.empty()
    yield made
    client.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program(), args=FLAGS, headless=True)
        yield browser
        browser.close()


def own(text: str, expected: int) -> bool:
    """Return whether this is what the browser itself says of a call that the test wants to fail. `cleardot.gif` is what
    Firestore's client looks for to see whether there is a network; the pages' policy does not let it."""
    alone = ("net::ERR_INTERNET_DISCONNECTED", "cleardot.gif", "Could not reach Cloud Firestore backend")
    return expected > 0 and (f"status of {expected} " in text or any(each in text for each in alone))


@pytest.fixture
def opened(chromium: Any, site: Site, world: Real) -> Iterator[Opened]:
    """Open a page as somebody with a role; None: signed out. What a page says on its console, or throws, fails the test; but
    that a call was answered with the status that the test is about, or not at all without a network, the browser says itself."""
    contexts: list[Any] = []
    said: list[str] = []

    def open_(path: str = "/", role: str | None = "operator", member: str = "", expected: int = 0, **context: Any) -> Any:
        context.setdefault("viewport", DESK)
        made = chromium.new_context(locale="en-GB", timezone_id="Atlantic/Reykjavik", **context)
        contexts.append(made)
        if role:
            chosen = json.dumps(json.dumps({"role": role, "member": member}))
            made.add_init_script(f"sessionStorage.setItem('bothways-local-role', {chosen})")
        page = made.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda line: said.append(line.text) if line.type == "error" and not own(line.text, expected) else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(site.url + path)
        return page

    yield open_
    for each in contexts:
        each.close()
    assert said == []
