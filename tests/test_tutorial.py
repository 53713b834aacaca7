"""docs/tutorial.md: everything in its boxes is typed, in order, by somebody with a fresh Django and no account at Google."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
import stock
from deploying.google import Google, serve
from deploying.trees import pretended
from firestores import plain_client
from pages import Box, boxes

from local.bundle import ROOT
from local.emulator import PROJECT
from local.ports import HOST, free_port
from local.process import Child, wait_until
from local.web import answers

PAGE = boxes(ROOT / "docs" / "tutorial.md")
GOOGLE, RUNNING = "**Needs Google", "leave it running:"
SHOP = "https://shop.example.org/api/sync"
UNWANTED = shutil.ignore_patterns(".git", ".venv", ".local", "node_modules", "dist", "__pycache__", ".*_cache", ".hypothesis")
OLD = {
    # what `put yours in their place` means, by file
    "functions/main.py": re.compile(r"@functions_framework\.cloud_event\n.*\Z", re.DOTALL),
    "firestore.rules": re.compile(r"(?<=may see or edit every record\.\n).*?(?=\n    // The sync's own state)", re.DOTALL),
}
LOGINS = {"gcloud auth login", "gcloud auth application-default login", "firebase login"}
"""What nobody can do without an account; not even read."""


def elsewhere(command: str) -> bool:
    """Return whether a command speaks to Google alone."""
    return command.startswith(("gcloud ", "firebase "))


READ = [line for box in PAGE if box.language == "sh" for line in box.commands if elsewhere(line)]


def repository(place: Path) -> Path:
    """Return a git repository that holds what this one holds."""
    shutil.copytree(ROOT, place, ignore=UNWANTED)
    named = ["-c", "user.name=Tests", "-c", "user.email=tests@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*named, "commit", "-q", "-m", "All"]):
        subprocess.run(["git", *words], cwd=place, check=True, capture_output=True)
    return place


def furnish(clone: Path) -> None:
    """Spare the clone its downloads: packages, the emulator, the pages."""
    (clone / ".venv").mkdir()
    for each in Path(sys.prefix).iterdir():
        if each.name != "stamp":
            (clone / ".venv" / each.name).symlink_to(each)
    stamp = subprocess.run(["sh", "-c", "{ pwd; cat requirements-dev.txt; } | cksum"], cwd=clone, check=True, capture_output=True)
    (clone / ".venv" / "stamp").write_bytes(stamp.stdout)
    (ROOT / ".local" / "cache").mkdir(parents=True, exist_ok=True)
    (clone / ".local").mkdir()
    (clone / ".local" / "cache").symlink_to(ROOT / ".local" / "cache")
    (clone / "hosting" / "dist").mkdir()
    (clone / "hosting" / "dist" / "index.html").touch()


class Reader:
    """Somebody who types what the page says. `typed` are the commands that ran."""

    def __init__(self, folder: Path, google: Google) -> None:
        self.folder, self.at, self.typed = folder, folder, list[str]()
        home, self.port = folder / "home", free_port()
        home.mkdir()
        self.env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home), "COLUMNS": "140", "USER": "gunnar"}
        self.env |= {"PIP_DRY_RUN": "1", "PIP_NO_INDEX": "1", "NO_PROXY": HOST}  # the package is there; nothing may be installed
        self.google = pretended(home, google)
        self.google |= {"PATH": f"{self.env['PATH'].partition(':')[0]}:{self.google['PATH']}"}
        self.address = repository(folder / "published")
        self._running: dict[Path, Child] = {}

    def __enter__(self) -> Self:
        stock.start(self.folder / "shop")
        self.shop('Book(isbn="1", title="Njála", price="12.50", notes="x").save()')
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as exits:
            for child in self._running.values():
                exits.callback(child.stop)

    def shop(self, code: str) -> str:
        """Run Python in the Django project, and return what it prints."""
        return stock.manage(self.folder / "shop", "manage.py", "shell", "-v", "0", "-c", f"from books.models import Book\n{code}")

    @property
    def stack(self) -> dict[str, str]:
        """The variables of the stack that `make up` has started."""
        lines = (self.folder / "bothways" / ".local" / "up" / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def follows(self, box: Box) -> str:
        """Do what a box says, and return what was printed."""
        if box.language in {"python", ""}:
            self.edits(box)
        elif box.language == "yaml":
            assert box.text in (self.at / "sync.yaml").read_text()
        elif box.said.endswith(RUNNING):
            self.leaves_running(box)
        elif GOOGLE in box.said:
            return self.types("\n".join(line for line in box.commands if not elsewhere(line)), self.stack | self.google)
        else:
            return self.types(box.text, {})
        return ""

    def edits(self, box: Box) -> None:
        named = [name for name in re.findall(r"`([\w/]+\.\w+)`", box.said) if (self.at / name).is_file()]
        if not named:
            assert box.text.strip() == (self.folder / "shop" / "books" / "models.py").read_text().strip()
            return
        file = self.at / named[-1]
        text = file.read_text()
        if "At the end of" in box.said:
            file.write_text(text + box.text)
            return
        assert "in their place" in box.said
        old = OLD[named[-1]]
        assert len(old.findall(text)) == 1
        file.write_text(old.sub(lambda _: box.text, text))

    def types(self, text: str, env: Mapping[str, str]) -> str:
        script, where = self.filled(text, env), self.folder / "where"
        command = ["bash", "-euo", "pipefail", "-c", f"{script}\npwd > {where}"]
        clean = self.env | dict(env)
        done = subprocess.run(
            command, cwd=self.at, env=clean, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        self.at = Path(where.read_text().strip())
        self.typed += Box("", "", "sh", script).commands
        return done.stdout

    def filled(self, text: str, env: Mapping[str, str]) -> str:
        """Return what is typed, with the words in capitals filled in, and with this machine's port."""
        words = {"ADDRESS": str(self.address), "PROJECT": PROJECT, "YOU": "you", f"{HOST}:8000": f"{HOST}:{self.port}"}
        words |= {SHOP: env["DJANGO_URL"]} if "DJANGO_URL" in env else {}
        for word, meant in words.items():
            text = re.sub(rf"(?<![\w/]){re.escape(word)}(?![\w])|(?<=//){re.escape(word)}", meant, text)
        return text

    def leaves_running(self, box: Box) -> None:
        place = self.folder / ("bothways" if "make up" in box.text else "shop")
        if place in self._running:
            self._running.pop(place).stop()
        log = self.folder / f"{place.name}.log"
        log.unlink(missing_ok=True)
        clean = ["env", "-i", *(f"{name}={value}" for name, value in self.env.items())]
        self._running[place] = child = Child(
            box.text.strip(), [*clean, "bash", "-euc", self.filled(box.text, {})], log=log, cwd=place
        )
        child.start()
        url = f"http://{HOST}:{self.port}/api/sync/openapi.yaml"
        child.wait_ready(lambda: "Ctrl-C stops everything" in log.read_text() if place.name == "bothways" else answers(url), 120)
        self.typed += box.commands


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    google = Google()
    server = serve(google)
    try:
        with Reader(tmp_path, google) as somebody:
            yield somebody
    finally:
        server.shutdown()
        server.server_close()


