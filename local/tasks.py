"""A local stand-in for Cloud Tasks, written from its published interface; the real client talks to it over gRPC.

It knows CreateTask, GetTask, DeleteTask and ListTasks of HTTP tasks in whatever queue they name, and calls them as Cloud
Tasks does: not before their time, so many at once, again after anything but a 2xx, with its headers. It knows no
permissions, signs no OIDC tokens, and forgets everything when it stops.
"""

import heapq
import itertools
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.cloud.tasks_v2 import CreateTaskRequest, DeleteTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, Task
from google.protobuf.empty_pb2 import Empty

from local.errors import StackError
from local.ports import HOST, free_port

SERVICE = "/google.cloud.tasks.v2.CloudTasks/"
REMEMBERED = 3600.0
"""Seconds for which the name of a task that is done stays taken."""
LONGEST_ANSWER = 600.0
"""Seconds that an answer may take where the task does not say."""


@dataclass(frozen=True)
class Retries:
    """How often, and after how many seconds at first and at most (doubling), a task is called again."""

    attempts: int = 100
    first: float = 0.5
    longest: float = 10.0

    def wait(self, retry: int) -> float:
        """Return the seconds before so many-th retry."""
        return float(min(self.longest, self.first * 2 ** min(retry - 1, 20)))


@dataclass(order=True)
class Waiting:
    """A task that waits for its turn; `due` is a time of the monotonic clock."""

    due: float
    number: int
    task: Any = field(compare=False)
    retries: int = field(compare=False, default=0)


class TaskServer:
    """Cloud Tasks at `address` (HOST:PORT), inside `with`. So many calls are made `at_once`."""

    def __init__(self, *, port: int = 0, at_once: int = 1, retries: Retries | None = None) -> None:
        """Describe the server; nothing listens before `with`."""
        self._port, self._retries = port, retries or Retries()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="task")
        self._room = threading.Semaphore(at_once)
        self._changed = threading.Condition()
        self._tasks: dict[str, Any] = {}
        self._done: dict[str, float] = {}
        self._line: list[Waiting] = []
        self._numbers = itertools.count(1)
        self._stopping = False
        self._server: grpc.Server | None = None
        self._dispatcher = threading.Thread(target=self._dispatch, name="tasks", daemon=True)
        self.address = ""

    def __enter__(self) -> Self:
        self.address = f"{HOST}:{self._port or free_port()}"
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[_Handler(self)], options=[("grpc.so_reuseport", 0)])
        try:
            self._server.add_insecure_port(self.address)
        except RuntimeError as exc:
            raise StackError(f"the tasks' port {self.address} is taken: stop what listens there") from exc
        self._server.start()
        self._dispatcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._server:
            self._server.stop(grace=None).wait()
        self._dispatcher.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def create(self, request: CreateTaskRequest, context: grpc.ServicerContext) -> Task:
        """Take a task; ALREADY_EXISTS if its name is taken, or was within the hour."""
        task: Any = request.task
        if not task.http_request.url:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "only tasks with an http_request are known here")
        with self._changed:
            number = next(self._numbers)
            task.name = task.name or f"{request.parent}/tasks/{number:020d}"
            if task.name in self._tasks or time.monotonic() - self._done.get(task.name, -REMEMBERED) < REMEMBERED:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, "a task of this name exists, or did within the hour")
            due = task.schedule_time.timestamp() if task.schedule_time else 0.0
            self._tasks[task.name] = task
            heapq.heappush(self._line, Waiting(time.monotonic() + max(0.0, due - time.time()), number, task))
            self._changed.notify_all()
            return request.task

    def get(self, request: GetTaskRequest, context: grpc.ServicerContext) -> Task:
        """Return a task that is not done; NOT_FOUND else."""
        with self._changed:
            found: Task | None = self._tasks.get(request.name)
        return found or context.abort(grpc.StatusCode.NOT_FOUND, "there is no such task")

    def delete(self, request: DeleteTaskRequest, context: grpc.ServicerContext) -> Empty:
        """Drop a task; its name stays taken."""
        with self._changed:
            if self._tasks.pop(request.name, None) is None:
                context.abort(grpc.StatusCode.NOT_FOUND, "there is no such task")
            self._done[request.name] = time.monotonic()
        return Empty()

    def tasks(self, request: ListTasksRequest, context: grpc.ServicerContext) -> ListTasksResponse:
        """Return the tasks of a queue that are not done, all on one page."""
        with self._changed:
            return ListTasksResponse(tasks=[task for name, task in self._tasks.items() if name.startswith(f"{request.parent}/")])

    def _dispatch(self) -> None:
        while True:
            self._room.acquire()
            waiting = self._next()
            if waiting is None:
                return
            self._pool.submit(self._call, waiting)

    def _next(self) -> Waiting | None:
        """Return the next task when its time has come; None when it is time to stop."""
        with self._changed:
            while not self._stopping:
                left = self._line[0].due - time.monotonic() if self._line else None
                if left is not None and left <= 0:
                    waiting = heapq.heappop(self._line)
                    if waiting.task.name in self._tasks:
                        return waiting
                else:
                    self._changed.wait(left)
            return None

    def _call(self, waiting: Waiting) -> None:
        try:
            well = _answered_well(waiting)
        finally:
            self._room.release()
        with self._changed:
            if well or waiting.retries + 1 >= self._retries.attempts:
                self._tasks.pop(waiting.task.name, None)
                self._done[waiting.task.name] = time.monotonic()
                return
            retries = waiting.retries + 1
            due = time.monotonic() + self._retries.wait(retries)
            heapq.heappush(self._line, Waiting(due, waiting.number, waiting.task, retries))
            self._changed.notify_all()


def _answered_well(waiting: Waiting) -> bool:
    task = waiting.task
    queue, _, name = task.name.partition("/tasks/")
    headers = dict(task.http_request.headers) | {
        "X-CloudTasks-QueueName": queue.rpartition("/")[2],
        "X-CloudTasks-TaskName": name,
        "X-CloudTasks-TaskRetryCount": str(waiting.retries),
        "X-CloudTasks-TaskExecutionCount": str(waiting.retries),
    }
    sent = urllib.request.Request(  # noqa: S310  # an address that our own functions asked for
        task.http_request.url, task.http_request.body, headers, method=task.http_request.http_method.name
    )
    seconds = task.dispatch_deadline.total_seconds() if task.dispatch_deadline else LONGEST_ANSWER
    try:
        with urllib.request.urlopen(sent, timeout=seconds) as answer:  # noqa: S310
            return bool(answer.status // 100 == 2)
    except (urllib.error.URLError, OSError):  # 4xx and 5xx are URLErrors too
        return False


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, server: TaskServer) -> None:
        self._methods = {
            f"{SERVICE}CreateTask": _method(server.create, CreateTaskRequest, Task.serialize),
            f"{SERVICE}GetTask": _method(server.get, GetTaskRequest, Task.serialize),
            f"{SERVICE}DeleteTask": _method(server.delete, DeleteTaskRequest, Empty.SerializeToString),
            f"{SERVICE}ListTasks": _method(server.tasks, ListTasksRequest, ListTasksResponse.serialize),
        }

    def service(self, details: Any) -> Any:
        return self._methods.get(details.method)


def _method(answer: Callable[..., Any], request: Any, written: Callable[[Any], bytes]) -> Any:
    return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=request.deserialize, response_serializer=written)
