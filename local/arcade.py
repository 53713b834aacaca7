"""ArcadeDB, which speaks Bolt and stands here for Neo4j: started, waited for, surely stopped. It is not Neo4j."""

import importlib.util
import logging
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from local.errors import StackError
from local.ports import HOST, free_port
from local.process import Child

if TYPE_CHECKING:
    from neo4j import Driver

USER, DATABASE = "root", "neo4j"
MEMORY_MB = 512
OPENED = (
    "--add-exports=java.management/sun.management=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.nio.channels.spi=ALL-UNNAMED",
    "--add-modules=jdk.incubator.vector",
)
"""What the server needs of Java; it brings a Java of its own, newer than most systems have."""


def is_installed() -> bool:
    """Return whether ArcadeDB can be started here: it comes for Linux alone."""
    return importlib.util.find_spec("arcadedb_embedded") is not None


class Arcade:
    """An ArcadeDB server with one database, running inside `with`. `folder` keeps its data; None: a folder of its own, deleted
    at the end. `password` is that of the user `root`, made up if none is given: 8 letters at least. It takes `memory` MB."""

    def __init__(
        self, folder: Path | None = None, *, port: int = 0, password: str = "", log: Path | None = None, memory: int = MEMORY_MB
    ) -> None:
        """Describe the server; nothing starts before `with`."""
        self._memory = memory
        self.password = password or secrets.token_hex(12)
        self._port, self._folder, self._log = port or free_port(), folder, log
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._child: Child | None = None
        self.uri = f"bolt://{HOST}:{self._port}"

    def __enter__(self) -> Self:
        if self._folder is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="bothways-graph-")
        folder = self._folder or Path((self._scratch or tempfile.TemporaryDirectory()).name)
        folder.mkdir(parents=True, exist_ok=True)
        self._child = Child("ArcadeDB", self._command(folder), log=self._log or folder / "arcade.log", cwd=folder)
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, anew after `kill` on what is there, and return once it answers."""
        if self._child:
            self._child.start()
            self._child.wait_ready(self._answers)

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        if self._child:
            self._child.kill()

    def stop(self) -> None:
        """Stop it, and delete what was only for now."""
        if self._child:
            self._child.stop()
        if self._scratch:
            self._scratch.cleanup()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child else None

    def driver(self) -> "Driver":
        """Return a new plain driver, to look into the graph as anybody would."""
        from neo4j import GraphDatabase

        return GraphDatabase.driver(self.uri, auth=(USER, self.password))

    def _answers(self) -> bool:
        from neo4j.exceptions import DriverError, Neo4jError

        logging.getLogger("neo4j").setLevel(logging.CRITICAL)  # it warns of every call that came too early
        with self.driver() as driver, driver.session(database=DATABASE) as session:
            try:
                return bool(session.run("RETURN true AS up").single(strict=True)["up"])
            except (DriverError, Neo4jError):
                return False

    def _command(self, folder: Path) -> list[str]:
        package = importlib.util.find_spec("arcadedb_embedded")
        if package is None or package.origin is None:
            raise StackError("ArcadeDB is not installed: pip install arcadedb-embedded (Linux with glibc 2.34 or newer)")
        home = Path(package.origin).parent
        settings = {
            "server.rootPath": folder,
            "server.databaseDirectory": folder / "databases",
            "server.rootPassword": self.password,
            "server.mode": "production",
            "server.httpIncomingHost": HOST,
            "server.httpIncomingPort": free_port(),
            "server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "bolt.host": HOST,
            "bolt.port": self._port,
            "server.defaultDatabases": f"{DATABASE}[{USER}]",
        }
        java = [str(home / "jre" / "bin" / "java"), "-Xms256m", f"-Xmx{self._memory}m", *OPENED, "-Djava.awt.headless=true"]
        named = [f"-Darcadedb.{name}={value}" for name, value in settings.items()]
        return [
            *java,
            "-Dpolyglot.engine.WarnInterpreterOnly=false",
            *named,
            "-cp",
            f"{home}/jars/*",
            "com.arcadedb.server.ArcadeDBServer",
        ]
