"""The stand-ins for OJS 3.3 to 3.6 beside the stack: made-up journals that answer as OJS does. They lie among the tests."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from local.bundle import ROOT
from local.ports import HOST, free_row
from local.process import Child
from local.web import call

FOLDER = ROOT / "tests" / "ojs"
VERSIONS = {"33": "harbour", "34": "meadow", "35": "quarry", "36": "summit"}
"""The one journal of each installation."""


class Journals:
    """Four installations of OJS, inside `with`, each on the port after the last one's."""

    def __init__(self, log: Path) -> None:
        """Describe them; nothing starts before `with`."""
        self.log = log
        ports = free_row(len(VERSIONS))
        self.urls = {version: f"http://{HOST}:{port}" for version, port in zip(VERSIONS, ports, strict=True)}
        env = {"PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"}
        self._child = Child("OJS", [sys.executable, "-m", "ojs", "--port", str(ports[0])], log=log, env=env, cwd=ROOT)

    def __enter__(self) -> Self:
        self._child.start()
        try:
            self._child.wait_ready(self._answers)
        except BaseException:
            self._child.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def _answers(self) -> bool:
        try:
            return all(call("GET", self.api(version, "contexts"), seconds=2)[0] in {401, 403} for version in VERSIONS)
        except OSError:
            return False

    def api(self, version: str, path: str) -> str:
        """Return an address of the API of a version's journal."""
        return f"{self.urls[version]}/index.php/{VERSIONS[version]}/api/v1/{path}"

    @property
    def env(self) -> dict[str, str]:
        """What a configuration such as examples/ojs.yaml asks for."""
        return {f"OJS_{version}_URL": url for version, url in self.urls.items()}

    @property
    def secrets(self) -> Mapping[str, str]:
        """The tokens of the journals' connector accounts, and the keys with which events are signed."""
        tokens = {f"ojs-{path}": f"key-of-{path}" for path in VERSIONS.values()}
        return tokens | {f"ojs-{path}-events": f"events-of-{path}" for path in VERSIONS.values()}
