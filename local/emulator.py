"""The Cloud Firestore emulator: started, waited for, told of triggers, cleared, surely stopped."""

import json
import os
import tempfile
from pathlib import Path
from typing import Self

from local.errors import StackError
from local.jar import find_jar, java_arguments
from local.java import find_java
from local.ports import HOST, free_port
from local.process import Child
from local.web import answers, call

PROJECT = "demo-bothways"
CACHE = Path(__file__).resolve().parent.parent / ".local" / "cache"
EVENT_TYPE = "google.cloud.firestore.document.v1.written"
MEMORY_MB = 768
EXPORT = "firestore"


class Emulator:
    """A Cloud Firestore emulator, running inside `with`.

    Where FIRESTORE_EMULATOR_HOST is set already and nothing is asked of the start (no functions, rules, port or earlier
    export), that emulator is used, and left running.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        functions: str | None = None,
        rules: Path | None = None,
        project: str = PROJECT,
        log: Path | None = None,
        imported: Path | None = None,
    ) -> None:
        """Describe the emulator; nothing starts before `with`.

        `functions` is the HOST:PORT that events are posted to, `imported` a folder that `export` wrote.
        """
        self.project = project
        self._port, self._functions, self._rules, self._imported = port, functions, rules, imported
        self._log = log
        self._child: Child | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self.host = ""

    def __enter__(self) -> Self:
        running = os.environ.get("FIRESTORE_EMULATOR_HOST")
        if running and not (self._port or self._functions or self._rules or self._imported):
            self.host = running
            if not self._answers():
                raise StackError(f"nothing answers at {running}: start that emulator, or unset FIRESTORE_EMULATOR_HOST")
            return self
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop what was started; an emulator that was found running stays."""
        if self._child:
            self._child.stop()
        if self._scratch:
            self._scratch.cleanup()

    @property
    def pid(self) -> int | None:
        """The process id while it runs; none for an emulator that was found running."""
        return self._child.pid if self._child else None

    def _start(self) -> None:
        port = self._port or free_port()
        self.host = f"{HOST}:{port}"
        self._scratch = tempfile.TemporaryDirectory(prefix="bothways-")
        log = self._log or Path(self._scratch.name) / "emulator.log"
        self._child = Child("the Firestore emulator", self._command(port), log=log)
        try:
            self._child.start()
            self._child.wait_ready(self._answers)
            if self._rules:
                self.set_rules(self._rules)
        except BaseException:
            self.stop()  # __exit__ is not called when __enter__ fails
            raise

    def _command(self, port: int) -> list[str]:
        options: dict[str, object] = {
            "--host": HOST,
            "--port": port,
            "--project_id": self.project,
            "--functions_emulator": self._functions,
            "--import-data": self._imported and self._imported / EXPORT / f"{EXPORT}.overall_export_metadata",
        }
        flags = [str(part) for pair in options.items() if pair[1] is not None for part in pair]
        java = [find_java(), f"-Xmx{MEMORY_MB}m", "-Duser.language=en"]
        return [*java, *java_arguments(find_jar(CACHE)), *flags]

    def _answers(self) -> bool:
        return answers(f"http://{self.host}/")

    def set_rules(self, file: Path) -> None:
        """Put security rules into force. Raises StackError for whatever is wrong with them.

        The emulator's own `--rules` starts all the same with rules that do not compile, and says so nowhere.
        """
        content = {"files": [{"name": file.name, "content": file.read_text()}]}
        issues = json.loads(self._call("PUT", ":securityRules", {"rules": content})).get("issues", [])
        if issues:
            found = "; ".join(f"line {issue['sourcePosition'].get('line', 1)}: {issue['description']}" for issue in issues)
            raise StackError(f"{file} has mistakes, mend them: {found}")

    def register_trigger(self, name: str, document_pattern: str) -> None:
        """Have every write to a document that matches, such as `members/{id}`, posted to the function `name`."""
        self._call(
            "POST",
            f"/eventarcTrigger?eventarcTriggerId={name}",
            {
                "eventType": EVENT_TYPE,
                "database": "(default)",
                "namespace": "(default)",
                "document": {"value": document_pattern, "matchType": "PATH_PATTERN"},
            },
        )

    def clear(self) -> None:
        """Delete every document of the project. Triggers stay, and none of them fires."""
        self._call("DELETE", "/databases/(default)/documents")

    def export(self, folder: Path) -> None:
        """Write all documents into a folder, to be given as `imported` later."""
        folder.mkdir(parents=True, exist_ok=True)
        body = {
            "database": f"projects/{self.project}/databases/(default)",
            "export_directory": str(folder),
            "export_name": EXPORT,
        }
        self._call("POST", ":export", body)

    def _call(self, method: str, path: str, body: object | None = None) -> bytes:
        url = f"http://{self.host}/emulator/v1/projects/{self.project}{path}"
        status, answer = call(method, url, body, {"Authorization": "Bearer owner"})
        if status != 200:
            raise StackError(f"the emulator answered {status} to {method} {url}: {answer.decode()}")
        return answer