def pending(reader: Reader) -> int:
    told = json.loads(reader.types("./bothways --env .local/up/env status --json", {}))
    reader.typed.pop()
    return int(told["result"]["pairs"]["main"]["peers"]["firestore"]["pending"])


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_an_evening_ends_with_both_sides_in_step(reader: Reader, record_property: Callable[[str, object], None]) -> None:
    printed: dict[str, str] = {}
    for box in PAGE:
        printed[box.text] = reader.follows(box)
        if box.text.startswith("git clone"):
            furnish(reader.folder / "bothways")
        if "updateMask" in box.text:
            wait_until(lambda: pending(reader) == 1, "the trigger", 30)
    said = "\n".join(printed.values())
    assert stock.TRACKER.strip() in said, "init prints the tracker that the page shows"
    assert "scheduler jobs create http bothways-nightly-main " in said, "the dry run names the job that the page runs"
    client = plain_client(reader.stack["FIRESTORE_EMULATOR_HOST"], PROJECT)
    found = client.document("books/1").get().to_dict()
    client.close()
    assert (found["title"], found["price"]) == ("Njáls saga", "13.00")
    assert reader.shop('book = Book.objects.get(isbn="1"); print(book.title, book.price)').strip() == "Njáls saga 13.00"
    all_of_them = [line for box in PAGE if box.language == "sh" for line in box.commands]
    assert len(reader.typed) == len(all_of_them) - len(READ)
    record_property("figures", f"tutorial: {len(reader.typed)} commands typed, {len(READ)} that need Google read")


def test_what_is_for_google_alone_stands_in_boxes_that_say_so() -> None:
    assert {box.text for box in PAGE if any(map(elsewhere, box.commands))} <= {box.text for box in PAGE if GOOGLE in box.said}
    assert set(READ) >= LOGINS


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
@pytest.mark.parametrize("line", sorted(set(READ) - LOGINS))
def test_gcloud_takes_the_line_and_then_finds_that_nobody_is_logged_in(line: str, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", line.replace("PROJECT", PROJECT)], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, "active account" in done.stderr) == (1, True), done.stderr
