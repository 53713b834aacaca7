"""Cloud Tasks in memory: tasks lie there until a test delivers them, in any order, twice, or never."""

from __future__ import annotations

from shared.tasks import Task


class QueueOfTasks:
    def __init__(self) -> None:
        self.waiting: list[Task] = []
        self.names: set[str] = set()

    def add(self, task: Task) -> bool:
        if task.name in self.names:
            return False
        self.names.add(task.name)
        self.waiting.append(task)
        return True
