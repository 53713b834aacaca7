"""Two made-up schools beside the stack, which answer as Bakaláři does. They lie among the tests."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from local.bundle import ROOT
from local.ports import HOST, free_row
from local.process import Child
from local.web import answers

FOLDER = ROOT / "tests" / "bakalari"
NAMES = ("north", "south")
ACCOUNTS = [{"username": "vzor1", "password": "heslo-1"}, {"username": "vzor2", "password": "heslo-2"}]


class Schools:
    """The schools, inside `with`, on two ports in a row."""

    def __init__(self, log: Path) -> None:
        """Describe them; nothing starts before `with`."""
        ports = free_row(len(NAMES))
        self.urls = {name: f"http://{HOST}:{port}" for name, port in zip(NAMES, ports, strict=True)}
        env = {"PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
        self._child = Child("Bakaláři", [sys.executable, "-m", "bakalari", "--port", str(ports[0])], log=log, env=env, cwd=ROOT)

    def __enter__(self) -> Self:
        self._child.start()
        try:
            self._child.wait_ready(lambda: all(answers(f"{url}/Timetable/Public") for url in self.urls.values()))
        except BaseException:
            self._child.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    @property
    def env(self) -> dict[str, str]:
        """What examples/bakalari.yaml asks for."""
        return {f"SCHOOL_{name.upper()}_URL": url for name, url in self.urls.items()}

    @property
    def secrets(self) -> Mapping[str, str]:
        """The accounts that each school gave."""
        return {f"school-{name}": json.dumps(ACCOUNTS) for name in NAMES}
