"""tasks.jsonl: the texts of task_index."""

from __future__ import annotations

from collections.abc import Iterator

from ..datasets.dataset_v21 import DatasetViewV21
from .base import Check, Finding


class TasksV21Check(Check[DatasetViewV21]):
    """Lines of tasks.jsonl."""

    name = "tasks"

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield lines that are not the next task, or one that is there already."""
        first: dict[str, int] = {}
        for number, (where, line) in enumerate(dataset.json_lines(dataset.tasks_path)):
            if type(line.get("task_index")) is not int or line["task_index"] != number:
                yield self.error(where, f"task_index is {line.get('task_index')!r} instead of {number}")
            task = line.get("task")
            if not isinstance(task, str):
                yield self.error(where, f"task is {task!r} instead of a text")
            elif first.setdefault(task, number) != number:
                yield self.error(where, f"the task of index {first[task]} is there again: {task!r}")
        if not first:
            yield self.error(dataset.tasks_path, "holds no task")
