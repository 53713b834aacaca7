"""A Django project that is not ours, as `django-admin startproject` makes it, with one model and the REST queue added as the
documentation says; and around it an emulator, secrets and functions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from firestores import plain_client
from google.cloud.firestore import Client
from pages import boxes

from local.bundle import ROOT, stage
from local.emulator import PROJECT, Emulator
from local.ports import HOST, free_port
from local.process import Child
from local.secrets import SecretServer, write_secrets
from local.web import answers

MODEL, SETTINGS, URLS, TRACKER = [each.text for each in boxes(ROOT / "docs" / "tutorial.md") if each.language == "python"]
"""As the tutorial has them: a model, and what is added to a project's settings and addresses, and to functions/main.py."""
APPS = 'INSTALLED_APPS += ["books"]\n'
OWN = {"DJANGO_SETTINGS_MODULE": "shop.settings"}
"""Whatever other tests have set: these are the project's."""
HEAD = "import functions_framework\nfrom cloudevents.http import CloudEvent\n\n\n"


def manage(site: Path, *arguments: str) -> str:
    """Run Python in a project's folder, and return what it prints."""
    command, env = [sys.executable, *arguments], os.environ | OWN
    done = subprocess.run(command, cwd=site, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(site: Path) -> None:
    """Make a project with one model, as somebody has it who never heard of a sync."""
    site.mkdir(parents=True)
    manage(site, "-m", "django", "startproject", "shop", ".")
    manage(site, "manage.py", "startapp", "books")
    (site / "books" / "models.py").write_text(MODEL)
    with (site / "shop" / "settings.py").open("a") as file:
        file.write(APPS)
    manage(site, "manage.py", "makemigrations", "books")
    manage(site, "manage.py", "migrate")


class Stock:
    """The project in `folder`, served inside `with`; `url` is where the queue is mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site, self.place = folder, folder / "site", folder / "sync"
        self.port, self.functions_port = free_port(), free_port()
        self.url = f"http://{HOST}:{self.port}/api/sync"
        self.token = ""
        self._exits = ExitStack()
        self.emulator = Emulator(functions=f"{HOST}:{self.functions_port}", log=folder / "emulator.log")

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._make()
            exits.enter_context(self.emulator)
            self._secrets = exits.enter_context(SecretServer(self._stored_secrets(), project=PROJECT))
            server = [sys.executable, "manage.py", "runserver", "--noreload", f"{HOST}:{self.port}"]
            self._django = Child("the stock project", server, log=self.folder / "django.log", env=OWN, cwd=self.site)
            self._serve(exits, self._django, f"{self.url}/openapi.yaml")
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _serve(self, exits: ExitStack, child: Child, url: str) -> None:
        child.start()
        exits.callback(child.stop)
        child.wait_ready(lambda: answers(url))

    def _make(self) -> None:
        start(self.site)
        self.place.mkdir()
        shutil.copytree(ROOT / "backend" / "syncqueue", self.site / "syncqueue", ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in (("settings.py", SETTINGS), ("urls.py", URLS)):
            with (self.site / "shop" / name).open("a") as file:
                file.write(text)
        self._run("manage.py", "migrate")
        self._run("manage.py", "sync_scan")
        self.token = self._run("manage.py", "sync_token", "bothways", "--role", "sync").split()[-1]

    def migrated(self) -> None:
        """Bring a new release of the project into force: its migrations, what they changed taken note of, the server anew."""
        self._django.stop()
        self._run("manage.py", "migrate")
        self._run("manage.py", "sync_scan")
        self._django.start()
        self._django.wait_ready(lambda: answers(f"{self.url}/openapi.yaml"))

    def _run(self, *arguments: str) -> str:
        return manage(self.site, *arguments)

    def shell(self, code: str) -> str:
        """Run Python in the project, and return what it prints."""
        return self._run("manage.py", "shell", "-v", "0", "-c", f"from books.models import Book\n{code}").strip()

    def _stored_secrets(self) -> Path:
        file = self.folder / "secrets.json"
        write_secrets(file, {"django-token": self.token, "operator-token": "o" * 30, "log-key": "k" * 30})
        return file

    @property
    def env(self) -> dict[str, str]:
        """What the command line is told."""
        return {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "FIRESTORE_EMULATOR_HOST": self.emulator.host,
            "SECRET_MANAGER_HOST": self._secrets.address,
            "SYNC_CONFIG": str(self.place / "sync.yaml"),
            "SYNC_OPEN_TRACKERS": "1",
        }

    def add(self, snippets: dict[str, list[str]]) -> None:
        """Put what `init` told beside sync.yaml, as whoever read it would."""
        (self.place / "functions").mkdir()
        (self.place / "functions" / "main.py").write_text(HEAD + "\n\n\n".join(snippets["functions/main.py"]) + "\n")
        rules, block = (ROOT / "firestore.rules").read_text(), "\n\n".join(snippets["firestore.rules"])
        (self.place / "firestore.rules").write_text(
            rules.replace("    match /members/{id}", f"{block}\n\n    match /members/{{id}}")
        )
        shutil.copy(ROOT / "requirements.txt", self.place)
        shutil.copytree(ROOT / "shared", self.place / "shared", ignore=shutil.ignore_patterns("__pycache__"))

    def deploy(self) -> dict[str, str]:
        """Put rules and functions into force, and return what the command line is told of them."""
        self.emulator.set_rules(self.place / "firestore.rules")
        bundle = stage(self.folder / "bundle", self.place)
        command = [sys.executable, "-m", "local.functions", "--bundle", str(bundle), "--port", str(self.functions_port)]
        env = {name: value for name, value in self.env.items() if name != "SYNC_CONFIG"}
        functions = Child("the functions", command, log=self.folder / "functions.log", env=env, cwd=ROOT)
        self._serve(self._exits, functions, f"http://{HOST}:{self.functions_port}/")
        self.emulator.register_trigger("track_book_changes", "books/{id}")
        return {"FUNCTIONS_URL": f"http://{HOST}:{self.functions_port}"}

    def firestore(self) -> Client:
        """Return a client of the emulator."""
        return plain_client(self.emulator.host, PROJECT)
