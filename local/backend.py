"""The Django backend of the stack: its database, its token, its records, its server."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from local.errors import StackError
from local.ports import HOST, free_port
from local.process import Child
from local.web import answers

MANAGE = Path(__file__).resolve().parent.parent / "backend" / "manage.py"
API = "/felagar/api/sync"
ADMIN = "admin"
SEED = 7
# Idempotent, unlike `createsuperuser`: a kept database gets the password of this start.
MAKE_ADMIN = f"""
import os
from django.contrib.auth import get_user_model
rights = {{"is_staff": True, "is_superuser": True}}
user, _ = get_user_model().objects.get_or_create(username="{ADMIN}", defaults=rights)
user.set_password(os.environ["BOTHWAYS_ADMIN_PASSWORD"])
user.save()
"""


class Backend:
    """A real Django with a real database, serving inside `with`.

    `url` is where the REST queue is mounted, `site` the root of the site. The database is the one that `database_url` or
    the environment's DATABASE_URL names, else an SQLite file in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        token: str,
        secret_key: str,
        port: int = 0,
        members: int = 0,
        log: Path | None = None,
        manage: Path = MANAGE,
        database_url: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the backend. `token` is what the sync presents; so many `members` are seeded into the database; `env` is
        added to its environment."""
        self._folder, self._token, self._members, self._manage = folder, token, members, manage
        self._port = port or free_port()
        self._log = log or folder / "backend.log"
        self._env = {
            "DATABASE_URL": database_url or os.environ.get("DATABASE_URL", f"sqlite:///{folder / 'django.sqlite3'}"),
            "DJANGO_SECRET_KEY": secret_key,
            "DJANGO_ALLOWED_HOSTS": f"{HOST},localhost",
        } | dict(env or {})
        self.site = f"http://{HOST}:{self._port}"
        self.url = self.site + API
        # --insecure: Django serves the admin's style sheets, which a production server would get from elsewhere.
        command = [sys.executable, str(manage), "runserver", "--noreload", "--insecure", f"{HOST}:{self._port}"]
        self._server = Child("the backend", command, log=self._log, env=self._env, cwd=manage.parent)

    def __enter__(self) -> Self:
        self._prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def start(self) -> None:
        """Start the server, at first or after `kill`, and return once it answers."""
        try:
            self._server.start()
            self._server.wait_ready(lambda: answers(f"{self.site}/health/"))
        except BaseException:
            self._server.stop()
            raise

    def kill(self) -> None:
        """End the server in the middle of whatever it does. Its database stays."""
        self._server.kill()

    @property
    def pid(self) -> int | None:
        """The server's process id, while it runs."""
        return self._server.pid

    @property
    def env(self) -> dict[str, str]:
        """The environment of another process that is to work on the same database."""
        return dict(self._env)

    @property
    def manage_script(self) -> Path:
        """Where its manage.py lies."""
        return self._manage

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.manage("migrate", "--noinput")
        self.manage("sync_token", "local", "--role", "sync", "--stdin", given=self._token)
        if self._members:
            self.manage("seed_members", "--count", str(self._members), "--seed", str(SEED))

    def set_admin(self, password: str) -> None:
        """Let `admin` log in to /admin/ with this password."""
        self.manage("shell", "-c", MAKE_ADMIN, BOTHWAYS_ADMIN_PASSWORD=password)

    def manage(self, *arguments: str, given: str = "", **env: str) -> str:
        """Run a management command, with `given` on its standard input, and return what it printed.

        Raises StackError with the last line of its complaint.
        """
        if not self._manage.is_file():
            raise StackError(f"{self._manage} is missing: check out the whole repository")
        done = subprocess.run(
            [sys.executable, str(self._manage), *arguments],
            input=given,
            capture_output=True,
            text=True,
            env=os.environ | self._env | env,
            cwd=self._manage.parent,
            check=False,
        )
        if done.returncode:
            complaint = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["(nothing said)"]
            raise StackError(f"`manage.py {arguments[0]}` failed with exit code {done.returncode}: {complaint[0]}")
        return done.stdout
