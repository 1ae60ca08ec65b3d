"""Instructions: columns of modality.json's annotations, whose numbers are those of tasks.jsonl."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....core.features import Feature
from ..checks.base import Check, Finding, Repeated
from ..datasets.dataset_v21 import DatasetViewV21
from ..features.vector import kind_of, rows_of
from .gr00t_release import Release
from .stored_type import is_list

_MEND = "`annotator: {columns: [annotation.human.task_description]}` among the steps writes such a column"


class AnnotationsCheck(Check[DatasetViewV21]):
    """Every row of every annotation is the task_index of a line of tasks.jsonl.

    `get_language` in N1 and N1.5, which take lists of one number too; `_load_parquet_data` in N1.6 and
    N1.7, which look the value itself up, and fail on a list. A configuration names one annotation:
    where another one is right, a wrong one is a warning.
    """

    name = "annotations"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield columns that are no instructions."""
        columns = self._release.columns(dataset, "annotation")
        found = [
            list(self._column(dataset, column, feature, f"{entry.place} ({column})"))
            for entry, column, feature in columns
        ]
        told = self.error if all(found) else self.warning
        yield from (told(finding.where, finding.message) for findings in found for finding in findings)

    def _column(self, dataset: DatasetViewV21, column: str, feature: Feature, place: str) -> Iterator[Finding]:
        if feature.shape != (1,) or kind_of(feature.dtype) not in "iuf":
            yield self.error(place, f"is {feature} instead of one whole number; {_MEND}")
            return
        if not self._release.is_typed and is_list(dataset, column):
            yield self.error(place, f"holds lists of one number, on which {self._release.title} fails; {_MEND}")
            return
        lines = [line.get("task_index") for _, line in dataset.json_lines(dataset.tasks_path)]
        known = np.array([number for number in lines if type(number) is int], np.float64)
        faults = Repeated(self)
        for data in dataset.data_files():
            for first, batch in dataset.row_batches(data.path, (column,)):
                values = rows_of(batch[column], feature, f"{data.path}, column {column}")[:, 0]
                if (wrong := np.flatnonzero(~np.isin(values, known))).size:
                    told = f"is {values[wrong[0]]!s}, which is no task_index of tasks.jsonl"
                    where = f"{place}, {data.path}, row {first + wrong[0]}"
                    faults.note(column, where, f"{told}: {self._release.title} fails; {_MEND}")
                    break  # one per file
        yield from faults.findings()
