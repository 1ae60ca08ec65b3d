"""Tasks: texts and numbers agree with each other and with the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa

from ...core.errors import Damaged
from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21, task_in
from ...formats.lerobot.datasets.dataset_v30 import DatasetV30
from ..check import Check, Diagnostic


class TasksV21Check(Check[DatasetV21]):
    """Lines of tasks.jsonl."""

    name = "tasks"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield lines without a number of their own, and tasks that a line before has."""
        first: dict[str, int] = {}
        numbers: set[int] = set()
        for number, (where, line) in enumerate(dataset.json_lines(dataset.tasks_path)):
            found = line.get("task_index")
            told = f"task_index is {found!r} instead of {number}"
            if type(found) is not int or found < 0 or found in numbers:
                yield self.error(where, told)
            elif found != number:
                # 0.3.3 and GR00T look tasks up by number; add_task takes total_tasks for the next free one.
                yield self.warning(where, f"{told}: LeRobot may give it to another task too when it adds episodes")
            numbers.update([found] if type(found) is int else [])
            try:
                task = task_in(line, where)
            except Damaged as exc:
                yield self.damaged(exc)
                continue
            if first.setdefault(task, number) != number:
                yield self.error(where, f"the task of index {first[task]} exists twice: {task!r}")
        if not first:
            yield self.error(dataset.tasks_path, "holds no task")


class TasksV30Check(Check[DatasetV30]):
    """Rows and pandas metadata of tasks.parquet."""

    name = "tasks"

    def run(self, dataset: DatasetV30, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong in tasks.parquet."""
        schema = dataset.task_table.schema
        if _index_columns(schema) not in (["task"], ["__index_level_0__"]):
            # pandas then numbers the rows itself, and every item's task is a number.
            yield self.error(paths_v30.TASKS, "its pandas metadata does not name the task text as index")
        if "task_index" not in schema.names or not pa.types.is_integer(kind := schema.field("task_index").type):
            yield self.error(paths_v30.TASKS, "has no column task_index of int64")
            return
        if kind != pa.int64():
            yield self.warning(paths_v30.TASKS, f"column task_index is {kind} instead of int64")
        for row, (where, index, _) in enumerate(dataset.numbered_tasks()):
            if index != row:
                yield self.error(where, f"task_index is {index}; LeRobot looks tasks up by row")
        yield from map(self.damaged, dataset.repeated_tasks())


def _index_columns(schema: pa.Schema) -> list[str]:
    try:
        columns = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns")
    except (ValueError, AttributeError):
        return []
    return columns if isinstance(columns, list) else []
