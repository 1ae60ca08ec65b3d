"""Instructions and their numbers."""

from __future__ import annotations

from collections.abc import Iterable


class TaskTable:
    """Task texts in order of first appearance, each with its index."""

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        self._index: dict[str, int] = {}
        for task in tasks:
            self.index(task)

    def index(self, task: str) -> int:
        """Return the index of a task, adding it if it is new."""
        return self._index.setdefault(task, len(self._index))

    @property
    def tasks(self) -> list[str]:
        """All tasks by index."""
        return list(self._index)
