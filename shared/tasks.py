"""Work for later and for other instances: named calls of our own functions, made by Cloud Tasks until one is answered 2xx."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shared.canonical import digest
from shared.errors import TerminalBatch, Transient

LONGEST_CALL = {"seconds": 1800}
"""How long Cloud Tasks waits for an answer; the most that it lets be asked for."""
CALL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Task:
    """A call of `function` with `body` as JSON, not before `at`. Of all tasks of one name, one is made in an hour."""

    name: str
    function: str
    body: Mapping[str, Any]
    at: datetime | None = None


class Tasks(Protocol):
    """Where tasks are put."""

    def add(self, task: Task) -> bool:
        """Put a task there; False if one of its name was put there before, however it ended. Transient and TerminalBatch."""
        ...


@dataclass(frozen=True)
class CloudTasks:
    """A queue of Cloud Tasks, by its full name; `functions_url` is what each function's name is added to.

    Calls carry an OIDC token of the service account `account`, or without one the operator token.
    """

    client: Any
    queue: str
    functions_url: str
    account: str | None
    token: Callable[[], str]

    def add(self, task: Task) -> bool:
        """Create the task; False if its name is taken."""
        from google.api_core import exceptions

        try:
            self.client.create_task(parent=self.queue, task=self._body(task), retry=None, timeout=CALL_SECONDS)
            return True
        except exceptions.AlreadyExists:
            return False
        except (exceptions.NotFound, exceptions.PermissionDenied, exceptions.FailedPrecondition) as error:
            hint = "create the queue, and let the functions' service account add tasks to it (roles/cloudtasks.enqueuer)"
            raise TerminalBatch(f"Cloud Tasks has no queue {self.queue!r} for us ({type(error).__name__}); {hint}") from None
        except exceptions.GoogleAPICallError as error:
            raise Transient(f"Cloud Tasks did not take a task ({type(error).__name__})") from None

    def _body(self, task: Task) -> dict[str, Any]:
        url = f"{self.functions_url.rstrip('/')}/{task.function}"
        headers = {"Content-Type": "application/json"}
        request: dict[str, Any] = {"url": url, "http_method": "POST", "body": json.dumps(task.body).encode(), "headers": headers}
        if self.account:
            request["oidc_token"] = {"service_account_email": self.account, "audience": url}
        else:
            headers["Authorization"] = f"Bearer {self.token()}"
        body = {"name": f"{self.queue}/tasks/{task_id(task.name)}", "http_request": request, "dispatch_deadline": LONGEST_CALL}
        return body | ({"schedule_time": task.at} if task.at else {})


def task_id(name: str) -> str:
    """Return the id of a task: 1 to 500 of A-Z, a-z, 0-9, _ and -. It begins with a hash, since Cloud Tasks gets slow with ids
    that begin alike."""
    return f"{digest(name)[:12]}-{re.sub('[^A-Za-z0-9_-]', '-', name)[:400]}"
